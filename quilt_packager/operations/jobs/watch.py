"""Tells what changes of the jobs of a deployed engine, by one request a poll."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from quilt_packager.operations.aws_errors import explain_aws_error
from quilt_packager.operations.jobs.executions import find_ended
from quilt_packager.operations.jobs.fold import fold_job
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.log_lines import IGNORED, JOB_MESSAGES, LogLine
from quilt_packager.operations.jobs.log_reader import LogReader, any_job, any_message

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

OVERLAP = timedelta(seconds=60)
"""How late a line may come to the log. A poll reads so much of the last one's time again."""

OVERLAP_OF_ONE = timedelta(minutes=15)
"""The same for the lines of one job: they are few, and this machine's clock may be ahead."""

KEEP = timedelta(hours=12)
"""How long a watch remembers a job that does not run: SQS hides a message no longer."""

MAX_UNANSWERED = 10
"""How many polls in a row may fail of who waits for a job, which goes on all the same."""

BUSY_SECONDS = 5.0
IDLE_SECONDS = 15.0
"""How long it takes from a poll to the next while something runs, and while nothing does."""


class Watch:
    """Tells what changes of the jobs of an engine.

    Args:
        deployment: The engine.
        since: Since when it looks.
        job_id: The only job to watch; None: all.
    """

    def __init__(
        self, deployment: "Deployment", *, since: datetime, job_id: str | None = None
    ) -> None:
        self._deployment = deployment
        self._since = since
        self._job_id = job_id
        self._lines: dict[str, dict[tuple[datetime, str], LogLine]] = {}
        self._jobs: dict[str, Job] = {}
        # Of which jobs there is something new; kept where a poll fails on its way.
        self._heard: set[str] = set()
        self._unanswered = 0

    @property
    def jobs(self) -> list[Job]:
        """All jobs that were heard of; those that started last come first."""
        return sorted(self._jobs.values(), key=lambda job: (job.started, job.id), reverse=True)

    @property
    def is_busy(self) -> bool:
        """Something runs."""
        return any(job.outcome is State.RUNNING for job in self._jobs.values())

    def poll(self, now: datetime | None = None) -> list[Job]:
        """Read what is new. If that fails, the next poll tells it.

        Args:
            now: The time.

        Returns:
            The jobs that changed; those that started first come first.
        """
        now = now or datetime.now(UTC)
        self._read()
        overlap = OVERLAP if self._job_id is None else OVERLAP_OF_ONE
        self._since = max(self._since, now - overlap)
        running = {job.id for job in self._jobs.values() if job.outcome is State.RUNNING}
        before = dict(self._jobs)
        ended = find_ended(self._deployment, self._jobs.values(), now)
        for job_id in self._heard | running:
            lines = self._lines[job_id].values()
            self._jobs[job_id] = fold_job(lines, now=now, ended_executions=ended)
        self._heard.clear()
        changed = [
            job
            for job in reversed(self.jobs)
            if _without_clock(job) != _without_clock(before.get(job.id))
        ]
        self._forget(now)
        return changed

    def poll_tolerating_outages(self) -> list[Job]:
        """As `poll`; nothing is new where AWS may answer later, but not for ever."""
        try:
            changed = self.poll()
        except Exception as error:
            found = explain_aws_error(error)
            self._unanswered += 1
            if found is None or not found.passes or self._unanswered > MAX_UNANSWERED:
                raise
            return []
        self._unanswered = 0
        return changed

    def _read(self) -> None:
        """Read on."""
        # Whoever follows wants all of it, and what is left out now would be missing for good.
        reader = LogReader(self._deployment, max_requests=None)
        if self._job_id is None:
            pattern = any_message(sorted(JOB_MESSAGES - {IGNORED}))
        else:
            (pattern,) = any_job([self._job_id])
        for line in reader.read(pattern, self._since):
            job_id = line.message_id
            if (
                job_id is None
                or line.message not in JOB_MESSAGES
                or self._job_id not in (None, job_id)
            ):
                continue
            if self._job_id is None and line.message == IGNORED:
                continue
            lines = self._lines.setdefault(job_id, {})
            if (line.at, line.text) not in lines:
                lines[line.at, line.text] = line
                self._heard.add(job_id)

    def _forget(self, now: datetime) -> None:
        for job in list(self._jobs.values()):
            if job.outcome is not State.RUNNING and now - job.updated > KEEP:
                del self._jobs[job.id], self._lines[job.id]


def follow(
    deployment: "Deployment",
    since: datetime,
    *,
    job_id: str | None = None,
    busy_seconds: float = BUSY_SECONDS,
    idle_seconds: float = IDLE_SECONDS,
    sleep: Callable[[float], object] = time.sleep,
) -> Iterator[Job]:
    """Tell each change of the jobs of an engine, for ever.

    Args:
        deployment: The engine.
        since: Since when.
        job_id: The only job to follow; None: all.
        busy_seconds: How long it takes from a poll to the next while something runs.
        idle_seconds: The same while nothing runs.
        sleep: Waits.
    """
    watch = Watch(deployment, since=since, job_id=job_id)
    while True:
        yield from watch.poll_tolerating_outages()
        sleep(busy_seconds if watch.is_busy else idle_seconds)


def _without_clock(job: Job | None) -> Job | None:
    """What changes of a job by more than the time."""
    if job is None or job.outcome is not State.RUNNING:
        return job
    return msgspec.structs.replace(job, seconds=None)
