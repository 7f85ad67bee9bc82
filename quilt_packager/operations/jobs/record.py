"""Everything that the log of a deployed engine knows of one job."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from quilt_packager_runtime.errors import name_some, quote

from quilt_packager.operations.errors import SeveralJobs, UnknownJob
from quilt_packager.operations.jobs.executions import find_ended
from quilt_packager.operations.jobs.fold import fold_job, list_attempts
from quilt_packager.operations.jobs.job import Attempt, Job
from quilt_packager.operations.jobs.log_lines import JOB_MESSAGES, STARTED, LogLine
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
"""How many lines of a job are shown at most."""

LOOK_BACK = timedelta(days=30)
"""How far back a job is looked for."""


class JobRecord(msgspec.Struct, frozen=True):
    """Everything that the log knows of a job.

    Attributes:
        job: The job.
        lines: Its lines, the first one first.
        attempts: The attempts at it, likewise.
        is_cut_off: It may have more lines than these.
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
            # Its first attempt may have been before.
            has_more = any(line.message in JOB_MESSAGES for line in lines)
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
    return any(line.message == STARTED and line.fields.get("delivery") == 1 for line in lines)


def _choose_id(
    deployment: "Deployment", job_id: str, lines: Iterable[LogLine], since: datetime
) -> str:
    ids = {line.message_id for line in lines if line.message_id and line.message in JOB_MESSAGES}
    if job_id in ids:
        return job_id
    if not ids:
        raise _unknown(deployment, job_id, since)
    if len(ids) > 1:
        raise SeveralJobs(
            f"The ids of {len(ids)} jobs begin with {job_id}: {name_some(sorted(ids))}.",
            why="It is not clear which is meant.",
            remedy="Give more of the id.",
        )
    return ids.pop()


def _unknown(deployment: "Deployment", job_id: str, since: datetime) -> UnknownJob:
    return UnknownJob(
        f"There is no job {quote(job_id)}.",
        why=f"The engine's log knows none since {since:%Y-%m-%d}; a message that still waits has "
        "left no line there.",
        remedy=deployment.command("jobs", "--since", "7d"),
    )
