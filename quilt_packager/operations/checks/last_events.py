"""Finds the last event of each source: from the metric of its rule, or from its latest job."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from quilt_packager.operations import formats
from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, ok, unconfirmed
from quilt_packager.operations.jobs.listing import read_jobs
from quilt_packager.operations.sources.activity import DAY, query_events

if TYPE_CHECKING:
    from quilt_packager.operations.checks.inspection import Inspection

LOOK_BACK = timedelta(days=30)

SENDERS = {
    "health_omics": Behaviour.OMICS_EVENTS,
    "workflow_run_crate": Behaviour.S3_EVENTS,
}
"""Behaviours of AWS that an event confirms, by the kind of its source."""


def check_last_events(engine: "Inspection") -> Iterator[Finding]:
    """Report the time of the last event of each enabled source."""
    now = datetime.now(UTC)
    seen = find_last_events(engine, now)
    for source in engine.sources:
        if not source.enabled:
            continue
        behaviours = [SENDERS[source.kind]] if source.kind in SENDERS else []
        if source.name in seen:
            age = formats.age((now - seen[source.name]).total_seconds())
            yield ok(source.name, f"Its last event was {age} ago.", *behaviours)
        else:
            text = f"No event in {LOOK_BACK.days} days."
            yield unconfirmed(source.name, text, "", *behaviours)


def find_last_events(engine: "Inspection", now: datetime) -> dict[str, datetime]:
    """Find the time of the last event of each source, to the hour."""
    sources, deployment = engine.sources, engine.deployment
    if not sources:
        return {}
    answer = deployment.cloudwatch.get_metric_data(
        StartTime=now - LOOK_BACK,
        EndTime=now,
        MetricDataQueries=[query_events(number, each) for number, each in enumerate(sources)],
    )
    names = {f"m{number}": each.name for number, each in enumerate(sources)}
    seen = {
        names[each["Id"]]: max(times)
        for each in answer["MetricDataResults"]
        if (
            times := [
                moment
                for moment, value in zip(each["Timestamps"], each["Values"], strict=True)
                if value
            ]
        )
    }
    # CloudWatch is late by some minutes.
    for job in read_jobs(deployment, since=now - DAY, now=now):
        for source in sources:
            if job.trigger == source.kind and source.sender in (None, job.event_source):
                seen[source.name] = max(seen.get(source.name, job.started), job.started)
    return seen
