"""The lines of the engine's log: what each is called, its fields, and how loud it is.

A line's `message` is its kind: whoever reads the log reads it into these types. They are documented
in docs/reference/logs.md, which a test compares with them. Values of metadata are in none.
"""

import logging
from typing import ClassVar, TypeAlias, TypedDict

import msgspec

from quilt_packager_runtime.formats.outcome import Result


class Line(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="message"
):
    """A line. What is not known of it has None, and is left out."""

    level: ClassVar[int] = logging.INFO


class JobLine(Line, frozen=True, kw_only=True):
    """A line of a job: all of them together are its story, whichever function wrote them."""

    message_id: str


class Origin(TypedDict, total=False):
    """Where a job came from, as arguments of the lines that tell so."""

    source: str
    trigger: str
    event_id: str | None
    event_source: str | None
    ignored_fields: tuple[str, ...] | None


class _OriginLine(JobLine, frozen=True, kw_only=True):
    source: str | None = None
    trigger: str | None = None
    event_id: str | None = None
    event_source: str | None = None
    ignored_fields: tuple[str, ...] | None = None


class PackageStarted(_OriginLine, tag="package started", frozen=True, kw_only=True):
    """The message of a job is understood, and this attempt at it begins."""

    delivery: int
    registry: str
    package_name: str | None = None


class PackageProgress(JobLine, tag="package progress", frozen=True, kw_only=True):
    """How far a job is."""

    phase: str
    done: int
    total: int | None = None


class LargeJobStarted(_OriginLine, tag="large job started", frozen=True, kw_only=True):
    """The job is too large for one invocation, and goes on under the state machine."""

    shards: int
    left: int
    execution: str


class LargeJobRedelivered(JobLine, tag="large job redelivered", frozen=True, kw_only=True):
    """The message was delivered again, of a job that goes on under the state machine."""

    execution: str


class AnotherRoundStarted(JobLine, tag="another round started", frozen=True, kw_only=True):
    """A large job could not be published yet: the map goes over what is left."""

    round: int
    shards: int
    left: int


class ShardHashed(JobLine, tag="shard hashed", frozen=True, kw_only=True):
    """A worker of a large job is done."""

    round: int
    shard: int
    objects: int
    bytes: int
    seconds: float


class StepFailed(JobLine, tag="step failed", frozen=True, kw_only=True):
    """A step of a large job failed. The state machine tries again, or gives up."""

    level: ClassVar[int] = logging.WARNING

    step: str
    round: int
    shard: int | None = None
    code: str
    reason: str
    happened: str
    why: str
    remedy: str


class MessageDeferred(_OriginLine, tag="message deferred", frozen=True, kw_only=True):
    """The message comes back later."""

    seconds: int


class MessageNotDeferred(JobLine, tag="message not deferred", frozen=True, kw_only=True):
    """It could not be put off, and comes back when its visibility timeout is over."""

    level: ClassVar[int] = logging.WARNING

    reason: str


class MessageIgnored(JobLine, tag="message ignored", frozen=True, kw_only=True):
    """The message asks for nothing."""

    why: str


class _SuccessLine(_OriginLine, frozen=True, kw_only=True):
    outcome: Result
    package_name: str
    registry: str
    top_hash: str
    previous_top_hash: str | None = None
    objects: int
    bytes: int
    reused: int
    stored: int
    computed: int
    remark: str | None = None
    seconds: float


class PackageCreated(_SuccessLine, tag="package created", frozen=True, kw_only=True):
    """The job published a revision."""


class PackageUnchanged(_SuccessLine, tag="package unchanged", frozen=True, kw_only=True):
    """The job found its package up to date."""


class _NoPackageLine(_OriginLine, frozen=True, kw_only=True):
    outcome: Result
    package_name: str | None = None
    registry: str | None = None
    code: str
    reason: str
    happened: str
    why: str
    remedy: str
    seconds: float
    final: bool


class PackageRejected(_NoPackageLine, tag="package rejected", frozen=True, kw_only=True):
    """The job can never succeed as it is."""

    level: ClassVar[int] = logging.WARNING

    quarantine: str | None = None


class PackageFailed(_NoPackageLine, tag="package failed", frozen=True, kw_only=True):
    """An attempt failed that could have succeeded."""

    level: ClassVar[int] = logging.ERROR


class PrefixReady(Line, tag="prefix ready", frozen=True, kw_only=True):
    """Uploads to a folder have come to rest."""

    source: str
    uploads: int


class UploadsNotRecorded(Line, tag="uploads not recorded", frozen=True, kw_only=True):
    """Uploads could not be recorded, and are delivered again."""

    level: ClassVar[int] = logging.ERROR

    code: str
    reason: str
    messages: int


class MessageRejected(Line, tag="message rejected", frozen=True, kw_only=True):
    """What came to the queue of uploads is none, and is a dead letter now."""

    level: ClassVar[int] = logging.WARNING

    reason: str


EndLine: TypeAlias = PackageCreated | PackageUnchanged | PackageRejected | PackageFailed

AnyLine: TypeAlias = (
    EndLine
    | PackageStarted
    | PackageProgress
    | LargeJobStarted
    | LargeJobRedelivered
    | AnotherRoundStarted
    | ShardHashed
    | StepFailed
    | MessageDeferred
    | MessageNotDeferred
    | MessageIgnored
    | PrefixReady
    | UploadsNotRecorded
    | MessageRejected
)
"""Every line that has a type. There are others: warnings of `copying`, `registry` and `reuse`, and
what Lambda and Powertools write themselves."""

END_LINES: dict[Result, type[EndLine]] = {
    Result.CREATED: PackageCreated,
    Result.UNCHANGED: PackageUnchanged,
    Result.REJECTED: PackageRejected,
    Result.FAILED: PackageFailed,
}
