"""Lines of the log of jobs, as the functions write them."""

from datetime import UTC, datetime, timedelta
from typing import Any

NOW = datetime.now(UTC).replace(microsecond=0)
"""The current time, for functions that accept it."""

Line = dict[str, Any]

ERROR = {
    "code": "EmptySource",
    "reason": "It is empty. Nothing came. Look there.",
    "happened": "It is empty.",
    "why": "Nothing came.",
    "remedy": "Look there.",
}


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


def before_now(**time: float) -> datetime:
    """Return a time before the present, for the command, which reads the clock itself."""
    return datetime.now(UTC) - timedelta(**time)


def line(message: str, job: str, at: datetime, **fields: Any) -> Line:
    stamp = f"{at:%Y-%m-%d %H:%M:%S},{at.microsecond // 1000:03}+0000"
    return {"level": "INFO", "message": message, "timestamp": stamp, "message_id": job, **fields}


def started(job: str, at: datetime, name: str = "runs/1", **fields: Any) -> Line:
    return line(
        "package started",
        job,
        at,
        **{
            "delivery": 1,
            "registry": "packages",
            "package_name": name,
            "source": "s3://raw/runs/1/",
            "trigger": "health_omics",
            "event_id": "e1",
            **fields,
        },
    )


def progress(job: str, at: datetime, phase: str, done: int = 0, total: int | None = 10) -> Line:
    known = {"total": total} if total is not None else {}
    return line("package progress", job, at, phase=phase, done=done, **known)


def large_job_started(job: str, at: datetime, shards: int = 2) -> Line:
    return line("large job started", job, at, shards=shards, left=20, execution=job)


def files_awaited(job: str, at: datetime) -> Line:
    return line("files awaited", job, at, seconds=15, happened="It is incomplete.", execution=job)


def shard_hashed(job: str, at: datetime, shard: int = 1) -> Line:
    return line("shard hashed", job, at, round=0, shard=shard, objects=10, bytes=10, seconds=1.5)


def step_failed(job: str, at: datetime) -> Line:
    return line("step failed", job, at, step="publish", round=0, **ERROR)


def succeeded(
    job: str, at: datetime, result: str = "created", name: str = "runs/1", **fields: Any
) -> Line:
    return line(
        f"package {result}",
        job,
        at,
        **{
            "outcome": result,
            "package_name": name,
            "registry": "packages",
            "top_hash": "ab" * 32,
            "objects": 12,
            "bytes": 2048,
            "reused": 2,
            "stored": 10,
            "computed": 0,
            "seconds": 2.5,
            **fields,
        },
    )


def failed(
    job: str, at: datetime, result: str = "failed", name: str = "runs/1", **fields: Any
) -> Line:
    return line(
        f"package {result}",
        job,
        at,
        **{
            "outcome": result,
            "package_name": name,
            "registry": "packages",
            **ERROR,
            "seconds": 1.0,
            "final": result == "rejected",
            **fields,
        },
    )
