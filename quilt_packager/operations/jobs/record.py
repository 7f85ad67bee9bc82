"""Reads all lines of one job from the log of a deployed engine."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from quilt_packager_runtime.errors import name_some, quote
from quilt_packager_runtime.reporting.log_events import JobStep, PackageStarted

from quilt_packager.operations.errors import SeveralJobs, UnknownJob
from quilt_packager.operations.jobs.executions import find_ended
from quilt_packager.operations.jobs.fold import fold_job, list_attempts
from quilt_packager.operations.jobs.job import Attempt, Job
from quilt_packager.operations.jobs.log_lines import LogLine
from quilt_packager.operations.jobs.log_reader import (
    JOB_ID,
    LogReader,
    TooManyRequests,
    any_job,
    windows,
)

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

MAX_LINES = 10_000
"""Maximum number of lines of a record."""

LOOK_BACK = timedelta(days=30)
"""Default time to search for a job."""


class JobRecord(msgspec.Struct, frozen=True):
    """A job with its lines in the log.

    Attributes:
        job: The job.
        lines: Lines of the job, in order.
        attempts: Attempts at the job, in order.
        is_cut_off: The job may have more lines.
    """

    job: Job
    lines: tuple[LogLine, ...]
    attempts: tuple[Attempt, ...]
    is_cut_off: bool = False


def read_job(
    deployment: "Deployment",
    job_id: str,
    *,
    since: datetime | None = None,
    now: datetime | None = None,
) -> JobRecord:
    """Read the record of one job.

    Args:
        deployment: The engine.
        job_id: Id of the job, or its beginning.
        since: Start of the time to search. Default: the last 30 days.
        now: Current time.

    Raises:
        UnknownJob: The log has no such job.
        SeveralJobs: The ids of several jobs begin with `job_id`.
    """
    now = now or datetime.now(UTC)
    since = since or now - LOOK_BACK
    if not JOB_ID.fullmatch(job_id):
        raise _unknown(deployment, job_id, since)
    reader = LogReader(deployment)
    (pattern,) = any_job([f"{job_id}*"])
    lines: list[LogLine] = []
    known_since, has_more, is_cut_off = now, False, False
    try:
        for start, end in windows(since, now):
            found = reader.read(pattern, start, None if end == now else end)
            lines += (line for line in found if (line.message_id or "").startswith(job_id))
            known_since = start
            if has_more or _has_start(lines):
                break
            # The first attempt may be in an earlier window.
            has_more = any(isinstance(line.event, JobStep) for line in lines)
    except TooManyRequests:
        is_cut_off = True
    job_id = _choose_id(deployment, job_id, lines, known_since)
    lines = [line for line in lines if line.message_id == job_id]
    job = fold_job(lines, now=now)
    if job.execution is not None:
        (pattern,) = any_job([job_id])
        try:
            found = reader.read(pattern, job.started, function="checksum")
            lines += (line for line in found if line.message_id == job_id)
        except TooManyRequests:
            is_cut_off = True
        job = fold_job(lines, now=now, ended_executions=find_ended(deployment, [job], now))
    lines = sorted(
        {(line.at, line.text): line for line in lines}.values(), key=lambda line: line.at
    )
    return JobRecord(
        job,
        tuple(lines[-MAX_LINES:]),
        tuple(list_attempts(lines)),
        is_cut_off=is_cut_off or len(lines) > MAX_LINES,
    )


def _has_start(lines: Iterable[LogLine]) -> bool:
    return any(
        isinstance(line.event, PackageStarted) and line.event.delivery == 1 for line in lines
    )


def _choose_id(
    deployment: "Deployment", job_id: str, lines: Iterable[LogLine], since: datetime
) -> str:
    ids = {line.event.message_id for line in lines if isinstance(line.event, JobStep)}
    if job_id in ids:
        return job_id
    if not ids:
        raise _unknown(deployment, job_id, since)
    if len(ids) > 1:
        raise SeveralJobs(
            f"The ids of {len(ids)} jobs begin with {job_id}: {name_some(sorted(ids))}.",
            why="The id is ambiguous.",
            remedy="Add more characters of the id.",
        )
    return ids.pop()


def _unknown(deployment: "Deployment", job_id: str, since: datetime) -> UnknownJob:
    return UnknownJob(
        f"There is no job {quote(job_id)}.",
        why=f"The engine's log has no such job since {since:%Y-%m-%d}. Messages that wait in the "
        "queue are not logged.",
        remedy=deployment.command("jobs", "--since", "7d"),
    )
