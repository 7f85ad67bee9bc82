"""What an engine may do and how: set by the construct, read by the handlers, one class for both.

The environment carries it as `QUILT_PACKAGER_<FIELD>`, so no name is written twice.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Self

import msgspec

from quilt_packager_runtime.formats.objects import ChecksumAlgorithm
from quilt_packager_runtime.requests.source_options import SourceOptions

__all__ = [
    "EXTRA_RECEIVES",
    "METRICS_NAMESPACE",
    "PREFIX",
    "ChecksumAlgorithm",
    "Metric",
    "Settings",
]

PREFIX = "QUILT_PACKAGER_"

METRICS_NAMESPACE = "QuiltPackager"
"""The CloudWatch namespace of the runtime's metrics; their one dimension is `service`."""

EXTRA_RECEIVES = 2
"""How often SQS delivers a message beside the attempts at it.

Once to tell of a last attempt that died silently, and once for its folder to settle.
"""


class Metric(StrEnum):
    """The metrics that the runtime emits and the construct offers for alarms, one value a job."""

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
    UPLOADS = "Uploads"
    PREFIXES_ANNOUNCED = "PrefixesAnnounced"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one engine.

    Attributes:
        source_buckets: Buckets to read data and metadata from; empty: any that IAM allows.
        registry_buckets: Buckets to write packages to; empty: any that IAM allows.
        default_registry: Where packages go whose message names no registry; None: to the bucket of
            their source.
        scratch_bucket: Where multipart copies are hashed by S3, and large jobs keep their files;
            None: read the bytes instead.
        scratch_buckets: Buckets for the copies of objects of other regions: `region=bucket`.
        checksum_algorithms: Acceptable algorithms, the most wanted first. A stored checksum of
            any of them serves; what must be computed is computed in the first.
        dead_letter_queue_url: Where messages go that nothing more is done about.
        max_attempts: How often a message is tried before it is one of those; None: SQS knows.
        engine: The engine's name in the events of its outcomes.
        event_bus: The bus that outcomes are announced on; None: they are not.
        notifications_topic_arn: Where people read of packages that will not be; None: nowhere.
        catalog_url: The Quilt catalog that the registries are seen in; None: there is none.
        quarantine_registry: Where packages go that break the rules of their registry; None:
            nowhere.
        max_requests_in_flight: How many S3 requests a job keeps in flight at most.
        state_machine_arn: What goes on with jobs that are too large for one invocation; None: they
            fail.
        max_inline_objects: How many checksums one invocation is to find at most.
        max_inline_bytes: How many bytes it is to hash for them at most; what S3 has hashed does not
            count, as far as its listing tells.
        max_shard_objects: How many objects of a large job one worker is given at most.
        max_shard_bytes: How many bytes these have at most. Larger objects are shared by workers.
        sources: The options of the event sources, which their events are treated by.

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
    max_requests_in_flight: int = 128
    state_machine_arn: str | None = None
    max_inline_objects: int = 500_000
    max_inline_bytes: int = 1024**4
    max_shard_objects: int = 20_000
    max_shard_bytes: int = 32 * 1024**3
    sources: tuple[SourceOptions, ...] = ()

    def __post_init__(self) -> None:
        """Refuse values that no job could run with."""
        if not self.checksum_algorithms:
            raise ValueError("checksum_algorithms is empty; name at least SHA256_CHUNKED")
        for field in ("max_requests_in_flight", "max_shard_objects", "max_shard_bytes"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} is {getattr(self, field)}; at least 1")

    def to_environment(self) -> dict[str, str]:
        """The environment variables that carry these settings; None and empty are left out."""
        variables = {}
        for field in self.__struct_fields__:
            value = getattr(self, field)
            text = _write_tuple(value) if isinstance(value, tuple) else value
            if text not in ("", None):
                variables[PREFIX + field.upper()] = str(text)
        return variables

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Self:
        """Read what `to_environment` wrote; what is absent has its default.

        Raises:
            ValueError: A variable has a value of the wrong form.
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
            message = f"The environment variables {PREFIX}* do not fit: {error}"
            raise ValueError(message) from error


def _write_tuple(values: tuple[str | SourceOptions, ...]) -> str:
    """Words between commas, or the JSON of what is more than a word."""
    if all(isinstance(value, str) for value in values):
        return ",".join(map(str, values))
    return msgspec.json.encode(values).decode()


def _read_tuple(text: str) -> object:
    return msgspec.json.decode(text) if text.startswith("[") else text.split(",")
