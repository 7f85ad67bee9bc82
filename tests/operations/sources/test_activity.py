"""Activity of event sources: jobs by their kind, events of rules from CloudWatch."""

from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE
from quilt_packager_runtime.requests.events import EDP_SOURCE

from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.sources.activity import (
    Activity,
    count_activity,
    count_events,
    count_jobs,
)
from quilt_packager.operations.sources.sources import Source

NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)


def source(
    name: str,
    kind: str,
    bus: str = "default",
    pattern: dict[str, Any] | None = None,
    sender: str | None = None,
) -> Source:
    return Source(
        name=name,
        kind=kind,
        title=name,
        matches="",
        enabled=True,
        deployed=True,
        rule=f"lab-{name}",
        event_bus=bus,
        description="",
        pattern=pattern or {},
        sender=sender,
    )


def job(trigger: str, outcome: State = State.CREATED, sender: str | None = None) -> Job:
    return Job(
        id="1",
        outcome=outcome,
        started=NOW,
        updated=NOW,
        trigger=trigger,
        event_source=sender,
    )


EDP = source("edp", "objects_ready", pattern={"source": [EDP_SOURCE, UPLOADS_SOURCE]})


def uploads(sender: str | None = UPLOADS_SOURCE, name: str = "uploads") -> Source:
    return source(name, "objects_ready", pattern={"source": ["aws.s3"]}, sender=sender)


UPLOADS = uploads()


def publish_events(count: int, dimensions: dict[str, str], hours_ago: int = 1) -> None:
    """Publish a metric of a rule as EventBridge does."""
    boto3.client("cloudwatch").put_metric_data(
        Namespace="AWS/Events",
        MetricData=[
            {
                "MetricName": "TriggeredRules",
                "Dimensions": [{"Name": name, "Value": dimensions[name]} for name in dimensions],
                "Timestamp": datetime.now(UTC) - timedelta(hours=hours_ago),
                "Value": count,
            }
        ],
    )


def test_counts_jobs_and_failures_by_their_kind() -> None:
    sources = [source("omics", "health_omics"), source("wrroc", "workflow_run_crate")]
    jobs = [
        job("health_omics"),
        job("health_omics", State.REJECTED),
        job("health_omics", State.FAILED),
        job("health_omics", State.RUNNING),
        job("message"),
    ]
    assert count_jobs(sources, jobs) == {"omics": Activity(4, 2), "wrroc": Activity(0, 0)}


def test_jobs_of_a_kind_with_several_senders_are_counted_by_sender() -> None:
    jobs = [
        job("objects_ready", sender=EDP_SOURCE),
        job("objects_ready", State.FAILED, sender=UPLOADS_SOURCE),
        job("objects_ready", sender=UPLOADS_SOURCE),
    ]
    found = count_jobs([EDP, UPLOADS], jobs)
    assert found == {"edp": Activity(1, 0), "uploads": Activity(2, 1)}


def test_uploads_may_have_a_sender_of_their_own() -> None:
    jobs = [
        job("objects_ready", sender=EDP_SOURCE),
        job("objects_ready", State.FAILED, sender="lab.uploads"),
        job("objects_ready", sender=UPLOADS_SOURCE),  # of another engine
    ]
    found = count_jobs([EDP, uploads("lab.uploads")], jobs)
    assert found == {"edp": Activity(2, 0), "uploads": Activity(1, 1)}
    found = count_jobs([UPLOADS, uploads("lab.uploads", "Lab")], jobs)
    assert found == {"uploads": Activity(1, 0), "Lab": Activity(1, 1)}


@pytest.mark.parametrize("sender", [EDP_SOURCE, None])
def test_uploads_with_the_sender_of_edp_are_not_counted(
    sender: str | None,
) -> None:
    jobs = [job("objects_ready", sender=EDP_SOURCE)]
    assert set(count_jobs([EDP, uploads(sender)], jobs).values()) == {Activity()}
    # Without EDP, all are theirs.
    assert count_jobs([uploads(sender)], jobs) == {"uploads": Activity(1, 0)}


def test_jobs_without_a_sender_are_not_counted() -> None:
    jobs = [job("objects_ready", sender=EDP_SOURCE), job("objects_ready")]
    assert set(count_jobs([EDP, UPLOADS], jobs).values()) == {Activity()}


def test_jobs_of_two_sources_of_a_kind_are_not_counted() -> None:
    sources = [source("edp", "objects_ready"), source("uploads", "objects_ready")]
    assert set(count_jobs(sources, [job("objects_ready")]).values()) == {Activity()}


def test_jobs_of_custom_rules_have_other_kinds() -> None:
    assert count_jobs([source("lims", "custom")], [job("message")]) == {"lims": Activity()}


@pytest.mark.parametrize(
    ("bus", "dimensions"), [("default", {}), ("edp-bus", {"EventBusName": "edp-bus"})]
)
def test_counts_the_events_of_a_rule(
    deployment: Deployment, bus: str, dimensions: dict[str, str]
) -> None:
    dimensions = {"RuleName": f"lab-{bus}-rule", **dimensions}
    publish_events(3, dimensions)
    publish_events(4, dimensions, 20)
    publish_events(5, dimensions, 30)
    found = count_events(deployment, [source(f"{bus}-rule", "custom", bus)])
    assert found == {f"{bus}-rule": 7}


def test_events_without_a_metric_are_unknown(deployment: Deployment) -> None:
    assert count_events(deployment, [source("silent", "custom")]) == {}


def test_counts_jobs_and_events(deployment: Deployment) -> None:
    publish_events(2, {"RuleName": "lab-omics-counted"})
    found = count_activity(
        deployment, [source("omics-counted", "health_omics")], [job("health_omics")]
    )
    assert found == {"omics-counted": Activity(jobs=1, failed=0, events=2)}


def test_without_sources_there_is_no_request(deployment: Deployment) -> None:
    assert count_activity(deployment, [], []) == {}
