"""Jobs as they are read from the log of a deployed engine."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quilt_packager.operations.deployments import Deployment
from quilt_packager.operations.jobs import read_jobs

NOW = datetime.now(UTC).replace(microsecond=0)
DAY_AGO = NOW - timedelta(days=1)

Write = Callable[..., None]


def ago(**time: float) -> datetime:
    return NOW - timedelta(**time)


@pytest.fixture
def write(deployment: Deployment) -> Write:
    """Writes lines to the log of a function, as the function does."""
    streams: set[str] = set()

    def put(*lines: dict[str, Any] | str, function: str = "packager") -> None:
        group = deployment.log_group(function)
        assert group
        if group not in streams:
            deployment.logs.create_log_stream(logGroupName=group, logStreamName="s")
            streams.add(group)
        events = [
            {
                "timestamp": round(NOW.timestamp() * 1000),
                "message": line if isinstance(line, str) else json.dumps(line),
            }
            for line in lines
        ]
        deployment.logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)

    return put


def line(message: str, job: str, at: datetime, **fields: Any) -> dict[str, Any]:
    stamp = at.isoformat(sep=" ", timespec="milliseconds")
    return {"level": "INFO", "message": message, "timestamp": stamp, "message_id": job, **fields}


def started(job: str, at: datetime, name: str = "runs/1", delivery: int = 1) -> dict[str, Any]:
    return line("package started", job, at, delivery=delivery, registry="raw", package_name=name)


def ended(
    job: str, at: datetime, result: str = "created", name: str = "runs/1", **fields: Any
) -> dict[str, Any]:
    return line(
        f"package {result}",
        job,
        at,
        outcome=result,
        package_name=name,
        registry="raw",
        seconds=2.0,
        **fields,
    )


class TestList:
    def test_tells_the_last_job_first(self, deployment: Deployment, write: Write) -> None:
        write(started("a", ago(hours=2)), ended("a", ago(hours=2, seconds=-2)))
        write(started("b", ago(minutes=5)))
        jobs = read_jobs(deployment, since=DAY_AGO, now=NOW)
        assert [(job.id, job.outcome) for job in jobs] == [("b", "running"), ("a", "created")]
        assert not jobs.is_cut_off

    def test_is_empty_where_nothing_was_logged(self, deployment: Deployment) -> None:
        assert list(read_jobs(deployment, since=DAY_AGO, now=NOW)) == []
