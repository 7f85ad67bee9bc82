"""The props of an engine: their meaning, defaults and validation, all violations at once."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Required, TypedDict

from aws_cdk import Duration, Size
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from quilt_packager_runtime.settings import ChecksumAlgorithm, Settings

from quilt_packager.contract import (
    DEFAULT_CHECKSUM_CONCURRENCY,
    DEFAULT_MEMORY_MEBIBYTES,
    DEFAULT_TIMEOUT_SECONDS,
)
from quilt_packager.guardrails.limits import (
    DEFAULT_EPHEMERAL_MEBIBYTES,
    DEFAULT_MAX_CONCURRENCY,
    DEFAULT_MAX_INLINE_MEBIBYTES,
    DEFAULT_MAX_INLINE_OBJECTS,
    DEFAULT_MAX_SHARD_MEBIBYTES,
    DEFAULT_MAX_SHARD_OBJECTS,
    MAX_VISIBILITY_SECONDS,
    CatalogUrl,
    ChecksumConcurrency,
    EngineName,
    EphemeralMebibytes,
    MaxConcurrency,
    MaxInlineMebibytes,
    MaxInlineObjects,
    MaxReceiveCount,
    MaxShardMebibytes,
    MaxShardObjects,
    MemoryMebibytes,
    TimeoutSeconds,
    find_unknown,
    find_violations,
)


class EngineProps(TypedDict, total=False):
    """The props of an engine except its event sources. None means the default.

    Attributes:
        source_buckets: Buckets whose objects may be packaged. The `encryption_key` of an encrypted
            bucket must be known: import such a bucket by `Bucket.from_bucket_attributes`.
        registry_buckets: Buckets that packages may be written to, below `.quilt/`.
        default_registry: Registry for messages that name none; one of `registry_buckets`. Default:
            the source's own bucket if every source bucket is a registry, otherwise the first of
            `registry_buckets`.
        checksum_algorithms: Acceptable algorithms, the preferred one first. Default:
            `SHA256_CHUNKED` alone, which every version of quilt3 can verify.
        memory_size: Memory of each function in MiB, from 128 to 10240. CPU is proportional to
            memory. Default: 2048, about one CPU.
        timeout: Maximum duration of an invocation. Default: 15 minutes, Lambda's maximum.
        ephemeral_storage_size: Size of the functions' `/tmp`, which holds manifests, from 512 to
            10240 MiB. Default: 10 GiB, enough for ten million objects.
        architecture: CPU architecture of the functions. Default: arm64.
        tracing: X-Ray tracing of the functions. Default: disabled.
        max_concurrency: Maximum number of concurrent jobs, from 2 to 1000. Default: 10.
        max_receive_count: Number of attempts before a failing job becomes a dead letter. Rejected
            jobs become dead letters at once. Default: 5.
        visibility_timeout: Delay before a failed job is retried, at least `timeout`. Default: twice
            the timeout: one to wait for a free function, one to run.
        retention_period: Retention period of waiting jobs. Default: 4 days.
        dead_letter_retention_period: Retention period of dead letters, from the failure of their
            job, or from the time they were sent if SQS moved them. Default: 14 days, SQS's
            maximum.
        queue_encryption_key: KMS key of both queues. Default: SQS's own keys, which cost nothing
            and need no permission.
        log_retention: Retention period of logs. Default: one year.
        max_inline_objects: Maximum number of objects that one invocation hashes. Larger jobs run
            under Step Functions. Default: 500,000.
        max_inline_size: Maximum number of bytes that one invocation hashes. Objects whose checksum
            is stored, according to the listing, do not count. Default: 1 TiB.
        max_shard_objects: Maximum number of objects in a shard of a large job, from 1 to 100,000.
            Default: 20,000.
        max_shard_size: Maximum size of a shard. Several workers share a larger object. Default:
            32 GiB.
        checksum_concurrency: Maximum number of concurrent workers of a large job, from 1 to 1000.
            Default: 20.
        scratch_buckets: Buckets, by region, in which S3 copies objects of that region to hash them.
            They need a lifecycle rule that aborts uploads, and their keys must be known. Default:
            objects of other regions are read.
        event_bus: Event bus for the outcomes of jobs. Default: the account's default bus.
        notifications_topic: Topic for notifications of rejected and failed jobs. Import an
            encrypted topic by `Topic.from_topic_attributes`, with its key. Default: none.
        quarantine_registry: Bucket for packages that violate the workflow of their registry, with
            the violations in their metadata; none of `registry_buckets`. Default: none.
        catalog_url: URL of the Quilt catalog of the registries, for links in events. Default: none.
        publish_schema: Publish the schema of outcome events in an EventBridge schema registry.
            Default: false.
        engine_name: Name that distinguishes several engines in one stack. The log group is
            `/quilt/<stack>/<name>/PackagerLambda` and the metrics' service `<stack>/<name>`.
            Default: none; both without `<name>`.
        code: Asset of the functions. Default: the runtime and its pinned dependencies, built by pip
            for the architecture.
    """

    source_buckets: Required[Sequence[s3.IBucket]]
    registry_buckets: Required[Sequence[s3.IBucket]]
    default_registry: s3.IBucket | None
    checksum_algorithms: Sequence[ChecksumAlgorithm]
    memory_size: int
    timeout: Duration | None
    ephemeral_storage_size: Size | None
    architecture: lambda_.Architecture | None
    tracing: lambda_.Tracing
    max_concurrency: int
    max_receive_count: int
    visibility_timeout: Duration | None
    retention_period: Duration | None
    dead_letter_retention_period: Duration | None
    queue_encryption_key: kms.IKey | None
    log_retention: logs.RetentionDays
    max_inline_objects: int
    max_inline_size: Size | None
    max_shard_objects: int
    max_shard_size: Size | None
    checksum_concurrency: int
    scratch_buckets: Mapping[str, s3.IBucket] | None
    event_bus: events.IEventBus | None
    notifications_topic: sns.ITopic | None
    quarantine_registry: s3.IBucket | None
    catalog_url: str | None
    publish_schema: bool
    engine_name: str | None
    code: lambda_.Code | None


@dataclass(frozen=True, kw_only=True)
class ResolvedProps:
    """The props of an engine, with their defaults; `resolve_props` makes them.

    The attributes are those of `EngineProps`. None of them means that there is nothing of the kind.
    """

    source_buckets: Sequence[s3.IBucket]
    registry_buckets: Sequence[s3.IBucket]
    default_registry: s3.IBucket | None = None
    checksum_algorithms: Sequence[ChecksumAlgorithm] = (ChecksumAlgorithm.SHA256_CHUNKED,)
    memory_size: int = DEFAULT_MEMORY_MEBIBYTES
    timeout: Duration
    ephemeral_storage_size: Size = field(
        default_factory=lambda: Size.mebibytes(DEFAULT_EPHEMERAL_MEBIBYTES)
    )
    architecture: lambda_.Architecture = lambda_.Architecture.ARM_64
    tracing: lambda_.Tracing = lambda_.Tracing.DISABLED
    max_concurrency: int = DEFAULT_MAX_CONCURRENCY
    max_receive_count: int = 5
    visibility_timeout: Duration
    retention_period: Duration = field(default_factory=lambda: Duration.days(4))
    dead_letter_retention_period: Duration = field(default_factory=lambda: Duration.days(14))
    queue_encryption_key: kms.IKey | None = None
    log_retention: logs.RetentionDays = logs.RetentionDays.ONE_YEAR
    max_inline_objects: int = DEFAULT_MAX_INLINE_OBJECTS
    max_inline_size: Size = field(
        default_factory=lambda: Size.mebibytes(DEFAULT_MAX_INLINE_MEBIBYTES)
    )
    max_shard_objects: int = DEFAULT_MAX_SHARD_OBJECTS
    max_shard_size: Size = field(
        default_factory=lambda: Size.mebibytes(DEFAULT_MAX_SHARD_MEBIBYTES)
    )
    checksum_concurrency: int = DEFAULT_CHECKSUM_CONCURRENCY
    scratch_buckets: Mapping[str, s3.IBucket] = field(default_factory=dict)
    event_bus: events.IEventBus | None = None
    notifications_topic: sns.ITopic | None = None
    quarantine_registry: s3.IBucket | None = None
    catalog_url: str | None = None
    publish_schema: bool = False
    engine_name: str | None = None
    code: lambda_.Code | None = None

    @property
    def written_buckets(self) -> list[s3.IBucket]:
        """The buckets that packages are written to: the registries, and the quarantine."""
        return [*self.registry_buckets, *filter(None, [self.quarantine_registry])]

    def to_settings(self) -> Settings:
        """Return the functions' settings, without those of resources that the engine creates."""
        quarantine = self.quarantine_registry
        return Settings(
            source_buckets=_names(self.source_buckets),
            registry_buckets=_names(self.registry_buckets),
            default_registry=self._find_default_registry(),
            scratch_buckets=tuple(
                f"{region}={bucket.bucket_name}" for region, bucket in self.scratch_buckets.items()
            ),
            checksum_algorithms=tuple(self.checksum_algorithms),
            max_attempts=self.max_receive_count,
            catalog_url=self.catalog_url,
            quarantine_registry=quarantine.bucket_name if quarantine else None,
            max_inline_objects=self.max_inline_objects,
            max_inline_bytes=int(self.max_inline_size.to_bytes()),
            max_shard_objects=self.max_shard_objects,
            max_shard_bytes=int(self.max_shard_size.to_bytes()),
        )

    def find_violations(self) -> list[str]:
        """Say of each prop that no engine could work with why not."""
        return [*self._find_missing(), *self._find_unsuitable_registries(), *self._find_excesses()]

    def _find_default_registry(self) -> str | None:
        """Return the registry for messages that name none. None: the bucket of their source."""
        if self.default_registry is not None:
            return self.default_registry.bucket_name
        all_are_registries = {*_names(self.source_buckets)} <= {*_names(self.registry_buckets)}
        return None if all_are_registries else self.registry_buckets[0].bucket_name

    def _find_missing(self) -> list[str]:
        required = {
            "source_buckets": self.source_buckets,
            "registry_buckets": self.registry_buckets,
            "checksum_algorithms": self.checksum_algorithms,
        }
        return [
            f"{name} is empty: name at least one" for name, given in required.items() if not given
        ]

    def _find_unsuitable_registries(self) -> list[str]:
        violations = []
        registries = _names(self.registry_buckets)
        default, quarantine = self.default_registry, self.quarantine_registry
        if default and default.bucket_name not in registries:
            violations.append(f"default_registry is {default.node.path}: no registry bucket")
        if quarantine and quarantine.bucket_name in registries:
            violations.append(
                f"quarantine_registry is {quarantine.node.path}: a registry bucket, where "
                "refused packages would take the place of good ones"
            )
        return violations

    def _find_excesses(self) -> list[str]:
        timeout_seconds = int(self.timeout.to_seconds())
        visibility_seconds = int(self.visibility_timeout.to_seconds())
        ephemeral_mebibytes = int(self.ephemeral_storage_size.to_mebibytes())
        max_inline_mebibytes = int(self.max_inline_size.to_mebibytes())
        max_shard_mebibytes = int(self.max_shard_size.to_mebibytes())
        violations = find_violations(
            {
                "memory_size": (self.memory_size, MemoryMebibytes),
                "timeout, in seconds,": (timeout_seconds, TimeoutSeconds),
                "ephemeral_storage_size, in MiB,": (ephemeral_mebibytes, EphemeralMebibytes),
                "max_concurrency": (self.max_concurrency, MaxConcurrency),
                "max_receive_count": (self.max_receive_count, MaxReceiveCount),
                "max_inline_objects": (self.max_inline_objects, MaxInlineObjects),
                "max_inline_size, in MiB,": (max_inline_mebibytes, MaxInlineMebibytes),
                "max_shard_objects": (self.max_shard_objects, MaxShardObjects),
                "max_shard_size, in MiB,": (max_shard_mebibytes, MaxShardMebibytes),
                "checksum_concurrency": (self.checksum_concurrency, ChecksumConcurrency),
                "catalog_url": (self.catalog_url, CatalogUrl | None),
                "engine_name": (self.engine_name, EngineName | None),
            }
        )
        if not timeout_seconds <= visibility_seconds <= MAX_VISIBILITY_SECONDS:
            violations.append(
                f"visibility_timeout is {visibility_seconds} s: it must be at least the timeout, "
                f"{timeout_seconds} s, and at most 12 hours"
            )
        return violations


def resolve_props(props: EngineProps) -> ResolvedProps:
    """Apply the defaults of props that are not given, and validate all of them.

    Args:
        props: The props that are given.

    Raises:
        TypeError: A name is that of no prop, or a required prop is missing.
        ValueError: Props have invalid values. All of them are listed.
    """
    given: dict[str, Any] = {name: value for name, value in props.items() if value is not None}
    known = [*EngineProps.__annotations__, "event_sources"]
    if problems := [*find_unknown(props, known, "prop"), *_find_absent(given)]:
        raise TypeError("PackagingEngine " + "; ".join(problems))
    timeout = given.setdefault("timeout", Duration.seconds(DEFAULT_TIMEOUT_SECONDS))
    given.setdefault("visibility_timeout", Duration.seconds(2 * timeout.to_seconds()))
    resolved = ResolvedProps(**given)
    if violations := resolved.find_violations():
        raise ValueError("Invalid props of PackagingEngine: " + "; ".join(violations))
    return resolved


def _find_absent(given: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(EngineProps.__required_keys__ - given.keys()):
        yield f"requires the prop {name!r}"


def _names(buckets: Sequence[s3.IBucket]) -> tuple[str, ...]:
    return tuple(bucket.bucket_name for bucket in buckets)
