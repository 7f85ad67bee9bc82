"""What came of each event source in the last day: its jobs, from the log, and its rule's events.

A job tells the kind of its event, not the rule that sent it. So the jobs of a kind are those of a
source only where it is the only one of the kind; events are counted for each rule by itself.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from quilt_packager.operations.job import Job, State
from quilt_packager.operations.sources import DEFAULT_BUS, Source

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

    from quilt_packager.operations.deployments import Deployment

DAY = timedelta(hours=24)
HOUR_SECONDS = 3600

FAILURES = frozenset({State.REJECTED, State.FAILED})

MAX_QUERIES = 500
"""What CloudWatch takes at once."""


class Activity(msgspec.Struct, frozen=True):
    """What came of an event source.

    Attributes:
        jobs: How many jobs; None if they cannot be told from those of another source.
        failed: How many of these were rejected or failed; likewise.
        events: How many events its rule matched; None if CloudWatch knows nothing of it.
    """

    jobs: int | None = None
    failed: int | None = None
    events: int | None = None


def count_activity(
    deployment: "Deployment",
    sources: Sequence[Source],
    jobs: Iterable[Job],
    *,
    now: datetime | None = None,
) -> dict[str, Activity]:
    """Say what came of event sources.

    Args:
        deployment: The engine.
        sources: Its sources.
        jobs: The jobs of the last day.
        now: When that ends.

    Returns:
        What came of each, by its name.
    """
    events = count_events(deployment, sources, now=now)
    return {
        name: msgspec.structs.replace(each, events=events.get(name))
        for name, each in count_jobs(sources, jobs).items()
    }


def count_jobs(sources: Sequence[Source], jobs: Iterable[Job]) -> dict[str, Activity]:
    """Count jobs by their source.

    Args:
        sources: All sources of an engine.
        jobs: The jobs.

    Returns:
        What came of each source, by its name.
    """
    kinds = Counter(each.kind for each in sources)
    started, failed = Counter[str | None](), Counter[str | None]()
    for job in jobs:
        started[job.trigger] += 1
        failed[job.trigger] += job.outcome in FAILURES
    return {
        each.name: Activity(started[each.kind], failed[each.kind])
        if kinds[each.kind] == 1 and each.kind != "custom"
        else Activity()
        for each in sources
    }


def count_events(
    deployment: "Deployment", sources: Sequence[Source], *, now: datetime | None = None
) -> dict[str, int]:
    """Count the events that rules matched in the last day, which CloudWatch tells by the hour.

    Args:
        deployment: The engine.
        sources: Its sources.
        now: When that ends.

    Returns:
        How many events, by the source's name; without those that CloudWatch knows nothing of.
    """
    if not sources:
        return {}
    now = now or datetime.now(UTC)
    answer = deployment.cloudwatch.get_metric_data(
        StartTime=now - DAY,
        EndTime=now,
        MetricDataQueries=[
            _query(number, each) for number, each in enumerate(sources[:MAX_QUERIES])
        ],
    )
    counts = {each["Id"]: each.get("Values", []) for each in answer["MetricDataResults"]}
    known = ((each.name, counts.get(f"m{number}", [])) for number, each in enumerate(sources))
    return {name: round(sum(values)) for name, values in known if values}


def _query(number: int, source: Source) -> "MetricDataQueryTypeDef":
    dimensions = {"RuleName": source.rule}
    if source.event_bus != DEFAULT_BUS:
        dimensions["EventBusName"] = source.event_bus
    return {
        "Id": f"m{number}",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/Events",
                "MetricName": "TriggeredRules",
                "Dimensions": [{"Name": name, "Value": dimensions[name]} for name in dimensions],
            },
            "Period": HOUR_SECONDS,
            "Stat": "Sum",
        },
    }
