"""The time of a job: its parts, its sums, and the progress of the phase that lasts."""

from datetime import timedelta
from typing import Any

import pytest

from quilt_packager.admin.pages.job_timeline import Timeline, make_timeline
from quilt_packager.operations.jobs.job import Attempt, Job, Phase, Progress, State
from quilt_packager.operations.jobs.log_lines import LogLine
from quilt_packager.operations.jobs.record import JobRecord
from tests.admin.engine import ago, make_job, make_line, make_phases, make_running

STARTED = ago(minutes=10)


def after(seconds: float) -> Any:
    return STARTED + timedelta(seconds=seconds)


def read(job: Job, *lines: LogLine, attempts: tuple[Attempt, ...] = ()) -> Timeline:
    return make_timeline(JobRecord(job, lines, attempts), after(300))


def measure(timeline: Timeline) -> list[tuple[str, float]]:
    return [(row.name, row.seconds) for row in (*timeline.waits, *timeline.works)]


def test_waits_and_work_are_the_time_from_message_to_end() -> None:
    started = make_line("package started", delivery=1, registry="b", queued_seconds=1.6)
    job = make_job(started=STARTED, phases=make_phases(STARTED), ended=after(8.4))
    timeline = read(job, started)
    assert measure(timeline) == [
        ("In the queue", 1.6),
        ("Listing", 0.9),
        ("Checksums", 5.6),
        ("Publishing", 1.9),
    ]
    assert timeline.total == pytest.approx(timeline.waited + timeline.worked) == pytest.approx(10.0)
    assert timeline.is_whole


def test_bars_show_work_alone() -> None:
    phases = (
        Phase("listing", STARTED),
        Phase("waiting", after(1)),
        Phase("listing", after(1000)),
        Phase("publishing", after(1002)),
    )
    timeline = read(make_job(started=STARTED, phases=phases, ended=after(1004)))
    assert measure(timeline) == [
        ("Waiting for files", 999.0),
        ("Listing", 3.0),
        ("Publishing", 2.0),
    ]
    assert not timeline.waits[0].bars
    assert timeline.works[0].bars == ((0.0, 20.0), (20.0, 40.0))
    assert timeline.works[1].bars == ((60.0, 40.0),)


def test_time_between_attempts_is_a_wait() -> None:
    attempts = (
        Attempt(started=STARTED, ended=after(2), phases=(Phase("listing", STARTED),)),
        Attempt(started=after(32), ended=after(35), phases=(Phase("listing", after(33)),)),
    )
    timeline = read(make_job(started=after(32), ended=after(35)), attempts=attempts)
    assert measure(timeline) == [
        ("Before the next attempt", 30.0),
        ("Reading the request", 1.0),
        ("Listing", 4.0),
    ]


def test_clocks_that_differ_change_no_sum() -> None:
    phases = (
        Phase("listing", after(5)),
        Phase("checksums", after(3)),
        Phase("publishing", after(6)),
    )
    timeline = read(make_job(started=STARTED, phases=phases, ended=after(8)))
    assert timeline.total == pytest.approx(8.0)
    assert all(row.seconds >= 0 for row in timeline.works)


def test_queued_job_waits() -> None:
    job = make_running(started=after(290), outcome=State.QUEUED, progress=None)
    assert measure(read(job)) == [("In the queue", 10.0)]


def test_phase_that_lasts_shows_its_progress() -> None:
    job = make_running(
        started=STARTED,
        phases=(Phase("checksums", STARTED),),
        progress=Progress("checksums", 30, 120),
    )
    (row,) = read(job).works
    assert row.progress == (30, 120, "30 of 120 objects; about 15 min left")


def test_large_job_counts_the_shards_that_workers_hashed() -> None:
    job = make_running(started=STARTED, phases=(Phase("checksums", STARTED),), progress=None)
    hashed: dict[str, Any] = {"objects": 9, "bytes": 2**30, "seconds": 5.0}
    lines = [
        make_line("large job started", shards=8, left=72, execution="a1"),
        make_line("shard hashed", round=0, shard=0, **hashed),
        make_line("shard hashed", round=0, shard=1, **hashed),
        make_line("shard hashed", round=0, shard=1, **hashed),
    ]
    (row,) = read(job, *lines).works
    assert row.progress == (2, 8, "2 of 8 shards, 2.0 GiB; about 15 min left")
    lines.append(make_line("another round started", round=1, shards=2, left=3))
    (row,) = read(job, *lines).works
    assert row.progress == (0, 2, "0 of 2 shards of round 2, 0 B")
