"""The engine: a queue of jobs, the functions that process them, and their resources."""

from collections.abc import Mapping, Sequence
from typing import Protocol, Unpack

import msgspec
from aws_cdk import Annotations, CfnOutput, Duration, Fn, Size, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct
from quilt_packager_runtime.settings import EXTRA_RECEIVES, Settings
from quilt_packager_runtime.settings.promotion_settings import (
    PromotionAction,
    PromotionSettings,
)
from quilt_packager_runtime.settings.source_options import SourceOptions, check_sources

from quilt_packager.contract import (
    DEAD_LETTERS_OUTPUT,
    PACKAGER_LAMBDA,
    QUEUE_OUTPUT,
    ROLES_OUTPUT,
    SCRATCH_BUCKET,
    join_names,
    log_group_name,
)
from quilt_packager.engine.audit import PackageAudit
from quilt_packager.engine.buckets import create_scratch_bucket
from quilt_packager.engine.functions import (
    FunctionFactory,
    FunctionSize,
    Network,
    bundle_code,
    bundling_platform,
)
from quilt_packager.engine.imported import ImportedEngine
from quilt_packager.engine.job_functions import JobFunctions
from quilt_packager.engine.lineage_table import create_lineage_table
from quilt_packager.engine.outcome_rules import OutcomeRules, Outcomes
from quilt_packager.engine.promotion import PromoteWhen, Promotion, check_promotion
from quilt_packager.engine.props import EngineProps, ResolvedProps, resolve_props
from quilt_packager.engine.queues import JobQueues
from quilt_packager.engine.source_names import RuleKind, SourceNames
from quilt_packager.guardrails import permissions
from quilt_packager.guardrails.limits import MIN_EPHEMERAL_MEBIBYTES
from quilt_packager.guardrails.prop_types import Bindable, check_props
from quilt_packager.guardrails.quotas import check_pattern
from quilt_packager.monitoring.alarms import AlarmThresholds, EngineAlarms
from quilt_packager.monitoring.dashboard import EngineDashboard
from quilt_packager.monitoring.metrics import EngineMetrics
from quilt_packager.monitoring.watched import (
    Watched,
    WatchedAudit,
    WatchedFunction,
    WatchedParts,
    WatchedQueues,
)


class EventSource(Protocol):
    """A source of events that become jobs.

    Example:
        >>> class SequencerRuns:
        ...     def bind(self, engine: PackagingEngine) -> None:
        ...         engine.add_rule(
        ...             "SequencerRuns",
        ...             pattern={"source": ["lab.sequencer"]},
        ...             description="Runs of the sequencer",
        ...             message=events.RuleTargetInput.from_object(
        ...                 {"source_prefix": events.EventField.from_path("$.detail.uri")}
        ...             ),
        ...         )
    """

    def bind(self, engine: "PackagingEngine") -> None:
        """Add the source's rules and permissions to an engine."""


class PackagingEngine(OutcomeRules, EngineMetrics, Construct):
    """An engine that packages folders of S3 as Quilt packages. Each message in its queue is a job.

    Args:
        scope: Scope of the engine.
        construct_id: Id of the engine, unique in the scope.
        event_sources: Sources of events that become jobs. Default: none; messages come from
            principals that are granted to send them.
        **props: `source_buckets` and `registry_buckets`, which are required, and optional
            props, which `EngineProps` documents. Buckets: `default_registry`,
            `quarantine_registry`, `scratch_buckets`. Jobs: `checksum_algorithms`,
            `max_concurrency`, `max_receive_count`, `visibility_timeout`, `retention_period`,
            `dead_letter_retention_period`, `on_foreign_revision`, `archived`. Large jobs:
            `max_inline_objects`, `max_inline_size`, `max_shard_objects`, `max_shard_size`,
            `checksum_concurrency`.
            Functions: `code`, `architecture`, `memory_size`, `timeout`, `ephemeral_storage_size`,
            `tracing`, `log_retention`, `reserved_concurrent_executions`, `vpc`, `vpc_subnets`,
            `security_groups`. Security: `encryption_key`, `queue_encryption_key`,
            `role_name_prefix`. Outcomes: `event_bus`, `notifications_topic`, `catalog_url`,
            `publish_schema`. Audit: `audit`. Lineage: `lineage`. Name: `engine_name`.

    Attributes:
        queue: The queue that takes jobs.
        dead_letter_queue: The queue of rejected jobs, of jobs that failed on every attempt, and of
            events that EventBridge could not deliver.
        event_bus: The bus to which outcomes of jobs are published.
        packager_function: The function that packages folders.
        checksum_function: The function that hashes a shard of a large job.
        large_job_function: The function that publishes large jobs or reports their failure.
        state_machine: The state machine of large jobs.
        audit: The audit of the packages, or None.
        lineage_table: The table of the index of lineage, or None.
        encryption_key: The key of the scratch bucket, logs and environments, or None.
        scratch_bucket: The bucket in which S3 copies objects to hash them, without keeping them,
            and which keeps the files of large jobs for two weeks.
        log_group: The log of the packager and of the large-job function.
        checksum_log_group: The log of the checksum function.
        source_buckets: The source buckets.
        registry_buckets: The registry buckets.
        service: The `service` field of logs and dimension of metrics: `<stack>/<engine_name>`, or
            `<stack>` without a name.

    Raises:
        BundlingError: The asset could not be built.
        LimitExceeded: A text exceeds a quota of AWS.
        TypeError: A prop is unknown, missing or of another type. All violations are listed.
        ValueError: A prop has an invalid value. All of them are listed.

    Example:
        >>> from aws_cdk import aws_s3 as s3
        >>> stack = Stack(None, "Lab")
        >>> runs = s3.Bucket(stack, "Runs", versioned=True, event_bridge_enabled=True)
        >>> engine = PackagingEngine(
        ...     stack,
        ...     "Engine",
        ...     source_buckets=[runs],
        ...     registry_buckets=[runs],
        ...     timeout=Duration.minutes(10),
        ...     code=lambda_.Code.from_inline("pass"),  # without `code`, pip builds the asset
        ... )
        >>> engine.service
        'Lab'
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        event_sources: Sequence[EventSource] = (),
        **props: Unpack[EngineProps],
    ) -> None:
        super().__init__(scope, construct_id)
        resolved = resolve_props(props, event_sources)
        self.source_buckets = tuple(resolved.source_buckets)
        self.registry_buckets = tuple(resolved.registry_buckets)
        self.service = join_names(Stack.of(self).stack_name, resolved.engine_name)
        self._check_alone()
        self._queues = self._create_queues(resolved)
        self.queue = self._queues.queue
        self.dead_letter_queue = self._queues.dead_letter_queue
        self._outcomes = Outcomes(
            self,
            engine=self.service,
            event_bus=resolved.event_bus,
            notifications_topic=resolved.notifications_topic,
            publish_schema=resolved.publish_schema,
        )
        self.event_bus = self._outcomes.event_bus
        self.encryption_key = resolved.encryption_key
        self._role_name = resolved.role_name
        if self.encryption_key:
            self._allow_logs_to_encrypt(self.encryption_key)
        self.scratch_bucket = create_scratch_bucket(self, SCRATCH_BUCKET, self.encryption_key)
        self._factory = self._create_factory(resolved)
        self.lineage_table = (
            create_lineage_table(self, resolved.encryption_key) if resolved.lineage else None
        )
        self._functions = self._create_functions(resolved, self._outcomes.topic_arn)
        self.packager_function = self._functions.packager
        self.checksum_function = self._functions.checksum
        self.large_job_function = self._functions.large_job
        self.state_machine = self._functions.state_machine
        self.log_group = self._functions.log_group
        self.checksum_log_group = self._functions.checksum_log_group
        for function in (self.packager_function, self.large_job_function):
            self._outcomes.grant_publish_outcomes(function)
            if self.lineage_table:
                statements = permissions.access_lineage(self.lineage_table)
                permissions.add_statements(function, statements)
        self._queues.grant_send_dead_letters(self.large_job_function)
        self._queues.add_consumer(self.packager_function, max_concurrency=resolved.max_concurrency)
        permissions.add_statements(self.packager_function, [permissions.defer_messages(self.queue)])
        self._watched = WatchedParts()
        self.watch(self._watched_queues(), *self._functions.watched)
        self.audit = self._create_audit(resolved, self._outcomes)
        self._source_options: list[SourceOptions] = []
        self._source_names = SourceNames(resolved.engine_name)
        for event_source in event_sources:
            self.add_event_source(event_source)
        self._create_outputs()

    @staticmethod
    def from_queue_arn(scope: Construct, construct_id: str, queue_arn: str) -> ImportedEngine:
        """Import an engine of another stack by its queue, for senders of messages.

        Args:
            scope: Scope of the imported engine.
            construct_id: Its id.
            queue_arn: ARN of the queue of jobs, such as `engine.queue.queue_arn`.
        """
        return ImportedEngine(scope, construct_id, queue_arn=queue_arn)

    @staticmethod
    def from_engine_attributes(
        scope: Construct,
        construct_id: str,
        *,
        queue_arn: str,
        queue_encryption_key: kms.IKey | None = None,
        service: str | None = None,
        event_bus: events.IEventBus | None = None,
    ) -> ImportedEngine:
        """Import an engine of another stack, for senders and for subscribers to its outcomes.

        Args:
            scope: Scope of the imported engine.
            construct_id: Its id.
            queue_arn: ARN of the queue of jobs.
            queue_encryption_key: KMS key of the queue, if it has one. Default: none.
            service: The engine's `service`: `<stack>/<engine_name>`, or `<stack>` without a name.
                Default: none; outcomes cannot be subscribed to.
            event_bus: Event bus of the outcomes. Default: the account's default bus.

        Raises:
            TypeError: An attribute is of another type.
        """
        check_props(
            "from_engine_attributes",
            {
                "queue_encryption_key": (queue_encryption_key, kms.IKey | None),
                "event_bus": (event_bus, events.IEventBus | None),
            },
            {},
        )
        return ImportedEngine(
            scope,
            construct_id,
            queue_arn=queue_arn,
            queue_encryption_key=queue_encryption_key,
            service=service,
            event_bus=event_bus,
        )

    def add_event_source(self, event_source: EventSource) -> None:
        """Add an event source.

        Args:
            event_source: An event source of this library, or any object with a `bind` method.

        Raises:
            TypeError: It is no event source.
        """
        check_props("add_event_source", {"event_source": (event_source, Bindable)}, {})
        event_source.bind(self)

    def add_source_options(self, options: SourceOptions) -> None:
        """Set the options for the events of a source. Event sources call this.

        Args:
            options: The options. The function finds those of an event by its kind and its bucket,
                the status of its run, or its sender.

        Raises:
            LimitExceeded: The function's environment is too long.
            ValueError: Another source of the same events has other options.
        """
        check_sources([*self._source_options, options])
        self._source_options.append(options)
        self._functions.set_sources(self._source_options)

    def add_rule(
        self,
        construct_id: str,
        *,
        pattern: Mapping[str, object],
        description: str,
        message: events.RuleTargetInput | None = None,
        event_bus: events.IEventBus | None = None,
        enabled: bool = True,
        name: str | None = None,
        kind: RuleKind | None = "custom",
    ) -> events.CfnRule:
        """Send the events that match a pattern to the queue. Event sources call this.

        Args:
            construct_id: Id of the rule, unique in the engine.
            pattern: Event pattern, in EventBridge's own JSON (`detail-type`, not `detailType`).
            description: Description of the rule.
            message: Message for an event. Default: the whole event, which the function must be able
                to translate.
            event_bus: Event bus of the events. Default: the account's default bus.
            enabled: Send events to the queue. A disabled rule stays in place.
            name: Name of the source, by which it is switched on and off. Default: the rule's id.
            kind: Kind of the events. Default: `custom`. None: the rule switches no source, and has
                no name.

        Returns:
            The rule.

        Raises:
            LimitExceeded: The pattern is too long.
            ValueError: The engine already has a child with this id, or a source with this name.
        """
        if self.node.try_find_child(construct_id):
            raise ValueError(
                f"{self.node.path} has {construct_id!r} already; give the event source another "
                "construct_id"
            )
        check_pattern(self, construct_id, pattern)
        rule = events.CfnRule(
            self,
            construct_id,
            description=description,
            event_pattern=pattern,
            event_bus_name=event_bus.event_bus_name if event_bus else None,
            state="ENABLED" if enabled else "DISABLED",
        )
        self._queues.add_as_target(rule, message)
        if kind is not None:
            self.name_source(rule, name or construct_id, kind)
        return rule

    def name_source(
        self, rule: events.CfnRule, name: str, kind: RuleKind, *, sender: str | None = None
    ) -> None:
        """Name a rule's source, so that the source can be switched on and off by this name.

        Args:
            rule: The rule that switches the source on and off.
            name: Name of the source, unique in the engine.
            kind: Kind of its events.
            sender: The `source` of the events that become jobs, if these are not the rule's.

        Raises:
            ValueError: The engine already has a source of that name.
        """
        self._source_names.register(rule, name, kind, sender=sender)

    def add_function(
        self,
        scope: Construct,
        construct_id: str,
        *,
        handler: str,
        description: str,
        log_name: str,
        memory_size: int,
        timeout: Duration,
        environment: Mapping[str, str],
    ) -> lambda_.Function:
        """Create another function of the runtime, with the engine's code, CPU, logs and tracing.

        Args:
            scope: Scope of the function, its role and its log group.
            construct_id: Id of the function.
            handler: Name of the module in `quilt_packager_runtime.handlers`.
            description: Description of the function.
            log_name: Name of the log group below `/quilt/<service>/`.
            memory_size: Memory in MiB. CPU is proportional to memory.
            timeout: Maximum duration of an invocation.
            environment: Environment variables.

        Raises:
            LimitExceeded: The environment is too long.
        """
        function = self._factory.create(
            scope,
            construct_id,
            handler=handler,
            description=description,
            size=FunctionSize(memory_size, timeout, Size.mebibytes(MIN_EPHEMERAL_MEBIBYTES)),
            log_group=self._factory.create_log(scope, f"{construct_id}Log", log_name),
            environment=environment,
        )
        self.watch(WatchedFunction(log_name, function, memory_size, log_name))
        return function

    def promote_to(
        self,
        registry: s3.IBucket | str,
        *,
        when: PromoteWhen | None = None,
        copy_data_to: str | None = None,
        copy_bucket: s3.IBucket | None = None,
        workflow: str | None = None,
        on_foreign_revision: PromotionAction = "hold",
        construct_id: str = "Promotion",
    ) -> Promotion:
        """Publish the revisions that this engine creates in another registry too.

        A separate function promotes, and its role alone may write there. It does the same as
        `quilt-packager promote`.

        Args:
            registry: The registry: a bucket, or the name of one.
            when: The revisions to promote. Default: all.
            copy_data_to: Prefix for copies of the objects, such as `data/`; they are below a folder
                with the package's name. Default: the objects stay where they are.
            copy_bucket: Bucket of the copies. Default: the registry.
            workflow: Workflow of the registry, `""` for none. Default: its default workflow.
            on_foreign_revision: `hold` or `replace` a newest revision that is no promotion of the
                package.
            construct_id: Id of the construct, unique in the engine.

        Returns:
            The construct, with the rule, the function and the queue of failures.

        Raises:
            LimitExceeded: The pattern or the environment is too long.
            TypeError: A prop is of another type.
            ValueError: A prop has an invalid value, or the engine already has a child with this id.
        """
        check_props(
            "promote_to",
            {
                "registry": (registry, str if isinstance(registry, str) else s3.IBucket),
                "when": (when, PromoteWhen | None),
                "copy_bucket": (copy_bucket, s3.IBucket | None),
            },
            {},
        )
        wanted = when or PromoteWhen()
        check_promotion(wanted, copy_data_to)
        if self.node.try_find_child(construct_id):
            raise ValueError(
                f"{self.node.path} has {construct_id!r} already; give the promotion another "
                "construct_id"
            )
        bucket = (
            s3.Bucket.from_bucket_name(self, f"{construct_id}Registry", registry)
            if isinstance(registry, str)
            else registry
        )
        promotion = Promotion(
            self,
            construct_id,
            service=self.service,
            factory=self._factory,
            event_bus=self.event_bus,
            key=self.queue.encryption_master_key,
            registry=bucket,
            settings=PromotionSettings(
                registry=bucket.bucket_name,
                workflow=workflow,
                on_foreign_revision=on_foreign_revision,
            ),
            when=wanted,
            registries=self.registry_buckets,
            sources=self.source_buckets,
            copy_data_to=copy_data_to,
            copy_bucket=copy_bucket or bucket,
            role_name=self._role_name(construct_id.lower()),
        )
        self.watch(*promotion.watched)
        return promotion

    def watch(self, *parts: Watched) -> None:
        """Add parts to the engine's alarms and dashboard, whether these exist yet or not.

        Args:
            parts: Functions and queues. `add_function` adds those that it creates.
        """
        self._watched.add(*parts)

    def add_alarms(
        self, topic: sns.ITopic | None = None, **thresholds: Unpack[AlarmThresholds]
    ) -> EngineAlarms:
        """Add alarms for dead letters, long waits, errors, throttles and failed large jobs.

        Args:
            topic: Topic that alarms notify. Default: none; the alarms are visible in CloudWatch.
            **thresholds: `dead_letters`, `oldest_message_age`, `function_errors`, `throttles`,
                `large_jobs_failed`.

        Returns:
            The alarms. Event sources that are added later add theirs.

        Raises:
            TypeError: A threshold is unknown, or a prop is of another type.
            ValueError: A threshold can never be reached, or always is.
        """
        check_props(
            "add_alarms",
            {
                "topic": (topic, sns.ITopic | None),
                "oldest_message_age": (thresholds.get("oldest_message_age"), Duration | None),
            },
            {},
        )
        alarms = EngineAlarms(
            self,
            "Alarms",
            service=self.service,
            state_machine=self.state_machine,
            topic=topic,
            **thresholds,
        )
        self._watched.show(alarms)
        return alarms

    def add_dashboard(
        self, *, dashboard_name: str | None = None, default_interval: Duration | None = None
    ) -> cloudwatch.Dashboard:
        """Add a dashboard of outcomes, waiting jobs, failures and cost drivers.

        Args:
            dashboard_name: The dashboard's name, unique in the account. Default: the engine's
                `service`, with `-` for `/`, and the region.
            default_interval: The period that it shows initially. Default: one day.

        Returns:
            The dashboard, to which widgets can be added.

        Raises:
            TypeError: A prop is of another type.
        """
        check_props("add_dashboard", {"default_interval": (default_interval, Duration | None)}, {})
        page = EngineDashboard(
            self,
            "Dashboard",
            service=self.service,
            metrics=self,
            log_group=self.log_group,
            # An account has one namespace of dashboards for all of its regions.
            dashboard_name=dashboard_name
            or f"{self.service.replace('/', '-')}-{Stack.of(self).region}",
            default_interval=default_interval or Duration.days(1),
        )
        self._watched.show(page)
        return page.dashboard

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Allow a principal to send messages to the queue, and to use the queue's key.

        The jobs of a sender run with the permissions of the engine, not with those of the sender.
        """
        return self._queues.grant_send_messages(grantee)

    @property
    def data_access_roles(self) -> tuple[iam.IRole, ...]:
        """The roles that access buckets, for the policies of other accounts."""
        functions = [self.packager_function, self.checksum_function, self.large_job_function]
        if self.audit is not None:
            functions.append(self.audit.function)
        roles = [function.role for function in functions if function.role]
        batch_role = self._functions.batch_role
        return (*roles, batch_role) if batch_role else tuple(roles)

    def _allow_logs_to_encrypt(self, key: kms.IKey) -> None:
        statement = permissions.encrypt_logs(self, self.service)
        if not key.add_to_resource_policy(statement).statement_added:
            Annotations.of(self).add_warning_v2(
                "quilt-packager:encryptionKey",
                "The encryption_key is imported, so CDK cannot change its policy. The policy must "
                f"allow the service logs.{Stack.of(self).region}.amazonaws.com to use "
                "kms:Decrypt, kms:DescribeKey, kms:Encrypt, kms:GenerateDataKey* and "
                f"kms:ReEncrypt* for the log groups {log_group_name(self.service, '*')}: otherwise "
                "the deployment fails.",
            )

    def _create_queues(self, props: ResolvedProps) -> JobQueues:
        return JobQueues(
            self,
            visibility_timeout=props.visibility_timeout,
            max_receive_count=props.max_receive_count,
            extra_receives=EXTRA_RECEIVES,
            retention_period=props.retention_period,
            dead_letter_retention_period=props.dead_letter_retention_period,
            key=props.queue_encryption_key or props.encryption_key,
        )

    def _create_factory(self, props: ResolvedProps) -> FunctionFactory:
        return FunctionFactory(
            service=self.service,
            code=props.code or bundle_code(self, bundling_platform(props.architecture)),
            architecture=props.architecture,
            tracing=props.tracing,
            log_retention=props.log_retention,
            network=Network.create(
                self,
                vpc=props.vpc,
                subnets=props.vpc_subnets,
                security_groups=props.security_groups,
            ),
            encryption_key=props.encryption_key,
        )

    def _create_settings(self, props: ResolvedProps, topic_arn: str | None) -> Settings:
        return msgspec.structs.replace(
            props.to_settings(),
            engine=self.service,
            scratch_bucket=self.scratch_bucket.bucket_name,
            dead_letter_queue_url=self.dead_letter_queue.queue_url,
            event_bus=self.event_bus.event_bus_arn,
            notifications_topic_arn=topic_arn,
        )

    def _create_functions(self, props: ResolvedProps, topic_arn: str | None) -> JobFunctions:
        return JobFunctions(
            self,
            props=props,
            factory=self._factory,
            settings=msgspec.structs.replace(
                self._create_settings(props, topic_arn),
                lineage_table=self.lineage_table.table_name if self.lineage_table else None,
            ),
            scratch_bucket=self.scratch_bucket,
        )

    def _create_audit(self, props: ResolvedProps, outcomes: Outcomes) -> PackageAudit | None:
        if props.audit is None:
            return None
        audit = PackageAudit(
            self,
            audit=props.audit,
            props=props,
            factory=self._factory,
            settings=self._create_settings(props, outcomes.topic_arn),
        )
        outcomes.grant_publish_outcomes(audit.function)
        self.watch(audit.watched, WatchedAudit(self.metric_packages_damaged(), audit.state_machine))
        return audit

    def _watched_queues(self) -> WatchedQueues:
        return WatchedQueues(
            "jobs",
            self.queue,
            self.dead_letter_queue,
            log_name=PACKAGER_LAMBDA,
            advice="See each with its reason, and retry or discard it: quilt-packager failures "
            f"--stack {self.service}.",
        )

    def _create_outputs(self) -> None:
        """Output the queues, by which the command finds the engine in any stack."""
        CfnOutput(
            self, QUEUE_OUTPUT, description="URL of the queue of jobs", value=self.queue.queue_url
        )
        CfnOutput(
            self,
            DEAD_LETTERS_OUTPUT,
            description="URL of the queue of dead letters",
            value=self.dead_letter_queue.queue_url,
        )
        CfnOutput(
            self,
            ROLES_OUTPUT,
            description="ARNs of the roles that access buckets, for policies of other accounts",
            value=Fn.join(",", [role.role_arn for role in self.data_access_roles]),
        )

    def _check_alone(self) -> None:
        """Refuse a second engine whose log and metrics would mix with the first one's."""
        for other in Stack.of(self).node.find_all():
            if (
                isinstance(other, PackagingEngine)
                and other is not self
                and other.service == self.service
            ):
                raise ValueError(
                    f"{other.node.path} and {self.node.path} would share a log group and metrics; "
                    "give one of them an engine_name"
                )
