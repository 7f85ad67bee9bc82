"""Charts: which job is in which bar, and where it is drawn."""

from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quilt_packager.admin.model.charts import (
    HEIGHT,
    STACK,
    WIDTH,
    bytes_chart,
    jobs_chart,
    seconds_chart,
)
from quilt_packager.admin.model.periods import find_window, sort_into_buckets
from quilt_packager.admin.model.scales import seconds_scale, size_scale, whole_top

NOW = datetime(2026, 11, 22, 14, 2, 20, tzinfo=UTC)


class Job(NamedTuple):
    started: datetime
    outcome: str = "created"
    seconds: float | None = 9.0
    bytes: int | None = 1024


DAY = find_window("24h", NOW, None, None)
WEEK = find_window("7d", NOW, None, None)


def ago(**span: float) -> datetime:
    return NOW - timedelta(**span)


def test_day_has_a_bar_an_hour_from_its_first_minute_to_this_one() -> None:
    buckets = sort_into_buckets(
        [Job(ago(seconds=1)), Job(ago(minutes=10)), Job(ago(hours=22))], DAY
    )
    assert len(buckets) == 25
    assert [place for place, each in enumerate(buckets) if each.total] == [2, 23, 24]
    assert buckets[-1].start == NOW.replace(minute=0, second=0)


def test_week_has_four_bars_a_day_and_a_part_of_one() -> None:
    buckets = sort_into_buckets([Job(ago(days=6.5))], WEEK)
    assert len(buckets) == 29
    assert buckets[-1].start == NOW.replace(hour=12, minute=0, second=0)
    assert sum(each.total for each in buckets) == 1


def test_running_jobs_and_those_of_before_are_left_out() -> None:
    jobs = [Job(ago(minutes=1), outcome="running"), Job(ago(hours=30))]
    assert sum(each.total for each in sort_into_buckets(jobs, DAY)) == 0


def test_outcomes_are_stacked_in_their_order() -> None:
    jobs = [Job(ago(minutes=1), outcome=name) for name, _ in STACK]
    rects = jobs_chart(sort_into_buckets(jobs, DAY), DAY).rects
    assert [each.css for each in rects] == ["f-ok", "f-same", "f-warn", "f-bad"]
    assert [each.y for each in rects] == sorted((each.y for each in rects), reverse=True)


def test_bars_stand_on_each_other_without_a_gap_wider_than_a_line() -> None:
    jobs = [Job(ago(minutes=1), outcome="failed"), Job(ago(minutes=1)), Job(ago(minutes=1))]
    below, above = jobs_chart(sort_into_buckets(jobs, DAY), DAY).rects
    assert below.y - (above.y + above.height) == 1


def test_only_created_packages_count_as_data() -> None:
    jobs = [Job(ago(minutes=1)), Job(ago(minutes=1), outcome="unchanged"), Job(ago(hours=2))]
    chart = bytes_chart(sort_into_buckets(jobs, DAY), DAY)
    assert chart.summary == "2.0 KiB"
    assert len(chart.rects) == 2


def test_hour_without_a_job_leaves_the_line_as_it_is() -> None:
    jobs = [Job(ago(hours=each), seconds=4.0) for each in (5, 1)]
    p95, p50 = seconds_chart(sort_into_buckets(jobs, DAY), DAY).lines
    assert p50.points == p95.points
    assert len(p50.points.split()) == 2


def test_single_hour_has_a_line_that_can_be_seen() -> None:
    _, p50 = seconds_chart(sort_into_buckets([Job(ago(minutes=1))], DAY), DAY).lines
    assert len(p50.points.split()) == 2


def test_nothing_is_a_chart_too() -> None:
    buckets = sort_into_buckets([], DAY)
    assert jobs_chart(buckets, DAY).summary == "none finished"
    assert bytes_chart(buckets, DAY).y_labels == ("2 B", "1", "0")
    assert seconds_chart(buckets, DAY).lines[0].points == ""


def test_table_has_the_bars_with_jobs_newest_first() -> None:
    chart = jobs_chart(sort_into_buckets([Job(ago(hours=3)), Job(ago(seconds=1))], DAY), DAY)
    assert chart.rows == (
        ("Sun 22 14:00", "1", "0", "0", "0"),
        ("Sun 22 11:00", "1", "0", "0", "0"),
    )


def test_labels_below_go_from_the_first_bar_to_now() -> None:
    chart = jobs_chart(sort_into_buckets([], DAY), DAY)
    assert chart.x_labels == ("14:00", "20:00", "02:00", "09:00", "now")


@given(
    st.lists(
        st.builds(
            Job,
            st.timedeltas(min_value=timedelta(0), max_value=timedelta(hours=23)).map(
                lambda span: NOW - span
            ),
            st.sampled_from([name for name, _ in STACK]),
            st.none() | st.floats(0, 1e7),
            st.none() | st.integers(0, 10**16),
        ),
        max_size=60,
    )
)
def test_all_that_is_drawn_is_within_the_chart(jobs: list[Job]) -> None:
    buckets = sort_into_buckets(jobs, DAY)
    charts = [make(buckets, DAY) for make in (jobs_chart, bytes_chart, seconds_chart)]
    for rect in [rect for chart in charts for rect in chart.rects]:
        assert rect.x >= 0
        assert rect.x + rect.width <= WIDTH
        assert rect.height > 0
        assert -1 <= rect.y <= HEIGHT
        assert rect.y + rect.height <= HEIGHT + 0.2
    points = [point for chart in charts for line in chart.lines for point in line.points.split()]
    for x, y in (map(float, point.split(",")) for point in points):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


@given(st.integers(0, 2**53))
def test_scales_contain_the_largest_value_and_fit_closely(most: int) -> None:
    assert most <= whole_top(most) <= max(2, 4 * most)
    assert most <= size_scale(most)[0]
    assert most <= seconds_scale(most)[0]


@pytest.mark.parametrize(
    ("name", "bars", "first", "last"),
    [
        ("15m", 16, "13:47", "14:02"),
        ("1h", 13, "13:00", "14:00"),
        ("night", 14, "18:00", "07:00"),
        ("today", 15, "00:00", "14:00"),
        ("yesterday", 24, "00:00", "23:00"),
    ],
)
def test_bars_of_a_span_cover_it(name: str, bars: int, first: str, last: str) -> None:
    buckets = sort_into_buckets([], find_window(name, NOW, None, None))
    assert (len(buckets), f"{buckets[0].start:%H:%M}", f"{buckets[-1].start:%H:%M}") == (
        bars,
        first,
        last,
    )


def test_all_jobs_of_a_span_are_in_its_bars() -> None:
    window = find_window("custom", NOW, ago(hours=5.5), ago(hours=2))
    jobs = [Job(ago(hours=each)) for each in (6, 5.5, 3, 2, 1.9)]
    assert sum(each.total for each in sort_into_buckets(jobs, window)) == 3
