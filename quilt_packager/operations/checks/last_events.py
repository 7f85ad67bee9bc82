"""Finds the last event of each source: from the metric of its rule, or from its latest job."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from quilt_packager.operations import formats
from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, ok, unconfirmed
from quilt_packager.operations.jobs.listing import read_jobs
from quilt_packager.operations.sources.activity import (
    DAY,
    LOOK_BACK,
    find_last_events,
    find_last_job,
)

if TYPE_CHECKING:
    from quilt_packager.operations.checks.inspection import Inspection

SENDERS = {
    "health_omics": Behaviour.OMICS_EVENTS,
    "workflow_run_crate": Behaviour.S3_EVENTS,
}
"""Behaviours of AWS that an event confirms, by the kind of its source."""


def check_last_events(engine: "Inspection") -> Iterator[Finding]:
    """Report the time of the last event of each enabled source."""
    now = datetime.now(UTC)
    seen = find_last_seen(engine, now)
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


def find_last_seen(engine: "Inspection", now: datetime) -> dict[str, datetime]:
    """Find the time of the last event of each source, to the hour."""
    sources, deployment = engine.sources, engine.deployment
    if not sources:
        return {}
    seen = find_last_events(deployment, sources, now=now)
    jobs = read_jobs(deployment, since=now - DAY, now=now)
    for source in sources:
        if last := find_last_job(source, jobs):
            seen[source.name] = max(seen.get(source.name, last), last)
    return seen
