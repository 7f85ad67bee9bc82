"""Charts as geometry: numbers in, coordinates and labels out. Templates draw them.

The SVG is stretched to its place, so it contains no text: labels are HTML beside it.
"""

import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from quilt_packager.admin.model.periods import OUTCOMES, Bucket, Window
from quilt_packager.admin.model.scales import percentile, seconds_scale, size_scale, whole_top
from quilt_packager.operations import formats

WIDTH = 720
HEIGHT = 120
GAP = 0.27
"""Share of a bar's place that stays empty."""

MIN_HEIGHT = 2
"""Height at which the smallest value is visible."""

STACK = tuple(zip(OUTCOMES, ("f-ok", "f-same", "f-warn", "f-bad"), strict=True))
"""The outcomes from the bottom up, with the CSS classes of their colours."""


class Rect(NamedTuple):
    """A rectangle of the SVG, with its class."""

    css: str
    x: float
    y: float
    width: float
    height: float


class Bar(NamedTuple):
    """The place of a bar, as a link to its jobs.

    Attributes:
        x: Left side.
        width: Width.
        start: Start of its span.
        end: End of its span.
        text: Its numbers in words.
    """

    x: float
    width: float
    start: datetime
    end: datetime
    text: str


class Line(NamedTuple):
    """A line of the SVG, with its class."""

    css: str
    points: str


class Chart(NamedTuple):
    """A chart, and its data as a table.

    Attributes:
        title: Title.
        summary: The most important numbers.
        name: Name of the number in the strip.
        figure: That number.
        rects: Bars.
        lines: Lines.
        y_labels: Labels from the top down.
        x_labels: Labels from the left.
        legend: Words, with the CSS classes of their colours.
        columns: Headings of the table.
        rows: Rows of the table: only bars with jobs, newest first.
        bars: Bars with jobs.
    """

    title: str
    summary: str
    name: str
    figure: str
    rects: tuple[Rect, ...]
    lines: tuple[Line, ...]
    y_labels: tuple[str, ...]
    x_labels: tuple[str, ...]
    legend: tuple[tuple[str, str], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bars: tuple[Bar, ...] = ()


def jobs_chart(buckets: Sequence[Bucket], window: Window) -> Chart:
    """Draw the number of jobs by outcome, stacked."""
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
        title=f"Jobs per {window.step.per}",
        summary=f"{finished:,} finished, at most {most:,} per {window.step.per}"
        if finished
        else "none finished",
        name="Finished",
        figure=f"{finished:,}",
        rects=tuple(rects),
        lines=(),
        y_labels=(f"{top:,}", f"{top // 2:,}", "0"),
        x_labels=_x_labels(buckets, window, 5),
        legend=tuple((name.capitalize(), css) for name, css in STACK),
        columns=("From", *(name.capitalize() for name, _ in STACK)),
        rows=_rows(buckets, lambda each: [f"{each.counts[name]:,}" for name, _ in STACK]),
        bars=tuple(_bars(buckets, window)),
    )


def bytes_chart(buckets: Sequence[Bucket], window: Window) -> Chart:
    """Draw the total size of created packages."""
    top, labels = size_scale(max((each.bytes for each in buckets), default=0))
    total = formats.size(sum(each.bytes for each in buckets))
    return Chart(
        title="Data packaged",
        summary=total,
        name="Data",
        figure=total,
        rects=tuple(
            _bar("f-line", place, len(buckets), 0, bucket.bytes / top)
            for place, bucket in enumerate(buckets)
            if bucket.bytes
        ),
        lines=(),
        y_labels=labels,
        x_labels=_x_labels(buckets, window, 3),
        legend=(),
        columns=("From", "Size"),
        rows=_rows(buckets, lambda each: [formats.size(each.bytes)]),
    )


def seconds_chart(buckets: Sequence[Bucket], window: Window) -> Chart:
    """Draw the durations of jobs: median and 95th percentile."""
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
        name="95 % below",
        figure=formats.duration(of_all) if measured else "none",
        rects=(),
        lines=(
            _line("p95", [(place, p95) for place, _, p95 in measured], len(buckets), top),
            _line("p50", [(place, p50) for place, p50, _ in measured], len(buckets), top),
        ),
        y_labels=labels,
        x_labels=_x_labels(buckets, window, 3),
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


def _bars(buckets: Sequence[Bucket], window: Window) -> Iterator[Bar]:
    width = WIDTH / len(buckets)
    for place, bucket in enumerate(buckets):
        if not bucket.total:
            continue
        end = bucket.start + window.step.length
        counts = ", ".join(f"{bucket.counts[name]} {name}" for name, _ in STACK)
        text = f"{bucket.start:%H:%M} to {end:%H:%M}: {counts}"
        yield Bar(round(place * width, 1), round(width, 1), bucket.start, end, text)


def _bar(css: str, place: int, count: int, below: float, height: float) -> Rect:
    step = WIDTH / count
    pixels = max(height * HEIGHT, MIN_HEIGHT)
    # Stacked parts are separated by a line of the background.
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


def _x_labels(buckets: Sequence[Bucket], window: Window, count: int) -> tuple[str, ...]:
    places = [round(each * len(buckets) / (count - 1)) for each in range(count - 1)]
    starts = (buckets[min(place, len(buckets) - 1)].start for place in places)
    labels = (start.strftime(window.step.time_format) for start in starts)
    return (*labels, "now" if window.is_open else window.end.strftime(window.step.time_format))


def _rows(
    buckets: Iterable[Bucket], cells: Callable[[Bucket], list[str]]
) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (each.start.strftime("%a %d %H:%M"), *cells(each)) for each in buckets if each.total
    )[::-1]
