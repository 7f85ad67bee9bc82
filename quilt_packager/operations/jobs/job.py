"""A job, as it is told to people and programs."""

from datetime import datetime
from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where a job stands: the four ways in which it ends, and what comes before and instead."""

    QUEUED = "queued"
    RUNNING = "running"
    CREATED = "created"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    FAILED = "failed"
    IGNORED = "ignored"


class Progress(msgspec.Struct, frozen=True):
    """How far a job is.

    Attributes:
        phase: `listing`, `checksums` or `publishing`.
        done: How many objects are done.
        total: Of how many; None while that is not known.
    """

    phase: str
    done: int
    total: int | None = None


class Phase(msgspec.Struct, frozen=True):
    """What a job did for some time.

    Attributes:
        name: `listing`, `checksums` or `publishing`.
        started: When it began.
        seconds: How long it took; None while it lasts, or if its end is not known.
    """

    name: str
    started: datetime
    seconds: float | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a job.

    Attributes:
        started: When it began.
        ended: When it ended; None if nobody heard of that, or not yet.
        outcome: How it ended, likewise.
        seconds: How long it took, likewise.
        delivery: Which delivery of the message it was, from 1.
        code: The error's code.
        reason: The error in words.
        execution: The state machine's execution that it went on in.
        phases: What it did.
    """

    started: datetime
    ended: datetime | None = None
    outcome: State | None = None
    seconds: float | None = None
    delivery: int | None = None
    code: str | None = None
    reason: str | None = None
    execution: str | None = None
    phases: tuple[Phase, ...] = ()


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a message so far. What is not known has None.

    Attributes:
        id: The message's id.
        outcome: Where it stands.
        started: When its last attempt began, or the one that it ended with.
        ended: When it ended.
        updated: When it was last heard of.
        seconds: How long it took; of a running job, how long it has been running.
        package_name: `prefix/suffix`.
        registry: The bucket that holds the package, or would have.
        source: The folder, as a URI.
        trigger: What asked for it, as `health_omics`.
        event_id: The event's id.
        event_source: Who sent the event, where several send events of its kind.
        objects: How many entries the revision has.
        bytes: The sum of their sizes.
        reused: How many checksums the previous revision had.
        stored: How many checksums S3 had stored.
        computed: How many checksums had to be computed.
        top_hash: The revision's top hash.
        previous_top_hash: That of the revision before.
        remark: What is missing in the revision that could have been there.
        quarantine: Where the package is instead, as a `quilt+s3` URI.
        code: The error's code.
        reason: The error in words.
        happened: Its first sentence.
        why: Its cause.
        remedy: What to do about it.
        final: Nobody tries again.
        progress: How far it is, while it runs.
        attempts: How many attempts there were, as far back as the log was read.
        execution: The state machine's execution that it went on in.
        phases: What its last attempt did.
    """

    id: str
    outcome: State
    started: datetime
    ended: datetime | None = None
    updated: datetime
    seconds: float | None = None
    package_name: str | None = None
    registry: str | None = None
    source: str | None = None
    trigger: str | None = None
    event_id: str | None = None
    event_source: str | None = None
    objects: int | None = None
    bytes: int | None = None
    reused: int | None = None
    stored: int | None = None
    computed: int | None = None
    top_hash: str | None = None
    previous_top_hash: str | None = None
    remark: str | None = None
    quarantine: str | None = None
    code: str | None = None
    reason: str | None = None
    happened: str | None = None
    why: str | None = None
    remedy: str | None = None
    final: bool = False
    progress: Progress | None = None
    attempts: int = 0
    execution: str | None = None
    phases: tuple[Phase, ...] = ()

    @property
    def is_over(self) -> bool:
        """Nothing more is to be heard of it."""
        return self.final or self.outcome is State.IGNORED

    @property
    def link(self) -> str | None:
        """The revision as quilt3 and the catalog take it; None if there is none."""
        if not (self.registry and self.package_name and self.top_hash):
            return None
        return f"quilt+s3://{self.registry}#package={self.package_name}@{self.top_hash}"
