"""Promotion of created packages to another registry: a rule, a state machine and a function."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aws_cdk import Duration, Size
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, Result
from quilt_packager_runtime.reporting.outcome_events import outcome_pattern
from quilt_packager_runtime.settings.promotion_settings import PromotionSettings

from quilt_packager.contract import DEFAULT_MEMORY_MEBIBYTES, DEFAULT_TIMEOUT_SECONDS
from quilt_packager.engine.functions import FunctionFactory, FunctionSize
from quilt_packager.engine.queues import allow_events_to_encrypt, create_dead_letter_queue
from quilt_packager.engine.state_machine import ACKNOWLEDGED, add_retry, retry
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.limits import DEFAULT_EPHEMERAL_MEBIBYTES
from quilt_packager.guardrails.nag import (
    acknowledge,
    acknowledge_inline_policy,
    acknowledge_wildcards,
)
from quilt_packager.guardrails.quotas import check_pattern
from quilt_packager.monitoring.watched import WatchedDeadLetters, WatchedFunction

DEAD_LETTER_DAYS = 14
MAX_REPORT_RETRIES = 75
"""Three hours on average, as for failed large jobs."""

NAME_PATTERN = re.compile(r"[A-Za-z0-9_*-]+(/[A-Za-z0-9_*-]+)?")


@dataclass(frozen=True)
class PromoteWhen:
    """The revisions to promote: all of the engine's that match both.

    Attributes:
        names: Package names, in which `*` stands for any characters. Default: all.
        metadata: Accepted values of fields of the package's metadata, by their names. Default: any.

    Example:
        >>> PromoteWhen(names=["assays/*"], metadata={"status": ["passed", "approved"]}).names
        ['assays/*']
    """

    names: Sequence[str] = ("*",)
    metadata: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def find_violations(self) -> list[str]:
        """Return a sentence for each value that is not valid."""
        violations = [
            f"names has {name!r}: a package name is prefix/suffix, with * for any characters"
            for name in self.names
            if not NAME_PATTERN.fullmatch(name) or "**" in name
        ]
        if isinstance(self.names, str) or not self.names:
            violations.append(f"names is {self.names!r}: pass a list of names")
        for name, values in self.metadata.items():
            if isinstance(values, str) or not all(isinstance(each, str) for each in values):
                violations.append(f"metadata has {name}={values!r}: pass a list of texts")
        return violations


def promotion_pattern(service: str, names: Sequence[str], registry: str) -> dict[str, Any]:
    """Return the pattern of the events of an engine whose packages are promoted to a registry."""
    pattern = outcome_pattern(DETAIL_TYPES[Result.CREATED], engine=service)
    pattern["detail"] |= {
        "package_name": [{"wildcard": name} for name in names],
        # Revisions of the registry itself are where they should be.
        "registry": [{"anything-but": registry}],
    }
    return pattern


def check_promotion(when: PromoteWhen, copy_data_to: str | None) -> None:
    """Check the props of `promote_to`.

    Raises:
        ValueError: Some are not valid. All of them are listed.
    """
    violations = when.find_violations()
    if copy_data_to is not None:
        if not copy_data_to.endswith("/") or copy_data_to.startswith("/"):
            violations.append(f"copy_data_to is {copy_data_to!r}: pass a prefix such as 'data/'")
        if copy_data_to.startswith(REGISTRY_PREFIX):
            violations.append(f"copy_data_to is {copy_data_to!r}: it is the registry itself")
    if violations:
        raise ValueError("promote_to: " + "; ".join(violations))


class Promotion(Construct):
    """Promotes the packages that an engine creates. `engine.promote_to` creates one.

    Args:
        scope: The engine.
        construct_id: Its id.
        service: The engine's name in its events.
        factory: Creates the function.
        event_bus: The bus of the engine's events.
        key: The key of queues, or None.
        registry: The registry that gets the revisions.
        settings: The other settings of the function.
        when: The revisions to promote.
        registries: The registries whose revisions are promoted.
        sources: The buckets of the objects.
        copy_data_to: Prefix of the copies in `copy_bucket`, or None.
        copy_bucket: Bucket of the copies.
        role_name: Name of the function's role. Default: generated by CloudFormation.

    Attributes:
        function: The function that promotes.
        dead_letter_queue: The queue of events whose promotion failed.
        state_machine: The state machine that runs the function until everything is copied.
        rule: The rule.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        service: str,
        factory: FunctionFactory,
        event_bus: events.IEventBus,
        key: kms.IKey | None,
        registry: s3.IBucket,
        settings: PromotionSettings,
        when: PromoteWhen,
        registries: Sequence[s3.IBucket],
        sources: Sequence[s3.IBucket],
        copy_data_to: str | None,
        copy_bucket: s3.IBucket,
        role_name: str | None,
    ) -> None:
        super().__init__(scope, construct_id)
        self.dead_letter_queue = create_dead_letter_queue(
            self, "DeadLetterQueue", key, Duration.days(DEAD_LETTER_DAYS)
        )
        acknowledge(
            self.dead_letter_queue,
            {"AwsSolutions-SQS3": "It is the dead-letter queue of the rule and of the function."},
        )
        folder = None if copy_data_to is None else f"s3://{copy_bucket.bucket_name}/{copy_data_to}"
        self.function = self._create_function(
            factory,
            msgspec.structs.replace(
                settings,
                copy_to=folder,
                metadata={name: tuple(values) for name, values in when.metadata.items()},
                engine=service,
                event_bus=event_bus.event_bus_arn,
                dead_letter_queue_url=self.dead_letter_queue.queue_url,
            ),
            role_name,
        )
        permissions.add_statements(
            self.function,
            [
                *permissions.read_promoted(registries),
                *permissions.write_registries([registry]),
                *(
                    []
                    if copy_data_to is None
                    else permissions.copy_objects(sources, copy_bucket, copy_data_to)
                ),
                *permissions.deny_destructive_actions(
                    [*sources, copy_bucket], [*registries, registry]
                ),
                permissions.put_outcomes(event_bus),
                *permissions.send_dead_letters(self.dead_letter_queue, key),
            ],
        )
        self.state_machine = self._create_state_machine(factory.tracing)
        self.rule = self._create_rule(service, event_bus, registry, when)
        self._accept_undelivered_events(key)

    @property
    def watched(self) -> list[WatchedDeadLetters | WatchedFunction]:
        """The parts, for alarms and dashboards."""
        name = f"{self.node.id}Lambda"
        return [
            WatchedDeadLetters(
                "promotions" if self.node.id == "Promotion" else self.node.id,
                self.dead_letter_queue,
                advice="Each is the event of a created package, with the reason. Correct it, "
                "promote the revision by quilt-packager promote, and delete the message.",
            ),
            WatchedFunction(name, self.function, DEFAULT_MEMORY_MEBIBYTES, name),
        ]

    def _create_function(
        self, factory: FunctionFactory, settings: PromotionSettings, role_name: str | None
    ) -> lambda_.Function:
        return factory.create(
            self,
            "Function",
            handler="promotion",
            description="Promotes Quilt packages to another registry",
            size=FunctionSize(
                DEFAULT_MEMORY_MEBIBYTES,
                Duration.seconds(DEFAULT_TIMEOUT_SECONDS),
                Size.mebibytes(DEFAULT_EPHEMERAL_MEBIBYTES),
            ),
            log_group=factory.create_log(self, "Log", f"{self.node.id}Lambda"),
            environment=settings.to_environment(),
            role_name=role_name,
        )

    def _create_state_machine(self, tracing: lambda_.Tracing) -> sfn.StateMachine:
        role = iam.Role(
            self,
            "StateMachineRole",
            assumed_by=iam.ServicePrincipal("states.amazonaws.com"),
            description="Runs the function that promotes Quilt packages",
        )
        acknowledge_inline_policy(role)
        is_traced = tracing is lambda_.Tracing.ACTIVE
        for statement in [
            permissions.invoke([self.function]),
            *([permissions.write_xray_traces()] if is_traced else []),
        ]:
            role.add_to_policy(statement)
            acknowledge_wildcards(role, statement, "Traces get their names at run time.")
        machine = sfn.StateMachine(
            self,
            "StateMachine",
            comment="Promotes Quilt packages to another registry",
            definition_body=sfn.DefinitionBody.from_chainable(self._define()),
            # What CDK would add allows more: other versions of the function.
            role=role.without_policy_updates(),
            tracing_enabled=is_traced,
        )
        acknowledge(machine, ACKNOWLEDGED)
        return machine

    def _define(self) -> sfn.IChainable:
        """Run the function until nothing is left to copy, and report what it could not."""
        promote = retry(self._invoke("Promote", {}))
        report = self._invoke("ReportFailure", {"error": sfn.JsonPath.object_at("$.error")})
        # Until then the event is nowhere else: a denied action may be allowed in time.
        add_retry(report, [sfn.Errors.ALL], MAX_REPORT_RETRIES)
        promote.add_catch(report, result_path="$.error")
        failed = sfn.Fail(self, "Failed", cause="The dead letter has the reason.")
        report.next(failed)
        following = sfn.Choice(self, "ChooseNextStep")
        following.when(sfn.Condition.boolean_equals("$.step.goes_on", value=True), promote)
        following.when(sfn.Condition.boolean_equals("$.step.failed", value=True), failed)
        following.otherwise(sfn.Succeed(self, "Promoted"))
        return promote.next(following)

    def _invoke(self, construct_id: str, fields: Mapping[str, Any]) -> tasks.LambdaInvoke:
        return tasks.LambdaInvoke(
            self,
            construct_id,
            lambda_function=self.function,
            payload=sfn.TaskInput.from_object(
                {"event": sfn.JsonPath.object_at("$.event"), **fields}
            ),
            payload_response_only=True,
            result_path="$.step",
            retry_on_service_exceptions=False,
        )

    def _create_rule(
        self,
        service: str,
        event_bus: events.IEventBus,
        registry: s3.IBucket,
        when: PromoteWhen,
    ) -> events.CfnRule:
        pattern = promotion_pattern(service, when.names, registry.bucket_name)
        check_pattern(self, "Rule", pattern)
        role = iam.Role(
            self,
            "RuleRole",
            assumed_by=iam.ServicePrincipal("events.amazonaws.com"),
            description="Starts promotions of Quilt packages",
        )
        acknowledge_inline_policy(role)
        role.add_to_policy(permissions.start_promotions(self.state_machine))
        return events.CfnRule(
            self,
            "Rule",
            description="Created packages, to be promoted to another registry",
            event_pattern=pattern,
            event_bus_name=event_bus.event_bus_name,
            targets=[
                events.CfnRule.TargetProperty(
                    id="StateMachine",
                    arn=self.state_machine.state_machine_arn,
                    role_arn=role.role_arn,
                    input_transformer=events.CfnRule.InputTransformerProperty(
                        input_paths_map={"id": "$.id", "detail": "$.detail"},
                        input_template='{"event": {"id": <id>, "detail": <detail>}}',
                    ),
                    dead_letter_config=events.CfnRule.DeadLetterConfigProperty(
                        arn=self.dead_letter_queue.queue_arn
                    ),
                )
            ],
        )

    def _accept_undelivered_events(self, key: kms.IKey | None) -> None:
        statement = permissions.allow_eventbridge_send(self.dead_letter_queue)
        statement.add_conditions({"ArnEquals": {"aws:SourceArn": [self.rule.attr_arn]}})
        self.dead_letter_queue.add_to_resource_policy(statement)
        allow_events_to_encrypt(self, key)
