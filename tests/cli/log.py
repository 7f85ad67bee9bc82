"""Writes the log lines of an engine's functions."""

import json
from datetime import datetime, timedelta

import boto3

from quilt_packager.operations.deployment.deployments import Deployment

STREAM = "1"


def log_job(
    deployment: Deployment,
    job_id: str,
    started: datetime,
    outcome: str | None = None,
    **fields: object,
) -> None:
    """Write the lines of a job of one second: its start and, unless it is running, its end."""
    fields = {"message_id": job_id, "source": "s3://raw/a/", "registry": "packages", **fields}
    log_line(deployment, started, "package started", delivery=1, **fields)
    if outcome is not None:
        ended = started + timedelta(seconds=1)
        fields |= {"outcome": outcome, "seconds": 1.0}
        log_line(deployment, ended, f"package {outcome}", final=True, **fields)


def log_line(deployment: Deployment, at: datetime, message: str, **fields: object) -> None:
    """Write a line to the packager's log."""
    client = boto3.client("logs")
    group = deployment.log_group("packager")
    assert group is not None
    streams = client.describe_log_streams(logGroupName=group)["logStreams"]
    if not streams:
        client.create_log_stream(logGroupName=group, logStreamName=STREAM)
    line = json.dumps({"level": "INFO", "message": message, **fields})
    event = {"timestamp": int(at.timestamp() * 1000), "message": line}
    client.put_log_events(logGroupName=group, logStreamName=STREAM, logEvents=[event])
