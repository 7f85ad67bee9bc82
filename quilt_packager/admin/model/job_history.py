"""The jobs of a period: read once, and updated from new log lines."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from quilt_packager.admin.model.periods import Period
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.jobs.executions import find_ended
from quilt_packager.operations.jobs.fold import SILENCE_SECONDS
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.listing import read_jobs
from quilt_packager.operations.jobs.record import read_job
from quilt_packager.operations.jobs.watch import OVERLAP, Watch


class Jobs(NamedTuple):
    """The jobs of a period.

    Attributes:
        jobs: Jobs, newest first.
        is_cut_off: The period has older jobs that are not included.
    """

    jobs: Sequence[Job]
    is_cut_off: bool

    @property
    def running(self) -> int:
        """Count the running jobs."""
        return sum(job.outcome is State.RUNNING for job in self.jobs)


class JobHistory:
    """Reads the jobs of a period; after the first time, only new log lines.

    Args:
        deployment: The engine.
        period: The period.
    """

    def __init__(self, deployment: Deployment, period: Period) -> None:
        self._deployment = deployment
        self._span = period.span
        self._watch: Watch | None = None
        self._jobs: dict[str, Job] = {}
        self._is_cut_off = False

    def read(self) -> Jobs:
        """Read new log lines, and return all jobs of the period."""
        now = datetime.now(UTC)
        # The first bar of a chart begins before the period does.
        since = now - self._span - timedelta(hours=1)
        if self._watch is None:
            found = read_jobs(self._deployment, since=since, now=now)
            self._jobs = {job.id: job for job in found}
            self._is_cut_off = found.is_cut_off
            # Running jobs are watched from their beginning.
            running = [job.started for job in found if not job.is_over]
            recent = [at for at in running if at > now - timedelta(hours=1)]
            self._watch = Watch(self._deployment, since=min([now - OVERLAP, *recent]))
        for job in self._watch.poll(now):
            self._jobs[job.id] = merge_job(self._jobs.get(job.id), job)
        self._find_lost(self._watch, now)
        self._jobs = {job.id: job for job in self._jobs.values() if job.started >= since}
        jobs = sorted(self._jobs.values(), key=lambda job: (job.started, job.id), reverse=True)
        return Jobs(jobs, self._is_cut_off)

    def _find_lost(self, watch: Watch, now: datetime) -> None:
        """Look up large jobs that began long before the watch, and have logged nothing since.

        The watch sees the log line that ends a job, but not an execution that ended without one.
        """
        watched = {job.id for job in watch.jobs}
        silent = [
            job
            for job in self._jobs.values()
            if job.outcome is State.RUNNING and job.id not in watched
        ]
        ended = find_ended(self._deployment, silent, now)
        for job in silent:
            stopped = ended.get(job.execution or "")
            # The line that ends the job may arrive a little later.
            if stopped is not None and now - stopped > timedelta(seconds=SILENCE_SECONDS):
                found = read_job(self._deployment, job.id, since=job.started - OVERLAP, now=now)
                self._jobs[job.id] = found.job


def merge_job(before: Job | None, after: Job) -> Job:
    """Combine two states of a job: a watch may have seen only its last attempt."""
    if before is None:
        return after
    if before.final and before.updated > after.updated:
        return before
    return msgspec.structs.replace(
        after,
        started=min(before.started, after.started),
        attempts=max(before.attempts, after.attempts),
        source=after.source or before.source,
        sources=after.sources or before.sources,
        trigger=after.trigger or before.trigger,
        package_name=after.package_name or before.package_name,
        registry=after.registry or before.registry,
        execution=after.execution or before.execution,
    )
