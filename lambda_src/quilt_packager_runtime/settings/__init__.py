"""The settings of an engine: written by the construct, read by the handlers, one class for both.

The environment has them as `QUILT_PACKAGER_<FIELD>`, so that no name is written twice.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

import msgspec

from quilt_packager_runtime.formats.objects import ChecksumAlgorithm
from quilt_packager_runtime.settings.source_options import OnForeignRevision, SourceOptions

__all__ = [
    "EXTRA_RECEIVES",
    "METRICS_NAMESPACE",
    "PREFIX",
    "ChecksumAlgorithm",
    "Metric",
    "OnForeignRevision",
    "Settings",
]

PREFIX = "QUILT_PACKAGER_"

METRICS_NAMESPACE = "QuiltPackager"
"""CloudWatch namespace of the runtime's metrics, whose only dimension is `service`."""

EXTRA_RECEIVES = 2
"""Number of deliveries of a message in addition to its attempts.

One reports a last attempt that died without an outcome, and one waits for the folder to settle.
"""


class Metric(StrEnum):
    """The metrics that the runtime emits and the construct has alarms for, one value per job."""

    PACKAGES_CREATED = "PackagesCreated"
    PACKAGES_UNCHANGED = "PackagesUnchanged"
    PACKAGES_REJECTED = "PackagesRejected"
    PACKAGES_FAILED = "PackagesFailed"
    OBJECTS = "Objects"
    BYTES = "Bytes"
    REUSED = "ChecksumsReused"
    STORED = "ChecksumsStored"
    COMPUTED = "ChecksumsComputed"
    SECONDS = "Seconds"
    LARGE_JOBS = "LargeJobs"
    OUTCOMES_NOT_PUBLISHED = "OutcomesNotPublished"
    UPLOADS = "Uploads"
    PREFIXES_ANNOUNCED = "PrefixesAnnounced"
    PACKAGES_AUDITED = "PackagesAudited"
    PACKAGES_DAMAGED = "PackagesDamaged"
    REVISIONS_PROMOTED = "RevisionsPromoted"
    PROMOTIONS_FAILED = "PromotionsFailed"
    OBJECTS_COPIED = "ObjectsCopied"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one engine.

    Attributes:
        source_buckets: Buckets to read data and metadata from. Default: any that IAM allows.
        registry_buckets: Buckets to write packages to. Default: any that IAM allows.
        default_registry: Registry of packages whose message names none. Default: the bucket of
            their source.
        scratch_bucket: Bucket for the copies that S3 hashes, and for the files of large jobs.
            Default: bytes are read instead of copied.
        scratch_buckets: Buckets for copies of objects in other regions, as `region=bucket`.
        checksum_algorithms: Accepted algorithms of stored checksums. Missing checksums are computed
            with the first.
        dead_letter_queue_url: Queue for messages that are not retried.
        max_attempts: Maximum number of attempts at a message. Default: the queue's policy decides.
        engine: Name of the engine in its outcome events.
        event_bus: Bus of the outcome events. Default: there are none.
        notifications_topic_arn: Topic of the notifications of failures. Default: there are none.
        catalog_url: Quilt catalog that shows the registries, for links.
        quarantine_registry: Registry for packages that break the rules of their own. Default: they
            are not published.
        on_foreign_revision: Handling of a newest revision that another writer published.
        max_requests_in_flight: Maximum number of concurrent S3 requests of a job.
        state_machine_arn: State machine that continues jobs that are too large for one invocation.
            Default: they fail.
        max_inline_objects: Maximum number of checksums that one invocation determines.
        max_inline_bytes: Maximum number of bytes that it hashes. Objects do not count if the
            listing shows a usable checksum in S3.
        max_shard_objects: Maximum number of objects of a shard of a large job.
        max_shard_bytes: Maximum size of these objects. Larger objects are split between shards.
        batch_role_arn: Role by which S3 Batch Operations computes checksums of archived objects.
            Default: archived objects without a usable stored checksum are rejected.
        sources: Options of the event sources.
        audit_sample: Share of the objects whose bytes the audit reads. Default: none are read.
        lineage_table: Table of the index of lineage. Default: inputs are not looked up.

    Example:
        >>> settings = Settings(source_buckets=("raw", "runs"))
        >>> settings.to_environment()["QUILT_PACKAGER_SOURCE_BUCKETS"]
        'raw,runs'
        >>> Settings.from_environment(settings.to_environment()) == settings
        True
    """

    source_buckets: tuple[str, ...] = ()
    registry_buckets: tuple[str, ...] = ()
    default_registry: str | None = None
    scratch_bucket: str | None = None
    scratch_buckets: tuple[str, ...] = ()
    checksum_algorithms: tuple[ChecksumAlgorithm, ...] = (ChecksumAlgorithm.SHA256_CHUNKED,)
    dead_letter_queue_url: str | None = None
    max_attempts: int | None = None
    engine: str | None = None
    event_bus: str | None = None
    notifications_topic_arn: str | None = None
    catalog_url: str | None = None
    quarantine_registry: str | None = None
    on_foreign_revision: OnForeignRevision = "replace"
    max_requests_in_flight: int = 128
    state_machine_arn: str | None = None
    max_inline_objects: int = 500_000
    max_inline_bytes: int = 1024**4
    max_shard_objects: int = 20_000
    max_shard_bytes: int = 32 * 1024**3
    batch_role_arn: str | None = None
    sources: tuple[SourceOptions, ...] = ()
    audit_sample: float | None = None
    lineage_table: str | None = None

    def __post_init__(self) -> None:
        """Reject values that no job could run with."""
        if not self.checksum_algorithms:
            raise ValueError("checksum_algorithms is empty (minimum 1 algorithm)")
        for field in ("max_requests_in_flight", "max_shard_objects", "max_shard_bytes"):
            if getattr(self, field) < 1:
                raise ValueError(f"Invalid {field}: {getattr(self, field)} (minimum 1)")

    def to_environment(self) -> dict[str, str]:
        """Return the settings as environment variables, without None and empty values."""
        variables = {}
        for field in self.__struct_fields__:
            value = getattr(self, field)
            text = _write_tuple(value) if isinstance(value, tuple) else value
            if text not in ("", None):
                variables[PREFIX + field.upper()] = str(text)
        return variables

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read the settings that `to_environment` wrote.

        Raises:
            ValueError: The value of a variable is not valid.
        """
        values: dict[str, object] = {}
        for field in msgspec.structs.fields(cls):
            text = environment.get(PREFIX + field.name.upper())
            if text is not None:
                is_list = isinstance(field.default, tuple)
                values[field.name] = _read_tuple(text) if is_list else text
        try:
            return msgspec.convert(values, cls, strict=False)
        except msgspec.ValidationError as error:
            message = f"Invalid environment variables {PREFIX}*: {error}"
            raise ValueError(message) from error


def _write_tuple(values: tuple[str | SourceOptions, ...]) -> str:
    """Join words by commas; write other values as JSON."""
    if all(isinstance(value, str) for value in values):
        return ",".join(map(str, values))
    return msgspec.json.encode(values).decode()


def _read_tuple(text: str) -> object:
    return msgspec.json.decode(text) if text.startswith("[") else text.split(",")
