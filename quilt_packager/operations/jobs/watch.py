"""Reports changes of the jobs of a deployed engine, with one request per poll."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from quilt_packager_runtime.reporting.log_events import JobStep, MessageIgnored

from quilt_packager.operations.aws_errors import explain_aws_error
from quilt_packager.operations.jobs.executions import find_ended
from quilt_packager.operations.jobs.fold import fold_job
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.log_lines import JOB_MESSAGES, LogLine, message_of
from quilt_packager.operations.jobs.log_reader import LogReader, any_job, any_message

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

OVERLAP = timedelta(seconds=60)
"""Maximum delay of a line in the log. Each poll reads this much time again."""

OVERLAP_OF_ONE = timedelta(minutes=15)
"""The overlap for one job, whose lines are few: this machine's clock may be ahead."""

KEEP = timedelta(hours=12)
"""Time for which a watch keeps a job that does not run: the longest visibility timeout."""

MAX_UNANSWERED = 10
"""Maximum number of consecutive polls that may fail. The job continues regardless."""

BUSY_SECONDS = 5.0
IDLE_SECONDS = 15.0
"""Time between two polls while a job runs, and while none does."""


class Watch:
    """Watches the jobs of an engine.

    Args:
        deployment: The engine.
        since: Start of the time to watch.
        job_id: The only job to watch; None for all jobs.
    """

    def __init__(
        self, deployment: "Deployment", *, since: datetime, job_id: str | None = None
    ) -> None:
        self._deployment = deployment
        self._since = since
        self._job_id = job_id
        self._lines: dict[str, dict[tuple[datetime, str], LogLine]] = {}
        self._jobs: dict[str, Job] = {}
        # Ids of jobs with new lines, kept if a poll fails halfway.
        self._changed: set[str] = set()
        self._unanswered = 0

    @property
    def jobs(self) -> list[Job]:
        """All known jobs, those that started last first."""
        return sorted(self._jobs.values(), key=lambda job: (job.started, job.id), reverse=True)

    @property
    def is_busy(self) -> bool:
        """At least one job runs."""
        return any(job.outcome is State.RUNNING for job in self._jobs.values())

    def poll(self, now: datetime | None = None) -> list[Job]:
        """Read new lines. After a failure, the next poll returns their changes.

        Returns:
            The jobs that changed, in the order of their newest lines.
        """
        now = now or datetime.now(UTC)
        self._read()
        overlap = OVERLAP if self._job_id is None else OVERLAP_OF_ONE
        self._since = max(self._since, now - overlap)
        running = {job.id for job in self._jobs.values() if job.outcome is State.RUNNING}
        before = dict(self._jobs)
        ended = find_ended(self._deployment, self._jobs.values(), now)
        for job_id in self._changed | running:
            lines = self._lines[job_id].values()
            self._jobs[job_id] = fold_job(lines, now=now, ended_executions=ended)
        self._changed.clear()
        changed = [
            job
            for job in sorted(self.jobs, key=lambda job: (job.updated, job.started, job.id))
            if _without_clock(job) != _without_clock(before.get(job.id))
        ]
        self._evict(now)
        return changed

    def poll_tolerating_outages(self) -> list[Job]:
        """Poll, and return no changes during an outage of AWS, up to `MAX_UNANSWERED` times."""
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
        # No limit of requests: lines that one poll leaves out would be missing permanently.
        reader = LogReader(self._deployment, max_requests=None)
        if self._job_id is None:
            pattern = any_message(sorted(JOB_MESSAGES - {message_of(MessageIgnored)}))
        else:
            (pattern,) = any_job([self._job_id])
        for line in reader.read(pattern, self._since):
            if not isinstance(line.event, JobStep):
                continue
            job_id = line.event.message_id
            if self._job_id is None and isinstance(line.event, MessageIgnored):
                continue
            if self._job_id not in (None, job_id):
                continue
            lines = self._lines.setdefault(job_id, {})
            if (line.at, line.text) not in lines:
                lines[line.at, line.text] = line
                self._changed.add(job_id)

    def _evict(self, now: datetime) -> None:
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
    """Yield each change of the jobs of an engine, without end.

    Args:
        deployment: The engine.
        since: Start of the time to follow.
        job_id: The only job to follow; None for all jobs.
        busy_seconds: Time between two polls while a job runs.
        idle_seconds: Time between two polls while none does.
        sleep: Function that waits for some seconds.
    """
    watch = Watch(deployment, since=since, job_id=job_id)
    while True:
        yield from watch.poll_tolerating_outages()
        sleep(busy_seconds if watch.is_busy else idle_seconds)


def _without_clock(job: Job | None) -> Job | None:
    """Return a job without the field that changes with time alone."""
    if job is None or job.outcome is not State.RUNNING:
        return job
    return msgspec.structs.replace(job, seconds=None)
