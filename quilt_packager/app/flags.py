"""The context flags of the stack: `quilt:…` in `cdk.json`, or `-c` on the command line.

There every value is text, so each flag is read from text as well as from JSON.
"""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self, get_args

import msgspec
from msgspec import Meta
from quilt_packager_runtime.errors import name_some, quote
from quilt_packager_runtime.requests.events import OMICS_STATUSES, health_omics_pattern
from quilt_packager_runtime.settings import ChecksumAlgorithm, OnForeignRevision

from quilt_packager.app.custom_rules import CustomRule, read_custom_rules
from quilt_packager.app.source_flags import SOURCES, read_source_flags
from quilt_packager.app.upload_flags import UploadRules, read_upload_rules
from quilt_packager.contract import (
    DEFAULT_CHECKSUM_CONCURRENCY,
    DEFAULT_MEMORY_MEBIBYTES,
    DEFAULT_TIMEOUT_SECONDS,
    EDP,
    FLAG_PREFIX,
    UPLOADS,
)
from quilt_packager.guardrails.limits import (
    DEFAULT_EPHEMERAL_MEBIBYTES,
    DEFAULT_MAX_CONCURRENCY,
    DEFAULT_MAX_INLINE_MEBIBYTES,
    DEFAULT_MAX_INLINE_OBJECTS,
    DEFAULT_MAX_SHARD_MEBIBYTES,
    DEFAULT_MAX_SHARD_OBJECTS,
    Archived,
    AuditSchedule,
    AwsRegion,
    BucketName,
    BucketNameOrEmpty,
    ChecksumConcurrency,
    EphemeralMebibytes,
    MaxConcurrency,
    MaxInlineMebibytes,
    MaxInlineObjects,
    MaxShardMebibytes,
    MaxShardObjects,
    MemoryMebibytes,
    TimeoutSeconds,
)

_Buckets = Annotated[
    tuple[BucketName, ...], Meta(description="names of existing buckets, separated by commas")
]
_Switch = Annotated[bool, Meta(description="true or false")]
_KeyArn = Annotated[str, Meta(pattern=r"^arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+$")]

_TopicArn = Annotated[
    str,
    Meta(
        pattern=r"^(arn:[^:]+:sns:[^:]+:[0-9]{12}:.+)?$",
        description="the ARN of an SNS topic, or empty",
    ),
]


class ContextError(ValueError):
    """The context has invalid flags. The message lists them, and the valid flags."""

    @classmethod
    def of(cls, violations: Sequence[str]) -> Self:
        """Create the error for some flags.

        Args:
            violations: One sentence for each invalid flag.
        """
        return cls(_explain(violations))


class ContextFlags(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """The context flags of the stack, with their defaults.

    Attributes:
        stack_name: Name of the stack.
        source_buckets: Names of existing buckets to package data from. Empty: the stack creates
            one, which is also a registry.
        registry_buckets: Names of existing buckets to write packages to. Empty: the source buckets.
        bucket_keys: ARNs of the KMS keys of existing buckets, by the buckets' names.
        omics: Package HealthOmics runs.
        omics_statuses: Statuses on which a run is packaged.
        wrroc: Package folders to which a Workflow Run RO-Crate is written.
        edp: Name of the event bus of Event-Driven Packaging. Empty: no rule for its events.
        source_options: Package options of these sources and of uploads, as JSON or the path of a
            file. Empty: the defaults.
        uploads: Props of `ObjectUploads`: `true`, JSON or the path of a file. Empty: uploads are
            not packaged.
        custom: Path of a JSON file of rules for other events. Empty: none.
        checksum_algorithms: Acceptable algorithms, the preferred one first.
        architecture: CPU architecture of the functions; `host` for an embedded AWS on this machine.
        memory_size: Memory of each function in MiB.
        timeout: Maximum duration of an invocation in seconds.
        ephemeral_storage_size: Size of the functions' `/tmp` in MiB.
        max_concurrency: Maximum number of concurrent jobs.
        max_inline_objects: Maximum number of objects that one invocation hashes.
        max_inline_size: Maximum size that one invocation hashes, in MiB.
        max_shard_objects: Maximum number of objects in a shard of a large job.
        max_shard_size: Maximum size of a shard in MiB.
        checksum_concurrency: Maximum number of concurrent workers of a large job.
        scratch_buckets: Names of existing buckets, by region, in which S3 copies objects of that
            region to hash them.
        event_bus: Name of the event bus for outcomes. Empty: the account's default bus.
        notifications_topic: ARN of the topic for notifications of failures. Empty: none.
        notifications_topic_key: ARN of the topic's KMS key. Empty: no customer managed key.
        quarantine_registry: Name of an existing bucket for packages that violate the workflow of
            their registry. Empty: none.
        on_foreign_revision: Handling of a newest revision that another writer published.
        archived: Handling of archived objects without a usable stored checksum.
        catalog_url: URL of the Quilt catalog, for links in events. Empty: none.
        alarms_topic: ARN of the topic that alarms notify. Empty: no alarms.
        dashboard: Create a CloudWatch dashboard.
        publish_schema: Publish the schema of outcome events.
        audit: Schedule of the audit of all packages. Empty: no audit.
        audit_sample: Share of the objects whose bytes the audit reads.
        lineage: Name the packages that hold the inputs of a run.
    """

    stack_name: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z][A-Za-z0-9-]{0,127}$",
            description="up to 128 letters, digits and -, of which the first is a letter",
        ),
    ] = "quilt-packager"
    source_buckets: _Buckets = ()
    registry_buckets: _Buckets = ()
    bucket_keys: Annotated[
        dict[BucketName, _KeyArn],
        Meta(description="bucket=arn:aws:kms:…, separated by commas, of buckets that flags name"),
    ] = {}
    omics: _Switch = True
    omics_statuses: Annotated[
        tuple[str, ...], Meta(description=f"one or more of {', '.join(OMICS_STATUSES)}")
    ] = ("COMPLETED",)
    wrroc: _Switch = True
    edp: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._/-]{0,256}$", description="an event bus's name, or empty")
    ] = ""
    source_options: Annotated[
        str, Meta(description="a JSON object, the path of a JSON file, or empty")
    ] = ""
    uploads: Annotated[
        str, Meta(description="true, a JSON object, the path of a JSON file, or empty")
    ] = ""
    custom: Annotated[str, Meta(description="the path of a JSON file of rules, or empty")] = ""
    checksum_algorithms: Annotated[
        tuple[ChecksumAlgorithm, ...],
        Meta(min_length=1, description=f"one or more of {', '.join(ChecksumAlgorithm)}"),
    ] = (ChecksumAlgorithm.SHA256_CHUNKED,)
    architecture: Annotated[
        Literal["arm64", "x86_64", "host"], Meta(description="arm64, x86_64 or host")
    ] = "arm64"
    memory_size: Annotated[MemoryMebibytes, Meta(description="512 to 10240 (MiB)")] = (
        DEFAULT_MEMORY_MEBIBYTES
    )
    timeout: Annotated[TimeoutSeconds, Meta(description="120 to 900 (seconds)")] = (
        DEFAULT_TIMEOUT_SECONDS
    )
    ephemeral_storage_size: Annotated[
        EphemeralMebibytes, Meta(description="512 to 10240 (MiB)")
    ] = DEFAULT_EPHEMERAL_MEBIBYTES
    max_concurrency: Annotated[MaxConcurrency, Meta(description="2 to 1000 (jobs)")] = (
        DEFAULT_MAX_CONCURRENCY
    )
    max_inline_objects: Annotated[MaxInlineObjects, Meta(description="0 or more (objects)")] = (
        DEFAULT_MAX_INLINE_OBJECTS
    )
    max_inline_size: Annotated[MaxInlineMebibytes, Meta(description="0 or more (MiB)")] = (
        DEFAULT_MAX_INLINE_MEBIBYTES
    )
    max_shard_objects: Annotated[MaxShardObjects, Meta(description="1 to 100000 (objects)")] = (
        DEFAULT_MAX_SHARD_OBJECTS
    )
    max_shard_size: Annotated[MaxShardMebibytes, Meta(description="1 or more (MiB)")] = (
        DEFAULT_MAX_SHARD_MEBIBYTES
    )
    checksum_concurrency: Annotated[
        ChecksumConcurrency, Meta(description="1 to 1000 (workers)")
    ] = DEFAULT_CHECKSUM_CONCURRENCY
    scratch_buckets: Annotated[
        dict[AwsRegion, BucketName],
        Meta(description="region=bucket, separated by commas"),
    ] = {}
    event_bus: Annotated[
        str, Meta(pattern=r"^[A-Za-z0-9._/-]{0,256}$", description="an event bus's name, or empty")
    ] = ""
    notifications_topic: _TopicArn = ""
    notifications_topic_key: Annotated[
        str,
        Meta(
            pattern=r"^(arn:[^:]+:kms:[^:]+:[0-9]{12}:key/.+)?$",
            description="the ARN of a KMS key, or empty",
        ),
    ] = ""
    quarantine_registry: Annotated[
        BucketNameOrEmpty, Meta(description="the name of an existing bucket, or empty")
    ] = ""
    on_foreign_revision: Annotated[
        OnForeignRevision, Meta(description=" or ".join(get_args(OnForeignRevision)))
    ] = "replace"
    archived: Annotated[Archived, Meta(description=" or ".join(get_args(Archived)))] = "reject"
    catalog_url: Annotated[
        str, Meta(pattern=r"^(https://[^\s/]+/?)?$", description="https://catalog.host, or empty")
    ] = ""
    alarms_topic: _TopicArn = ""
    dashboard: _Switch = False
    publish_schema: _Switch = False
    audit: Annotated[
        AuditSchedule, Meta(description="rate(7 days), cron(0 3 ? * SUN *), or empty")
    ] = ""
    audit_sample: Annotated[
        str, Meta(pattern=r"^((100|[0-9]{1,2}(\.[0-9]+)?)%)?$", description="1%, or empty for none")
    ] = ""
    lineage: _Switch = False

    @classmethod
    def from_context(cls, context: Mapping[str, Any]) -> Self:
        """Read the flags among all context values, and ignore those of CDK and of other libraries.

        Args:
            context: All context values, from `node.get_all_context()`.

        Raises:
            ContextError: Flags are unknown or have invalid values.

        Example:
            >>> ContextFlags.from_context({"quilt:omics": "false", "other:flag": 1}).omics
            False
        """
        given = {
            name.removeprefix(FLAG_PREFIX): value
            for name, value in context.items()
            if name.startswith(FLAG_PREFIX)
        }
        values: dict[str, Any] = {}
        violations = [_unknown(name) for name in given if name not in cls.__struct_fields__]
        for field in msgspec.structs.fields(cls):
            if field.name in given:
                try:
                    value = _structured(given[field.name], getattr(DEFAULTS, field.name))
                    values[field.name] = msgspec.convert(value, field.type, strict=False)
                except ValueError:  # msgspec's and json's are ValueErrors
                    violations.append(_invalid(field, given[field.name]))
        flags = cls(**values)
        violations += flags._find_contradictions()
        if violations:
            raise ContextError.of(violations)
        return flags

    def differing(self) -> dict[str, Any]:
        """Return the flags that are not the defaults, as in `cdk.json`.

        Example:
            >>> ContextFlags(omics=False, source_buckets=("runs",)).differing()
            {'quilt:source_buckets': ['runs'], 'quilt:omics': False}
        """
        defaults, values = msgspec.to_builtins(DEFAULTS), msgspec.to_builtins(self)
        return {
            FLAG_PREFIX + name: json.loads(json.dumps(value))
            for name, value in values.items()
            if value != defaults[name]
        }

    @cached_property
    def custom_rules(self) -> list[CustomRule]:
        """The rules of the `custom` file, which is read once.

        Raises:
            ValueError: It cannot be read, or is not a list of rules with unique ids.
        """
        return read_custom_rules(self.custom, reserved=SOURCES)

    @cached_property
    def source_props(self) -> dict[str, dict[str, Any]]:
        """The options of each source from `source_options`, which is read once.

        Raises:
            ValueError: It cannot be read, or has invalid options.
        """
        return read_source_flags(self.source_options)

    @cached_property
    def upload_rules(self) -> UploadRules | None:
        """The settings of `uploads`, which is read once. None: uploads are not packaged.

        Raises:
            ValueError: It cannot be read, or has invalid values.
        """
        return read_upload_rules(self.uploads)

    def _find_contradictions(self) -> list[str]:
        """Find violations in files and between flags."""
        violations = self._find_unused_keys()
        checks: dict[str, Callable[[], object]] = {
            "omics_statuses": lambda: health_omics_pattern(self.omics_statuses),
            "custom": lambda: self.custom_rules,
            "source_options": self._check_source_options,
            "uploads": self._check_uploads,
        }
        for name, check in checks.items():
            try:
                check()
            except ValueError as error:
                value = getattr(self, name)
                shown = f", {quote(value)}" if isinstance(value, str) else ""
                violations.append(f"{FLAG_PREFIX}{name}{shown}: {error}")
        return violations

    def _check_source_options(self) -> None:
        unused = []
        if self.source_props[EDP] and not self.edp:
            unused.append(f"it has options of edp, but {FLAG_PREFIX}edp names no event bus")
        if self.source_props[UPLOADS] and not self.uploads:
            unused.append(f"it has options of uploads, but {FLAG_PREFIX}uploads is not on")
        if unused:
            raise ValueError("; ".join(unused))

    def _check_uploads(self) -> None:
        watched = self.upload_rules.buckets if self.upload_rules else ()
        unknown = sorted({*watched} - {*self.source_buckets})
        if unknown:
            raise ValueError(f"{FLAG_PREFIX}source_buckets does not name {name_some(unknown)}")

    def _find_unused_keys(self) -> list[str]:
        """Find keys of buckets and of a topic that no flag names, and a sample without an audit."""
        violations = []
        unnamed = self.bucket_keys.keys() - {
            *self.source_buckets,
            *self.registry_buckets,
            *self.scratch_buckets.values(),
            self.quarantine_registry,
        }
        if unnamed:
            violations.append(
                f"{FLAG_PREFIX}bucket_keys names {name_some(sorted(unnamed))}, which no flag names "
                "as a bucket"
            )
        if self.quarantine_registry in (self.registry_buckets or self.source_buckets):
            violations.append(
                f"{FLAG_PREFIX}quarantine_registry is {quote(self.quarantine_registry)}: a "
                "registry bucket, where refused packages would take the place of good ones"
            )
        if self.notifications_topic_key and not self.notifications_topic:
            violations.append(
                f"{FLAG_PREFIX}notifications_topic_key is the key of nothing: "
                f"{FLAG_PREFIX}notifications_topic names no topic"
            )
        if self.audit_sample and not self.audit:
            violations.append(
                f"{FLAG_PREFIX}audit_sample is the sample of nothing: {FLAG_PREFIX}audit has no "
                "schedule"
            )
        return violations


DEFAULTS = ContextFlags()


def describe_flags() -> dict[str, tuple[str, object]]:
    """Return each flag's valid values and its default, as in `cdk.json`.

    Example:
        >>> describe_flags()["quilt:omics"]
        ('true or false', True)
    """
    return {
        FLAG_PREFIX + field.name: (
            _description(field),
            json.loads(msgspec.json.encode(getattr(DEFAULTS, field.name))),
        )
        for field in msgspec.structs.fields(ContextFlags)
    }


def _structured(value: object, default: object) -> object:
    """Read the text of a list or an object: JSON, or words between commas. `false` is no name."""
    if default == "" and value in (False, "false"):
        return default
    if default == "" and isinstance(value, dict | bool):  # as `-c` would have it
        return json.dumps(value)
    if not isinstance(value, str) or not isinstance(default, tuple | dict):
        return value
    if value.startswith(("[", "{")):
        return json.loads(value)
    words = [word for each in value.split(",") if (word := each.strip())]
    if isinstance(default, dict):
        return dict(word.split("=", 1) for word in words)
    return words


def _description(field: msgspec.structs.FieldInfo) -> str:
    return next(
        each.description
        for each in get_args(field.type)
        if isinstance(each, Meta) and each.description
    )


def _unknown(name: str) -> str:
    similar = difflib.get_close_matches(name, ContextFlags.__struct_fields__, n=1)
    hint = f"; did you mean {FLAG_PREFIX}{similar[0]}?" if similar else ""
    return f"{FLAG_PREFIX}{name} is unknown{hint}"


def _invalid(field: msgspec.structs.FieldInfo, value: object) -> str:
    shown = json.dumps(value, ensure_ascii=False)
    return f"{FLAG_PREFIX}{field.name} is {shown}; it may be {_description(field)}"


def _explain(violations: Sequence[str]) -> str:
    valid = [
        f"{name}: {description} (default {json.dumps(default)})"
        for name, (description, default) in describe_flags().items()
    ]
    return "\n  ".join(["Invalid context flags:", *violations]) + "\n  ".join(
        ["\nThe flags of this stack:", *valid]
    )
