"""Periods of charts, and the finished jobs of each bar."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

OUTCOMES = ("created", "unchanged", "rejected", "failed")
"""The outcomes that charts count, from the bottom of a bar up."""


class FinishedJob(Protocol):
    """The parts of a job that a chart needs."""

    @property
    def outcome(self) -> str:
        """Return the outcome."""

    @property
    def started(self) -> datetime:
        """Return the start time."""

    @property
    def seconds(self) -> float | None:
        """Return the duration."""

    @property
    def bytes(self) -> int | None:
        """Return the size of the package."""


class Period(NamedTuple):
    """A span of time that ends now, divided into the bars of a chart.

    Attributes:
        name: Name in a URL.
        text: Name in a sentence.
        span: Length.
        step: Length of one bar.
        per: Name of one bar.
        time_format: Format of a bar's start.
    """

    name: str
    text: str
    span: timedelta
    step: timedelta
    per: str
    time_format: str


DAY = Period("24h", "24 hours", timedelta(hours=24), timedelta(hours=1), "hour", "%H:%M")
WEEK = Period("7d", "7 days", timedelta(days=7), timedelta(hours=6), "6 hours", "%a %d")
PERIODS = {each.name: each for each in (DAY, WEEK)}


class Bucket(NamedTuple):
    """The finished jobs of one bar.

    Attributes:
        start: Start of the bar.
        counts: Number of jobs by outcome.
        bytes: Total size of the created packages.
        seconds: Durations of the jobs, in ascending order.
    """

    start: datetime
    counts: dict[str, int]
    bytes: int
    seconds: tuple[float, ...]

    @property
    def total(self) -> int:
        """Return the number of jobs."""
        return sum(self.counts.values())


def sort_into_buckets(jobs: Iterable[FinishedJob], period: Period, now: datetime) -> list[Bucket]:
    """Sort finished jobs into the bars of a period.

    Args:
        jobs: Jobs. Running jobs, and those that began before the period, are ignored.
        period: The period. It ends with the bar that contains `now`.
        now: Current time, in the time zone in which days begin.
    """
    count = period.span // period.step
    steps_today = (now.hour * 3600 + now.minute * 60 + now.second) // period.step.total_seconds()
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight + period.step * (steps_today + 1 - count)
    sorted_in: list[list[FinishedJob]] = [[] for _ in range(count)]
    for job in jobs:
        place = (job.started - first) // period.step
        if job.outcome != "running" and 0 <= place < count:
            sorted_in[place].append(job)
    return [
        Bucket(
            first + period.step * place,
            {name: sum(job.outcome == name for job in inside) for name in OUTCOMES},
            sum(job.bytes or 0 for job in inside if job.outcome == "created"),
            tuple(sorted(job.seconds for job in inside if job.seconds is not None)),
        )
        for place, inside in enumerate(sorted_in)
    ]
