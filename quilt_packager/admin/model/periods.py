"""Spans of time to show, and the finished jobs of each bar of a chart."""

from collections.abc import Iterable
from datetime import datetime, time, timedelta
from typing import NamedTuple, Protocol

OUTCOMES = ("created", "unchanged", "rejected", "failed")
"""The outcomes that charts count, from the bottom of a bar up."""

NIGHT_BEGINS, NIGHT_ENDS = time(18), time(8)

MAX_BARS = 48


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


class Step(NamedTuple):
    """Length of the bars of a chart.

    Attributes:
        length: Length.
        per: Name of one bar.
        time_format: Format of the start of a bar.
    """

    length: timedelta
    per: str
    time_format: str


MINUTE = Step(timedelta(minutes=1), "minute", "%H:%M")
FIVE_MINUTES = Step(timedelta(minutes=5), "5 minutes", "%H:%M")
HOUR = Step(timedelta(hours=1), "hour", "%H:%M")
SIX_HOURS = Step(timedelta(hours=6), "6 hours", "%a %d")
ONE_DAY = Step(timedelta(days=1), "day", "%d %b")
STEPS = (MINUTE, FIVE_MINUTES, HOUR, SIX_HOURS, ONE_DAY)


class Period(NamedTuple):
    """A span of time that ends now.

    Attributes:
        name: Name in a URL.
        text: Name in a sentence.
        span: Length.
        step: Bars of its charts.
    """

    name: str
    text: str
    span: timedelta
    step: Step


DAY = Period("24h", "24 hours", timedelta(hours=24), HOUR)
WEEK = Period("7d", "7 days", timedelta(days=7), SIX_HOURS)
MONTH = Period("30d", "30 days", timedelta(days=30), ONE_DAY)
HISTORIES = {each.name: each for each in (DAY, WEEK, MONTH)}
"""The periods whose jobs are read from the log."""

PERIODS = {
    each.name: each
    for each in (
        Period("15m", "15 minutes", timedelta(minutes=15), MINUTE),
        Period("1h", "hour", timedelta(hours=1), FIVE_MINUTES),
        DAY,
        WEEK,
        MONTH,
    )
}
RANGES = {
    **{name: each.text if name != "1h" else "1 hour" for name, each in PERIODS.items()},
    "night": "Last night, 18 to 8",
    "today": "Today",
    "yesterday": "Yesterday",
    "custom": "From … to …",
}
"""Labels of the choices of a span, by their names in a URL."""


class Window(NamedTuple):
    """A span of time to show.

    Attributes:
        start: Start, in the time zone in which days begin.
        end: End; the current time for a span that ends now.
        step: Bars of its charts.
        text: Name in a sentence, after "in the last" or "from".
        history: Period to read, which covers the span as far as the log is read.
        is_open: The span ends now.
    """

    start: datetime
    end: datetime
    step: Step
    text: str
    history: Period
    is_open: bool

    def contains(self, at: datetime) -> bool:
        """Return True if a moment is in the span."""
        return self.start <= at <= self.end


def find_window(name: str, now: datetime, start: datetime | None, end: datetime | None) -> Window:
    """Return the span of a choice.

    Args:
        name: Name of the choice, one of `RANGES`.
        now: Current time, in the time zone in which days begin.
        start: Start of a `custom` span. None: the day before its end.
        end: End of a `custom` span. None: now.

    Example:
        >>> at = datetime.fromisoformat("2026-11-22T14:02:20+01:00")
        >>> night = find_window("night", at, None, None)
        >>> str(night.start), str(night.end), night.step.per, night.history.name
        ('2026-11-21 18:00:00+01:00', '2026-11-22 08:00:00+01:00', 'hour', '24h')
    """
    if name in PERIODS:
        period = PERIODS[name]
        history = next(each for each in HISTORIES.values() if each.span >= period.span)
        return Window(
            now - period.span, now, period.step, f"the last {period.text}", history, is_open=True
        )
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    day = timedelta(days=1)
    match name:
        case "night":
            ended = midnight + timedelta(hours=NIGHT_ENDS.hour)
            ended = min(ended, now)
            began = midnight - day + timedelta(hours=NIGHT_BEGINS.hour)
            text = "last night"
        case "today":
            began, ended, text = midnight, now, "today"
        case "yesterday":
            began, ended, text = midnight - day, midnight, "yesterday"
        case _:
            ended = min(end or now, now)
            began = min(start or ended - day, ended)
            text = f"{began:%d %b %H:%M} to {ended:%d %b %H:%M}"
    step = next((each for each in STEPS if (ended - began) / each.length <= MAX_BARS), ONE_DAY)
    history = next((each for each in HISTORIES.values() if now - each.span <= began), MONTH)
    return Window(began, ended, step, text, history, is_open=ended == now)


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


def sort_into_buckets(jobs: Iterable[FinishedJob], window: Window) -> list[Bucket]:
    """Sort finished jobs into the bars of a span.

    Args:
        jobs: Jobs. Running jobs, and those outside of the bars, are ignored.
        window: The span. Bars begin at whole steps from midnight; the first one contains its start.
    """
    length = window.step.length
    first, last = (_floor(at, length) for at in (window.start, window.end))
    count = (last - first) // length + (last < window.end or first == last)
    sorted_in: list[list[FinishedJob]] = [[] for _ in range(count)]
    for job in jobs:
        place = (job.started - first) // length
        if job.outcome != "running" and window.contains(job.started) and place < count:
            sorted_in[place].append(job)
    return [
        Bucket(
            first + length * place,
            {name: sum(job.outcome == name for job in inside) for name in OUTCOMES},
            sum(job.bytes or 0 for job in inside if job.outcome == "created"),
            tuple(sorted(job.seconds for job in inside if job.seconds is not None)),
        )
        for place, inside in enumerate(sorted_in)
    ]


def _floor(at: datetime, length: timedelta) -> datetime:
    """Return the start of the bar that contains a moment."""
    midnight = at.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + (at - midnight) // length * length
