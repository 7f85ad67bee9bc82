"""Folds the lines of the engine's log into jobs. `listing` and `record` read the lines.

Lines may come in any order, twice, and from several functions. A job is all that the engine did for
one message, in one or more attempts.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from msgspec.structs import replace
from quilt_packager_runtime.reporting.log_events import (
    AttemptEnded,
    FilesAwaited,
    JobStep,
    MessageDeferred,
    MessageIgnored,
    PackageCreated,
    PackageProgress,
    PackageStarted,
    PackageUnchanged,
)

from quilt_packager.operations.jobs.job import Attempt, Job, Phase, Progress, State
from quilt_packager.operations.jobs.log_lines import LogLine

ATTEMPT_SECONDS = 960
"""Age at which a silent attempt is considered lost: Lambda's limit, and a minute."""

SILENCE_SECONDS = 300
"""Time after the end of its execution at which a silent large job is considered lost."""

EXECUTION_DAYS = 7
"""Time after which a silent large job is considered lost if its execution's end is unknown.

A large job logs nothing until the shards of a round are hashed, which takes days for a folder of
petabytes. All later steps, including the last resort, take hours.
"""

HASHING = "checksums"
"""The phase in which workers continue a large job."""

WAITING = "waiting"
"""The phase in which the state machine waits for required files."""

LOST = "Lost"
"""Error code of a job whose outcome was never logged."""

ORIGIN = ("package_name", "registry", "source", "sources", "trigger", "event_id", "event_source")
"""Fields of a job that any of its lines may have; the newest known value applies."""


class _Step(NamedTuple):
    at: datetime
    event: JobStep


class _End(NamedTuple):
    at: datetime
    event: AttemptEnded

    @property
    def seconds(self) -> float:
        # The clock that started a large job may be ahead of the clock that ended it.
        return max(0.0, self.event.seconds)

    @property
    def started(self) -> datetime:
        return _shift(self.at, -self.seconds)

    @property
    def is_final(self) -> bool:
        return isinstance(self.event, PackageCreated | PackageUnchanged) or self.event.final


def fold(
    lines: Iterable[LogLine],
    *,
    now: datetime,
    ended_executions: Mapping[str, datetime] | None = None,
) -> list[Job]:
    """Fold lines into jobs, those that started last first.

    Args:
        lines: The lines, in any order and possibly repeated.
        now: Current time, to find lost jobs.
        ended_executions: End times of the executions of large jobs that are known to have ended.
    """
    by_job: dict[str, list[LogLine]] = {}
    for line in lines:
        if isinstance(line.event, JobStep):
            by_job.setdefault(line.event.message_id, []).append(line)
    jobs = [fold_job(each, now=now, ended_executions=ended_executions) for each in by_job.values()]
    return sorted(jobs, key=lambda job: (job.started, job.id), reverse=True)


def fold_job(
    lines: Iterable[LogLine],
    *,
    now: datetime,
    ended_executions: Mapping[str, datetime] | None = None,
) -> Job:
    """Fold the lines of one job, at least one of which is a step, into the job."""
    steps = _steps_in(lines)
    last = steps[-1]
    attempts = _split(steps)
    large = [attempt for attempt in attempts if attempt.execution is not None]
    execution = large[-1].execution if large else None
    job = Job(
        id=last.event.message_id,
        outcome=State.QUEUED,
        started=steps[0].at,
        updated=last.at,
        attempts=len(attempts),
        execution=execution,
        **_origin(steps),
    )
    if not attempts:
        return _before_first_attempt(job, last)
    if ended := _find_end(attempts):
        return _ended(job, *ended)
    # A redelivered message does not restart a job that continues in the state machine.
    current = next((attempt for attempt in large if attempt.end is None), attempts[-1])
    job = replace(job, started=current.started, phases=attempts[-1].phases())
    if now >= _lost_at(job, ended_executions or {}):
        return _lost(job)
    return replace(
        job,
        outcome=State.RUNNING,
        seconds=max(0.0, (now - current.started).total_seconds()),
        progress=attempts[-1].progress,
    )


def list_attempts(lines: Iterable[LogLine]) -> list[Attempt]:
    """List the attempts at one job, in order."""
    return [attempt.build() for attempt in _split(_steps_in(lines))]


class _AttemptBuilder:
    """An attempt while its steps are read."""

    def __init__(self, started: datetime, delivery: int | None = None) -> None:
        self.started = started
        self.delivery = delivery
        self.execution: str | None = None
        self.end: _End | None = None
        self.progress: Progress | None = None
        self._phases: list[tuple[str, datetime]] = []

    def add(self, at: datetime, event: JobStep) -> None:
        if isinstance(event, PackageProgress):
            self.progress = Progress(event.phase, event.done, event.total)
            phase = event.phase
        elif isinstance(event, FilesAwaited):
            self.execution, self.progress = event.message_id, Progress(WAITING, 0)
            phase = WAITING
        else:
            # An execution has the name of its message. Its workers log no progress.
            self.execution, self.progress = event.message_id, None
            phase = HASHING
        if not self._phases or self._phases[-1][0] != phase:
            self._phases.append((phase, at))

    def phases(self) -> tuple[Phase, ...]:
        ends = [*(at for _, at in self._phases[1:]), self.end.at if self.end else None]
        return tuple(
            Phase(name, at, max(0.0, (end - at).total_seconds()) if end else None)
            for (name, at), end in zip(self._phases, ends, strict=False)
        )

    def build(self) -> Attempt:
        attempt = Attempt(
            started=self.started,
            delivery=self.delivery,
            execution=self.execution,
            phases=self.phases(),
        )
        if self.end is None:
            return attempt
        event = self.end.event
        return replace(
            attempt,
            ended=self.end.at,
            outcome=State(event.outcome),
            seconds=self.end.seconds,
            code=getattr(event, "code", None),
            reason=getattr(event, "reason", None),
        )


def _steps_in(lines: Iterable[LogLine]) -> list[_Step]:
    """Return the steps of a job, each once, by time; steps of one millisecond keep their order."""
    steps = {
        (line.at, line.text): _Step(line.at, line.event)
        for line in lines
        if isinstance(line.event, JobStep)
    }
    return sorted(steps.values(), key=lambda step: step.at)


def _split(steps: Iterable[_Step]) -> list[_AttemptBuilder]:
    attempts: list[_AttemptBuilder] = []
    for at, event in steps:
        if isinstance(event, MessageDeferred | MessageIgnored):
            continue
        if isinstance(event, PackageStarted):
            attempts.append(_AttemptBuilder(at, event.delivery))
        elif isinstance(event, AttemptEnded):
            end = _End(at, event)
            # After a duplicate delivery two attempts are open; each end closes one of them.
            attempt = next((each for each in reversed(attempts) if each.end is None), None)
            if attempt is None:
                attempt = _AttemptBuilder(end.started)
                attempts.append(attempt)
            attempt.end = end
        else:
            last_end = attempts[-1].end if attempts else None
            if last_end is not None and last_end.is_final:
                continue  # the clock of another function was behind
            if not attempts or last_end is not None:
                attempts.append(_AttemptBuilder(at))
            attempts[-1].add(at, event)
    return attempts


def _find_end(attempts: list[_AttemptBuilder]) -> tuple[_AttemptBuilder, _End] | None:
    """Return the attempt that ended the job, with its end; None if the job goes on."""
    ended = [(attempt, attempt.end) for attempt in attempts if attempt.end is not None]
    if not ended:
        return None
    ended.sort(key=lambda each: each[1].at)
    last, end = ended[-1]
    newest = attempts[-1]
    if newest.end is None and newest.started >= end.at:
        return None
    if isinstance(end.event, PackageUnchanged):
        # After a duplicate delivery, the second attempt finds the revision of the first one.
        for attempt, earlier in ended:
            created = earlier.event
            if isinstance(created, PackageCreated) and created.top_hash == end.event.top_hash:
                return attempt, earlier
    return last, end


def _ended(job: Job, attempt: _AttemptBuilder, end: _End) -> Job:
    facts = _facts(end.event) | {
        "outcome": State(end.event.outcome),
        # A job that ended in the state machine may have started with an earlier delivery.
        "started": min(attempt.started, end.started),
        "ended": end.at,
        "seconds": end.seconds,
        "final": end.is_final,
        "phases": attempt.phases(),
    }
    return replace(job, **facts)


def _before_first_attempt(job: Job, last: _Step) -> Job:
    if not isinstance(last.event, MessageIgnored):
        return job
    why = last.event.why
    return replace(job, outcome=State.IGNORED, ended=last.at, why=why, reason=why)


def _lost_at(job: Job, ended: Mapping[str, datetime]) -> datetime:
    """Return the time at which a job is considered lost if it logs nothing else."""
    if job.execution is None:
        return _shift(job.started, ATTEMPT_SECONDS)
    if job.execution in ended:
        return _shift(max(ended[job.execution], job.updated), SILENCE_SECONDS)
    return _shift(job.updated, EXECUTION_DAYS * 86_400)


def _lost(job: Job) -> Job:
    happened = "The job ended without logging an outcome."
    if job.execution is None:
        why = "The function ran out of memory or was stopped."
        remedy = "SQS redelivers the message. If it happens again, raise the function's memory."
    else:
        why = "The state machine's execution ended without an outcome, or was stopped."
        remedy = f"Inspect the execution {job.execution}, and send the message again."
    return replace(
        job,
        outcome=State.FAILED,
        code=LOST,
        happened=happened,
        why=why,
        remedy=remedy,
        reason=f"{happened} {why} {remedy}",
        # SQS redelivers the message unless its job continued in the state machine.
        final=job.execution is not None,
    )


def _origin(steps: Iterable[_Step]) -> dict[str, Any]:
    known: dict[str, Any] = {}
    for step in steps:
        known |= _facts(step.event)
    return {name: known[name] for name in ORIGIN if name in known}


def _facts(event: JobStep) -> dict[str, Any]:
    """Return the known fields that an event shares with a job."""
    fields = ((name, getattr(event, name, None)) for name in Job.__struct_fields__)
    return {name: value for name, value in fields if value is not None}


def _shift(at: datetime, seconds: float) -> datetime:
    try:
        return at + timedelta(seconds=seconds)
    except OverflowError:
        return at
