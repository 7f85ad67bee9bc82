"""Sample events, to test the patterns of rules with EventBridge's own implementation."""

import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

Event = Mapping[str, Any]


def upload_event(deployment: "Deployment", bucket: str, key: str) -> Event:
    """Return the event of an object that was written."""
    detail = {"version": "0", "bucket": {"name": bucket}, "object": {"key": key, "size": 1}}
    arn = f"arn:{deployment.partition}:s3:::{bucket}"
    return _event(deployment, "aws.s3", "Object Created", detail, arn)


def omics_event(deployment: "Deployment", bucket: str, prefix: str, status: str) -> Event:
    """Return the event of a HealthOmics run whose output is a folder."""
    run_id = prefix.rstrip("/").rpartition("/")[2]
    where = f"{deployment.region}:{deployment.account}"
    arn = f"arn:{deployment.partition}:omics:{where}:run/{run_id}"
    detail = {
        "omicsVersion": "1.0.0",
        "arn": arn,
        "status": status,
        "runOutputUri": f"s3://{bucket}/{prefix.rstrip('/')}",
    }
    return _event(deployment, "aws.omics", "Run Status Change", detail, arn)


def matches(deployment: "Deployment", pattern: Mapping[str, Any], event: Event) -> bool:
    """Ask EventBridge if a pattern matches an event."""
    return deployment.events.test_event_pattern(
        EventPattern=json.dumps(pattern), Event=json.dumps(event)
    )["Result"]


def _event(
    deployment: "Deployment", source: str, detail_type: str, detail: Mapping[str, Any], arn: str
) -> Event:
    return {
        "version": "0",
        "id": str(uuid.uuid4()),
        "source": source,
        "detail-type": detail_type,
        "account": deployment.account,
        "region": deployment.region,
        "time": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        "resources": [arn],
        "detail": detail,
    }
