"""The events that the functions log: one type for each, with its fields and level.

An event's `message` is the tag of its type, so readers of the log decode it into the type that
wrote it. docs/reference/logs.md has a table that is generated from them. None of them has
metadata values.
"""

import logging
from typing import ClassVar, TypeAlias, TypedDict

import msgspec

from quilt_packager_runtime.formats.outcome import Result
from quilt_packager_runtime.requests.sources import MessageSource


class LogEvent(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False, tag_field="message"
):
    """A logged event. Unknown fields are None and left out of the log."""

    level: ClassVar[int] = logging.INFO


class JobEvent(LogEvent, frozen=True, kw_only=True):
    """An event of a job. All functions that work on a job log its message's id."""

    message_id: str


class Origin(TypedDict, total=False):
    """The origin of a job, as keyword arguments of the events that include it."""

    source: str
    trigger: str
    event_id: str | None
    event_source: str | None
    sources: tuple[MessageSource, ...] | None
    ignored_fields: tuple[str, ...] | None


class _OriginEvent(JobEvent, frozen=True, kw_only=True):
    source: str | None = None
    trigger: str | None = None
    event_id: str | None = None
    event_source: str | None = None
    sources: tuple[MessageSource, ...] | None = None
    ignored_fields: tuple[str, ...] | None = None


class PackageStarted(_OriginEvent, tag="package started", frozen=True, kw_only=True):
    """The message is valid, and an attempt at its job begins."""

    delivery: int
    queued_seconds: float | None = None
    registry: str
    package_name: str | None = None


class PackageProgress(JobEvent, tag="package progress", frozen=True, kw_only=True):
    """A job enters a phase, or continues in it: at most every 10 seconds."""

    phase: str
    done: int
    total: int | None = None


class LargeJobStarted(_OriginEvent, tag="large job started", frozen=True, kw_only=True):
    """The job is too large for one invocation, and continues in the state machine."""

    shards: int
    left: int
    execution: str


class LargeJobRedelivered(JobEvent, tag="large job redelivered", frozen=True, kw_only=True):
    """The message was redelivered although its job continues in the state machine."""

    execution: str


class AnotherRoundStarted(JobEvent, tag="another round started", frozen=True, kw_only=True):
    """Objects of a large job changed, or time ran short: workers hash what is left."""

    round: int
    shards: int
    left: int


class ShardHashed(JobEvent, tag="shard hashed", frozen=True, kw_only=True):
    """A worker of a large job hashed its shard."""

    round: int
    shard: int
    objects: int
    bytes: int
    seconds: float


class StepFailed(JobEvent, tag="step failed", frozen=True, kw_only=True):
    """A step of a large job failed; the state machine retries it or fails the job."""

    level: ClassVar[int] = logging.WARNING

    step: str
    round: int
    shard: int | None = None
    code: str
    reason: str
    happened: str
    why: str
    remedy: str


class FilesAwaited(_OriginEvent, tag="files awaited", frozen=True, kw_only=True):
    """The folder lacks required files; the job looks for them again after a pause."""

    seconds: int
    gives_up_seconds: int | None = None
    missing: int | None = None
    happened: str
    execution: str


class ChecksumsAwaited(JobEvent, tag="checksums awaited", frozen=True, kw_only=True):
    """S3 Batch Operations hashes archived objects; the job looks again after a pause."""

    seconds: int
    execution: str


class MessageDeferred(_OriginEvent, tag="message deferred", frozen=True, kw_only=True):
    """The message stays hidden, so that its folder can settle or a service recover."""

    seconds: int


class MessageNotDeferred(JobEvent, tag="message not deferred", frozen=True, kw_only=True):
    """The message could not be deferred; the queue's visibility timeout applies."""

    level: ClassVar[int] = logging.WARNING

    reason: str


class MessageIgnored(JobEvent, tag="message ignored", frozen=True, kw_only=True):
    """The message requests no package."""

    why: str


class _SuccessEvent(_OriginEvent, frozen=True, kw_only=True):
    outcome: Result
    package_name: str
    registry: str
    top_hash: str
    previous_top_hash: str | None = None
    objects: int | None = None
    bytes: int | None = None
    reused: int | None = None
    stored: int | None = None
    computed: int | None = None
    verified: int | None = None
    verified_by_reading: int | None = None
    checksum_lists: str | None = None
    required: int | None = None
    carried_entries: int | None = None
    carried_fields: int | None = None
    input_packages: tuple[str, ...] | None = None
    remark: str | None = None
    seconds: float


class PackageCreated(_SuccessEvent, tag="package created", frozen=True, kw_only=True):
    """The job published a revision."""

    foreign_top_hash: str | None = None
    conflicts: str | None = None


class PackageUnchanged(_SuccessEvent, tag="package unchanged", frozen=True, kw_only=True):
    """The job found its package up to date, or a newer message had published it."""

    manifest_refreshed: bool | None = None


class _FailureEvent(_OriginEvent, frozen=True, kw_only=True):
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


class PackageRejected(_FailureEvent, tag="package rejected", frozen=True, kw_only=True):
    """The job cannot succeed without a change to its message or objects."""

    level: ClassVar[int] = logging.WARNING

    quarantine: str | None = None


class PackageFailed(_FailureEvent, tag="package failed", frozen=True, kw_only=True):
    """An attempt failed; another one may succeed."""

    level: ClassVar[int] = logging.ERROR


class OutcomeNotPublished(JobEvent, tag="outcome not published", frozen=True, kw_only=True):
    """A job ended without its notification, or, at its last delivery, without its event."""

    level: ClassVar[int] = logging.ERROR

    destination: str
    reason: str


class PrefixReady(LogEvent, tag="prefix ready", frozen=True, kw_only=True):
    """The coalescer requests a package: uploads to a folder have stopped."""

    source: str
    uploads: int


class UploadsNotRecorded(LogEvent, tag="uploads not recorded", frozen=True, kw_only=True):
    """The coalescer could not record uploads; SQS redelivers their messages."""

    level: ClassVar[int] = logging.ERROR

    code: str
    reason: str
    messages: int


class _PromotionEvent(LogEvent, frozen=True, kw_only=True):
    event_id: str
    from_registry: str
    from_package_name: str
    from_top_hash: str
    registry: str
    package_name: str


class RevisionPromoted(_PromotionEvent, tag="revision promoted", frozen=True, kw_only=True):
    """A revision is the newest of its package in another registry, now or already."""

    outcome: str
    seconds: float
    top_hash: str
    objects: int
    bytes: int
    copied: int | None = None
    present: int | None = None
    previous_top_hash: str | None = None
    foreign_top_hash: str | None = None
    remark: str | None = None


class PromotionFailed(_PromotionEvent, tag="promotion failed", frozen=True, kw_only=True):
    """An attempt at a promotion failed."""

    level: ClassVar[int] = logging.ERROR

    final: bool
    code: str
    reason: str
    happened: str
    why: str
    remedy: str


class PromotionContinues(_PromotionEvent, tag="promotion continues", frozen=True, kw_only=True):
    """The time of an invocation is over; another one copies the rest."""

    copied: int
    present: int


class PromotionSkipped(_PromotionEvent, tag="promotion skipped", frozen=True, kw_only=True):
    """The metadata of a revision does not match those of the rule."""


class MessageRejected(LogEvent, tag="message rejected", frozen=True, kw_only=True):
    """A message to the coalescer describes no upload, and is now a dead letter."""

    level: ClassVar[int] = logging.WARNING

    reason: str


class DamagedEntry(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A damage that an audit found in a package; `logical_key` is absent for the whole package."""

    code: str
    happened: str
    remedy: str
    logical_key: str | None = None
    uri: str | None = None
    replacement: str | None = None
    is_same_content: bool = False


class PackageAudited(LogEvent, tag="package audited", frozen=True, kw_only=True):
    """The audit compared a package, or some of its entries, with what S3 has.

    `block` is absent unless it continued within the package. `expiring` counts the versions that
    lifecycle rules will delete or archive, from `first_loss` on.
    """

    registry: str
    package_name: str
    top_hash: str | None = None
    entries: int
    damaged: int
    unchecked: int = 0
    unread: int = 0
    expiring: int = 0
    first_loss: str | None = None
    block: int | None = None
    warnings: tuple[str, ...] = ()
    seconds: float


class PackageDamaged(LogEvent, tag="package damaged", frozen=True, kw_only=True):
    """The audit found damage in a package."""

    level: ClassVar[int] = logging.ERROR

    registry: str
    package_name: str
    top_hash: str | None = None
    damaged: int
    findings: tuple[DamagedEntry, ...]


class PackageNotAudited(LogEvent, tag="package not audited", frozen=True, kw_only=True):
    """The audit could not check a package, and goes on to the next."""

    level: ClassVar[int] = logging.WARNING

    registry: str
    package_name: str
    code: str
    reason: str


class DamageNotPublished(LogEvent, tag="damage not published", frozen=True, kw_only=True):
    """The event or the notification of damage was refused; the next audit repeats it."""

    level: ClassVar[int] = logging.ERROR

    destination: str
    reason: str


AttemptEnded: TypeAlias = PackageCreated | PackageUnchanged | PackageRejected | PackageFailed
"""The end of an attempt at a job."""

JobStep: TypeAlias = (
    PackageStarted
    | PackageProgress
    | LargeJobStarted
    | LargeJobRedelivered
    | AnotherRoundStarted
    | FilesAwaited
    | ChecksumsAwaited
    | MessageDeferred
    | MessageIgnored
    | AttemptEnded
)
"""The events that determine the state of a job."""

AnyLogEvent: TypeAlias = (
    JobStep
    | ShardHashed
    | StepFailed
    | MessageNotDeferred
    | OutcomeNotPublished
    | PrefixReady
    | UploadsNotRecorded
    | MessageRejected
    | PackageAudited
    | PackageDamaged
    | PackageNotAudited
    | DamageNotPublished
    | RevisionPromoted
    | PromotionFailed
    | PromotionContinues
    | PromotionSkipped
)
"""Every typed event. `server_side_copy`, `publish` and `reuse` log untyped warnings; Lambda and
Powertools write lines of their own."""
