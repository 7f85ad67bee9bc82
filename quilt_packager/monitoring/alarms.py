"""Alarms whose names are instructions, and whose descriptions have the reasons and commands."""

from typing import TypedDict, Unpack

from aws_cdk import Annotations, Aws, Duration, Resource
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_stepfunctions as sfn
from constructs import Construct

from quilt_packager.contract import AUDIT_LAMBDA, CHECKSUM_LAMBDA, PACKAGER_LAMBDA, log_group_name
from quilt_packager.guardrails.limits import (
    AlarmSeconds,
    AlarmThreshold,
    find_unknown,
    find_violations,
)
from quilt_packager.monitoring.watched import (
    Watched,
    WatchedAudit,
    WatchedDeadLetters,
    WatchedFunction,
    WatchedQueues,
)

FIVE_MINUTES = Duration.minutes(5)

DEFAULT_OLDEST_MESSAGE_SECONDS = 60 * 60
DEFAULT_FUNCTION_ERRORS = 5
ERROR_PERIOD = Duration.minutes(15)
THROTTLED_PERIODS = 3

JOB_LOGS = (PACKAGER_LAMBDA, CHECKSUM_LAMBDA)
"""The logs whose lines have the ids of jobs."""

FAILURES = " || ".join(
    f'($.{field} = "{value}")'
    for field, value in (
        ("level", "WARNING"),
        ("level", "ERROR"),
        ("record.status", "error"),
        ("record.status", "failure"),
        ("record.status", "timeout"),
    )
)
"""Log lines of failures, written by functions or by Lambda for functions that cannot."""


class AlarmThresholds(TypedDict, total=False):
    """The thresholds of alarms."""

    dead_letters: int
    """Number of dead letters. Default: 1."""
    oldest_message_age: Duration
    """Age of the oldest message. Default: 1 hour."""
    function_errors: int
    """Number of errors of a function within 15 minutes. Default: 5.

    A message that succeeds on a retry needs no attention; one that fails on every attempt is a
    dead letter.
    """
    throttles: int
    """Number of throttled invocations within 5 minutes, three times in a row. Default: 1."""
    large_jobs_failed: int
    """Number of large jobs that failed, timed out or were stopped in 5 minutes. Default: 1.

    Each of these ends has its own alarm.
    """


class EngineAlarms(Construct):
    """The alarms of an engine, including those of parts that are added later.

    Args:
        scope: The engine.
        construct_id: Their id.
        service: Prefix of the alarms' names.
        state_machine: The state machine of large jobs.
        topic: Topic that alarms notify. None: alarms are visible in CloudWatch only.
        **thresholds: The thresholds, as `AlarmThresholds`.

    Attributes:
        alarms: The alarms.

    Raises:
        TypeError: Thresholds are unknown. All of them are listed.
        ValueError: A threshold can never be reached, or always is. All of them are listed.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: str,
        state_machine: sfn.StateMachine,
        topic: sns.ITopic | None,
        **thresholds: Unpack[AlarmThresholds],
    ) -> None:
        if unknown := find_unknown(thresholds, AlarmThresholds.__annotations__, "threshold"):
            raise TypeError("EngineAlarms " + "; ".join(unknown))
        super().__init__(scope, construct_id)
        self._service = service
        self._dead_letters = thresholds.get("dead_letters", 1)
        self._oldest_message_age = thresholds.get(
            "oldest_message_age", Duration.seconds(DEFAULT_OLDEST_MESSAGE_SECONDS)
        )
        self._function_errors = thresholds.get("function_errors", DEFAULT_FUNCTION_ERRORS)
        self._throttles = thresholds.get("throttles", 1)
        large_jobs_failed = thresholds.get("large_jobs_failed", 1)
        violations = find_violations(
            {
                "dead_letters": (self._dead_letters, AlarmThreshold),
                "oldest_message_age, in seconds,": (
                    int(self._oldest_message_age.to_seconds()),
                    AlarmSeconds,
                ),
                "function_errors": (self._function_errors, AlarmThreshold),
                "throttles": (self._throttles, AlarmThreshold),
                "large_jobs_failed": (large_jobs_failed, AlarmThreshold),
            }
        )
        if violations:
            raise ValueError("Invalid alarm thresholds: " + "; ".join(violations))
        self.alarms: list[cloudwatch.Alarm] = []
        self._action = actions.SnsAction(topic) if topic else None
        if topic:
            _allow_alarms_to_publish(topic)
            self._inform_of_imported_topic(topic)
        self._add_large_jobs(state_machine, large_jobs_failed)

    def watch(self, part: Watched) -> None:
        """Add the alarms of one part of the engine."""
        match part:
            case WatchedQueues():
                self._add_dead_letters(part)
                self._add_oldest_message(part)
            case WatchedDeadLetters():
                self._add_dead_letters(part)
            case WatchedFunction():
                self._add_errors(part)
                self._add_throttles(part)
            case WatchedAudit():
                self._add_audit(part)

    def _add_audit(self, audit: WatchedAudit) -> None:
        self._add(
            "PackagesDamaged",
            audit.damaged,
            name="see what is missing from damaged packages",
            description="The audit found packages whose objects, manifests or pointers are gone, "
            "changed or not readable. See which: aws logs tail "
            f"{self._log(AUDIT_LAMBDA)} --since 1d --filter-pattern "
            "'{ $.message = \"package damaged\" }', or quilt-packager verify NAME. Each finding "
            "has its remedy.",
            threshold=1,
        )
        self._add(
            "AuditsFailed",
            audit.state_machine.metric_failed(period=FIVE_MINUTES, statistic=cloudwatch.Stats.SUM),
            name="see why the audit of packages failed",
            description="The audit ended before it had checked all packages. Find its execution by "
            "aws stepfunctions list-executions --state-machine-arn "
            f"{audit.state_machine.state_machine_arn} --status-filter FAILED, and redrive it by "
            "aws stepfunctions redrive-execution --execution-arn ARN. The reason is in its log: "
            f"{self._log(AUDIT_LAMBDA)}.",
            threshold=1,
        )

    def _add_dead_letters(self, queues: WatchedDeadLetters | WatchedQueues) -> None:
        self._add(
            f"DeadLetters-{queues.name}",
            queues.dead_letter_queue.metric_approximate_number_of_messages_visible(
                period=FIVE_MINUTES, statistic=cloudwatch.Stats.MAXIMUM
            ),
            name=f"retry or discard the dead letters of {queues.name}",
            description=f"The dead-letter queue of {queues.name} holds at least "
            f"{_count(self._dead_letters, 'message')}, which SQS does not retry. {queues.advice}",
            threshold=self._dead_letters,
        )

    def _add_oldest_message(self, queues: WatchedQueues) -> None:
        seconds = self._oldest_message_age.to_seconds()
        self._add(
            f"OldestMessage-{queues.name}",
            queues.queue.metric_approximate_age_of_oldest_message(
                period=FIVE_MINUTES, statistic=cloudwatch.Stats.MAXIMUM
            ),
            name=f"find out what {queues.name} are waiting for",
            description=f"The oldest of the {queues.name} in the queue was sent more than "
            f"{seconds / 60:g} minutes ago. More come than are done at once, one keeps failing and "
            "is tried again, or the function cannot run. See what is waiting, running and failing: "
            f"{self._command('status')}. If they are just many, raise max_concurrency; if one "
            f"fails, its reason is in the log {self._log(queues.log_name)}.",
            threshold=seconds,
            notifies_when_ok=True,
        )

    def _add_errors(self, part: WatchedFunction) -> None:
        self._add(
            f"Errors-{part.name}",
            part.function.metric_errors(period=ERROR_PERIOD, statistic=cloudwatch.Stats.SUM),
            name=f"see in the log why {part.name} fails",
            description=f"{part.name} failed at least {_count(self._function_errors, 'time')} in "
            "15 minutes. It crashed, ran out of time or memory, or was denied a request. Its "
            "events are retried. The reason is in its log: aws logs tail "
            f"{self._log(part.log_name)} --since 1h --filter-pattern '{{ {FAILURES} }}'."
            + (
                f" Lines name the job as message_id: {self._command('jobs', 'show ID')}."
                if part.log_name in JOB_LOGS
                else ""
            ),
            threshold=self._function_errors,
        )

    def _add_throttles(self, part: WatchedFunction) -> None:
        self._add(
            f"Throttles-{part.name}",
            part.function.metric_throttles(period=FIVE_MINUTES, statistic=cloudwatch.Stats.SUM),
            name=f"give {part.name} more concurrency",
            description=f"Lambda refused to start {part.name} for a quarter of an hour: the "
            "account's concurrency is used up, by this or by other functions. Jobs wait and are "
            "not lost. Ask for a higher quota (Service Quotas, Lambda, concurrent executions), or "
            "lower max_concurrency and checksum_concurrency.",
            threshold=self._throttles,
            evaluation_periods=THROTTLED_PERIODS,
            notifies_when_ok=True,
        )

    def _add_large_jobs(self, machine: sfn.StateMachine, threshold: int) -> None:
        # An alarm on their sum would cost as much as one on each.
        for construct_id, metric, ended, status in (
            ("Failed", machine.metric_failed, "failed", "FAILED"),
            ("TimedOut", machine.metric_timed_out, "timed out", "TIMED_OUT"),
            ("Stopped", machine.metric_aborted, "were stopped", "ABORTED"),
        ):
            self._add(
                f"LargeJobs{construct_id}",
                metric(period=FIVE_MINUTES, statistic=cloudwatch.Stats.SUM),
                name=f"see why large jobs {ended}",
                description=f"Large jobs that {ended} within 5 minutes: at least {threshold}. Step "
                "Functions keeps the history of each for 90 days, and can redrive it for 14. See "
                f"the reason, and retry or discard the job: {self._command('failures')}. A job "
                "that is missing there is not in the dead-letter queue: find its execution by aws "
                f"stepfunctions list-executions --state-machine-arn {machine.state_machine_arn} "
                f"--status-filter {status}, and redrive it by aws stepfunctions "
                "redrive-execution --execution-arn ARN.",
                threshold=threshold,
            )

    def _add(
        self,
        construct_id: str,
        metric: cloudwatch.IMetric,
        *,
        name: str,
        description: str,
        threshold: float,
        evaluation_periods: int = 1,
        notifies_when_ok: bool = False,
    ) -> None:
        alarm = cloudwatch.Alarm(
            self,
            construct_id,
            alarm_name=f"{self._service}: {name}",
            alarm_description=description,
            metric=metric,
            threshold=threshold,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=evaluation_periods,
            # No metric, no event: nothing waits, fails or runs.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        if self._action:
            alarm.add_alarm_action(self._action)
            if notifies_when_ok:
                alarm.add_ok_action(self._action)
        self.alarms.append(alarm)

    def _command(self, name: str, options: str = "") -> str:
        # The service includes the engine's name in its stack.
        parts = ["quilt-packager", name, options, f"--stack {self._service}"]
        return " ".join(filter(None, parts))

    def _inform_of_imported_topic(self, topic: sns.ITopic) -> None:
        if not Resource.is_owned_resource(topic):
            # No warning: the topic may allow it already, and `cdk --strict` fails on warnings.
            Annotations.of(self).add_info_v2(
                "quilt-packager:alarmsTopicPolicy",
                "The topic of the alarms is imported, so CDK cannot change its policy. The policy "
                "must allow cloudwatch.amazonaws.com to use sns:Publish, and the policy of its "
                "key, if it has one, kms:Decrypt and kms:GenerateDataKey*: otherwise no "
                "notification is sent.",
            )

    def _log(self, name: str) -> str:
        return log_group_name(self._service, name)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _allow_alarms_to_publish(topic: sns.ITopic) -> None:
    """Allow the account's alarms to publish: a topic with a policy or a key denies it otherwise."""
    topic.grant_publish(
        iam.ServicePrincipal(
            "cloudwatch.amazonaws.com",
            conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
        )
    )
