"""Counts jobs and events of each event source in the last day.

The log of a job names the kind of its event and, for kinds with several senders, the sender; not
the rule. So the jobs of a source are known only if no other source receives events of the same
senders. CloudWatch counts the events of each rule.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Protocol, TypeVar

import msgspec
from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE

from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.sources.patterns import is_about_objects
from quilt_packager.operations.sources.sources import DEFAULT_BUS, Source

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef, MetricDataResultTypeDef

    from quilt_packager.operations.deployment.deployments import Deployment

DAY = timedelta(hours=24)
LOOK_BACK = timedelta(days=30)
"""Time in which the last event of a source is searched."""

HOUR_SECONDS = 3600

SEVERAL_SENDERS = "objects_ready"
"""The kind of event that EDP, coalesced uploads and other programs send."""

FAILURES = frozenset({State.REJECTED, State.FAILED})

MAX_QUERIES = 500
"""Maximum number of queries in one request to CloudWatch."""


class Triggered(Protocol):
    """A job or a dead letter, as far as its event source is concerned."""

    @property
    def trigger(self) -> str | None:
        """Return the kind of the event."""

    @property
    def event_source(self) -> str | None:
        """Return the sender of the event."""


T = TypeVar("T", bound=Triggered)


class Activity(msgspec.Struct, frozen=True):
    """Numbers of jobs and events of an event source.

    Attributes:
        jobs: Number of jobs; None if jobs of another source may be among them.
        failed: Number of jobs that were rejected or failed; None as above.
        events: Number of events that its rule matched; None if CloudWatch has no metric.
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
    """Count the jobs and the events of each source, by its name.

    Args:
        deployment: Engine.
        sources: All sources of the engine.
        jobs: Jobs of the last day.
        now: End of that day.
    """
    events = count_events(deployment, sources, now=now)
    return {
        name: msgspec.structs.replace(each, events=events.get(name))
        for name, each in count_jobs(sources, jobs).items()
    }


def count_jobs(sources: Sequence[Source], jobs: Iterable[Job]) -> dict[str, Activity]:
    """Count jobs by the name of their source; `sources` are all sources of the engine."""
    known = list(jobs)
    return {each.name: _count(each, sources, known) for each in sources}


def _count(source: Source, sources: Sequence[Source], jobs: Iterable[Job]) -> Activity:
    own = select_of(source, sources, jobs)
    if own is None:
        return Activity()
    return Activity(len(own), sum(job.outcome in FAILURES for job in own))


def select_of(source: Source, sources: Sequence[Source], found: Iterable[T]) -> list[T] | None:
    """Select the jobs or dead letters of a source; None if those of another may be among them."""
    of_kind = [each for each in found if each.trigger == source.kind]
    rivals = [each for each in sources if each.kind == source.kind and each.name != source.name]
    senders = _senders(source, rivals)
    if source.kind == "custom" or any(
        _overlap(senders, _senders(each, [source])) for each in rivals
    ):
        return None
    if rivals:
        # Without a sender, a job may be of any source.
        if any(each.event_source is None for each in of_kind):
            return None
        of_kind = [each for each in of_kind if each.event_source in (senders or ())]
    return of_kind


def _senders(source: Source, rivals: Iterable[Source]) -> frozenset[str] | None:
    """Find the senders of a source's events; None: any sender of its kind."""
    if source.kind != SEVERAL_SENDERS:
        return None
    if is_about_objects(source.pattern):
        # Only rules for uploads name the sender.
        return frozenset({source.sender}) if source.sender else None
    named = source.pattern.get("source")
    is_plain = isinstance(named, list) and all(isinstance(each, str) for each in named)
    if not (named and is_plain):
        return None
    # The rule of EDP receives uploads, too; of other engines, if this one has a rule for uploads.
    has_uploads = any(each.sender == UPLOADS_SOURCE for each in rivals)
    return frozenset(named) - {UPLOADS_SOURCE if has_uploads else None}


def _overlap(one: frozenset[str] | None, other: frozenset[str] | None) -> bool:
    return one is None or other is None or bool(one & other)


def count_events(
    deployment: "Deployment", sources: Sequence[Source], *, now: datetime | None = None
) -> dict[str, int]:
    """Count the events that rules matched in the last day, by the name of their source.

    Sources without a metric are left out.
    """
    if not sources:
        return {}
    results = _read_events(deployment, sources, DAY, now or datetime.now(UTC))
    counts = {each["Id"]: each.get("Values", []) for each in results}
    known = ((each.name, counts.get(f"m{number}", [])) for number, each in enumerate(sources))
    return {name: round(sum(values)) for name, values in known if values}


def find_last_events(
    deployment: "Deployment", sources: Sequence[Source], *, now: datetime | None = None
) -> dict[str, datetime]:
    """Find the hour of the last event that rules matched, by the name of their source.

    Sources without an event in the time of `LOOK_BACK` are left out.
    """
    if not sources:
        return {}
    results = _read_events(deployment, sources, LOOK_BACK, now or datetime.now(UTC))
    names = {f"m{number}": each.name for number, each in enumerate(sources)}
    found = {
        names[each["Id"]]: [
            moment
            for moment, value in zip(each["Timestamps"], each["Values"], strict=True)
            if value
        ]
        for each in results
    }
    return {name: max(moments) for name, moments in found.items() if moments}


def _read_events(
    deployment: "Deployment", sources: Sequence[Source], past: timedelta, now: datetime
) -> Sequence["MetricDataResultTypeDef"]:
    """Read the metrics of the rules of sources. The ids of the results number the sources."""
    answer = deployment.cloudwatch.get_metric_data(
        StartTime=now - past,
        EndTime=now,
        MetricDataQueries=[
            query_events(number, each) for number, each in enumerate(sources[:MAX_QUERIES])
        ],
    )
    return answer["MetricDataResults"]


def find_last_job(source: Source, jobs: Iterable[Job]) -> datetime | None:
    """Find the start of the last job that may be of a source: CloudWatch is late by minutes."""
    return max(
        (
            job.started
            for job in jobs
            if job.trigger == source.kind and source.sender in (None, job.event_source)
        ),
        default=None,
    )


def query_events(number: int, source: Source) -> "MetricDataQueryTypeDef":
    """Return the query of the number of events that a rule matched in each hour."""
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
