"""The engine: a queue of jobs, the function that makes packages of them, and what both need."""

from collections.abc import Mapping, Sequence
from typing import Protocol, Unpack

import msgspec
from aws_cdk import CfnOutput, Duration, Size, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from constructs import Construct
from quilt_packager_runtime.requests.source_options import SourceOptions, check_sources
from quilt_packager_runtime.settings import EXTRA_RECEIVES

from quilt_packager.engine.buckets import create_scratch_bucket
from quilt_packager.engine.functions import (
    FunctionFactory,
    FunctionSize,
    bundle_code,
    bundling_platform,
)
from quilt_packager.engine.job_functions import JOB_LOG, JobFunctions
from quilt_packager.engine.outcome_rules import OutcomeRules, Outcomes
from quilt_packager.engine.props import EngineProps, ResolvedProps, resolve_props
from quilt_packager.engine.queues import JobQueues
from quilt_packager.engine.source_names import RuleKind, SourceNames
from quilt_packager.guardrails.limits import MIN_EPHEMERAL_MEBIBYTES
from quilt_packager.guardrails.quotas import check_pattern
from quilt_packager.monitoring.alarms import AlarmThresholds, EngineAlarms
from quilt_packager.monitoring.dashboard import EngineDashboard
from quilt_packager.monitoring.metrics import EngineMetrics
from quilt_packager.monitoring.watched import Watched, WatchedFunction, WatchedParts, WatchedQueues


class EventSource(Protocol):
    """Something that makes jobs of events."""

    def bind(self, engine: "PackagingEngine") -> None:
        """Add what it needs to an engine: rules by `add_rule`, permissions to its function."""


class PackagingEngine(OutcomeRules, EngineMetrics, Construct):
    """Packages folders of S3 as Quilt packages: a message in its queue is a job.

    Args:
        scope: The construct that holds the engine.
        construct_id: The engine's id.
        event_sources: What makes jobs of events. Default: nothing; messages are sent by hand, or
            by whoever is granted to.
        **props: `source_buckets` and `registry_buckets`, which are required, and whatever is not
            to be as usual: `quilt_packager.engine.props.EngineProps` documents each.

    Attributes:
        queue: The queue that takes jobs.
        dead_letter_queue: Where rejected jobs, jobs that kept failing, and events that EventBridge
            could not deliver end up.
        event_bus: The bus that the outcomes of jobs are told on.
        packager_function: The function that makes packages.
        checksum_function: The function that hashes a shard of a large job.
        large_job_function: The function that publishes a large job, or gives it up.
        state_machine: What runs large jobs.
        scratch_bucket: Where S3 copies objects to hash them, of which nothing stays, and where the
            files of large jobs are, which stay for two weeks.
        log_group: The log of the jobs: of the packager and of the large-job function.
        checksum_log_group: The log of the checksum function.
        source_buckets: As given.
        registry_buckets: As given.
        service: The `service` field of logs, and dimension of metrics.

    Raises:
        TypeError: A prop is unknown, or missing.
        ValueError: A prop has a value that no engine could work with; all such are listed.
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
        resolved = resolve_props(props)
        self.source_buckets = tuple(resolved.source_buckets)
        self.registry_buckets = tuple(resolved.registry_buckets)
        self.service = "/".join(filter(None, [Stack.of(self).stack_name, resolved.engine_name]))
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
        self.scratch_bucket = create_scratch_bucket(self, "ScratchBucket")
        self._factory = self._create_factory(resolved)
        self._functions = self._create_functions(resolved)
        self.packager_function = self._functions.packager
        self.checksum_function = self._functions.checksum
        self.large_job_function = self._functions.large_job
        self.state_machine = self._functions.state_machine
        self.log_group = self._functions.log_group
        self.checksum_log_group = self._functions.checksum_log_group
        for function in (self.packager_function, self.large_job_function):
            self._outcomes.grant_publish_outcomes(function)
        self._queues.grant_send_dead_letters(self.large_job_function)
        self._queues.feed(self.packager_function, max_concurrency=resolved.max_concurrency)
        self._watched = WatchedParts()
        self.watch(self._watched_queues(), *self._functions.watched)
        self._source_options: list[SourceOptions] = []
        self._source_names = SourceNames(resolved.engine_name)
        for event_source in event_sources:
            self.add_event_source(event_source)
        self._create_outputs()

    def add_event_source(self, event_source: EventSource) -> None:
        """Make jobs of one more kind of events.

        Args:
            event_source: One of this library's, or anything else that has `bind`.
        """
        event_source.bind(self)

    def add_source_options(self, options: SourceOptions) -> None:
        """Say how the events of a source are treated: what event sources are made with.

        Args:
            options: The options; the function finds them by the kind of event, and by its bucket,
                the run's status or, where several send such events, who sent it.

        Raises:
            ValueError: Another source wants the same events to be treated otherwise, or the
                environment has no room for them.
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
        """Send the events that match a pattern to the queue: what event sources are made with.

        Args:
            construct_id: The rule's id, unique in the engine.
            pattern: The event pattern, in EventBridge's own JSON (`detail-type`, not
                `detailType`).
            description: What the rule is for.
            message: The message to make of an event. Default: the whole event, which the function
                must then understand.
            event_bus: The bus that the events are on. Default: the account's default bus.
            enabled: Whether events are sent. A disabled rule stays in place.
            name: What people call the source. Default: the rule's id.
            kind: The kind of the events. Default: `custom`. None: the rule does not decide whether
                a source is on, and has no name.

        Returns:
            The rule.

        Raises:
            ValueError: The engine has a rule of that id, or a source of that name, already, or the
                pattern is too long.
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
        self._queues.receive(rule, message)
        if kind is not None:
            self.name_source(rule, name or construct_id, kind)
        return rule

    def name_source(
        self, rule: events.CfnRule, name: str, kind: RuleKind, *, sender: str | None = None
    ) -> None:
        """Give a rule the name that people turn its source on and off by.

        Args:
            rule: The rule that decides whether the source is on.
            name: The name, unique in the engine.
            kind: The kind of its events.
            sender: The `source` of the events that make jobs, where others than the rule's do.

        Raises:
            ValueError: The engine has a source of that name already.
        """
        self._source_names.give(rule, name, kind, sender=sender)

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
        """Create one more function of the runtime, with the engine's code, CPU, logs and tracing.

        Args:
            scope: Where the function, its role and its log group go.
            construct_id: The function's id.
            handler: The module in `quilt_packager_runtime.handlers`.
            description: What the function does.
            log_name: Its log group is `/quilt/<service>/<log_name>`.
            memory_size: MiB of its memory, which also buys CPU.
            timeout: How long one invocation may take.
            environment: Its settings.
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

    def watch(self, *parts: Watched) -> None:
        """Add parts to the engine's alarms and dashboard, made already or later.

        Args:
            parts: Functions and queues; those that `add_function` creates are watched already.
        """
        self._watched.add(*parts)

    def add_alarms(
        self, topic: sns.ITopic | None = None, **thresholds: Unpack[AlarmThresholds]
    ) -> EngineAlarms:
        """Let people know of dead letters, long waits, errors, throttles and failed large jobs.

        Args:
            topic: Whom to tell. Default: nobody; the alarms are seen in CloudWatch alone.
            **thresholds: `dead_letters`, `oldest_message_age`, `function_errors`, `throttles`,
                `large_jobs_failed`.

        Returns:
            The holder of the alarms, those of event sources that are added later too.

        Raises:
            TypeError: There is no such threshold.
            ValueError: A threshold would never be reached, or always is.
        """
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
        """Show on one page what the engine did, what waits, what failed, and what it costs.

        Args:
            dashboard_name: The dashboard's name. Default: the engine's `service`, with `-` for `/`.
            default_interval: The time that it shows when it is opened. Default: one day.

        Returns:
            The dashboard, to which widgets can be added.
        """
        page = EngineDashboard(
            self,
            "Dashboard",
            service=self.service,
            metrics=self,
            log_group=self.log_group,
            dashboard_name=dashboard_name or self.service.replace("/", "-"),
            default_interval=default_interval or Duration.days(1),
        )
        self._watched.show(page)
        return page.dashboard

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let someone send jobs, and use the queue's key for it.

        Whoever may send has the source buckets packaged into the registries by the engine's
        rights, not by their own.
        """
        return self.queue.grant_send_messages(grantee)

    def _create_queues(self, props: ResolvedProps) -> JobQueues:
        return JobQueues(
            self,
            visibility_timeout=props.visibility_timeout,
            max_receive_count=props.max_receive_count,
            spare_deliveries=EXTRA_RECEIVES,
            retention_period=props.retention_period,
            dead_letter_retention_period=props.dead_letter_retention_period,
            key=props.queue_encryption_key,
        )

    def _create_factory(self, props: ResolvedProps) -> FunctionFactory:
        return FunctionFactory(
            service=self.service,
            code=props.code or bundle_code(self, bundling_platform(props.architecture)),
            architecture=props.architecture,
            tracing=props.tracing,
            log_retention=props.log_retention,
        )

    def _create_functions(self, props: ResolvedProps) -> JobFunctions:
        settings = msgspec.structs.replace(
            props.to_settings(),
            engine=self.service,
            scratch_bucket=self.scratch_bucket.bucket_name,
            dead_letter_queue_url=self.dead_letter_queue.queue_url,
            event_bus=self.event_bus.event_bus_arn,
            notifications_topic_arn=self._outcomes.topic_arn,
        )
        return JobFunctions(
            self,
            props=props,
            factory=self._factory,
            settings=settings,
            scratch_bucket=self.scratch_bucket,
        )

    def _watched_queues(self) -> WatchedQueues:
        return WatchedQueues(
            "jobs",
            self.queue,
            self.dead_letter_queue,
            log_name=JOB_LOG,
            advice="See each with its reason, and retry or discard it: quilt-packager failures "
            f"--stack {self.service}.",
        )

    def _create_outputs(self) -> None:
        """Tell where the queues are: so the command finds the engine, in whatever stack it is."""
        CfnOutput(
            self, "PackagerQueueUrl", description="Where messages go", value=self.queue.queue_url
        )
        CfnOutput(
            self,
            "PackagerDeadLetterQueueUrl",
            description="Where jobs that led to nothing are",
            value=self.dead_letter_queue.queue_url,
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
