"""The scheduled audit: its function, which only reads, the state machine, and the schedule."""

import msgspec
from aws_cdk import Duration
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_scheduler_targets as targets
from aws_cdk import aws_stepfunctions as sfn
from aws_cdk import aws_stepfunctions_tasks as tasks
from constructs import Construct
from quilt_packager_runtime.settings import Settings

from quilt_packager.contract import AUDIT, AUDIT_FUNCTION, AUDIT_LAMBDA, AUDIT_LOG, AUDIT_MACHINE
from quilt_packager.engine.functions import FunctionFactory, FunctionSize
from quilt_packager.engine.props import Audit, ResolvedProps
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.nag import (
    acknowledge,
    acknowledge_inline_policy,
    acknowledge_wildcards,
)
from quilt_packager.monitoring.watched import WatchedFunction

RETRY_INTERVAL = Duration.seconds(30)
MAX_RETRIES = 5


class PackageAudit(Construct):
    """Audits the packages of an engine on a schedule.

    Args:
        scope: The engine.
        audit: The schedule and the sample.
        props: The engine's props.
        factory: The engine's factory of functions.
        settings: Settings of the engine's functions.

    Attributes:
        function: The function that audits packages. Its role only reads.
        state_machine: The state machine, which calls the function until all packages are audited.
        schedule: The schedule that starts it.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        audit: Audit,
        props: ResolvedProps,
        factory: FunctionFactory,
        settings: Settings,
    ) -> None:
        super().__init__(scope, AUDIT)
        self._memory_mebibytes = props.memory_size
        self.function = factory.create(
            self,
            AUDIT_FUNCTION,
            handler="audit",
            description="Audits Quilt packages",
            size=FunctionSize(props.memory_size, props.timeout, props.ephemeral_storage_size),
            log_group=factory.create_log(self, AUDIT_LOG, AUDIT_LAMBDA),
            environment=msgspec.structs.replace(
                settings, audit_sample=audit.sample or None, scratch_bucket=None, scratch_buckets=()
            ).to_environment(),
            role_name=props.role_name("audit"),
        )
        permissions.add_statements(
            self.function,
            [
                *permissions.read_sources(props.source_buckets),
                *permissions.read_registries(props.registry_buckets),
                permissions.read_lifecycle_rules(props.source_buckets),
                *permissions.deny_destructive_actions(props.source_buckets, props.registry_buckets),
            ],
        )
        self.state_machine = self._create_machine(props.tracing)
        self.schedule = self._create_schedule(audit)

    @property
    def watched(self) -> WatchedFunction:
        """The function, for alarms and dashboards."""
        return WatchedFunction(AUDIT_LAMBDA, self.function, self._memory_mebibytes, AUDIT_LAMBDA)

    def _create_machine(self, tracing: lambda_.Tracing) -> sfn.StateMachine:
        task = tasks.LambdaInvoke(
            self,
            "AuditPackages",
            lambda_function=self.function,
            payload_response_only=True,
            retry_on_service_exceptions=False,
        )
        task.add_retry(
            errors=[sfn.Errors.ALL],
            interval=RETRY_INTERVAL,
            backoff_rate=2,
            max_attempts=MAX_RETRIES,
            jitter_strategy=sfn.JitterType.FULL,
        )
        next_step = sfn.Choice(self, "ChooseNextStep")
        is_done = sfn.Condition.boolean_equals("$.done", value=True)
        next_step.when(is_done, sfn.Succeed(self, "Audited"))
        next_step.otherwise(task)
        traced = tracing is lambda_.Tracing.ACTIVE
        role = self._create_role("MachineRole", "states.amazonaws.com", "Runs the audit")
        statements = [
            permissions.invoke([self.function]),
            *([permissions.write_xray_traces()] if traced else []),
        ]
        for statement in statements:
            role.add_to_principal_policy(statement)
            acknowledge_wildcards(role, statement, "X-Ray's actions are on no resource.")
        machine = sfn.StateMachine(
            self,
            AUDIT_MACHINE,
            comment="Audits Quilt packages",
            definition_body=sfn.DefinitionBody.from_chainable(task.next(next_step)),
            state_machine_type=sfn.StateMachineType.STANDARD,
            # What CDK would add allows other versions of the function.
            role=role.without_policy_updates(),
            tracing_enabled=traced,
        )
        acknowledge(
            machine,
            {
                "AwsSolutions-SF1": "Step Functions keeps each execution's history for 90 days, "
                "and the function logs every package.",
                "AwsSolutions-SF2": "The tracing prop turns it on for those who pay for it.",
                "Serverless-StepFunctionStateMachineXray": "As AwsSolutions-SF2.",
            },
        )
        return machine

    def _create_schedule(self, audit: Audit) -> scheduler.Schedule:
        role = self._create_role("ScheduleRole", "scheduler.amazonaws.com", "Starts the audit")
        role.add_to_principal_policy(permissions.start_audits(self.state_machine))
        return scheduler.Schedule(
            self,
            "Schedule",
            schedule=audit.schedule,
            target=targets.StepFunctionsStartExecution(
                self.state_machine,
                role=role.without_policy_updates(),
                input=scheduler.ScheduleTargetInput.from_object({}),
            ),
            description="Audits of Quilt packages",
        )

    def _create_role(self, construct_id: str, service: str, does: str) -> iam.Role:
        role = iam.Role(
            self,
            construct_id,
            assumed_by=iam.ServicePrincipal(service),
            description=f"{does} of Quilt packages",
        )
        acknowledge_inline_policy(role)
        return role
