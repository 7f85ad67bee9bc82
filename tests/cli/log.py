"""Writes the log lines of an engine's functions."""

import json
from datetime import datetime, timedelta

import boto3

from quilt_packager.operations.deployment.deployments import Deployment
from tests.operations import job_lines

STREAM = "1"
SUCCESSES = {"created", "unchanged"}


def log_job(
    deployment: Deployment,
    job_id: str,
    started: datetime,
    outcome: str | None = None,
    **fields: object,
) -> None:
    """Write the lines of a job of one second: its start and, unless it is running, its end."""
    fields = {"source": "s3://raw/a/", "event_id": None, "trigger": None, **fields}
    name = str(fields.pop("package_name", None) or "runs/1")
    write_line(deployment, started, job_lines.started(job_id, started, name, **fields))
    if outcome is not None:
        ended = started + timedelta(seconds=1)
        make = job_lines.succeeded if outcome in SUCCESSES else job_lines.failed
        fields = {"seconds": 1.0, **fields}
        write_line(deployment, ended, make(job_id, ended, outcome, name, **fields))


def log_line(deployment: Deployment, at: datetime, message: str, **fields: object) -> None:
    """Write a line to the packager's log."""
    write_line(deployment, at, {"level": "INFO", "message": message, **fields})


def write_line(deployment: Deployment, at: datetime, line: job_lines.Line) -> None:
    client = boto3.client("logs")
    group = deployment.log_group("packager")
    assert group is not None
    streams = client.describe_log_streams(logGroupName=group)["logStreams"]
    if not streams:
        client.create_log_stream(logGroupName=group, logStreamName=STREAM)
    event = {"timestamp": int(at.timestamp() * 1000), "message": json.dumps(line)}
    client.put_log_events(logGroupName=group, logStreamName=STREAM, logEvents=[event])
