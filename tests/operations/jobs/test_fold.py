"""Folding of lines into jobs."""

import json
from datetime import datetime, timedelta
from operator import itemgetter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.reporting.log_events import JobStep, PackageProgress

from quilt_packager.operations.jobs.fold import fold, list_attempts
from quilt_packager.operations.jobs.job import Job, Phase, Progress, State
from quilt_packager.operations.jobs.labels import describe_progress
from quilt_packager.operations.jobs.log_lines import LogLine, read_lines
from tests.operations.job_lines import (
    NOW,
    Line,
    ago,
    failed,
    files_awaited,
    large_job_started,
    line,
    progress,
    started,
    succeeded,
)


def read(*lines: Line) -> list[LogLine]:
    return [each for line in lines for each in read_lines(json.dumps(line), NOW)]


def job_of(*lines: Line, **options: Any) -> Job:
    (job,) = fold(read(*lines), now=options.pop("now", NOW), **options)
    return job


class TestJob:
    def test_that_started_is_running(self) -> None:
        job = job_of(started("a", ago(seconds=12)))
        assert (job.outcome, job.started, job.seconds) == (State.RUNNING, ago(seconds=12), 12)
        assert (job.package_name, job.registry) == ("runs/1", "packages")
        assert (job.source, job.trigger, job.event_id) == ("s3://raw/runs/1/", "health_omics", "e1")
        assert not job.final

    def test_that_runs_has_progress_and_phases(self) -> None:
        job = job_of(
            started("a", ago(seconds=12)),
            progress("a", ago(seconds=11), "listing", 7, None),
            progress("a", ago(seconds=5), "checksums", 3, 10),
        )
        assert job.progress == Progress("checksums", 3, 10)
        assert job.phases == (
            Phase("listing", ago(seconds=11), 6),
            Phase("checksums", ago(seconds=5)),
        )

    def test_that_succeeded_has_its_revision(self) -> None:
        job = job_of(started("a", ago(seconds=12)), succeeded("a", ago(seconds=9)))
        assert (job.outcome, job.final, job.attempts) == (State.CREATED, True, 1)
        assert (job.objects, job.bytes, job.top_hash) == (12, 2048, "ab" * 32)
        assert (job.reused, job.stored, job.computed) == (2, 10, 0)
        assert (job.ended, job.seconds, job.progress) == (ago(seconds=9), 2.5, None)

    def test_that_was_rejected_has_its_error(self) -> None:
        job = job_of(started("a", ago(seconds=12)), failed("a", ago(seconds=9), "rejected"))
        assert (job.outcome, job.final, job.code) == (State.REJECTED, True, "EmptySource")
        assert (job.happened, job.why) == ("It is empty.", "Nothing came.")
        assert job.remedy == "Look there."

    def test_with_an_unreadable_message_starts_before_its_end(self) -> None:
        job = job_of(failed("a", ago(seconds=9), "rejected", seconds=3.0))
        assert (job.started, job.attempts) == (ago(seconds=12), 1)

    def test_that_is_retried_is_running(self) -> None:
        job = job_of(
            started("a", ago(minutes=9)),
            failed("a", ago(minutes=8)),
            started("a", ago(minutes=1), delivery=2),
        )
        assert (job.outcome, job.attempts) == (State.RUNNING, 2)
        assert (job.started, job.seconds, job.code) == (ago(minutes=1), 60, None)

    def test_that_will_be_retried_is_not_over(self) -> None:
        job = job_of(started("a", ago(minutes=9)), failed("a", ago(minutes=8)))
        assert (job.outcome, job.final) == (State.FAILED, False)

    def test_that_succeeded_after_a_retry_is_created(self) -> None:
        job = job_of(
            started("a", ago(minutes=9)),
            failed("a", ago(minutes=8)),
            started("a", ago(minutes=1), delivery=2),
            succeeded("a", ago(seconds=50)),
        )
        assert (job.outcome, job.attempts, job.reason) == (State.CREATED, 2, None)

    def test_with_a_duplicate_message_keeps_its_first_outcome(self) -> None:
        job = job_of(
            started("a", ago(seconds=20)),
            started("a", ago(seconds=19), delivery=2),
            succeeded("a", ago(seconds=10), top_hash="f" * 64),
            succeeded("a", ago(seconds=9), "unchanged", top_hash="f" * 64),
        )
        assert (job.outcome, job.attempts, job.ended) == (State.CREATED, 2, ago(seconds=10))

    def test_continues_in_the_state_machine(self) -> None:
        job = job_of(started("a", ago(hours=5)), large_job_started("a", ago(hours=5)))
        assert (job.outcome, job.execution) == (State.RUNNING, "a")

    def test_waits_for_files_in_a_phase_of_its_own(self) -> None:
        job = job_of(
            started("a", ago(hours=5)),
            progress("a", ago(hours=5), "listing"),
            files_awaited("a", ago(hours=5)),
            progress("a", ago(hours=4), "listing"),
            files_awaited("a", ago(hours=4)),
        )
        assert (job.outcome, job.execution) == (State.RUNNING, "a")
        assert describe_progress(job.progress) == "Waiting for files"

    def test_is_in_phase_checksums_until_it_publishes(self) -> None:
        job = job_of(
            started("a", ago(hours=5)),
            progress("a", ago(hours=5), "listing"),
            large_job_started("a", ago(hours=4)),
            progress("a", ago(hours=1), "publishing"),
        )
        assert [(phase.name, phase.seconds) for phase in job.phases] == [
            ("listing", 3600),
            ("checksums", 3 * 3600),
            ("publishing", None),
        ]

    def test_ends_in_the_state_machine(self) -> None:
        job = job_of(
            started("a", ago(hours=5)),
            large_job_started("a", ago(hours=5, seconds=-9)),
            progress("a", ago(hours=1), "publishing"),
            succeeded("a", ago(hours=1, seconds=-9), seconds=14_400.0),
        )
        assert (job.outcome, job.execution, job.attempts) == (State.CREATED, "a", 1)
        assert job.seconds == 14_400

    def test_is_retried_by_the_state_machine_after_a_failed_notification(self) -> None:
        job = job_of(
            started("a", ago(hours=5)),
            large_job_started("a", ago(hours=5)),
            failed("a", ago(hours=2), code="AwsError"),
            progress("a", ago(hours=1), "publishing"),
        )
        assert (job.outcome, job.attempts) == (State.RUNNING, 2)

    def test_that_is_deferred_is_queued(self) -> None:
        job = job_of(line("message deferred", "a", ago(seconds=5), seconds=60))
        assert (job.outcome, job.final, job.started) == (State.QUEUED, False, ago(seconds=5))

    def test_of_a_message_without_a_request_is_ignored(self) -> None:
        job = job_of(line("message ignored", "a", ago(seconds=5), why="it is a test event"))
        assert (job.outcome, job.is_over, job.why) == (State.IGNORED, True, "it is a test event")

    def test_is_not_reopened_by_a_late_line(self) -> None:
        job = job_of(
            started("a", ago(seconds=9)),
            succeeded("a", ago(seconds=5)),
            progress("a", ago(seconds=4), "publishing"),
        )
        assert (job.outcome, job.attempts) == (State.CREATED, 1)


class TestSilence:
    """A job without an outcome does not run forever."""

    def test_of_a_function_is_a_failure_after_its_timeout(self) -> None:
        job = job_of(started("a", ago(minutes=16)))
        assert (job.outcome, job.code, job.final) == (State.FAILED, "Lost", False)
        assert job.reason == f"{job.happened} {job.why} {job.remedy}"

    def test_of_a_function_is_no_failure_before_its_timeout(self) -> None:
        assert job_of(started("a", ago(minutes=15))).outcome is State.RUNNING

    def test_of_a_running_execution_is_no_failure(self) -> None:
        lines = [started("a", ago(days=2)), large_job_started("a", ago(days=2))]
        assert job_of(*lines).outcome is State.RUNNING

    def test_of_an_ended_execution_is_a_final_failure(self) -> None:
        lines = [started("a", ago(hours=2)), large_job_started("a", ago(hours=2))]
        job = job_of(*lines, ended_executions={"a": ago(minutes=10)})
        assert (job.outcome, job.code, job.final) == (State.FAILED, "Lost", True)

    def test_of_an_execution_that_just_ended_is_no_failure(self) -> None:
        lines = [started("a", ago(hours=2)), large_job_started("a", ago(hours=2))]
        job = job_of(*lines, ended_executions={"a": ago(minutes=1)})
        assert job.outcome is State.RUNNING

    @pytest.mark.parametrize(("days", "code"), [(6.9, None), (7.1, "Lost")])
    def test_of_an_unknown_execution_is_a_failure_after_a_week(
        self, days: float, code: str | None
    ) -> None:
        lines = [started("a", ago(days=days)), large_job_started("a", ago(days=days))]
        assert job_of(*lines).code == code

    def test_of_a_redelivery_during_an_execution_is_no_failure(self) -> None:
        job = job_of(
            started("a", ago(hours=3)),
            large_job_started("a", ago(hours=3)),
            started("a", ago(hours=2), delivery=2),
        )
        assert (job.outcome, job.started) == (State.RUNNING, ago(hours=3))


class TestAttempts:
    def test_are_in_order(self) -> None:
        first, second, third = list_attempts(
            read(
                started("a", ago(minutes=40)),
                started("a", ago(minutes=20), delivery=2),
                progress("a", ago(minutes=20), "listing"),
                failed("a", ago(minutes=19)),
                started("a", ago(minutes=2), delivery=3),
                progress("a", ago(minutes=2), "listing"),
                progress("a", ago(minutes=1), "checksums"),
            )
        )
        assert (first.outcome, first.ended, first.delivery) == (None, None, 1)
        assert (second.outcome, second.code, second.delivery) == (State.FAILED, "EmptySource", 2)
        assert second.phases == (Phase("listing", ago(minutes=20), 60),)
        assert (third.outcome, third.delivery) == (None, 3)
        assert [phase.seconds for phase in third.phases] == [60, None]


class TestLines:
    @pytest.mark.parametrize(
        "text", ["START RequestId: 1", "", "{", "[]", '"a"', "{}", "null", '{"message": 1}']
    )
    def test_of_other_kinds_make_no_job(self, text: str) -> None:
        assert fold(read_lines(text, NOW), now=NOW) == []

    def test_in_one_log_event_are_separated(self) -> None:
        text = "\n".join([json.dumps(started("a", NOW)), "noise", json.dumps(started("b", NOW))])
        assert {job.id for job in fold(read_lines(text, NOW), now=NOW)} == {"a", "b"}

    def test_without_a_timestamp_have_that_of_their_log_event(self) -> None:
        text = json.dumps({**started("a", ago(hours=1)), "timestamp": "noon"})
        (job,) = fold(read_lines(text, NOW), now=NOW)
        assert job.started == NOW

    def test_that_lack_fields_belong_to_no_job(self) -> None:
        malformed = {"message": "package rejected", "message_id": "a", "level": "WARNING"}
        (line,) = read(malformed)
        assert (line.event, line.message, line.message_id) == (None, "", "a")
        assert (line.level, line.text) == ("WARNING", json.dumps(malformed))
        assert fold([line], now=NOW) == []

    def test_are_decoded_into_the_types_that_wrote_them(self) -> None:
        (line,) = read(progress("a", NOW, "checksums", 3))
        assert line.event == PackageProgress(message_id="a", phase="checksums", done=3, total=10)
        assert (line.message, line.message_id, line.level) == ("package progress", "a", "INFO")

    def test_of_later_versions_may_have_more_fields(self) -> None:
        assert job_of({**started("a", NOW), "colour": "red"}).attempts == 1


JOBS = st.sampled_from(["a", "b"])
TIMES = st.integers(0, 3_000).map(lambda seconds: NOW - timedelta(seconds=seconds))


@st.composite
def any_line(draw: st.DrawFn) -> Line:
    job, at = draw(JOBS), draw(TIMES)
    phases = st.sampled_from(["listing", "checksums", "publishing"])
    return draw(
        st.one_of(
            st.integers(1, 4).map(lambda delivery: started(job, at, delivery=delivery)),
            st.tuples(phases, st.integers(0, 10)).map(lambda each: progress(job, at, *each)),
            st.just(large_job_started(job, at)),
            st.sampled_from(["created", "unchanged"]).map(lambda each: succeeded(job, at, each)),
            st.tuples(st.sampled_from(["rejected", "failed"]), st.booleans()).map(
                lambda each: failed(job, at, each[0], final=each[1])
            ),
            st.just(line("message deferred", job, at, seconds=5)),
            st.just(line("message ignored", job, at, why="no")),
        )
    )


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda each: st.lists(each, max_size=2) | st.dictionaries(st.text(), each, max_size=2),
    max_leaves=4,
)
VALID = [
    started("a", NOW),
    progress("a", NOW, "listing"),
    large_job_started("a", NOW),
    failed("a", NOW),
]
FIELDS = ["seconds", "final", "done", "total", "phase", "delivery", "level", "execution", "code"]


class TestAnyLines:
    @given(st.lists(any_line(), max_size=12, unique_by=itemgetter("timestamp")), st.data())
    def test_make_the_same_jobs_in_any_order_and_twice(
        self, lines: list[Line], data: st.DataObject
    ) -> None:
        again = data.draw(
            st.permutations(lines + data.draw(st.lists(st.sampled_from(lines or [{}]))))
        )
        assert fold(read(*again), now=NOW) == fold(read(*lines), now=NOW)

    @given(st.lists(any_line(), max_size=12))
    def test_make_each_job_once_and_the_newest_first(self, lines: list[Line]) -> None:
        jobs = fold(read(*lines), now=NOW)
        assert sorted(job.id for job in jobs) == sorted({line["message_id"] for line in lines})
        assert [job.started for job in jobs] == sorted((job.started for job in jobs), reverse=True)

    @given(st.lists(any_line(), max_size=12))
    def test_leave_no_job_running_forever(self, lines: list[Line]) -> None:
        later = NOW + timedelta(days=30)
        assert State.RUNNING not in {job.outcome for job in fold(read(*lines), now=later)}

    @given(st.lists(any_line(), max_size=12))
    def test_have_times_in_order(self, lines: list[Line]) -> None:
        for job in fold(read(*lines), now=NOW):
            assert job.started <= (job.ended or job.updated) <= job.updated
            assert job.seconds is None or job.seconds >= 0
            assert all(phase.seconds is None or phase.seconds >= 0 for phase in job.phases)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(VALID), st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=6)
            ),
            max_size=5,
        )
    )
    def test_with_any_fields_are_kept(self, lines: list[tuple[Line, Line]]) -> None:
        written = [valid | replaced for valid, replaced in lines]
        read_back = read(*written)
        assert len(read_back) == len(written)
        jobs = fold(read_back, now=NOW)
        assert len(jobs) == any(isinstance(line.event, JobStep) for line in read_back)

    @given(st.text())
    def test_may_be_anything(self, text: str) -> None:
        assert fold(read_lines("{" + text, NOW), now=datetime.max.replace(tzinfo=NOW.tzinfo)) == []
