"""The data of an engine: each view is requested from AWS at most once per interval."""

import threading
from collections import OrderedDict
from datetime import UTC, datetime
from typing import Any

from quilt_packager_runtime.formats.outcome import OutcomeFields

from quilt_packager.admin.model.caching import Answer, Cached, CachedEach, interval_seconds
from quilt_packager.admin.model.dead_letters import DeadLetters
from quilt_packager.admin.model.job_history import JobHistory, Jobs
from quilt_packager.admin.model.package_views import PackageViews
from quilt_packager.admin.model.periods import HISTORIES, Period
from quilt_packager.admin.model.settings_views import SettingsViews
from quilt_packager.operations.audits import AuditedPackage, choose_damaged, read_audits
from quilt_packager.operations.deployment.configurations import Configuration, read_configuration
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.deployment.queues import Queues, read_queues
from quilt_packager.operations.errors import UnknownJob
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.record import JobRecord, read_job
from quilt_packager.operations.jobs.search import TEXT, find_logged
from quilt_packager.operations.jobs.watch import OVERLAP
from quilt_packager.operations.lineage.steps import read_users
from quilt_packager.operations.revisions.contents import RevisionContents, read_contents

CONTENTS_SECONDS = 3600
"""A revision never changes, but its manifest may be deleted."""

USERS_SECONDS = 60
CONFIGURATION_SECONDS = 600
AUDITS_SECONDS = 60
IDENTITY_SECONDS = 3600

OVER_SECONDS = 300
"""Interval for jobs that have ended: only late log lines can follow."""

LOGGED_SECONDS = 30
LOGGED_WAIT_SECONDS = 2
"""Time that a list waits for a search of the log. Later results come with an update."""

MAX_PENDING = 1000
"""Number of sent jobs that are remembered."""

POLL_MARGIN = 0.8
"""Share of an interval after which a poll counts as due: polls may arrive early."""


class Views:
    """All views of an engine. Threads may share it.

    Args:
        deployment: The engine.

    Attributes:
        dead_letters: Its dead letters.
        settings: Its event sources, flags and check.
    """

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self.packages = PackageViews(deployment)
        self._audits = Cached(lambda: read_audits(deployment))
        self.dead_letters = DeadLetters(deployment)
        self.settings = SettingsViews(deployment)
        histories = {name: JobHistory(deployment, period) for name, period in HISTORIES.items()}
        self._jobs = {name: Cached(history.read) for name, history in histories.items()}
        self._logged = CachedEach[tuple[str, str], frozenset[str]](
            self._find_logged, keep=8, deadline_seconds=LOGGED_WAIT_SECONDS
        )
        self._one_search = threading.Lock()
        self._job = CachedEach[str, JobRecord](self._read_job)
        self._pending: OrderedDict[str, Job] = OrderedDict()
        self._queues = Cached(lambda: read_queues(deployment))
        self._contents = CachedEach[tuple[str, str], RevisionContents](
            lambda key: read_contents(deployment.s3, *key, limit=0)
        )
        self._users = CachedEach[tuple[str, str], list[OutcomeFields]](
            lambda key: read_users(deployment, *key)
        )
        self._identity = Cached(lambda: deployment.sts.get_caller_identity()["Arn"])
        self._configuration = Cached(lambda: read_configuration(deployment))

    def jobs(self, period: Period) -> Answer[Jobs]:
        """Return the jobs of a period."""
        return self._jobs[period.name].get(self._max_age(period))

    def logged(self, text: str, period: Period) -> frozenset[str]:
        """Return the ids of jobs with a text in their log: those found so far within a moment."""
        if not TEXT.fullmatch(text):
            return frozenset()
        return self._logged.of((text, period.name)).get(LOGGED_SECONDS).value or frozenset()

    def last_jobs(self, period: Period) -> Jobs | None:
        """Return the last known jobs of a period without a request."""
        return self._jobs[period.name].peek().value

    def start_jobs(self, period: Period) -> None:
        """Begin to read the jobs of a period, while other requests run."""
        self._jobs[period.name].start(self._max_age(period))

    def has_fresh_jobs(self, period: Period) -> bool:
        """Return True if `jobs` would make no request."""
        return self._jobs[period.name].is_fresh(self._max_age(period))

    def jobs_interval(self, period: Period) -> int:
        """Return the polling interval of `jobs` in seconds."""
        answer = self._jobs[period.name].peek()
        busy = answer.value is not None and answer.value.running > 0
        return interval_seconds(busy=busy, backoff_level=answer.backoff_level)

    def queues(self) -> Answer[Queues]:
        """Return the counts of the queues."""
        return self._queues.get(self._max_age_of_queues())

    def start_queues(self) -> None:
        """Begin to read the counts of the queues, while other requests run."""
        self._queues.start(self._max_age_of_queues())

    def has_fresh_queues(self) -> bool:
        """Return True if `queues` would make no request."""
        interval = interval_seconds(busy=True, backoff_level=0)
        return self._queues.is_fresh(interval * POLL_MARGIN)

    def last_queues(self) -> Queues | None:
        """Return the last counts of the queues without a request."""
        return self._queues.peek().value

    def failures_waiting(self) -> int | None:
        """Return the last known number of dead letters without a request."""
        queues = self.last_queues()
        return queues.dead_letters if queues else None

    def job(self, job_id: str) -> Answer[JobRecord]:
        """Return everything that the log contains about a job."""
        return self._job.of(job_id).get(self._max_age_of_job(job_id))

    def has_fresh_job(self, job_id: str) -> bool:
        """Return True if `job` would make no request."""
        return self._job.of(job_id).is_fresh(self._max_age_of_job(job_id))

    def job_interval(self, job_id: str) -> int:
        """Return the polling interval of `job` in seconds."""
        answer = self._job.of(job_id).peek()
        busy = answer.value is None or not answer.value.job.is_over
        return interval_seconds(busy=busy, backoff_level=answer.backoff_level)

    def listed_job(self, job_id: str) -> Job | None:
        """Find a job in the lists that were read before, without a request."""
        if job_id in self._pending:
            return self._pending[job_id]
        lists = (cached.peek().value for cached in self._jobs.values())
        listed = (job for found in lists if found for job in found.jobs)
        return next((job for job in listed if job.id == job_id), None)

    def listed_registries(self) -> list[str]:
        """Return the registries of the jobs that were read before, without a request."""
        lists = (cached.peek().value for cached in self._jobs.values())
        jobs = (job for found in lists if found for job in found.jobs)
        return sorted({job.registry for job in jobs if job.registry})

    def listed_packages(self) -> dict[tuple[str, str], str]:
        """Return the packages that the jobs that were read before made, by registry and folder."""
        lists = (cached.peek().value for cached in self._jobs.values())
        jobs = (job for found in lists if found for job in found.jobs)
        return {
            (job.registry, job.source): job.package_name
            for job in jobs
            if job.top_hash and job.registry and job.source and job.package_name
        }

    def contents(self, registry: str, top_hash: str) -> Answer[RevisionContents]:
        """Return the metadata and the workflow of a revision."""
        return self._contents.of((registry, top_hash)).get(CONTENTS_SECONDS)

    def users(self, table: str, revision: str) -> Answer[list[OutcomeFields]]:
        """Return the revisions that were made from a revision, by the index of lineage."""
        return self._users.of((table, revision)).get(USERS_SECONDS)

    def audits(self) -> Answer[list[AuditedPackage]]:
        """Return the results of the last audits."""
        return self._audits.get(AUDITS_SECONDS)

    def start_audits(self) -> None:
        """Begin to read the results of the last audits, while other requests run."""
        self._audits.start(AUDITS_SECONDS)

    def damaged(self) -> Answer[list[AuditedPackage]]:
        """Return the packages that the last audits found damaged."""
        answer = self.audits()
        damaged = None if answer.value is None else choose_damaged(answer.value)
        return Answer(damaged, answer.at, answer.error, answer.backoff_level)

    def configuration(self) -> Answer[Configuration]:
        """Return the configuration of the engine's functions."""
        return self._configuration.get(CONFIGURATION_SECONDS)

    def start_configuration(self) -> None:
        """Begin to read the configuration, while other requests run."""
        self._configuration.start(CONFIGURATION_SECONDS)

    def last_configuration(self) -> Configuration | None:
        """Return the last known configuration without a request."""
        return self._configuration.peek().value

    def find_identity(self) -> None:
        """Look up the ARN of the credentials. This is slow where STS cannot be reached."""
        self._identity.get(IDENTITY_SECONDS)

    def identity(self) -> str | None:
        """Return the ARN of the credentials if `find_identity` has found it."""
        return self._identity.peek().value

    def add_pending(self, job: Job) -> None:
        """Remember a job whose message was sent from here, until the log mentions it."""
        self._pending[job.id] = job
        while len(self._pending) > MAX_PENDING:
            self._pending.popitem(last=False)

    def retry(self) -> None:
        """Repeat failed requests for the queues and the jobs next time."""
        read: list[Cached[Any]] = [self._queues, *self._jobs.values()]
        for cached in read:
            if cached.peek().error is not None:
                cached.invalidate()

    def invalidate(self) -> None:
        """Request new data of the queues and the jobs next time, since something was changed."""
        self._queues.invalidate()
        for cached in self._jobs.values():
            cached.invalidate()

    def _read_job(self, job_id: str) -> JobRecord:
        pending = self._pending.get(job_id)
        if pending is None:
            return read_job(self.deployment, job_id)
        try:
            return read_job(self.deployment, job_id, since=pending.started - OVERLAP)
        except UnknownJob:
            return JobRecord(pending, (), ())

    def _find_logged(self, key: tuple[str, str]) -> frozenset[str]:
        text, name = key
        # One at a time: each typed letter may begin a search.
        with self._one_search:
            since = datetime.now(UTC) - HISTORIES[name].span
            return find_logged(self.deployment, text, since=since)

    def _max_age_of_queues(self) -> float:
        backoff_level = self._queues.peek().backoff_level
        return interval_seconds(busy=True, backoff_level=backoff_level) * POLL_MARGIN

    def _max_age_of_job(self, job_id: str) -> float:
        record = self._job.of(job_id).peek().value
        if record is not None and record.job.is_over:
            return OVER_SECONDS
        return self.job_interval(job_id) * POLL_MARGIN

    def _max_age(self, period: Period) -> float:
        return self.jobs_interval(period) * POLL_MARGIN


def make_queued(
    job_id: str, *, source: str | None, registry: str | None, package_name: str | None
) -> Job:
    """Create a job whose message was just sent."""
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
