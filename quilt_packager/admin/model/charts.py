"""Charts as geometry: numbers in, coordinates and labels out. Templates draw them.

The SVG is stretched to its place, so it holds no text: labels are HTML beside it.
"""

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple, Protocol

from quilt_packager.operations import formats

WIDTH = 720
HEIGHT = 120
GAP = 0.27
"""How much of a bar's place is left free."""

MIN_HEIGHT = 2
"""What is not nothing can be seen."""

STACK = (("created", "f-ok"), ("unchanged", "f-same"), ("rejected", "f-warn"), ("failed", "f-bad"))
"""The outcomes from the bottom up, with the classes of their colours."""

STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)
"""What the top of a scale begins with: half of it can be read, too."""

HOUR_SECONDS = 3600
TIME_UNITS = (("h", HOUR_SECONDS), ("min", 60), ("s", 1))
SECONDS_OF_SCALES = (2, 4, 10, 20, 30, 60, 120, 240, 600, 1200, 1800, 3600, 7200, 14_400, 36_000)


class FinishedJob(Protocol):
    """What a chart needs of a job."""

    @property
    def outcome(self) -> str:
        """How it ended."""

    @property
    def started(self) -> datetime:
        """When it began."""

    @property
    def seconds(self) -> float | None:
        """How long it took."""

    @property
    def bytes(self) -> int | None:
        """The size of its package."""


class Period(NamedTuple):
    """A span of time that ends now, cut into the bars of a chart.

    Attributes:
        name: As in a URL.
        words: As in a sentence.
        span: How long it is.
        step: How long one bar is.
        per: What a bar is.
        time_format: How the start of a bar is written.
    """

    name: str
    words: str
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
        start: When it begins.
        counts: How many jobs ended in which way.
        bytes: The sizes of the packages that were created.
        seconds: How long the jobs took, in order.
    """

    start: datetime
    counts: dict[str, int]
    bytes: int
    seconds: tuple[float, ...]

    @property
    def total(self) -> int:
        """How many jobs there are."""
        return sum(self.counts.values())


class Rect(NamedTuple):
    """A rectangle of the SVG, with its class."""

    css: str
    x: float
    y: float
    width: float
    height: float


class Line(NamedTuple):
    """A line of the SVG, with its class."""

    css: str
    points: str


class Chart(NamedTuple):
    """A chart to be drawn, and the same as a table.

    Attributes:
        title: What it shows.
        summary: The number that matters most.
        rects: Bars.
        lines: Lines.
        y_labels: From the top down.
        x_labels: From the left.
        legend: Words, with the classes of their colours.
        columns: The table's headings.
        rows: The table: only what is not empty, newest first.
    """

    title: str
    summary: str
    rects: tuple[Rect, ...]
    lines: tuple[Line, ...]
    y_labels: tuple[str, ...]
    x_labels: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def cut(jobs: Iterable[FinishedJob], period: Period, now: datetime) -> list[Bucket]:
    """Sort finished jobs into the bars of a period.

    Args:
        jobs: Jobs; those that run, or began before the period, are left out.
        period: The period, which ends with the step that `now` is in.
        now: The time, in the time zone in which days begin.
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
            {name: sum(job.outcome == name for job in inside) for name, _ in STACK},
            sum(job.bytes or 0 for job in inside if job.outcome == "created"),
            tuple(sorted(job.seconds for job in inside if job.seconds is not None)),
        )
        for place, inside in enumerate(sorted_in)
    ]


def jobs_chart(buckets: Sequence[Bucket], period: Period) -> Chart:
    """How many jobs ended in which way, stacked.

    Args:
        buckets: The bars.
        period: What they are of.
    """
    most = max((each.total for each in buckets), default=0)
    top = whole_top(most)
    finished = sum(each.total for each in buckets)
    rects = []
    for place, bucket in enumerate(buckets):
        below = 0
        for name, css in STACK:
            if number := bucket.counts[name]:
                rects.append(_bar(css, place, len(buckets), below / top, number / top))
                below += number
    return Chart(
        title=f"Jobs per {period.per}",
        summary=f"{finished:,} finished, at most {most:,} per {period.per}"
        if finished
        else "none finished",
        rects=tuple(rects),
        lines=(),
        y_labels=(f"{top:,}", f"{top // 2:,}", "0"),
        x_labels=_x_labels(buckets, period, 5),
        legend=tuple((name.capitalize(), css) for name, css in STACK),
        columns=("From", *(name.capitalize() for name, _ in STACK)),
        rows=_rows(buckets, lambda each: [f"{each.counts[name]:,}" for name, _ in STACK]),
    )


def bytes_chart(buckets: Sequence[Bucket], period: Period) -> Chart:
    """How large the packages were that were created.

    Args:
        buckets: The bars.
        period: What they are of.
    """
    top, labels = size_scale(max((each.bytes for each in buckets), default=0))
    return Chart(
        title="Data packaged",
        summary=formats.size(sum(each.bytes for each in buckets)),
        rects=tuple(
            _bar("f-line", place, len(buckets), 0, bucket.bytes / top)
            for place, bucket in enumerate(buckets)
            if bucket.bytes
        ),
        lines=(),
        y_labels=labels,
        x_labels=_x_labels(buckets, period, 3),
        legend=(),
        columns=("From", "Size"),
        rows=_rows(buckets, lambda each: [formats.size(each.bytes)]),
    )


def seconds_chart(buckets: Sequence[Bucket], period: Period) -> Chart:
    """How long jobs took: the half of them, and nearly all.

    Args:
        buckets: The bars.
        period: What they are of.
    """
    measured = [
        (place, statistics.median(each.seconds), percentile(each.seconds, 95))
        for place, each in enumerate(buckets)
        if each.seconds
    ]
    top, labels = seconds_scale(max((p95 for _, _, p95 in measured), default=0))
    of_all = percentile(sorted(second for each in buckets for second in each.seconds), 95)
    return Chart(
        title="Duration",
        summary=f"p95 {formats.duration(of_all)}" if measured else "none finished",
        rects=(),
        lines=(
            _line("p95", [(place, p95) for place, _, p95 in measured], len(buckets), top),
            _line("p50", [(place, p50) for place, p50, _ in measured], len(buckets), top),
        ),
        y_labels=labels,
        x_labels=_x_labels(buckets, period, 3),
        legend=(("Half are faster", "f-line"), ("95 % are faster", "f-warn")),
        columns=("From", "Half are faster than", "95 % are faster than"),
        rows=_rows(
            [each for each in buckets if each.seconds],
            lambda each: [
                formats.duration(statistics.median(each.seconds)),
                formats.duration(percentile(each.seconds, 95)),
            ],
        ),
    )


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The nearest-rank percentile; 0 of nothing.

    Args:
        ordered: Numbers, smallest first.
        percent: Which.

    Example:
        >>> percentile([1, 2, 3, 40], 95), percentile([1, 2, 3, 40], 50), percentile([], 95)
        (40, 2, 0.0)
    """
    if not ordered:
        return 0.0
    return ordered[math.ceil(len(ordered) * percent / 100) - 1]


def whole_top(most: int) -> int:
    """The top of a scale of whole numbers, of which half is a whole number, too.

    Example:
        >>> [whole_top(most) for most in (0, 1, 3, 9, 20, 21, 130)]
        [2, 2, 4, 10, 20, 24, 160]
    """
    return 2 * math.ceil(_round_up(max(most, 2) / 2))


def size_scale(most_bytes: int) -> tuple[float, tuple[str, str, str]]:
    """The top of a scale of sizes, and its labels from the top down.

    Example:
        >>> size_scale(0)[1], size_scale(3 * 2**30)[1], size_scale(700 * 2**30)[1]
        (('2 B', '1', '0'), ('4 GiB', '2', '0'), ('800 GiB', '400', '0'))
        >>> size_scale(1010 * 2**20)[1], size_scale(3 * 2**39)[1]
        (('2 GiB', '1', '0'), ('2 TiB', '1', '0'))
    """
    unit, unit_bytes = "B", 1
    for larger in formats.UNITS:
        if most_bytes / unit_bytes <= 1000:  # noqa: PLR2004 - 1,000 MiB is 1 GiB on an axis
            break
        unit, unit_bytes = larger, unit_bytes * formats.KIBI
    top = whole_top(math.ceil(most_bytes / unit_bytes))
    return top * unit_bytes, (f"{top:,} {unit}", f"{top // 2:,}", "0")


def seconds_scale(most_seconds: float) -> tuple[float, tuple[str, str, str]]:
    """The top of a scale of durations, and its labels from the top down.

    Example:
        >>> seconds_scale(0)[1], seconds_scale(54)[1], seconds_scale(900)[1]
        (('2 s', '1', '0'), ('60 s', '30', '0'), ('20 min', '10', '0'))
        >>> seconds_scale(200_000)
        (216000, ('60 h', '30', '0'))
    """
    top = next((each for each in SECONDS_OF_SCALES if most_seconds <= each), None)
    if top is None:
        top = HOUR_SECONDS * whole_top(math.ceil(most_seconds / HOUR_SECONDS))
    unit, length = next(each for each in TIME_UNITS if top >= 2 * each[1] or each[1] == 1)
    return top, (f"{top // length} {unit}", f"{top / length / 2:g}", "0")


def _round_up(number: float) -> float:
    magnitude: float = 10 ** math.floor(math.log10(number))
    return next(step * magnitude for step in STEPS if step * magnitude >= number)


def _bar(css: str, place: int, count: int, below: float, height: float) -> Rect:
    step = WIDTH / count
    pixels = max(height * HEIGHT, MIN_HEIGHT)
    # A line of the card shows between what is stacked.
    gap = 1 if below else 0
    return Rect(
        css,
        round(place * step + step * GAP / 2, 1),
        round(HEIGHT - below * HEIGHT - pixels, 1),
        round(step * (1 - GAP), 1),
        round(max(pixels - gap, 1), 1),
    )


def _line(css: str, points: Sequence[tuple[int, float]], count: int, top: float) -> Line:
    step = WIDTH / count
    places = [
        (round((place + 0.5) * step, 1), round(HEIGHT * (1 - value / top), 1))
        for place, value in points
    ]
    if len(places) == 1:
        # One point has no length: draw it as wide as a bar.
        ((x, y),) = places
        places = [(round(x - step / 2, 1), y), (round(x + step / 2, 1), y)]
    return Line(css, " ".join(f"{x},{y}" for x, y in places))


def _x_labels(buckets: Sequence[Bucket], period: Period, count: int) -> tuple[str, ...]:
    places = [round(each * len(buckets) / (count - 1)) for each in range(count - 1)]
    return (*(buckets[place].start.strftime(period.time_format) for place in places), "now")


def _rows(
    buckets: Iterable[Bucket], cells: Callable[[Bucket], list[str]]
) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (each.start.strftime("%a %d %H:%M"), *cells(each)) for each in buckets if each.total
    )[::-1]
