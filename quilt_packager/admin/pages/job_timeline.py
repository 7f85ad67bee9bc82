"""The time of a job, as a table that adds up: it waited, it worked, and both are the total."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from quilt_packager_runtime.reporting.log_events import (
    AnotherRoundStarted,
    FilesAwaited,
    LargeJobStarted,
    MessageDeferred,
    PackageStarted,
    ShardHashed,
)

from quilt_packager.operations import formats
from quilt_packager.operations.jobs.fold import HASHING, WAITING
from quilt_packager.operations.jobs.job import Attempt, Progress, State
from quilt_packager.operations.jobs.labels import phase_label
from quilt_packager.operations.jobs.log_lines import LogLine
from quilt_packager.operations.jobs.record import JobRecord

MIN_BAR = 0.8
"""Minimum width of a bar, of 100."""

QUEUE, REQUEST, PAUSE = "queue", "request", "pause"

WAITS = (QUEUE, PAUSE, WAITING)
"""Parts in which a job waits; in the others it works."""

NAMES = {
    QUEUE: "In the queue",
    REQUEST: "Reading the request",
    PAUSE: "Before the next attempt",
}

MIN_SHARE = 0.05
"""Share of a phase from which its remaining time is estimated."""


class Bar(NamedTuple):
    """A bar on a scale from 0 to 100."""

    x: float
    width: float


class PhaseProgress(NamedTuple):
    """The progress of a running phase.

    Attributes:
        done: Number of objects or shards that are done.
        total: Their number in all; None if it is unknown.
        text: The progress in words.
    """

    done: int
    total: int | None
    text: str


class Row(NamedTuple):
    """A part of the time of a job.

    Attributes:
        name: Its name.
        seconds: Duration, in tenths.
        bars: Its place in the work of the job; empty for a wait.
        note: A remark.
        progress: Progress of the phase that lasts.
    """

    name: str
    seconds: float
    bars: tuple[Bar, ...] = ()
    note: str = ""
    progress: PhaseProgress | None = None


class Timeline(NamedTuple):
    """The time of a job.

    Attributes:
        waits: Parts in which it waited.
        works: Parts in which it worked.
        is_whole: The time in the queue is known.
    """

    waits: tuple[Row, ...]
    works: tuple[Row, ...]
    is_whole: bool

    @property
    def waited(self) -> float:
        """Sum of the waits in seconds."""
        return sum(row.seconds for row in self.waits)

    @property
    def worked(self) -> float:
        """Sum of the work in seconds."""
        return sum(row.seconds for row in self.works)

    @property
    def total(self) -> float:
        """Sum of both in seconds."""
        return self.waited + self.worked


class _Part(NamedTuple):
    name: str
    seconds: float


def make_timeline(record: JobRecord, now: datetime) -> Timeline:
    """Divide the time of a job among its parts. Each moment belongs to one of them."""
    job = record.job
    starts = list(_find_starts(record))
    parts = list(_measure(starts, job.ended or now))
    current = starts[-1][0] if starts and not job.is_over else None
    work = [part for part in parts if part.name not in WAITS]
    rows = {name: _add_up(name, parts, work) for name in dict.fromkeys(part.name for part in parts)}
    if current in rows:
        progress = _find_progress(record, current, rows[current].seconds)
        rows[current] = rows[current]._replace(progress=progress)
    if WAITING in rows:
        looks = sum(isinstance(line.event, FilesAwaited) for line in record.lines)
        note = formats.count(looks, "look") if looks else ""
        rows[WAITING] = rows[WAITING]._replace(note=note)
    if QUEUE in rows and any(isinstance(line.event, MessageDeferred) for line in record.lines):
        rows[QUEUE] = rows[QUEUE]._replace(note="deferred until the folder settled")
    kept = {name: row for name, row in rows.items() if row.seconds or row.progress or name == QUEUE}
    return Timeline(
        waits=tuple(row for name, row in kept.items() if name in WAITS),
        works=tuple(row for name, row in kept.items() if name not in WAITS),
        is_whole=QUEUE in rows,
    )


def format_exactly(seconds: float) -> str:
    """Format a duration in tenths of a second, so that its parts add up.

    Example:
        >>> format_exactly(9.04), format_exactly(130.6), format_exactly(7325.0)
        ('9.0 s', '2 min 10.6 s', '2 h 2 min 5.0 s')
    """
    minutes, rest = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    larger = f"{hours:,} h {minutes} min " if hours else f"{minutes} min " if minutes else ""
    return f"{larger}{rest / 10:.1f} s"


def _find_starts(record: JobRecord) -> Iterator[tuple[str, datetime]]:
    """Yield the parts of a job with their starts. Each lasts until the next one."""
    job = record.job
    if job.outcome is State.QUEUED:
        yield QUEUE, job.started
        return
    attempts = record.attempts or (
        Attempt(started=job.started, ended=job.ended, phases=job.phases),
    )
    events = (line.event for line in record.lines)
    started = next((event for event in events if isinstance(event, PackageStarted)), None)
    queued = started.queued_seconds if started else None
    if queued is not None:
        yield QUEUE, attempts[0].started - timedelta(seconds=queued)
    for attempt in attempts:
        yield REQUEST, attempt.started
        for phase in attempt.phases:
            yield phase.name, phase.started
        if attempt.ended is not None:
            yield PAUSE, attempt.ended


def _measure(starts: Sequence[tuple[str, datetime]], end: datetime) -> Iterator[_Part]:
    """Yield the duration of each part. The clocks of functions differ: no part begins earlier."""
    ends = [*(at for _, at in starts[1:]), end]
    reached = starts[0][1]
    for (name, _), following in zip(starts, ends, strict=True):
        yield _Part(name, max(0.0, (following - reached).total_seconds()))
        reached = max(reached, following)


def _add_up(name: str, parts: Iterable[_Part], work: Sequence[_Part]) -> Row:
    seconds = sum(part.seconds for part in parts if part.name == name)
    bars = () if name in WAITS else tuple(_draw(name, work))
    return Row(NAMES.get(name) or phase_label(name), round(seconds, 1), bars)


def _draw(name: str, work: Sequence[_Part]) -> Iterator[Bar]:
    """Place the parts of one name on the scale of all work."""
    total = sum(part.seconds for part in work) or 1.0
    done = 0.0
    for part in work:
        if part.name == name:
            width = max(part.seconds / total * 100, MIN_BAR)
            yield Bar(round(min(done / total * 100, 100 - width), 1), round(width, 1))
        done += part.seconds


def _find_progress(record: JobRecord, phase: str, seconds: float) -> PhaseProgress | None:
    job = record.job
    if job.outcome is not State.RUNNING or phase in WAITS:
        return None
    if job.progress is not None:
        return _count_objects(job.progress, seconds)
    return _count_shards(record.lines, seconds) if phase == HASHING else None


def _count_objects(progress: Progress, seconds: float) -> PhaseProgress:
    done, total = progress.done, progress.total
    if total is None:
        return PhaseProgress(done, None, f"{formats.count(done, 'object')} so far")
    text = f"{done:,} of {formats.count(total, 'object')}"
    return PhaseProgress(done, total, text + _estimate(done, total, seconds))


def _count_shards(lines: Iterable[LogLine], seconds: float) -> PhaseProgress | None:
    """Count the shards of the newest round that workers have hashed. A retry logs one twice."""
    number, total, hashed = 0, None, dict[tuple[int, int], ShardHashed]()
    for line in lines:
        event = line.event
        if isinstance(event, LargeJobStarted):
            total = event.shards
        elif isinstance(event, AnotherRoundStarted):
            number, total = event.round, event.shards
        elif isinstance(event, ShardHashed):
            hashed[event.round, event.shard] = event
    if total is None:
        return None
    found = [event for (of_round, _), event in hashed.items() if of_round == number]
    done = min(len(found), total)
    size = formats.size(sum(event.bytes for event in found))
    again = f" of round {number + 1}" if number else ""
    text = f"{done:,} of {formats.count(total, 'shard')}{again}, {size}"
    return PhaseProgress(done, total, text + _estimate(done, total, seconds))


def _estimate(done: int, total: int, seconds: float) -> str:
    if not total or done / total < MIN_SHARE or done >= total:
        return ""
    return f"; about {formats.age(seconds / done * (total - done))} left"
