"""Limits of AWS, as types against which props and context flags are validated.

CDK accepts most of these values, and the deployment or every job fails later.
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from quilt_packager_runtime.settings import EXTRA_RECEIVES, Settings

AlarmSeconds = Annotated[int, Meta(ge=60, le=14 * 24 * 60 * 60)]
AlarmThreshold = Annotated[int, Meta(ge=1)]
Archived = Literal["reject", "s3_batch"]
AuditSample = Annotated[float, Meta(ge=0, le=1)]
AwsRegion = Annotated[str, Meta(pattern=r"^[a-z]{2,4}(-[a-z]+)+-[0-9]$")]
# As CDK has it for existing buckets: it raises errors of its own.
_BUCKET_NAME = r"^(?!.*(\.\.|\.-|-\.))(?!(\d+\.){3}\d+$)[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]$"
# EventBridge Scheduler checks the rest at the deployment.
AuditSchedule = Annotated[str, Meta(pattern=r"^((rate|cron)\([^()]+\))?$")]
BucketName = Annotated[str, Meta(pattern=_BUCKET_NAME)]
BucketNameOrEmpty = Annotated[str, Meta(pattern=f"^$|{_BUCKET_NAME}")]
CatalogUrl = Annotated[str, Meta(pattern=r"^https://[^\s/]+/?$")]
EngineName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
EventBusName = Annotated[str, Meta(pattern=r"^[A-Za-z0-9._/-]{1,256}$")]
EphemeralMebibytes = Annotated[int, Meta(ge=512, le=10240)]
EventSourceName = Annotated[str, Meta(pattern=r"^(?!aws\.)[A-Za-z0-9._/-]{1,256}$")]
KeyPrefix = Annotated[str, Meta(min_length=1, max_length=1024)]
MaxConcurrency = Annotated[int, Meta(ge=2, le=1000)]
ChecksumConcurrency = Annotated[int, Meta(ge=1, le=1000)]
MaxInlineMebibytes = Annotated[int, Meta(ge=0)]
MaxInlineObjects = Annotated[int, Meta(ge=0)]
# SQS delivers up to 1000 times.
MaxReceiveCount = Annotated[int, Meta(ge=1, le=1000 - EXTRA_RECEIVES)]
MaxShardMebibytes = Annotated[int, Meta(ge=1)]
MaxShardObjects = Annotated[int, Meta(ge=1, le=100_000)]
# A job that reads many objects of 8 MiB takes 307 MiB, besides Lambda's own runtime.
MemoryMebibytes = Annotated[int, Meta(ge=512, le=10240)]
PrefixDepth = Annotated[int, Meta(ge=1, le=100)]
# The longest name is `<prefix>-large-job`, and IAM takes 64 characters.
RoleNamePrefix = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_+=,.@-]{1,54}$")]
ThresholdEventCount = Annotated[int, Meta(ge=1, le=1000)]
ThresholdSeconds = Annotated[int, Meta(ge=1, le=12 * 60 * 60)]
# A job stops a minute before its function's end, to hand over what is left.
TimeoutSeconds = Annotated[int, Meta(ge=120, le=900)]

MAX_VISIBILITY_SECONDS = 12 * 60 * 60
MIN_RETENTION_SECONDS = 60
MAX_RETENTION_SECONDS = 14 * 24 * 60 * 60
MIN_EPHEMERAL_MEBIBYTES = 512

MEBIBYTE = 1024 * 1024

DEFAULT_EPHEMERAL_MEBIBYTES = 10240
DEFAULT_MAX_CONCURRENCY = 10
DEFAULT_MAX_INLINE_MEBIBYTES = Settings().max_inline_bytes // MEBIBYTE
DEFAULT_MAX_INLINE_OBJECTS = Settings().max_inline_objects
DEFAULT_MAX_SHARD_MEBIBYTES = Settings().max_shard_bytes // MEBIBYTE
DEFAULT_MAX_SHARD_OBJECTS = Settings().max_shard_objects


def find_violations(values: Mapping[str, tuple[object, Any]]) -> list[str]:
    """Return a sentence for each value that does not match its type.

    Args:
        values: Values with their types, by the names that the reader knows them by.

    Example:
        >>> find_violations({"memory_size": (64, MemoryMebibytes), "a": (2, MaxConcurrency)})
        ['memory_size is 64: Expected `int` >= 512']
    """
    violations = []
    for name, (value, type_) in values.items():
        try:
            msgspec.convert(value, type_)
        except msgspec.ValidationError as error:
            violations.append(f"{name} is {value!r}: {error}")
    return violations


def find_unknown(given: Iterable[str], known: Iterable[str], kind: str) -> list[str]:
    """Return a sentence for each unknown name, with a suggestion.

    Args:
        given: The names that were given.
        known: Those that there are.
        kind: The kind of the names.

    Example:
        >>> find_unknown(["memory", "timeout"], ["memory_size", "timeout"], "prop")
        ["has no prop 'memory'. Did you mean 'memory_size'?"]
    """
    known = list(known)
    unknown = []
    for name in given:
        if name not in known:
            similar = difflib.get_close_matches(name, known, n=1)
            hint = f". Did you mean {similar[0]!r}?" if similar else ""
            unknown.append(f"has no {kind} {name!r}{hint}")
    return unknown
