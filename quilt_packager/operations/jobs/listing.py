"""Lists the jobs of a deployed engine from its log in CloudWatch Logs, their only store.

A list takes one request for each window of time (the last hour, the eight before it, and so on,
until there are enough jobs), one for each further MiB of matching lines, and one for every fifteen
running jobs.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, overload

from quilt_packager_runtime.reporting.log_events import MessageIgnored, PackageProgress

from quilt_packager.operations.jobs.executions import find_ended
from quilt_packager.operations.jobs.filters import ALL, JobFilter
from quilt_packager.operations.jobs.fold import fold
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.log_lines import JOB_MESSAGES, LogLine, message_of
from quilt_packager.operations.jobs.log_reader import (
    JOB_ID,
    LogReader,
    TooManyRequests,
    any_job,
    any_message,
    windows,
)

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

MAX_JOBS = 10_000
"""Maximum length of a list."""

MAX_WATCHED = 150
"""Maximum number of running jobs that a list shows the progress of."""

IGNORED = message_of(MessageIgnored)
LISTED = sorted(JOB_MESSAGES - {message_of(PackageProgress), IGNORED})


class JobList(Sequence[Job]):
    """Jobs, those that started last first.

    Attributes:
        since: Time since when the list is complete.
        is_cut_off: More jobs may match.
        requests: Number of requests to CloudWatch Logs.
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
        """Return the job at an index, or the jobs of a slice."""
        return self._jobs[index]

    def __len__(self) -> int:
        """Return the number of jobs."""
        return len(self._jobs)


def read_jobs(
    deployment: "Deployment",
    *,
    since: datetime,
    wanted: JobFilter = ALL,
    limit: int | None = None,
    now: datetime | None = None,
) -> JobList:
    """List the jobs that started or ended since some time, those that started last first.

    Args:
        deployment: The engine.
        since: Start of the time to list.
        wanted: Filter of the jobs.
        limit: Maximum number of jobs, exceeded only by jobs that started in the same millisecond.
        now: Current time.
    """
    now = now or datetime.now(UTC)
    pattern = any_message([*LISTED, IGNORED] if wanted.wants_ignored else LISTED)
    reader = LogReader(deployment)
    lines: list[LogLine] = []
    known_since = now
    try:
        for start, end in windows(since, now):
            found = list(reader.read(pattern, start, None if end == now else end))
            if not wanted.wants_ignored:
                found = [line for line in found if not isinstance(line.event, MessageIgnored)]
            lines += found
            jobs = fold(lines, now=now)
            known_since = start
            listed = [job for job in jobs if wanted.matches(job)]
            if len(jobs) >= MAX_JOBS or _is_enough(listed, start, limit):
                break
        running = [job for job in fold(lines, now=now) if job.outcome is State.RUNNING]
        lines += _complete(reader, running)
    except TooManyRequests:
        pass
    jobs = fold(lines, now=now)
    if ended := find_ended(deployment, jobs, now):
        jobs = fold(lines, now=now, ended_executions=ended)
    listed = [job for job in jobs if wanted.matches(job)]
    shown = _cut(listed, min(limit or MAX_JOBS, MAX_JOBS))
    return JobList(
        shown,
        since=known_since,
        is_cut_off=len(shown) < len(listed) or known_since > since,
        requests=reader.requests,
    )


def _is_enough(listed: list[Job], start: datetime, limit: int | None) -> bool:
    """Return true if no job in an earlier window can precede the last job to list."""
    return limit is not None and sum(job.started >= start for job in listed) >= limit


def _cut(jobs: list[Job], limit: int) -> list[Job]:
    """Return the first jobs, and any that started at the same time as the last of them."""
    end = limit
    while 0 < end < len(jobs) and jobs[end].started == jobs[limit - 1].started:
        end += 1
    return jobs[:end]


def _complete(reader: LogReader, jobs: list[Job]) -> list[LogLine]:
    """Read all lines of jobs."""
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
