"""What came of each event source in the last day: its jobs, from the log, and its rule's events.

A job tells the kind of its event and, where several send events of a kind, who sent it; not the
rule that it came by. So the jobs of a source are known only where no other source hears the same
senders; events are counted for each rule by itself.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from quilt_packager_runtime.requests.upload_settings import UPLOADS_SOURCE

from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.sources.patterns import is_about_objects
from quilt_packager.operations.sources.sources import DEFAULT_BUS, Source

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef

    from quilt_packager.operations.deployment.deployments import Deployment

DAY = timedelta(hours=24)
HOUR_SECONDS = 3600

SEVERAL_SENDERS = "objects_ready"
"""The kind of events that EDP sends, our own uploads, and whoever else knows that much."""

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
    known = list(jobs)
    return {each.name: _count(each, sources, known) for each in sources}


def _count(source: Source, sources: Sequence[Source], jobs: Iterable[Job]) -> Activity:
    of_kind = [job for job in jobs if job.trigger == source.kind]
    rivals = [each for each in sources if each.kind == source.kind and each.name != source.name]
    senders = _senders(source, rivals)
    if source.kind == "custom" or any(
        _overlap(senders, _senders(each, [source])) for each in rivals
    ):
        return Activity()
    if rivals:
        # A line of an older engine does not say who sent the event.
        if any(job.event_source is None for job in of_kind):
            return Activity()
        of_kind = [job for job in of_kind if job.event_source in (senders or ())]
    return Activity(len(of_kind), sum(job.outcome in FAILURES for job in of_kind))


def _senders(source: Source, rivals: Iterable[Source]) -> frozenset[str] | None:
    """Who sends the events of a source; None: whoever sends its kind."""
    if source.kind != SEVERAL_SENDERS:
        return None
    if is_about_objects(source.pattern):
        # An older template does not say how uploads are announced.
        return frozenset({source.sender}) if source.sender else None
    named = source.pattern.get("source")
    is_plain = isinstance(named, list) and all(isinstance(each, str) for each in named)
    if not (named and is_plain):
        return None
    # EDP's rule hears uploads, too: those of other engines, where this one has its own.
    has_uploads = any(each.sender == UPLOADS_SOURCE for each in rivals)
    return frozenset(named) - {UPLOADS_SOURCE if has_uploads else None}


def _overlap(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is None or other is None or bool(one & other)


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
