"""A job as the command and the page show it."""

from datetime import datetime
from enum import StrEnum

import msgspec
from quilt_packager_runtime.formats.outcome import OutcomeFields
from quilt_packager_runtime.requests.sources import MessageSource


class State(StrEnum):
    """The state of a job: one of its results, or a state before or instead of them."""

    QUEUED = "queued"
    RUNNING = "running"
    CREATED = "created"
    UNCHANGED = "unchanged"
    REJECTED = "rejected"
    FAILED = "failed"
    IGNORED = "ignored"


class Progress(msgspec.Struct, frozen=True):
    """Progress of a job in its phase.

    Attributes:
        phase: `listing`, `waiting`, `checksums` or `publishing`.
        done: Number of objects done.
        total: Number of objects in all; None if unknown.
    """

    phase: str
    done: int
    total: int | None = None


class Phase(msgspec.Struct, frozen=True):
    """A phase of a job.

    Attributes:
        name: `listing`, `checksums` or `publishing`.
        started: Start of the phase.
        seconds: Duration of the phase; None while it lasts or if its end is unknown.
    """

    name: str
    started: datetime
    seconds: float | None = None


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at a job. Fields of its end are None until the end is logged.

    Attributes:
        started: Start of the attempt.
        ended: End of the attempt.
        outcome: State of the job after the attempt.
        seconds: Duration of the attempt.
        delivery: Number of the message's delivery, from 1.
        code: The error's code.
        reason: The error in words.
        execution: Name of the state machine's execution that continued the attempt.
        phases: Phases of the attempt.
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


class Job(OutcomeFields, frozen=True, kw_only=True):
    """The job of a message. Unknown fields are None.

    Attributes:
        id: Id of the message.
        outcome: State of the job.
        started: Start of the current attempt, or of the one that ended the job.
        ended: End of the job.
        updated: Time of the newest line in the log.
        seconds: Duration of the job so far.
        source: The folder, as a URI.
        sources: All folders, the source first, if the message names several.
        trigger: The kind of event that triggered the job, such as `health_omics`.
        event_id: Id of the event.
        event_source: Sender of the event, for kinds of events that several senders use.
        happened: First sentence of the error.
        why: Cause of the error.
        remedy: Remedy of the error.
        final: No further attempt follows.
        progress: Progress of a running job.
        attempts: Number of attempts in the part of the log that was read.
        execution: Name of the state machine's execution of a large job.
        phases: Phases of the last attempt.
    """

    id: str
    outcome: State
    started: datetime
    ended: datetime | None = None
    updated: datetime
    seconds: float | None = None
    source: str | None = None
    sources: tuple[MessageSource, ...] | None = None
    trigger: str | None = None
    event_id: str | None = None
    event_source: str | None = None
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
        """The job has ended and will not be retried."""
        return self.final or self.outcome is State.IGNORED
