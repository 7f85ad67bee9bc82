"""The state machine of jobs that are too large for one invocation, or that wait for files.

A Distributed Map runs the checksum function over the shards that the packager has written; then
the large-job function publishes, starts another round, waits for required files, or reports the
failure.
"""

from collections.abc import Iterator, Mapping

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct
from quilt_packager_runtime.errors import (
    AwsError,
    CredentialsRefused,
    NotificationFailed,
    Rejected,
    ServiceUnavailable,
)

from quilt_packager.contract import LARGE_JOBS
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.nag import (
    acknowledge,
    acknowledge_inline_policy,
    acknowledge_wildcards,
)

RETRY_INTERVAL = Duration.seconds(5)
MAX_RETRY_INTERVAL = Duration.minutes(5)
MAX_RETRIES = 5
# With the intervals above and full jitter: 40 minutes on average, an hour and a quarter at most.
MAX_TRANSIENT_RETRIES = 20
MAX_THROTTLED_RETRIES = 50
# Three hours on average, six at most.
MAX_FAIL_JOB_RETRIES = 75

THROTTLED = "Lambda.TooManyRequestsException"
TRANSIENT = [
    *(
        each.__name__
        for each in (AwsError, CredentialsRefused, NotificationFailed, ServiceUnavailable)
    ),
    "Lambda.AWSLambdaException",
    "Lambda.ClientExecutionTimeoutException",
    "Lambda.SdkClientException",
    "Lambda.ServiceException",
]
"""Errors of unavailable, busy or slow services, which outlast a few quick retries."""

ACKNOWLEDGED = {
    "AwsSolutions-SF1": "Step Functions keeps each execution's history for 90 days, and "
    "the functions log every outcome.",
    "AwsSolutions-SF2": "The tracing prop turns it on for those who pay for it.",
    "Serverless-StepFunctionStateMachineXray": "As AwsSolutions-SF2.",
}
"""Accepted findings of state machines."""

ENDED_CAUSE = "a user stopped the execution, or Step Functions could not continue it"

_ERROR = "$.error"
_WAIT_SECONDS = "$.wait_seconds"
_JOB = {
    "job_id": sfn.JsonPath.string_at("$.job_id"),
    "round": sfn.JsonPath.number_at("$.round"),
}


def create_state_machine(
    scope: Construct,
    *,
    checksum_function: lambda_.IFunction,
    large_job_function: lambda_.IFunction,
    scratch_bucket: s3.IBucket,
    checksum_concurrency: int,
    tracing: lambda_.Tracing,
) -> sfn.StateMachine:
    """Create the state machine, whose role may run its functions and read the map's items.

    Args:
        scope: The engine.
        checksum_function: Hashes a shard.
        large_job_function: Publishes a job, or reports its failure.
        scratch_bucket: The bucket of the items.
        checksum_concurrency: Maximum number of concurrent workers.
        tracing: Tracing by X-Ray.
    """
    role = iam.Role(
        scope,
        "LargeJobsRole",
        assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
        description="Runs the functions of large Quilt packages",
    )
    machine = sfn.StateMachine(
        scope,
        LARGE_JOBS,
        comment="Makes Quilt packages that are too large for one invocation",
        definition_body=sfn.DefinitionBody.from_chainable(
            _define(
                scope, checksum_function, large_job_function, scratch_bucket, checksum_concurrency
            )
        ),
        state_machine_type=sfn.StateMachineType.STANDARD,
        # What CDK would add allows more: other versions of the functions, other objects.
        role=role.without_policy_updates(),
        tracing_enabled=tracing is lambda_.Tracing.ACTIVE,
    )
    # CDK's own, for the role that it may not change: it is attached to nothing.
    machine.node.try_remove_child("DistributedMapPolicy")
    acknowledge(machine, ACKNOWLEDGED)
    # Apart from the role: it names the machine, which needs the role.
    policy = iam.Policy(scope, "LargeJobsPolicy", roles=[role])
    acknowledge_inline_policy(policy)
    for statement in [
        permissions.invoke([checksum_function, large_job_function]),
        *permissions.read_items(scratch_bucket),
        *permissions.run_distributed_map(machine),
        *([permissions.write_xray_traces()] if tracing is lambda_.Tracing.ACTIVE else []),
    ]:
        policy.add_statements(statement)
        acknowledge_wildcards(
            policy, statement, "Executions and traces get their names at run time."
        )
    return machine


def fail_stopped_jobs(
    scope: Construct, machine: sfn.StateMachine, large_job_function: lambda_.IFunction
) -> events.Rule:
    """Move the messages of jobs whose execution was stopped to the dead-letter queue.

    A user stopped it, or Step Functions could not continue: no state can catch `States.Runtime`.
    EventBridge delivers an event once to Lambda's own queue, and Lambda invokes a
    failing function only twice more, within minutes: so each invocation retries until its deadline.
    A redrive of the execution handles what fails even then.

    Args:
        scope: The engine.
        machine: The state machine.
        large_job_function: The function that reports failed jobs.
    """
    field = events.EventField.from_path
    rule = events.Rule(
        scope,
        "EndedLargeJobs",
        description="Large jobs that were stopped, or that Step Functions could not go on with",
        event_pattern=events.EventPattern(
            source=["aws.states"],
            detail_type=["Step Functions Execution Status Change"],
            detail={
                "stateMachineArn": [machine.state_machine_arn],
                "$or": [
                    {"status": ["ABORTED", "TIMED_OUT"]},
                    {"status": ["FAILED"], "error": [{"prefix": "States."}]},
                ],
            },
        ),
        targets=[
            targets.LambdaFunction(
                large_job_function,
                event=events.RuleTargetInput.from_object(
                    {
                        "job_id": field("$.detail.name"),
                        # The history of the execution has the failures of later rounds.
                        "round": 0,
                        "error": {"Error": field("$.detail.status"), "Cause": ENDED_CAUSE},
                        "keep_trying": True,
                    }
                ),
            )
        ],
    )
    acknowledge(
        rule,
        {
            "Serverless-EventBusDLQ": "EventBridge only hands the event to Lambda's own queue, and "
            "the function tries for up to three invocations. After that, engine.add_alarms() "
            "reports which execution to redrive. The dead-letter queue is for what can be "
            "packaged, and this event cannot."
        },
    )
    return rule


def _define(
    scope: Construct,
    checksum_function: lambda_.IFunction,
    large_job_function: lambda_.IFunction,
    scratch_bucket: s3.IBucket,
    checksum_concurrency: int,
) -> sfn.IChainable:
    hash_shards = _hash_shards(scope, checksum_function, scratch_bucket, checksum_concurrency)
    publish = retry(_invoke(scope, "Publish", large_job_function, _JOB))
    fail_job = _fail_job(scope, large_job_function)
    hash_shards.add_catch(fail_job, result_path=_ERROR)
    publish.add_catch(fail_job, result_path=_ERROR)
    wait = sfn.Wait(scope, "WaitForFiles", time=sfn.WaitTime.seconds_path(_WAIT_SECONDS))
    is_published = sfn.Condition.and_(
        sfn.Condition.is_present("$.goes_on"),
        sfn.Condition.boolean_equals("$.goes_on", value=False),
    )
    hash_shards.next(publish)
    # The input of the execution, and the output of Publish.
    next_step = sfn.Choice(scope, "ChooseNextStep")
    next_step.when(sfn.Condition.is_present(_WAIT_SECONDS), wait.next(publish))
    next_step.when(is_published, sfn.Succeed(scope, "Published"))
    next_step.otherwise(hash_shards)
    publish.next(next_step)
    return next_step


def _hash_shards(
    scope: Construct,
    checksum_function: lambda_.IFunction,
    scratch_bucket: s3.IBucket,
    checksum_concurrency: int,
) -> sfn.DistributedMap:
    hash_shards = sfn.DistributedMap(
        scope,
        "HashShards",
        label="HashShards",
        item_reader=sfn.S3JsonLItemReader(
            bucket=scratch_bucket, key=sfn.JsonPath.string_at("$.items_key")
        ),
        max_concurrency=checksum_concurrency,
        # A worker may run for 15 minutes; an Express workflow for 5.
        map_execution_type=sfn.StateMachineType.STANDARD,
        result_path=sfn.JsonPath.DISCARD,
    )
    hash_shards.item_processor(retry(_invoke(scope, "HashShard", checksum_function)))
    return hash_shards


def _fail_job(scope: Construct, large_job_function: lambda_.IFunction) -> tasks.LambdaInvoke:
    fail_job = _invoke(
        scope,
        "GiveUp",
        large_job_function,
        {
            **_JOB,
            "error": sfn.JsonPath.object_at(_ERROR),
            "retry": sfn.JsonPath.number_at("$$.State.RetryCount"),
            "max_retries": MAX_FAIL_JOB_RETRIES,
        },
    )
    # Until then the message is nowhere else: a denied action may be allowed in time.
    add_retry(fail_job, [sfn.Errors.ALL], MAX_FAIL_JOB_RETRIES)
    fail_job.next(sfn.Fail(scope, "Failed", error_path="$.code", cause_path="$.reason"))
    return fail_job


def _invoke(
    scope: Construct,
    construct_id: str,
    function: lambda_.IFunction,
    payload: Mapping[str, object] | None = None,
) -> tasks.LambdaInvoke:
    """Invoke a function with a payload, or with the input of the state."""
    return tasks.LambdaInvoke(
        scope,
        construct_id,
        lambda_function=function,
        payload=None if payload is None else sfn.TaskInput.from_object(payload),
        payload_response_only=True,
        retry_on_service_exceptions=False,
    )


def retry(task: tasks.LambdaInvoke) -> tasks.LambdaInvoke:
    """Retry everything except rejections, including crashed and throttled functions."""
    task.add_retry(errors=sorted(_codes(Rejected)), max_attempts=0)
    # No failure, but a wait for a free function.
    add_retry(task, [THROTTLED], MAX_THROTTLED_RETRIES)
    add_retry(task, TRANSIENT, MAX_TRANSIENT_RETRIES)
    add_retry(task, [sfn.Errors.ALL], MAX_RETRIES)
    return task


def add_retry(task: tasks.LambdaInvoke, errors: list[str], max_attempts: int) -> None:
    """Retry some errors, with growing pauses."""
    task.add_retry(
        errors=errors,
        interval=RETRY_INTERVAL,
        backoff_rate=2,
        max_attempts=max_attempts,
        max_delay=MAX_RETRY_INTERVAL,
        jitter_strategy=sfn.JitterType.FULL,
    )


def _codes(kind: type[Rejected]) -> Iterator[str]:
    for each in kind.__subclasses__():
        yield each.__name__
        yield from _codes(each)
