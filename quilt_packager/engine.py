"""The engine: a queue of jobs, the function that makes packages of them, and what both need."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Literal, Protocol, Unpack

import msgspec
from aws_cdk import CfnOutput, Duration, RemovalPolicy, Size, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from constructs import Construct
from quilt_packager_runtime.outcomes import Result
from quilt_packager_runtime.settings import (
    PREFIX,
    SPARE_DELIVERIES,
    ChecksumAlgorithm,
    Settings,
)
from quilt_packager_runtime.source_options import SourceOptions, check_sources

from quilt_packager import permissions
from quilt_packager.alarms import AlarmThresholds, EngineAlarms
from quilt_packager.buckets import create_scratch_bucket
from quilt_packager.dashboard import EngineDashboard
from quilt_packager.engine_metrics import EngineMetrics
from quilt_packager.engine_props import check_props, find_default_registry, find_names
from quilt_packager.functions import add_service, bundle_code, create_function
from quilt_packager.large_jobs import create_state_machine, give_up_ended_jobs
from quilt_packager.limits import (
    DEFAULT_CHECKSUM_CONCURRENCY,
    DEFAULT_EPHEMERAL_MEBIBYTES,
    DEFAULT_MAX_CONCURRENCY,
    DEFAULT_MAX_INLINE_MEBIBYTES,
    DEFAULT_MAX_INLINE_OBJECTS,
    DEFAULT_MAX_SHARD_MEBIBYTES,
    DEFAULT_MAX_SHARD_OBJECTS,
    DEFAULT_MEMORY_MEBIBYTES,
    DEFAULT_TIMEOUT_SECONDS,
    MIN_EPHEMERAL_MEBIBYTES,
)
from quilt_packager.monitoring import Watched, WatchedFunction, WatchedParts, WatchedQueues
from quilt_packager.outcomes import Outcomes, RuleOptions
from quilt_packager.queues import JobQueues
from quilt_packager.sizes import check_environment, check_pattern
from quilt_packager.source_names import RuleKind, SourceNames


class EventSource(Protocol):
    """Something that makes jobs of events."""

    def bind(self, engine: "PackagingEngine") -> None:
        """Add what it needs to an engine: rules by `add_rule`, permissions to its function."""


class PackagingEngine(EngineMetrics, Construct):
    """Packages folders of S3 as Quilt packages: a message in its queue is a job.

    Args:
        scope: The construct that holds the engine.
        construct_id: The engine's id.
        source_buckets: Buckets whose objects, and metadata, may be packaged. For a bucket that is
            encrypted with a key of yours, `encryption_key` must be known: an imported one is best
            made by `Bucket.from_bucket_attributes`.
        registry_buckets: Buckets that packages may be written to, below `.quilt/`.
        default_registry: Where packages go whose message names no registry; one of
            `registry_buckets`. Default: the bucket of the source where every source bucket is a
            registry too, and otherwise the first of `registry_buckets`.
        event_sources: What makes jobs of events. Default: nothing; messages are sent by hand, or
            by whoever is granted to.
        checksum_algorithms: Acceptable algorithms, the most wanted first. Default:
            `SHA256_CHUNKED` alone, which every version of quilt3 can verify.
        memory_size: MiB of memory of the function, which also buys CPU. Default: 2048, about one
            CPU.
        timeout: How long one job may take. Default: 15 minutes, the most that Lambda allows.
        ephemeral_storage_size: The size of the function's `/tmp`, where manifests are made.
            Default: 10 GiB, which hold ten million objects.
        architecture: The CPU of the function. Default: arm64.
        tracing: Whether X-Ray traces the function. Default: disabled.
        max_concurrency: How many jobs run at once, from 2 to 1000; more wait in the queue. Default:
            10.
        max_receive_count: How often a job that failed is tried before it is a dead letter.
            Rejected jobs are dead letters at once. Default: 5.
        visibility_timeout: When a job that failed is tried again. Default: twice the timeout: one
            to wait for a free function in, one to run in.
        retention_period: How long jobs wait in the queue at most. Default: 4 days.
        dead_letter_retention_period: How long dead letters are kept, counted from when the job was
            first sent. Default: 14 days, the most that SQS allows.
        queue_encryption_key: The key that encrypts both queues. Default: SQS's own keys, which
            cost nothing and need no permission.
        log_retention: How long logs are kept. Default: one year.
        max_inline_objects: How many checksums one invocation finds at most. Jobs with more go on
            under Step Functions. Default: 500,000.
        max_inline_size: How many bytes one invocation is to hash at most; what S3 has hashed does
            not count, as far as its listing tells. Default: 1 TiB.
        max_shard_objects: How many objects of a large job one worker is given at most. Default:
            20,000.
        max_shard_size: How large these are at most; larger objects are shared by workers. Default:
            32 GiB.
        checksum_concurrency: How many workers one large job has at once, from 1 to 1000. Default:
            20.
        scratch_buckets: Buckets, by region, where S3 copies objects of other regions to hash them.
            They need a lifecycle rule that aborts uploads, and their keys must be known as those
            of source buckets. Default: objects of other regions are read.
        event_bus: The bus that the outcomes of jobs are told on. Default: the account's default
            bus.
        notifications_topic: Where people read of jobs that were rejected, or failed for good.
            Default: nowhere.
        quarantine_registry: Where packages are written that break the rules of their registry,
            with the violations in their metadata; none of `registry_buckets`. Default: nowhere.
        catalog_url: The Quilt catalog that the registries are seen in, for links in events.
            Default: none.
        publish_schema: Whether the schema of the outcomes' events is published in a registry of
            EventBridge. Default: it is not.
        engine_name: Tells the logs and metrics of several engines in one stack apart: the log group
            is `/quilt/<stack>/<name>/PackagerLambda`, the metrics' service `<stack>/<name>`.
            Default: none; both without `<name>`.
        code: The asset of the function. Default: the runtime of this library and its pinned
            dependencies, built by pip for the architecture.

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
        ValueError: A prop has a value that no engine could work with; all such are listed.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        source_buckets: Sequence[s3.IBucket],
        registry_buckets: Sequence[s3.IBucket],
        default_registry: s3.IBucket | None = None,
        event_sources: Sequence[EventSource] = (),
        checksum_algorithms: Sequence[ChecksumAlgorithm] = (ChecksumAlgorithm.SHA256_CHUNKED,),
        memory_size: int = DEFAULT_MEMORY_MEBIBYTES,
        timeout: Duration | None = None,
        ephemeral_storage_size: Size | None = None,
        architecture: lambda_.Architecture | None = None,
        tracing: lambda_.Tracing = lambda_.Tracing.DISABLED,
        max_concurrency: int = DEFAULT_MAX_CONCURRENCY,
        max_receive_count: int = 5,
        visibility_timeout: Duration | None = None,
        retention_period: Duration | None = None,
        dead_letter_retention_period: Duration | None = None,
        queue_encryption_key: kms.IKey | None = None,
        log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR,
        max_inline_objects: int = DEFAULT_MAX_INLINE_OBJECTS,
        max_inline_size: Size | None = None,
        max_shard_objects: int = DEFAULT_MAX_SHARD_OBJECTS,
        max_shard_size: Size | None = None,
        checksum_concurrency: int = DEFAULT_CHECKSUM_CONCURRENCY,
        scratch_buckets: Mapping[str, s3.IBucket] | None = None,
        event_bus: events.IEventBus | None = None,
        notifications_topic: sns.ITopic | None = None,
        quarantine_registry: s3.IBucket | None = None,
        catalog_url: str | None = None,
        publish_schema: bool = False,
        engine_name: str | None = None,
        code: lambda_.Code | None = None,
    ) -> None:
        super().__init__(scope, construct_id)
        timeout = timeout or Duration.seconds(DEFAULT_TIMEOUT_SECONDS)
        visibility_timeout = visibility_timeout or Duration.seconds(2 * timeout.to_seconds())
        ephemeral_storage_size = ephemeral_storage_size or Size.mebibytes(
            DEFAULT_EPHEMERAL_MEBIBYTES
        )
        scratch_buckets = scratch_buckets or {}
        max_inline_size = max_inline_size or Size.mebibytes(DEFAULT_MAX_INLINE_MEBIBYTES)
        max_shard_size = max_shard_size or Size.mebibytes(DEFAULT_MAX_SHARD_MEBIBYTES)
        architecture = architecture or lambda_.Architecture.ARM_64
        check_props(
            source_buckets=source_buckets,
            registry_buckets=registry_buckets,
            default_registry=default_registry,
            checksum_algorithms=checksum_algorithms,
            memory_size=memory_size,
            timeout=timeout,
            ephemeral_storage_size=ephemeral_storage_size,
            visibility_timeout=visibility_timeout,
            max_concurrency=max_concurrency,
            max_receive_count=max_receive_count,
            max_inline_objects=max_inline_objects,
            max_inline_size=max_inline_size,
            max_shard_objects=max_shard_objects,
            max_shard_size=max_shard_size,
            checksum_concurrency=checksum_concurrency,
            quarantine_registry=quarantine_registry,
            catalog_url=catalog_url,
            engine_name=engine_name,
        )
        self.source_buckets = tuple(source_buckets)
        self._source_options: list[SourceOptions] = []
        self._source_names = SourceNames(engine_name)
        self._watched = WatchedParts()
        self.registry_buckets = tuple(registry_buckets)
        self.service = "/".join(filter(None, [Stack.of(self).stack_name, engine_name]))
        self._check_alone()
        self._queues = JobQueues(
            self,
            visibility_timeout=visibility_timeout,
            max_receive_count=max_receive_count,
            spare_deliveries=SPARE_DELIVERIES,
            retention_period=retention_period or Duration.days(4),
            dead_letter_retention_period=dead_letter_retention_period or Duration.days(14),
            key=queue_encryption_key,
        )
        self.queue = self._queues.queue
        self.dead_letter_queue = self._queues.dead_letter_queue
        self._outcomes = Outcomes(
            self,
            engine=self.service,
            event_bus=event_bus,
            notifications_topic=notifications_topic,
            publish_schema=publish_schema,
        )
        self.event_bus = self._outcomes.event_bus
        self.scratch_bucket = create_scratch_bucket(self, "ScratchBucket")
        self._log_retention = log_retention
        self.log_group = self._create_log(self, "PackagerLog", "PackagerLambda")
        self.checksum_log_group = self._create_log(self, "ChecksumLog", "ChecksumLambda")
        settings = Settings(
            source_buckets=find_names(source_buckets),
            registry_buckets=find_names(registry_buckets),
            default_registry=find_default_registry(
                source_buckets, registry_buckets, default_registry
            ),
            scratch_bucket=self.scratch_bucket.bucket_name,
            scratch_buckets=tuple(
                f"{region}={bucket.bucket_name}" for region, bucket in scratch_buckets.items()
            ),
            checksum_algorithms=tuple(checksum_algorithms),
            dead_letter_queue_url=self.dead_letter_queue.queue_url,
            max_attempts=max_receive_count,
            engine=self.service,
            event_bus=self.event_bus.event_bus_arn,
            notifications_topic_arn=self._outcomes.topic_arn,
            catalog_url=catalog_url,
            quarantine_registry=quarantine_registry.bucket_name if quarantine_registry else None,
            max_inline_objects=max_inline_objects,
            max_inline_bytes=int(max_inline_size.to_bytes()),
            max_shard_objects=max_shard_objects,
            max_shard_bytes=int(max_shard_size.to_bytes()),
        )
        self._code = code or bundle_code(self, _machine(architecture))
        self._architecture = architecture
        self._tracing = tracing
        create = partial(
            create_function,
            self,
            code=self._code,
            architecture=architecture,
            memory_size=memory_size,
            timeout=timeout,
            ephemeral_storage_size=ephemeral_storage_size,
            service=self.service,
            tracing=tracing,
        )
        self.checksum_function = create(
            "ChecksumFunction",
            handler="checksum",
            description="Hashes shards of large Quilt packages",
            log_group=self.checksum_log_group,
            environment=settings.to_environment(),
        )
        self.large_job_function = create(
            "LargeJobFunction",
            handler="large_job",
            description="Publishes large Quilt packages",
            log_group=self.log_group,
            environment=settings.to_environment(),
        )
        self.state_machine = create_state_machine(
            self,
            checksum_function=self.checksum_function,
            large_job_function=self.large_job_function,
            scratch_bucket=self.scratch_bucket,
            checksum_concurrency=checksum_concurrency,
            tracing=tracing,
        )
        give_up_ended_jobs(self, self.state_machine, self.large_job_function)
        self._environment = msgspec.structs.replace(
            settings, state_machine_arn=self.state_machine.state_machine_arn
        ).to_environment()
        self.packager_function = create(
            "PackagerFunction",
            handler="packager",
            description="Makes Quilt packages of S3 folders",
            log_group=self.log_group,
            environment=self._environment,
        )
        written_buckets = [*registry_buckets, *filter(None, [quarantine_registry])]
        hashing = [
            *permissions.read_sources(source_buckets),
            *permissions.hash_in_scratch([self.scratch_bucket, *scratch_buckets.values()]),
            *permissions.keep_jobs(self.scratch_bucket),
            *permissions.never(source_buckets, written_buckets),
        ]
        publishing = permissions.write_registries(written_buckets)
        permissions.permit(self.checksum_function, hashing)
        permissions.permit(self.large_job_function, [*hashing, *publishing])
        permissions.permit(
            self.packager_function,
            [*hashing, *publishing, permissions.start_large_jobs(self.state_machine)],
        )
        for function in (self.packager_function, self.large_job_function):
            self._outcomes.let_tell(function)
        self._queues.let_put_aside(self.large_job_function)
        self._queues.feed(self.packager_function, max_concurrency=max_concurrency)
        self.watch(
            WatchedQueues(
                "jobs",
                self.queue,
                self.dead_letter_queue,
                log_name="PackagerLambda",
                advice="See each with its reason, and retry or discard it: quilt-packager failures "
                f"--stack {self.service}.",
            ),
            *(
                WatchedFunction(name, function, memory_size, log_name)
                for name, function, log_name in (
                    ("PackagerLambda", self.packager_function, "PackagerLambda"),
                    ("LargeJobLambda", self.large_job_function, "PackagerLambda"),
                    ("ChecksumLambda", self.checksum_function, "ChecksumLambda"),
                )
            ),
        )
        for event_source in event_sources:
            self.add_event_source(event_source)
        # By them the command, and the page, find the engine in whatever stack it is.
        CfnOutput(
            self, "PackagerQueueUrl", description="Where messages go", value=self.queue.queue_url
        )
        CfnOutput(
            self,
            "PackagerDeadLetterQueueUrl",
            description="Where jobs that led to nothing are",
            value=self.dead_letter_queue.queue_url,
        )

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
        # The environment of a function has 4 KiB: what is as it always is takes none of it.
        if any(each.is_special for each in self._source_options):
            name = f"{PREFIX}SOURCES"
            text = Settings(sources=tuple(self._source_options)).to_environment()[name]
            variables = add_service({**self._environment, name: text}, self.service)
            check_environment(self, "PackagerFunction", variables)
            self.packager_function.add_environment(name, text)

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

    def name_source(self, rule: events.CfnRule, name: str, kind: RuleKind) -> None:
        """Give a rule the name that people turn its source on and off by.

        Args:
            rule: The rule that decides whether the source is on.
            name: The name, unique in the engine.
            kind: The kind of its events.

        Raises:
            ValueError: The engine has a source of that name already.
        """
        self._source_names.give(rule, name, kind)

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
        function = create_function(
            scope,
            construct_id,
            handler=handler,
            description=description,
            code=self._code,
            architecture=self._architecture,
            memory_size=memory_size,
            timeout=timeout,
            ephemeral_storage_size=Size.mebibytes(MIN_EPHEMERAL_MEBIBYTES),
            log_group=self._create_log(scope, f"{construct_id}Log", log_name),
            service=self.service,
            environment=environment,
            tracing=self._tracing,
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

    def on_package_created(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Let something happen whenever a revision was published.

        A job that died after publishing is done again, and ends unchanged: to miss no revision,
        listen to both, and compare top hashes.

        Args:
            construct_id: The rule's id, unique among these rules of the engine.
            target: What happens. Default: nothing, until the rule is given a target.
            **options: `description`, `enabled`, `rule_name`.

        Returns:
            The rule, whose pattern and targets can be added to.
        """
        return self._outcomes.add_rule(construct_id, Result.CREATED, target, options)

    def on_package_unchanged(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Let something happen whenever a package was found up to date."""
        return self._outcomes.add_rule(construct_id, Result.UNCHANGED, target, options)

    def on_package_rejected(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Let something happen whenever a job can never succeed as it is."""
        return self._outcomes.add_rule(construct_id, Result.REJECTED, target, options)

    def on_package_failed(
        self,
        construct_id: str,
        *,
        target: events.IRuleTarget | None = None,
        **options: Unpack[RuleOptions],
    ) -> events.Rule:
        """Let something happen whenever a job failed for the last time."""
        return self._outcomes.add_rule(construct_id, Result.FAILED, target, options)

    def grant_send_messages(self, grantee: iam.IGrantable) -> iam.Grant:
        """Let someone send jobs, and use the queue's key for it.

        Whoever may send has the source buckets packaged into the registries by the engine's
        rights, not by their own.
        """
        return self.queue.grant_send_messages(grantee)

    def _create_log(self, scope: Construct, construct_id: str, name: str) -> logs.LogGroup:
        return logs.LogGroup(
            scope,
            construct_id,
            log_group_name=f"/quilt/{self.service}/{name}",
            retention=self._log_retention,
            # Its name is fixed: kept, it would be in the way of the stack's next deployment.
            removal_policy=RemovalPolicy.DESTROY,
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


def _machine(architecture: lambda_.Architecture) -> Literal["arm64", "x86_64"]:
    return "arm64" if architecture.name == lambda_.Architecture.ARM_64.name else "x86_64"
