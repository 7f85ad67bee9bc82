"""The props of an engine: their meaning, defaults and validation, all violations at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Required, TypedDict, get_args, get_type_hints

from aws_cdk import Duration, Size, SizeRoundingBehavior
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns
from quilt_packager_runtime.settings import ChecksumAlgorithm, OnForeignRevision, Settings

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
    MAX_RETENTION_SECONDS,
    MAX_VISIBILITY_SECONDS,
    MIN_RETENTION_SECONDS,
    Archived,
    AuditSample,
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
    RoleNamePrefix,
    TimeoutSeconds,
    find_unknown,
    find_violations,
)
from quilt_packager.guardrails.permissions import is_alias
from quilt_packager.guardrails.prop_types import Bindable, find_wrong_types, raise_violations


@dataclass(frozen=True)
class Audit:
    """A regular audit of all packages of an engine, which finds what they no longer keep.

    Attributes:
        schedule: Schedule, such as `ScheduleExpression.rate(Duration.days(7))`.
        sample: Share of the objects whose bytes are read, from 0 to 1. Default: 0; stored checksums
            are compared.

    Raises:
        TypeError: A prop is of another type. All violations are listed.
        ValueError: A prop has an invalid value.

    Example:
        >>> from aws_cdk.aws_scheduler import ScheduleExpression
        >>> audit = Audit(ScheduleExpression.rate(Duration.days(7)), sample=0.01)
    """

    schedule: scheduler.ScheduleExpression
    sample: float = 0.0

    def __post_init__(self) -> None:
        """Check the props."""
        wrong = find_wrong_types({"schedule": (self.schedule, scheduler.ScheduleExpression)})
        violations = find_violations({"sample": (self.sample, AuditSample)})
        raise_violations("Audit", wrong_types=wrong.values(), violations=violations)


class EngineProps(TypedDict, total=False):
    """The props of an engine except its event sources. None means the default."""

    source_buckets: Required[Sequence[s3.IBucket]]
    """Buckets whose objects may be packaged.

    The `encryption_key` of an encrypted bucket must be known: import such a bucket by
    `Bucket.from_bucket_attributes`.
    """
    registry_buckets: Required[Sequence[s3.IBucket]]
    """Buckets that packages may be written to, below `.quilt/`."""
    default_registry: s3.IBucket | None
    """Registry for messages that name none; one of `registry_buckets`.

    Default: the source's own bucket if every source bucket is a registry, otherwise the first
    of `registry_buckets`.
    """
    checksum_algorithms: Sequence[ChecksumAlgorithm]
    """Acceptable algorithms, the preferred one first.

    Default: `SHA256_CHUNKED` alone, which every version of quilt3 can verify.
    """
    memory_size: int
    """Memory of each function in MiB, from 512 to 10240.

    CPU is proportional to memory. Default: 2048, about one CPU.
    """
    timeout: Duration | None
    """Maximum duration of an invocation. Default: 15 minutes, Lambda's maximum."""
    ephemeral_storage_size: Size | None
    """Size of the functions' `/tmp`, which holds manifests, from 512 to 10240 MiB.

    Default: 10 GiB, enough for ten million objects.
    """
    architecture: lambda_.Architecture | None
    """CPU architecture of the functions. Default: arm64."""
    tracing: lambda_.Tracing
    """X-Ray tracing of the functions. Default: disabled."""
    max_concurrency: int
    """Maximum number of concurrent jobs, from 2 to 1000. Default: 10."""
    max_receive_count: int
    """Number of attempts before a failing job becomes a dead letter.

    Rejected jobs become dead letters at once. Default: 5.
    """
    visibility_timeout: Duration | None
    """Delay before a failed job is retried, at least `timeout`.

    Default: twice the timeout: one to wait for a free function, one to run.
    """
    retention_period: Duration | None
    """Retention period of waiting jobs, from `visibility_timeout` to 14 days. Default: 4 days."""
    dead_letter_retention_period: Duration | None
    """Retention period of dead letters.

    It starts with the failure of their job, or when they were sent if SQS moved them. Default: 14
    days, SQS's maximum.
    """
    queue_encryption_key: kms.IKey | None
    """KMS key of both queues.

    Default: `encryption_key`; without it, SQS's own keys, which cost nothing and need no
    permission.
    """
    encryption_key: kms.IKey | None
    """KMS key of what the engine stores.

    It encrypts the scratch bucket, the logs, the environments of functions, the table of
    `ObjectUploads`, and queues without a `queue_encryption_key`. Default: AWS's own keys.
    """
    vpc: ec2.IVpc | None
    """VPC of the functions, with a route to the services of AWS or endpoints. Default: none."""
    vpc_subnets: ec2.SubnetSelection | None
    """Subnets of the functions, which must not be public. Default: the private ones."""
    security_groups: Sequence[ec2.ISecurityGroup] | None
    """Security groups of the functions. Default: one that allows outbound HTTPS only."""
    reserved_concurrent_executions: int | None
    """Concurrency that is reserved for the packager, at least `max_concurrency`. Default: none."""
    role_name_prefix: str | None
    """Prefix of the names of the roles that access buckets.

    The policies of buckets in other accounts can name the roles `<prefix>-packager`,
    `<prefix>-checksum`, `<prefix>-large-job` and, with an `audit`, `<prefix>-audit`, which stay
    when a role is replaced. Default: CloudFormation generates the names.
    """
    log_retention: logs.RetentionDays
    """Retention period of logs. Default: one year."""
    max_inline_objects: int
    """Maximum number of objects that one invocation hashes.

    Larger jobs run under Step Functions. Default: 500,000.
    """
    max_inline_size: Size | None
    """Maximum number of bytes that one invocation hashes.

    Objects whose checksum is stored, according to the listing, do not count. Default: 1 TiB.
    """
    max_shard_objects: int
    """Maximum number of objects in a shard of a large job, from 1 to 100,000.

    Default: 20,000.
    """
    max_shard_size: Size | None
    """Maximum size of a shard. Several workers share a larger object. Default: 32 GiB."""
    checksum_concurrency: int
    """Maximum number of concurrent workers of a large job, from 1 to 1000. Default: 20."""
    scratch_buckets: Mapping[str, s3.IBucket] | None
    """Buckets, by region, in which S3 copies objects of that region to hash them.

    They need a lifecycle rule that aborts uploads, and their keys must be known. Default:
    objects of other regions are read.
    """
    event_bus: events.IEventBus | None
    """Event bus for the outcomes of jobs. Default: the account's default bus."""
    notifications_topic: sns.ITopic | None
    """Topic for notifications of rejected and failed jobs.

    Import an encrypted topic by `Topic.from_topic_attributes`, with its key. Default: none.
    """
    quarantine_registry: s3.IBucket | None
    """Bucket for packages that violate the workflow of their registry.

    Their metadata has the violations. None of `registry_buckets`. Default: none.
    """
    on_foreign_revision: OnForeignRevision
    """Handling of a newest revision that another writer than the engine published.

    Such as a person with quilt3 or the catalog. `replace` publishes a revision above it, and says
    so in the outcome and in a notification; `carry` does too, and keeps the entries and metadata
    that the other writer has changed, until their source changes; `hold` rejects the job as
    `HeldForReview`. Default: `replace`.
    """
    archived: Archived
    """Handling of archived objects without a usable stored checksum.

    `reject` rejects their job; `s3_batch` has S3 Batch Operations compute their checksums without a
    restore, which takes up to a week, and costs extra. Default: `reject`.
    """
    catalog_url: str | None
    """URL of the Quilt catalog of the registries, for links in events. Default: none."""
    publish_schema: bool
    """Publish the schema of outcome events in EventBridge. Default: false."""
    audit: Audit | None
    """Regular audit of all packages of the registries. Default: none."""
    lineage: bool
    """Name the packages that hold the inputs of a run, in the metadata and the outcome.

    Creates a DynamoDB table, the index, which jobs maintain. Default: false.
    """
    engine_name: str | None
    """Name that distinguishes several engines in one stack.

    The log group is `/quilt/<stack>/<name>/PackagerLambda` and the metrics' service
    `<stack>/<name>`. Default: none; both without `<name>`.
    """
    code: lambda_.Code | None
    """Asset of the functions.

    Default: the runtime and its pinned dependencies, built by pip for the architecture.
    """


_TYPES = {
    **get_type_hints(EngineProps),
    # Its values are validated as values.
    "checksum_algorithms": Any,
    "on_foreign_revision": Any,
    "archived": Any,
}


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
    encryption_key: kms.IKey | None = None
    vpc: ec2.IVpc | None = None
    vpc_subnets: ec2.SubnetSelection | None = None
    security_groups: Sequence[ec2.ISecurityGroup] = ()
    reserved_concurrent_executions: int | None = None
    role_name_prefix: str | None = None
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
    on_foreign_revision: OnForeignRevision = "replace"
    archived: Archived = "reject"
    catalog_url: str | None = None
    publish_schema: bool = False
    audit: Audit | None = None
    lineage: bool = False
    engine_name: str | None = None
    code: lambda_.Code | None = None

    @property
    def written_buckets(self) -> list[s3.IBucket]:
        """The buckets that packages are written to: the registries, and the quarantine."""
        return [*self.registry_buckets, *filter(None, [self.quarantine_registry])]

    def role_name(self, name: str) -> str | None:
        """Return the name of a role. None: CloudFormation generates it."""
        return f"{self.role_name_prefix}-{name}" if self.role_name_prefix else None

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
            on_foreign_revision=self.on_foreign_revision,
            max_inline_objects=self.max_inline_objects,
            max_inline_bytes=int(self.max_inline_size.to_bytes()),
            max_shard_objects=self.max_shard_objects,
            max_shard_bytes=int(self.max_shard_size.to_bytes()),
        )

    def find_violations(self) -> list[str]:
        """Say of each prop that no engine could work with why not."""
        return [
            *self._find_missing(),
            *self._find_unknown_algorithms(),
            *self._find_unknown_actions(),
            *self._find_unsuitable_registries(),
            *self._find_excesses(),
            *self._find_short_lives(),
            *self._find_violations_of_the_network(),
            *self._find_violations_of_accounts(),
        ]

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

    def _find_unknown_algorithms(self) -> list[str]:
        given = self.checksum_algorithms
        known = ", ".join(ChecksumAlgorithm)
        if isinstance(given, str):
            return [f"checksum_algorithms is {given!r}: pass a list of some of {known}"]
        return [
            f"checksum_algorithms has {each!r}: choose from {known}"
            for each in given
            if each not in tuple(ChecksumAlgorithm)
        ]

    def _find_unknown_actions(self) -> list[str]:
        given = {
            "on_foreign_revision": (self.on_foreign_revision, get_args(OnForeignRevision)),
            "archived": (self.archived, get_args(Archived)),
        }
        return [
            f"{name} is {value!r}: choose from {', '.join(known)}"
            for name, (value, known) in given.items()
            if value not in known
        ]

    def _find_unsuitable_registries(self) -> list[str]:
        violations = []
        registries = _names(self.registry_buckets)
        default, quarantine = self.default_registry, self.quarantine_registry
        if default and registries and default.bucket_name not in registries:
            violations.append(f"default_registry is {default.node.path}: no registry bucket")
        if quarantine and quarantine.bucket_name in registries:
            violations.append(
                f"quarantine_registry is {quarantine.node.path}: a registry bucket, where "
                "refused packages would take the place of good ones"
            )
        return violations

    def _find_excesses(self) -> list[str]:
        return find_violations(
            {
                "memory_size": (self.memory_size, MemoryMebibytes),
                "timeout, in seconds,": (_seconds(self.timeout), TimeoutSeconds),
                "ephemeral_storage_size, in MiB,": (
                    _mebibytes(self.ephemeral_storage_size),
                    EphemeralMebibytes,
                ),
                "max_concurrency": (self.max_concurrency, MaxConcurrency),
                "max_receive_count": (self.max_receive_count, MaxReceiveCount),
                "max_inline_objects": (self.max_inline_objects, MaxInlineObjects),
                "max_inline_size, in MiB,": (_mebibytes(self.max_inline_size), MaxInlineMebibytes),
                "max_shard_objects": (self.max_shard_objects, MaxShardObjects),
                "max_shard_size, in MiB,": (_mebibytes(self.max_shard_size), MaxShardMebibytes),
                "checksum_concurrency": (self.checksum_concurrency, ChecksumConcurrency),
                "catalog_url": (self.catalog_url, CatalogUrl | None),
                "engine_name": (self.engine_name, EngineName | None),
                "role_name_prefix": (self.role_name_prefix, RoleNamePrefix | None),
            }
        )

    def _find_short_lives(self) -> list[str]:
        """Check the times of a message against one another and the limits of SQS."""
        timeout, visibility = _seconds(self.timeout), _seconds(self.visibility_timeout)
        violations = []
        if not timeout <= visibility <= MAX_VISIBILITY_SECONDS:
            violations.append(
                f"visibility_timeout is {visibility} s: it must be at least the timeout, "
                f"{timeout} s, and at most 12 hours"
            )
        retention = _seconds(self.retention_period)
        if not visibility <= retention <= MAX_RETENTION_SECONDS:
            violations.append(
                f"retention_period is {retention} s: it must be at least the visibility_timeout, "
                f"{visibility} s, so that a failed job is retried, and at most 14 days"
            )
        dead_letters = _seconds(self.dead_letter_retention_period)
        if not MIN_RETENTION_SECONDS <= dead_letters <= MAX_RETENTION_SECONDS:
            violations.append(
                f"dead_letter_retention_period is {dead_letters} s: it must be at least 1 minute "
                "and at most 14 days"
            )
        return violations

    def _find_violations_of_the_network(self) -> list[str]:
        names = [] if self.vpc else ["vpc_subnets", "security_groups"]
        return [f"{name} is given without a vpc" for name in names if getattr(self, name)]

    def _find_violations_of_accounts(self) -> list[str]:
        violations = []
        if self.encryption_key and is_alias(self.encryption_key):
            violations.append(
                "encryption_key is an alias, which neither logs nor functions accept: import the "
                "key by Key.from_key_arn or Key.from_lookup"
            )
        reserved = self.reserved_concurrent_executions
        if reserved is not None and reserved < self.max_concurrency:
            violations.append(
                f"reserved_concurrent_executions is {reserved}: it must be at least "
                f"max_concurrency, {self.max_concurrency}, otherwise jobs are throttled"
            )
        return violations


def resolve_props(props: EngineProps, event_sources: object = ()) -> ResolvedProps:
    """Apply the defaults of props that are not given, and validate all of them.

    Args:
        props: The props that are given.
        event_sources: The event sources, of which only the type is validated.

    Raises:
        TypeError: A name is that of no prop, a required prop is missing, or a prop has a value of
            another type. All violations are listed.
        ValueError: Props have invalid values. All of them are listed.
    """
    known = [*EngineProps.__annotations__, "event_sources"]
    unknown = find_unknown(props, known, "prop")
    given: dict[str, Any] = {
        name: value for name, value in props.items() if value is not None and name in known
    }
    absent = EngineProps.__required_keys__ - given.keys()
    wrong = find_wrong_types({name: (value, _TYPES[name]) for name, value in given.items()})
    for name in wrong:
        del given[name]
    wrong |= find_wrong_types({"event_sources": (event_sources, Sequence[Bindable])})
    timeout = given.setdefault("timeout", Duration.seconds(DEFAULT_TIMEOUT_SECONDS))
    given.setdefault("visibility_timeout", Duration.seconds(2 * _seconds(timeout)))
    not_judged = EngineProps.__required_keys__ - given.keys()
    given |= dict.fromkeys(not_judged, ())
    resolved = ResolvedProps(**given)
    violations = [
        each
        for each in resolved.find_violations()
        if not any(each.startswith(f"{name} is empty") for name in not_judged)
    ]
    raise_violations(
        "PackagingEngine",
        names=[*unknown, *(f"requires the prop {name!r}" for name in sorted(absent))],
        wrong_types=wrong.values(),
        violations=violations,
    )
    return resolved


def _seconds(duration: Duration) -> int:
    return int(duration.to_seconds(integral=False))


def _mebibytes(size: Size) -> int:
    return int(size.to_mebibytes(rounding=SizeRoundingBehavior.FLOOR))


def _names(buckets: Sequence[s3.IBucket]) -> tuple[str, ...]:
    return tuple(bucket.bucket_name for bucket in buckets)
