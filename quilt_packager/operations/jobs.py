"""The jobs of a deployed engine, read from its log in CloudWatch Logs: there is no other store.

A list takes one request for each window of time that it looks at (the last hour, the eight before
it, and so on, until there are enough jobs), one more for each further MiB of lines found there, and
one for each fifteen jobs that run. A poll of what is new takes one.
"""

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, NamedTuple, overload

import msgspec
from quilt_packager_runtime.errors import name_some, quote

from quilt_packager.operations.errors import SeveralJobs, UnknownJob
from quilt_packager.operations.job import Attempt, Job, Phase, Progress, State
from quilt_packager.operations.job_log import ATTEMPT_SECONDS, fold, fold_job, list_attempts
from quilt_packager.operations.log_lines import IGNORED, PROGRESS, STARTED, TOLD, LogLine
from quilt_packager.operations.log_reader import (
    LogReader,
    TooManyRequests,
    any_job,
    any_message,
    windows,
)

if TYPE_CHECKING:
    from quilt_packager.operations.deployments import Deployment

__all__ = [
    "Attempt",
    "Job",
    "JobList",
    "JobRecord",
    "LogLine",
    "Phase",
    "Progress",
    "State",
    "Watch",
    "fold",
    "follow",
    "read_job",
    "read_jobs",
]

MAX_JOBS = 10_000
"""How many jobs a list holds at most."""

MAX_LINES = 10_000
"""How many lines of a job are shown at most."""

MAX_WATCHED = 150
"""Of how many running jobs a list tells how far they are."""

MAX_EXECUTIONS = 20
"""How many silent large jobs a list asks the state machine about."""

LOOK_BACK = timedelta(days=30)
"""How far back a job is looked for."""

OVERLAP = timedelta(seconds=60)
"""How late a line may come to the log. A poll reads so much of the last one's time again."""

KEEP = timedelta(hours=12)
"""How long a watch remembers a job that is over: SQS hides a message no longer."""

BUSY_SECONDS = 5.0
IDLE_SECONDS = 15.0
"""How long it takes from a poll to the next while something runs, and while nothing does."""

ID = re.compile(r"[A-Za-z0-9_-]{1,100}")

LISTED = sorted(TOLD - {PROGRESS, IGNORED})


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


class JobRecord(msgspec.Struct, frozen=True):
    """Everything that the log knows of a job.

    Attributes:
        job: The job.
        lines: Its lines, the first one first.
        attempts: The attempts at it, likewise.
        is_cut_off: It has more lines than these.
    """

    job: Job
    lines: tuple[LogLine, ...]
    attempts: tuple[Attempt, ...]
    is_cut_off: bool = False


class _Wanted(NamedTuple):
    """Which jobs somebody wants to see."""

    until: datetime | None
    name_glob: str | None
    outcomes: frozenset[str] | None

    def choose(self, jobs: Iterable[Job]) -> list[Job]:
        return [job for job in jobs if self._holds(job)]

    def _holds(self, job: Job) -> bool:
        if self.until is not None and job.started >= self.until:
            return False
        if self.name_glob is not None and not fnmatchcase(job.package_name or "", self.name_glob):
            return False
        return self.outcomes is None or job.outcome in self.outcomes


def read_jobs(
    deployment: "Deployment",
    *,
    since: datetime,
    until: datetime | None = None,
    name_glob: str | None = None,
    outcomes: Collection[str] | None = None,
    limit: int | None = None,
    now: datetime | None = None,
) -> JobList:
    """List the jobs that started or ended in some time.

    Args:
        deployment: The engine.
        since: Where the time begins.
        until: Only jobs that started before then: the next page of a list begins where the last
            job of this one started.
        name_glob: Only packages with such a name, as `wgs/*`.
        outcomes: Only jobs with one of these, of `State`. Messages that asked for nothing are
            listed only if `ignored` is among them.
        limit: How many jobs at most; a few more if they started in the same millisecond.
        now: The time.

    Returns:
        The jobs; those that started last come first.
    """
    now = now or datetime.now(UTC)
    wanted = _Wanted(until, name_glob, frozenset(outcomes) if outcomes is not None else None)
    hears_ignored = outcomes is not None and State.IGNORED in outcomes
    pattern = any_message([*LISTED, IGNORED] if hears_ignored else LISTED)
    reader = LogReader(deployment)
    lines: list[LogLine] = []
    completed: set[str] = set()
    known_since = until or now
    try:
        for start, end in windows(since, until or now):
            is_newest = until is None and end == now
            found = list(reader.read(pattern, start, None if is_newest else end))
            if not hears_ignored:
                found = [line for line in found if line.message != IGNORED]
            lines += found
            jobs = fold(lines, now=now)
            if until is not None:
                # What became of them after that time?
                lines += _complete(reader, [job for job in jobs if not job.final], completed)
                jobs = fold(lines, now=now)
            known_since = start
            listed = wanted.choose(jobs)
            if len(jobs) >= MAX_JOBS or _is_enough(listed, start, limit):
                break
        running = [job for job in fold(lines, now=now) if job.outcome is State.RUNNING]
        lines += _complete(reader, running, completed)
    except TooManyRequests:
        pass
    jobs = fold(lines, now=now)
    if ended := _find_ended(deployment, jobs, now):
        jobs = fold(lines, now=now, ended_executions=ended)
    listed = wanted.choose(jobs)
    shown = _cut(listed, min(limit or MAX_JOBS, MAX_JOBS))
    return JobList(
        shown,
        since=known_since,
        is_cut_off=len(shown) < len(listed) or known_since > since,
        requests=reader.requests,
    )


def read_job(
    deployment: "Deployment",
    job_id: str,
    *,
    since: datetime | None = None,
    now: datetime | None = None,
) -> JobRecord:
    """Read everything of one job.

    Args:
        deployment: The engine.
        job_id: Its id, or how that begins.
        since: How far back it is looked for. Default: 30 days.
        now: The time.

    Raises:
        UnknownJob: The log knows none.
        SeveralJobs: The ids of several begin so.
    """
    now = now or datetime.now(UTC)
    since = since or now - LOOK_BACK
    if not ID.fullmatch(job_id):
        raise _unknown(job_id, since)
    reader = LogReader(deployment)
    (pattern,) = any_job([f"{job_id}*"])
    lines: list[LogLine] = []
    has_more = False
    for start, end in windows(since, now):
        found = reader.read(pattern, start, None if end == now else end)
        lines += [line for line in found if (line.message_id or "").startswith(job_id)]
        if has_more or _has_start(lines):
            break
        # Its first attempt may have been before.
        has_more = any(line.message in TOLD for line in lines)
    job_id = _choose_id(job_id, lines, since)
    lines = [line for line in lines if line.message_id == job_id]
    job = fold_job(lines, now=now)
    if job.execution is not None:
        (pattern,) = any_job([job_id])
        found = reader.read(pattern, job.started, function="checksum")
        lines += [line for line in found if line.message_id == job_id]
        job = fold_job(lines, now=now, ended_executions=_find_ended(deployment, [job], now))
    lines = sorted(
        {(line.at, line.text): line for line in lines}.values(), key=lambda line: line.at
    )
    return JobRecord(
        job,
        tuple(lines[-MAX_LINES:]),
        tuple(list_attempts(lines)),
        is_cut_off=len(lines) > MAX_LINES,
    )


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

    @property
    def jobs(self) -> list[Job]:
        """All jobs that were heard of; those that started last come first."""
        return sorted(self._jobs.values(), key=lambda job: (job.started, job.id), reverse=True)

    @property
    def is_busy(self) -> bool:
        """Something runs."""
        return any(job.outcome is State.RUNNING for job in self._jobs.values())

    def poll(self, now: datetime | None = None) -> list[Job]:
        """Read what is new.

        Args:
            now: The time.

        Returns:
            The jobs that changed; those that started first come first.
        """
        now = now or datetime.now(UTC)
        heard = self._read()
        self._since = max(self._since, now - OVERLAP)
        running = {job.id for job in self._jobs.values() if job.outcome is State.RUNNING}
        before = dict(self._jobs)
        ended = _find_ended(self._deployment, self._jobs.values(), now)
        for job_id in heard | running:
            lines = self._lines[job_id].values()
            self._jobs[job_id] = fold_job(lines, now=now, ended_executions=ended)
        changed = [
            job
            for job in reversed(self.jobs)
            if _without_clock(job) != _without_clock(before.get(job.id))
        ]
        self._forget(now)
        return changed

    def _read(self) -> set[str]:
        """Read on, and tell which jobs there is something new of."""
        reader = LogReader(self._deployment)
        if self._job_id is None:
            pattern = any_message(["package *", "message put off"])
        else:
            (pattern,) = any_job([self._job_id])
        heard = set()
        for line in reader.read(pattern, self._since):
            job_id = line.message_id
            if job_id is None or line.message not in TOLD or self._job_id not in (None, job_id):
                continue
            if self._job_id is None and line.message == IGNORED:
                continue
            lines = self._lines.setdefault(job_id, {})
            if (line.at, line.text) not in lines:
                lines[line.at, line.text] = line
                heard.add(job_id)
        return heard

    def _forget(self, now: datetime) -> None:
        for job in list(self._jobs.values()):
            if job.final and now - job.updated > KEEP:
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
        yield from watch.poll()
        sleep(busy_seconds if watch.is_busy else idle_seconds)


def _is_enough(listed: list[Job], start: datetime, limit: int | None) -> bool:
    """Whether no job that is still to be read comes before the last one wanted."""
    return limit is not None and sum(job.started >= start for job in listed) >= limit


def _cut(jobs: list[Job], limit: int) -> list[Job]:
    """The first ones; what started at the same time as the last of them stays with it."""
    end = limit
    while 0 < end < len(jobs) and jobs[end].started == jobs[limit - 1].started:
        end += 1
    return jobs[:end]


def _complete(reader: LogReader, jobs: list[Job], completed: set[str]) -> list[LogLine]:
    """Read all lines of some jobs that were not read yet."""
    new = [job for job in jobs if job.id not in completed and ID.fullmatch(job.id)][:MAX_WATCHED]
    if not new:
        return []
    ids = {job.id for job in new}
    completed |= ids
    start = min(job.started for job in new)
    return [
        line
        for pattern in any_job(sorted(ids))
        for line in reader.read(pattern, start)
        if line.message_id in ids
    ]


def _find_ended(
    deployment: "Deployment", jobs: Iterable[Job], now: datetime
) -> Mapping[str, datetime]:
    """Of the executions of large jobs that are silent, those that ended, and when."""
    machine = deployment.state_machine_arn
    silent = [
        job.execution
        for job in jobs
        if job.outcome is State.RUNNING
        and job.execution is not None
        and now - job.updated > timedelta(seconds=ATTEMPT_SECONDS)
    ]
    if machine is None:
        return {}
    client = deployment.states
    ended = {}
    for name in silent[:MAX_EXECUTIONS]:
        arn = f"{machine.replace(':stateMachine:', ':execution:')}:{name}"
        try:
            stopped = client.describe_execution(executionArn=arn).get("stopDate")
        except client.exceptions.ExecutionDoesNotExist:
            stopped = datetime.fromtimestamp(0, UTC)
        if stopped is not None:
            ended[name] = stopped
    return ended


def _has_start(lines: Iterable[LogLine]) -> bool:
    return any(line.message == STARTED and line.fields.get("delivery") == 1 for line in lines)


def _choose_id(job_id: str, lines: Iterable[LogLine], since: datetime) -> str:
    ids = {line.message_id for line in lines if line.message_id and line.message in TOLD}
    if job_id in ids:
        return job_id
    if not ids:
        raise _unknown(job_id, since)
    if len(ids) > 1:
        raise SeveralJobs(
            f"The ids of {len(ids)} jobs begin with {job_id}: {name_some(sorted(ids))}.",
            why="It is not clear which is meant.",
            remedy="Give more of the id.",
        )
    return ids.pop()


def _unknown(job_id: str, since: datetime) -> UnknownJob:
    return UnknownJob(
        f"There is no job {quote(job_id)}.",
        why=f"The engine's log knows none since {since:%Y-%m-%d}; a message that still waits has "
        "left no line there.",
        remedy="quilt-packager jobs --since 7d",
    )


def _without_clock(job: Job | None) -> Job | None:
    """What changes of a job by more than the time."""
    if job is None or job.outcome is not State.RUNNING:
        return job
    return msgspec.structs.replace(job, seconds=None)
