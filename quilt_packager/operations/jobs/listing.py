"""The jobs of a deployed engine, read from its log in CloudWatch Logs: there is no other store.

A list takes one request for each window of time that it looks at (the last hour, the eight before
it, and so on, until there are enough jobs), one more for each further MiB of lines found there, and
one for each fifteen jobs that run. A poll of what is new takes one.
"""

from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, overload

from quilt_packager.operations.jobs.executions import find_ended
from quilt_packager.operations.jobs.fold import fold
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.log_lines import IGNORED, JOB_MESSAGES, PROGRESS, LogLine
from quilt_packager.operations.jobs.log_reader import (
    JOB_ID,
    LogReader,
    TooManyRequests,
    any_job,
    any_message,
    windows,
)
from quilt_packager.operations.jobs.record import JobRecord, read_job
from quilt_packager.operations.jobs.watch import OVERLAP, Watch, follow

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

__all__ = ["OVERLAP", "JobList", "JobRecord", "Watch", "follow", "read_job", "read_jobs"]

MAX_JOBS = 10_000
"""How many jobs a list holds at most."""

MAX_WATCHED = 150
"""Of how many running jobs a list tells how far they are."""

LISTED = sorted(JOB_MESSAGES - {PROGRESS, IGNORED})


class JobList(Sequence[Job]):
    """Jobs, those that started last first.

    Args:
        jobs: The jobs.
        since: See below.
        is_cut_off: See below.
        requests: See below.

    Attributes:
        since: The list knows all jobs that started since then.
        is_cut_off: There may be more jobs than these.
        requests: How many requests to CloudWatch Logs it took.
    """

    def __init__(
        self, jobs: Iterable[Job], *, since: datetime, is_cut_off: bool, requests: int
    ) -> None:
        self._jobs = tuple(jobs)
        self.since = since
        self.is_cut_off = is_cut_off
        self.requests = requests

    @overload
    def __getitem__(self, index: int) -> Job: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Job, ...]: ...
    def __getitem__(self, index: int | slice) -> Job | tuple[Job, ...]:
        """The job at some place, or those at some places."""
        return self._jobs[index]

    def __len__(self) -> int:
        """How many jobs are listed."""
        return len(self._jobs)


class _Wanted(NamedTuple):
    """Which jobs somebody wants to see."""

    name_glob: str | None
    outcomes: frozenset[str] | None

    def choose(self, jobs: Iterable[Job]) -> list[Job]:
        return [job for job in jobs if self._holds(job)]

    def _holds(self, job: Job) -> bool:
        if self.name_glob is not None and not fnmatchcase(job.package_name or "", self.name_glob):
            return False
        return self.outcomes is None or job.outcome in self.outcomes


def read_jobs(
    deployment: "Deployment",
    *,
    since: datetime,
    name_glob: str | None = None,
    outcomes: Collection[str] | None = None,
    limit: int | None = None,
    now: datetime | None = None,
) -> JobList:
    """List the jobs that started or ended in some time.

    Args:
        deployment: The engine.
        since: Where the time begins.
        name_glob: Only packages with such a name, as `wgs/*`.
        outcomes: Only jobs with one of these, of `State`. Messages that asked for nothing are
            listed only if `ignored` is among them.
        limit: How many jobs at most; a few more if they started in the same millisecond.
        now: The time.

    Returns:
        The jobs; those that started last come first.
    """
    now = now or datetime.now(UTC)
    wanted = _Wanted(name_glob, frozenset(outcomes) if outcomes is not None else None)
    hears_ignored = outcomes is not None and State.IGNORED in outcomes
    pattern = any_message([*LISTED, IGNORED] if hears_ignored else LISTED)
    reader = LogReader(deployment)
    lines: list[LogLine] = []
    known_since = now
    try:
        for start, end in windows(since, now):
            found = list(reader.read(pattern, start, None if end == now else end))
            if not hears_ignored:
                found = [line for line in found if line.message != IGNORED]
            lines += found
            jobs = fold(lines, now=now)
            known_since = start
            listed = wanted.choose(jobs)
            if len(jobs) >= MAX_JOBS or _is_enough(listed, start, limit):
                break
        running = [job for job in fold(lines, now=now) if job.outcome is State.RUNNING]
        lines += _complete(reader, running)
    except TooManyRequests:
        pass
    jobs = fold(lines, now=now)
    if ended := find_ended(deployment, jobs, now):
        jobs = fold(lines, now=now, ended_executions=ended)
    listed = wanted.choose(jobs)
    shown = _cut(listed, min(limit or MAX_JOBS, MAX_JOBS))
    return JobList(
        shown,
        since=known_since,
        is_cut_off=len(shown) < len(listed) or known_since > since,
        requests=reader.requests,
    )


def _is_enough(listed: list[Job], start: datetime, limit: int | None) -> bool:
    """Whether no job that is still to be read comes before the last one wanted."""
    return limit is not None and sum(job.started >= start for job in listed) >= limit


def _cut(jobs: list[Job], limit: int) -> list[Job]:
    """The first ones; what started at the same time as the last of them stays with it."""
    end = limit
    while 0 < end < len(jobs) and jobs[end].started == jobs[limit - 1].started:
        end += 1
    return jobs[:end]


def _complete(reader: LogReader, jobs: list[Job]) -> list[LogLine]:
    """Read all lines of some jobs."""
    some = [job for job in jobs if JOB_ID.fullmatch(job.id)][:MAX_WATCHED]
    if not some:
        return []
    ids = {job.id for job in some}
    start = min(job.started for job in some)
    return [
        line
        for pattern in any_job(sorted(ids))
        for line in reader.read(pattern, start)
        if line.message_id in ids
    ]
