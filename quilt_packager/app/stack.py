"""The stack of one engine that is configured by context flags, without CDK code."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TypedDict, Unpack

from aws_cdk import CfnElement, CfnOutput, Duration, Environment, IStackSynthesizer, Size, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.aws_scheduler import ScheduleExpression
from constructs import Construct, IConstruct

from quilt_packager import contract
from quilt_packager.app.custom_rules import CustomRule
from quilt_packager.app.flags import ContextError, ContextFlags
from quilt_packager.engine.buckets import create_data_bucket
from quilt_packager.engine.engine import EventSource, PackagingEngine
from quilt_packager.engine.functions import bundle_code
from quilt_packager.engine.props import Audit
from quilt_packager.event_sources.object_uploads import ObjectUploads
from quilt_packager.event_sources.sources import (
    CustomEvents,
    HealthOmicsRuns,
    ObjectsReady,
    WorkflowRunCrates,
)
from quilt_packager.guardrails.quotas import LimitExceeded

_EVENT_PATH = re.compile(r"<(\$[^<>]*)>")


class StackOptions(TypedDict, total=False):
    """The props of `aws_cdk.Stack` that are passed on."""

    description: str
    """Description of the stack."""
    env: Environment
    """Account and region of the stack. Default: those of the deployment's credentials."""
    synthesizer: IStackSynthesizer
    """Synthesizer of the stack's assets and template. Default: that of the app."""
    tags: Mapping[str, str]
    """Tags of the stack and its resources."""
    termination_protection: bool
    """Protect the stack from deletion. Default: false."""


class PackagingEngineStack(Stack):
    """A stack of one engine, with the buckets and event sources of the context flags.

    Its outputs are `PackagerQueueArn`, `PackagerQueueUrl`, `PackagerDeadLetterQueueUrl` and
    `DataAccessRoleArns`.

    Args:
        scope: The app, or a stage of it.
        construct_id: Id of the stack.
        flags: The flags. Default: the `quilt:…` flags of the context.
        code: Asset of the functions. Default: built for `quilt:architecture`.
        **options: Props of `aws_cdk.Stack`: `description`, `env`, `synthesizer`, `tags`,
            `termination_protection`.

    Attributes:
        engine: The engine.
        flags: The flags.
        bucket: The bucket that the stack created, or None if the flags name source buckets.

    Raises:
        BundlingError: The asset could not be built.
        ContextError: Flags are unknown or have invalid values. All of them are listed.
        LimitExceeded: A text exceeds a quota of AWS.

    Example:
        >>> from aws_cdk import App
        >>> flags = ContextFlags(source_buckets=("runs",), edp="edp-bus")
        >>> stack = PackagingEngineStack(
        ...     App(), "Packaging", flags=flags, code=lambda_.Code.from_inline("pass")
        ... )
        >>> stack.engine.service
        'quilt-packager'
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        flags: ContextFlags | None = None,
        code: lambda_.Code | None = None,
        **options: Unpack[StackOptions],
    ) -> None:
        flags = flags or ContextFlags.from_context(scope.node.get_all_context())
        super().__init__(scope, construct_id, stack_name=flags.stack_name, **options)
        self.flags = flags
        if differing := flags.differing():
            self.template_options.metadata = {contract.FLAGS_METADATA: differing}
        self._bucket_keys = self._find_keys(flags)
        try:
            self.engine = self._create_engine(flags, code)
        except LimitExceeded:
            raise
        except ValueError as error:
            raise ContextError.of([str(error)]) from error
        if flags.alarms_topic:
            self.engine.add_alarms(
                sns.Topic.from_topic_arn(self, "AlarmsTopic", flags.alarms_topic)
            )
        if flags.dashboard:
            self.engine.add_dashboard()
        name_outputs(self, self.engine)

    def _create_engine(self, flags: ContextFlags, code: lambda_.Code | None) -> PackagingEngine:
        sources, registries = self._find_buckets(flags)
        x86_64 = flags.architecture == "x86_64"
        return PackagingEngine(
            self,
            "Engine",
            source_buckets=sources,
            registry_buckets=registries,
            event_sources=list(self._event_sources(flags, sources)),
            checksum_algorithms=flags.checksum_algorithms,
            # On the host, whose AWS runs the code whatever this says, it is the default.
            architecture=lambda_.Architecture.X86_64 if x86_64 else lambda_.Architecture.ARM_64,
            memory_size=flags.memory_size,
            timeout=Duration.seconds(flags.timeout),
            ephemeral_storage_size=Size.mebibytes(flags.ephemeral_storage_size),
            max_concurrency=flags.max_concurrency,
            max_inline_objects=flags.max_inline_objects,
            max_inline_size=Size.mebibytes(flags.max_inline_size),
            max_shard_objects=flags.max_shard_objects,
            max_shard_size=Size.mebibytes(flags.max_shard_size),
            checksum_concurrency=flags.checksum_concurrency,
            scratch_buckets={
                region: self._find_bucket(f"Scratch-{region}", name, region)
                for region, name in flags.scratch_buckets.items()
            },
            event_bus=events.EventBus.from_event_bus_name(self, "OutcomesBus", flags.event_bus)
            if flags.event_bus
            else None,
            notifications_topic=sns.Topic.from_topic_attributes(
                self,
                "NotificationsTopic",
                topic_arn=flags.notifications_topic,
                key_arn=flags.notifications_topic_key or None,
            )
            if flags.notifications_topic
            else None,
            quarantine_registry=self._find_bucket("QuarantineRegistry", flags.quarantine_registry)
            if flags.quarantine_registry
            else None,
            on_foreign_revision=flags.on_foreign_revision,
            archived=flags.archived,
            catalog_url=flags.catalog_url or None,
            publish_schema=flags.publish_schema,
            audit=Audit(
                ScheduleExpression.expression(flags.audit),
                float(flags.audit_sample.rstrip("%") or 0) / 100,
            )
            if flags.audit
            else None,
            lineage=flags.lineage,
            code=code or bundle_code(self, flags.architecture),
        )

    def _find_keys(self, flags: ContextFlags) -> dict[str, kms.IKey]:
        """Import the keys of existing buckets, by the buckets' names."""
        keys = {
            arn: kms.Key.from_key_arn(self, f"BucketKey{number}", arn)
            for number, arn in enumerate(dict.fromkeys(flags.bucket_keys.values()), start=1)
        }
        return {name: keys[arn] for name, arn in flags.bucket_keys.items()}

    def _find_bucket(self, construct_id: str, name: str, region: str | None = None) -> s3.IBucket:
        """Import an existing bucket, with its encryption key."""
        return s3.Bucket.from_bucket_attributes(
            self,
            construct_id,
            bucket_name=name,
            encryption_key=self._bucket_keys.get(name),
            region=region,
        )

    def _find_buckets(self, flags: ContextFlags) -> tuple[list[s3.IBucket], list[s3.IBucket]]:
        """Return the source and registry buckets: the named ones, or a new bucket."""
        existing = {
            name: self._find_bucket(f"Bucket-{name}", name)
            for name in dict.fromkeys([*flags.source_buckets, *flags.registry_buckets])
        }
        sources = [existing[name] for name in dict.fromkeys(flags.source_buckets)]
        registries = [existing[name] for name in dict.fromkeys(flags.registry_buckets)]
        self.bucket = None if sources else create_data_bucket(self, "Bucket")
        if self.bucket:
            sources = [self.bucket]
        return sources, registries or sources

    def _event_sources(
        self, flags: ContextFlags, sources: Sequence[s3.IBucket]
    ) -> Iterator[EventSource]:
        options = flags.source_props
        yield HealthOmicsRuns(
            statuses=flags.omics_statuses, enabled=flags.omics, **options[contract.OMICS]
        )
        yield WorkflowRunCrates(enabled=flags.wrroc, **options[contract.CRATES])
        if flags.edp:
            bus = events.EventBus.from_event_bus_name(self, "EdpBus", flags.edp)
            yield ObjectsReady(bus, **options[contract.EDP])
        uploads = flags.upload_rules
        if uploads:
            yield ObjectUploads(
                [each for each in sources if each.bucket_name in uploads.buckets] or None,
                threshold_event_count=uploads.threshold_event_count,
                threshold_duration=Duration.seconds(uploads.threshold_duration),
                prefix_depth=uploads.prefix_depth,
                ignore_prefixes=uploads.ignore_prefixes,
                ready_when=uploads.ready_when,
                source=uploads.source,
                enabled=uploads.enabled,
                **options[contract.UPLOADS],
            )
        for rule in flags.custom_rules:
            yield self._custom_events(rule)

    def _custom_events(self, rule: CustomRule) -> CustomEvents:
        # With a `-`, which no rule's id has, it is none of the engine's or the stack's own ids.
        construct_id = f"Custom-{rule.id}"
        message = bus = None
        if rule.message is not None:
            message = events.RuleTargetInput.from_object(_insert_paths(rule.message))
        if rule.event_bus is not None:
            bus = events.EventBus.from_event_bus_name(self, f"{construct_id}Bus", rule.event_bus)
        return CustomEvents(
            rule.pattern,
            message=message,
            event_bus=bus,
            enabled=rule.enabled,
            construct_id=construct_id,
            name=rule.id,
        )


def name_outputs(stack: Stack, engine: PackagingEngine) -> None:
    """Give the queues and outputs of a stack's only engine their names without the engine's id."""
    # CloudFormation names a queue by the stack and this id.
    _override_logical_id(engine.queue.node.default_child, contract.APP_QUEUE)
    _override_logical_id(engine.dead_letter_queue.node.default_child, "PackagerDeadLetterQueue")
    for output in (contract.QUEUE_OUTPUT, contract.DEAD_LETTERS_OUTPUT, contract.ROLES_OUTPUT):
        _override_logical_id(engine.node.find_child(output), output)
    CfnOutput(
        stack,
        "PackagerQueueArn",
        description="ARN of the queue, for grants of sqs:SendMessage",
        value=engine.queue.queue_arn,
    )


def _override_logical_id(element: IConstruct | None, logical_id: str) -> None:
    if isinstance(element, CfnElement):
        element.override_logical_id(logical_id)


def _insert_paths(value: object) -> object:
    """Replace each `<$.path>` in the texts of a message by what stands for it in CDK."""
    match value:
        case str():
            return _EVENT_PATH.sub(lambda path: events.EventField.from_path(path[1]), value)
        case list():
            return [_insert_paths(each) for each in value]
        case dict():
            return {name: _insert_paths(each) for name, each in value.items()}
        case _:
            return value
