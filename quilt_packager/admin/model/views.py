"""What the page knows of an engine: each view is asked of AWS at most once an interval."""

from collections import OrderedDict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import msgspec

from quilt_packager.admin.model.caching import Answer, Cached, CachedEach, interval_seconds
from quilt_packager.admin.model.charts import PERIODS, Period
from quilt_packager.admin.model.manifests import Revision, read_revision
from quilt_packager.operations.deployment.configurations import Configuration, read_configuration
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.deployment.queues import Queues, read_queues
from quilt_packager.operations.errors import UnknownJob
from quilt_packager.operations.jobs.executions import find_ended
from quilt_packager.operations.jobs.fold import SILENCE_SECONDS
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.listing import OVERLAP, JobRecord, Watch, read_job, read_jobs

REVISION_SECONDS = 3600
"""A revision does not change; its manifest may come to be deleted."""

CONFIGURATION_SECONDS = 600
IDENTITY_SECONDS = 3600

OVER_SECONDS = 300
"""Nothing more is to be heard of a job that is over; lines may still come late."""

ENTRIES = 1000

MAX_SENT = 1000
"""How many jobs are known that were sent from here."""


class Jobs(NamedTuple):
    """The jobs of a period.

    Attributes:
        jobs: Newest first.
        is_cut_off: There are older ones in the period, which are not known.
    """

    jobs: Sequence[Job]
    is_cut_off: bool

    @property
    def running(self) -> int:
        """How many run."""
        return sum(job.outcome is State.RUNNING for job in self.jobs)


class History:
    """The jobs of a period: read once, and from then on only what is new.

    Args:
        deployment: The engine.
        period: How far back.
    """

    def __init__(self, deployment: Deployment, period: Period) -> None:
        self._deployment = deployment
        self._span = period.span
        self._watch: Watch | None = None
        self._jobs: dict[str, Job] = {}
        self._is_cut_off = False

    def read(self) -> Jobs:
        """Read what is new."""
        now = datetime.now(UTC)
        # The bar that the first hour is in begins before it does.
        since = now - self._span - timedelta(hours=1)
        if self._watch is None:
            found = read_jobs(self._deployment, since=since, now=now)
            self._jobs = {job.id: job for job in found}
            self._is_cut_off = found.is_cut_off
            # What runs is told from its beginning.
            running = [job.started for job in found if not job.is_over]
            recent = [at for at in running if at > now - timedelta(hours=1)]
            self._watch = Watch(self._deployment, since=min([now - OVERLAP, *recent]))
        for job in self._watch.poll(now):
            self._jobs[job.id] = _merge(self._jobs.get(job.id), job)
        self._find_lost(self._watch, now)
        self._jobs = {job.id: job for job in self._jobs.values() if job.started >= since}
        jobs = sorted(self._jobs.values(), key=lambda job: (job.started, job.id), reverse=True)
        return Jobs(jobs, self._is_cut_off)

    def _find_lost(self, watch: Watch, now: datetime) -> None:
        """Look at large jobs of which the watch has heard nothing: they began long before it.

        It hears how they end, but not that they ended without a word.
        """
        heard = {job.id for job in watch.jobs}
        unheard = [
            job
            for job in self._jobs.values()
            if job.outcome is State.RUNNING and job.id not in heard
        ]
        ended = find_ended(self._deployment, unheard, now)
        for job in unheard:
            stopped = ended.get(job.execution or "")
            # The log may tell of the end a little later.
            if stopped is not None and now - stopped > timedelta(seconds=SILENCE_SECONDS):
                found = read_job(self._deployment, job.id, since=job.started - OVERLAP, now=now)
                self._jobs[job.id] = found.job


class Views:
    """All views of an engine. Threads may share it.

    Args:
        deployment: The engine.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        histories = {name: History(deployment, period) for name, period in PERIODS.items()}
        self._jobs = {name: Cached(history.read) for name, history in histories.items()}
        self._job = CachedEach[str, JobRecord](self._read_job)
        self._sent: OrderedDict[str, Job] = OrderedDict()
        self._queues = Cached(lambda: read_queues(deployment))
        self._revision = CachedEach[tuple[str, str], Revision](
            lambda key: read_revision(deployment.s3, *key, limit=ENTRIES)
        )
        self._identity = Cached(lambda: deployment.sts.get_caller_identity()["Arn"])
        self._configuration = Cached(lambda: read_configuration(deployment))

    def jobs(self, period: Period) -> Answer[Jobs]:
        """The jobs of a period.

        Args:
            period: How far back.
        """
        return self._jobs[period.name].get(self._max_age(period))

    def has_fresh_jobs(self, period: Period) -> bool:
        """Whether `jobs` would answer at once.

        Args:
            period: How far back.
        """
        return self._jobs[period.name].is_fresh(self._max_age(period))

    def jobs_interval(self, period: Period) -> int:
        """After how many seconds to look at the jobs again.

        Args:
            period: How far back.
        """
        answer = self._jobs[period.name].peek()
        busy = answer.value is not None and answer.value.running > 0
        return interval_seconds(busy=busy, backoff_level=answer.backoff_level)

    def queues(self) -> Answer[Queues]:
        """How full the queues are."""
        backoff_level = self._queues.peek().backoff_level
        return self._queues.get(interval_seconds(busy=True, backoff_level=backoff_level) * 0.8)

    def knows_queues(self) -> bool:
        """Whether `queues` would answer at once."""
        return self._queues.is_fresh(interval_seconds(busy=True, backoff_level=0) * 0.8)

    def known_queues(self) -> Queues | None:
        """That of the last answer of `queues`, without asking."""
        return self._queues.peek().value

    def failures_waiting(self) -> int | None:
        """How many dead letters there were when somebody last looked; None: nobody did."""
        queues = self._queues.peek().value
        return queues.dead_letters if queues else None

    def job(self, job_id: str) -> Answer[JobRecord]:
        """Everything that the log knows of a job.

        Args:
            job_id: Its id.
        """
        return self._job.of(job_id).get(self._max_age_of_job(job_id))

    def knows_job(self, job_id: str) -> bool:
        """Whether `job` would answer at once.

        Args:
            job_id: Its id.
        """
        return self._job.of(job_id).is_fresh(self._max_age_of_job(job_id))

    def job_interval(self, job_id: str) -> int:
        """After how many seconds to look at a job again.

        Args:
            job_id: Its id.
        """
        answer = self._job.of(job_id).peek()
        busy = answer.value is None or not answer.value.job.is_over
        return interval_seconds(busy=busy, backoff_level=answer.backoff_level)

    def listed_job(self, job_id: str) -> Job | None:
        """A job of a list that was read before, to name it at once.

        Args:
            job_id: Its id.
        """
        if job_id in self._sent:
            return self._sent[job_id]
        for cached in self._jobs.values():
            if found := cached.peek().value:
                for job in found.jobs:
                    if job.id == job_id:
                        return job
        return None

    def revision(self, registry: str, top_hash: str) -> Answer[Revision]:
        """The beginning of a revision.

        Args:
            registry: The bucket.
            top_hash: The revision.
        """
        return self._revision.of((registry, top_hash)).get(REVISION_SECONDS)

    def configuration(self) -> Answer[Configuration]:
        """How the engine does its jobs."""
        return self._configuration.get(CONFIGURATION_SECONDS)

    def known_configuration(self) -> Configuration | None:
        """That of the last answer, without asking."""
        return self._configuration.peek().value

    def find_identity(self) -> None:
        """Ask whose credentials these are; where STS cannot be reached, that takes its time."""
        self._identity.get(IDENTITY_SECONDS)

    def identity(self) -> str | None:
        """Whose credentials these are, if `find_identity` found out."""
        return self._identity.peek().value

    def expect(self, job: Job) -> None:
        """Know of a job whose message was sent from here, before it leaves a line in the log.

        Args:
            job: The job, which waits in the queue.
        """
        self._sent[job.id] = job
        while len(self._sent) > MAX_SENT:
            self._sent.popitem(last=False)

    def forget(self) -> None:
        """Look anew at all that changes: something was done."""
        self._queues.forget()
        for cached in self._jobs.values():
            cached.forget()

    def _read_job(self, job_id: str) -> JobRecord:
        sent = self._sent.get(job_id)
        if sent is None:
            return read_job(self.deployment, job_id)
        try:
            return read_job(self.deployment, job_id, since=sent.started - OVERLAP)
        except UnknownJob:
            return JobRecord(sent, (), ())

    def _max_age_of_job(self, job_id: str) -> float:
        record = self._job.of(job_id).peek().value
        if record is not None and record.job.is_over:
            return OVER_SECONDS
        return self.job_interval(job_id) * 0.8

    def _max_age(self, period: Period) -> float:
        # A poll that comes a little early is a poll all the same.
        return self.jobs_interval(period) * 0.8


def _merge(before: Job | None, after: Job) -> Job:
    """What is known of a job, of which a watch may have seen only the last attempt."""
    if before is None:
        return after
    if before.final and before.updated > after.updated:
        return before
    return msgspec.structs.replace(
        after,
        started=min(before.started, after.started),
        attempts=max(before.attempts, after.attempts),
        source=after.source or before.source,
        trigger=after.trigger or before.trigger,
        package_name=after.package_name or before.package_name,
        registry=after.registry or before.registry,
        execution=after.execution or before.execution,
    )


def make_queued(
    job_id: str, *, source: str | None, registry: str | None, package_name: str | None
) -> Job:
    """A job whose message was just sent.

    Args:
        job_id: Its id.
        source: The folder, as a URI.
        registry: The bucket that the package goes to.
        package_name: The package.
    """
    now = datetime.now(UTC)
    return Job(
        id=job_id,
        outcome=State.QUEUED,
        started=now,
        updated=now,
        trigger="message",
        source=source,
        registry=registry,
        package_name=package_name,
    )
