"""Jobs as they are read from the log of a deployed engine."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.stub import ANY, Stubber

from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import SeveralJobs, UnknownJob
from quilt_packager.operations.jobs.filters import JobFilter
from quilt_packager.operations.jobs.job import State
from quilt_packager.operations.jobs.listing import read_jobs
from quilt_packager.operations.jobs.log_reader import MAX_REQUESTS
from quilt_packager.operations.jobs.record import read_job
from quilt_packager.operations.jobs.watch import MAX_UNANSWERED, Watch, follow
from tests.embedded_aws import WriteLog
from tests.operations.job_lines import (
    NOW,
    ago,
    before_now,
    failed,
    large_job_started,
    line,
    progress,
    shard_hashed,
    started,
    step_failed,
    succeeded,
)

DAY_AGO = ago(days=1)


def ids(jobs: Any) -> list[str]:
    return [job.id for job in jobs]


class TestList:
    def test_has_the_newest_job_first(self, deployment: Deployment, write_log: WriteLog) -> None:
        write_log(started("a", ago(hours=2)), succeeded("a", ago(hours=2, seconds=-2)))
        write_log(started("b", ago(minutes=5)))
        jobs = read_jobs(deployment, since=DAY_AGO, now=NOW)
        assert [(job.id, job.outcome) for job in jobs] == [("b", "running"), ("a", "created")]

    def test_is_empty_without_lines(self, deployment: Deployment) -> None:
        jobs = read_jobs(deployment, since=DAY_AGO, now=NOW)
        assert (list(jobs), jobs.is_cut_off, jobs.since) == ([], False, DAY_AGO)

    def test_is_empty_without_a_log_group(self, deployment: Deployment) -> None:
        group = deployment.log_group("packager")
        assert group
        deployment.logs.delete_log_group(logGroupName=group)
        assert list(read_jobs(deployment, since=DAY_AGO, now=NOW)) == []

    def test_skips_lines_of_no_job(self, deployment: Deployment, write_log: WriteLog) -> None:
        write_log("START RequestId: 1", '{"type": "platform.start"}', started("a", ago(minutes=5)))
        assert ids(read_jobs(deployment, since=DAY_AGO, now=NOW)) == ["a"]

    def test_leaves_out_earlier_jobs(self, deployment: Deployment, write_log: WriteLog) -> None:
        write_log(succeeded("a", ago(hours=3)), succeeded("b", ago(hours=1)))
        assert ids(read_jobs(deployment, since=ago(hours=2), now=NOW)) == ["b"]

    def test_is_filtered_by_name(self, deployment: Deployment, write_log: WriteLog) -> None:
        write_log(succeeded("a", ago(hours=3), name="wgs/1"), succeeded("b", ago(hours=1)))
        assert ids(
            read_jobs(deployment, since=DAY_AGO, wanted=JobFilter(name_glob="wgs/*"), now=NOW)
        ) == ["a"]

    def test_is_filtered_by_outcome(self, deployment: Deployment, write_log: WriteLog) -> None:
        write_log(succeeded("a", ago(hours=3)), failed("b", ago(hours=1)))
        assert ids(
            read_jobs(
                deployment, since=DAY_AGO, wanted=JobFilter(outcomes=frozenset({"failed"})), now=NOW
            )
        ) == ["b"]

    def test_has_ignored_messages_only_on_request(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(line("message ignored", "a", ago(minutes=1), why="it is a test"))
        assert ids(read_jobs(deployment, since=DAY_AGO, now=NOW)) == []
        assert ids(
            read_jobs(
                deployment,
                since=DAY_AGO,
                wanted=JobFilter(outcomes=frozenset({"ignored"})),
                now=NOW,
            )
        ) == ["a"]

    def test_has_the_progress_of_running_jobs(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(started("a", ago(minutes=2)), progress("a", ago(minutes=1), "checksums", 4, 9))
        (job,) = read_jobs(deployment, since=DAY_AGO, now=NOW)
        assert job.progress is not None
        assert (job.progress.phase, job.progress.done, job.progress.total) == ("checksums", 4, 9)

    def test_stops_reading_at_its_limit(self, deployment: Deployment, write_log: WriteLog) -> None:
        write_log(*(succeeded(f"j{number}", ago(minutes=number)) for number in range(1, 6)))
        write_log(succeeded("old", ago(hours=20)))
        jobs = read_jobs(deployment, since=DAY_AGO, limit=3, now=NOW)
        assert (ids(jobs), jobs.requests) == (["j1", "j2", "j3"], 1)
        assert (jobs.is_cut_off, jobs.since) == (True, ago(hours=1))

    def test_orders_long_jobs_by_their_start(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(
            started("long", ago(hours=8)), succeeded("long", ago(minutes=1), seconds=8 * 3600.0)
        )
        write_log(started("late", ago(hours=2)), succeeded("late", ago(hours=2, seconds=-3)))
        assert ids(read_jobs(deployment, since=DAY_AGO, limit=1, now=NOW)) == ["late"]

    def test_has_a_retried_job_once(self, deployment: Deployment, write_log: WriteLog) -> None:
        write_log(started("again", ago(hours=8)), failed("again", ago(hours=7)))
        write_log(started("late", ago(hours=2)), succeeded("late", ago(hours=2, seconds=-3)))
        write_log(started("again", ago(hours=1), delivery=2), succeeded("again", ago(minutes=59)))
        assert ids(read_jobs(deployment, since=DAY_AGO, now=NOW)) == ["again", "late"]

    def test_finds_a_match_behind_many_other_jobs(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(*(succeeded(f"j{number}", ago(minutes=number)) for number in range(1, 6)))
        write_log(failed("old", ago(hours=20)))
        jobs = read_jobs(
            deployment,
            since=DAY_AGO,
            wanted=JobFilter(outcomes=frozenset({"failed"})),
            limit=2,
            now=NOW,
        )
        assert (ids(jobs), jobs.is_cut_off) == (["old"], False)

    def test_keeps_jobs_of_the_same_moment_together(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(*(started(job, ago(minutes=1)) for job in "abc"))
        assert len(read_jobs(deployment, since=DAY_AGO, limit=2, now=NOW)) == 3


def page(*lines: Any, more: bool = False) -> dict[str, Any]:
    stamp = round(NOW.timestamp() * 1000)
    events = [{"timestamp": stamp, "message": json.dumps(line)} for line in lines]
    return {"events": events, **({"nextToken": "t"} if more else {})}


class TestPages:
    """Pages of lines, which the embedded AWS does not have."""

    @pytest.fixture
    def logs(self, deployment: Deployment) -> Iterator[Stubber]:
        with Stubber(deployment.logs) as logs:
            yield logs

    def test_are_all_read(self, deployment: Deployment, logs: Stubber) -> None:
        logs.add_response("filter_log_events", page(succeeded("a", ago(minutes=2)), more=True))
        logs.add_response("filter_log_events", page(more=True))
        logs.add_response("filter_log_events", page(succeeded("b", ago(minutes=1))))
        jobs = read_jobs(deployment, since=ago(minutes=30), now=NOW)
        assert (ids(jobs), jobs.requests) == (["b", "a"], 3)

    def test_are_filtered_by_cloudwatch(self, deployment: Deployment, logs: Stubber) -> None:
        asked: dict[str, Any] = {
            "logGroupName": "/quilt/lab/PackagerLambda",
            "startTime": round(ago(minutes=30).timestamp() * 1000),
            "filterPattern": ANY,
        }
        logs.add_response("filter_log_events", page(), asked)
        assert list(read_jobs(deployment, since=ago(minutes=30), now=NOW)) == []

    def test_are_limited(self, deployment: Deployment, logs: Stubber) -> None:
        logs.add_response("filter_log_events", page(succeeded("a", ago(minutes=2))))
        for _ in range(MAX_REQUESTS - 1):
            logs.add_response("filter_log_events", page(more=True))
        jobs = read_jobs(deployment, since=DAY_AGO, now=NOW)
        assert (ids(jobs), jobs.is_cut_off, jobs.since) == (["a"], True, ago(hours=1))

    def test_of_a_job_are_limited(self, deployment: Deployment, logs: Stubber) -> None:
        logs.add_response("filter_log_events", page(succeeded("a", ago(minutes=2)), more=True))
        for _ in range(MAX_REQUESTS - 1):
            logs.add_response("filter_log_events", page(more=True))
        record = read_job(deployment, "a", now=NOW)
        assert (record.job.outcome, record.is_cut_off) == (State.CREATED, True)

    def test_without_the_job_are_reported_with_their_start(
        self, deployment: Deployment, logs: Stubber
    ) -> None:
        logs.add_response("filter_log_events", page())
        for _ in range(MAX_REQUESTS - 1):
            logs.add_response("filter_log_events", page(more=True))
        with pytest.raises(UnknownJob, match=f"{ago(hours=1):%Y-%m-%d}"):
            read_job(deployment, "a", now=NOW)

    def test_of_a_watch_are_kept_if_a_later_one_fails(
        self, deployment: Deployment, logs: Stubber
    ) -> None:
        watch = Watch(deployment, since=DAY_AGO)
        logs.add_response("filter_log_events", page(succeeded("a", ago(minutes=2)), more=True))
        logs.add_client_error("filter_log_events", "ThrottlingException")
        logs.add_response("filter_log_events", page(succeeded("a", ago(minutes=2))))
        with pytest.raises(ClientError):
            watch.poll(NOW)
        assert ids(watch.poll(NOW)) == ["a"]

    def test_that_are_throttled_are_requested_again(
        self, deployment: Deployment, logs: Stubber
    ) -> None:
        watch = Watch(deployment, since=DAY_AGO)
        for _ in range(MAX_UNANSWERED):
            logs.add_client_error("filter_log_events", "ThrottlingException")
        logs.add_response("filter_log_events", page(succeeded("a", ago(minutes=2))))
        found = [ids(watch.poll_tolerating_outages()) for _ in range(MAX_UNANSWERED + 1)]
        assert found == [[]] * MAX_UNANSWERED + [["a"]]

    def test_are_not_requested_without_end(self, deployment: Deployment, logs: Stubber) -> None:
        watch = Watch(deployment, since=DAY_AGO)
        for _ in range(MAX_UNANSWERED + 1):
            logs.add_client_error("filter_log_events", "ThrottlingException")
        for _ in range(MAX_UNANSWERED):
            watch.poll_tolerating_outages()
        with pytest.raises(ClientError, match="Throttling"):
            watch.poll_tolerating_outages()
        logs.add_client_error("filter_log_events", "AccessDeniedException")
        with pytest.raises(ClientError, match="AccessDenied"):
            Watch(deployment, since=DAY_AGO).poll_tolerating_outages()

    def test_of_a_watch_are_all_read(self, deployment: Deployment, logs: Stubber) -> None:
        for _ in range(MAX_REQUESTS):
            logs.add_response("filter_log_events", page(more=True))
        logs.add_response("filter_log_events", page(succeeded("a", ago(minutes=2))))
        assert ids(Watch(deployment, since=DAY_AGO).poll(NOW)) == ["a"]


class TestRecord:
    ID = "51c0a7b2-0000-4000-8000-00000000009e"
    OTHER = "51c0ffff-0000-4000-8000-00000000009e"

    def test_has_all_lines_of_a_job_in_order(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(succeeded(self.ID, ago(minutes=4)), started(self.ID, ago(minutes=5)))
        write_log(step_failed(self.ID, ago(minutes=4, seconds=9)), started("b", NOW))
        record = read_job(deployment, self.ID, now=NOW)
        messages = [line.message for line in record.lines]
        assert messages == ["package started", "step failed", "package created"]
        assert record.job.outcome is State.CREATED
        assert len(record.attempts) == 1

    def test_is_found_by_the_beginning_of_its_id(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(started(self.ID, ago(minutes=5)), started(self.OTHER, ago(minutes=5)))
        assert read_job(deployment, "51c0a", now=NOW).job.id == self.ID

    def test_of_an_ambiguous_id_is_an_error(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(started(self.ID, ago(minutes=5)), started(self.OTHER, ago(minutes=5)))
        with pytest.raises(SeveralJobs, match="2 jobs begin with 51c0"):
            read_job(deployment, "51c0", now=NOW)

    @pytest.mark.parametrize("unknown", ["77", "", '") || ($.level = "*', "a" * 500])
    def test_of_an_unknown_id_is_an_error(
        self, deployment: Deployment, write_log: WriteLog, unknown: str
    ) -> None:
        write_log(started(self.ID, ago(minutes=5)))
        with pytest.raises(UnknownJob):
            read_job(deployment, unknown, now=NOW)

    def test_has_attempts_of_days_ago(self, deployment: Deployment, write_log: WriteLog) -> None:
        write_log(started(self.ID, ago(days=5)), failed(self.ID, ago(days=5)))
        write_log(started(self.ID, ago(hours=80), delivery=2), succeeded(self.ID, ago(hours=70)))
        record = read_job(deployment, self.ID, now=NOW)
        assert [attempt.outcome for attempt in record.attempts] == ["failed", "created"]

    def test_of_a_large_job_has_the_lines_of_its_workers(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        write_log(started(self.ID, ago(minutes=9)), large_job_started(self.ID, ago(minutes=8)))
        write_log(shard_hashed(self.ID, ago(minutes=7)), function="checksum")
        messages = [line.message for line in read_job(deployment, self.ID, now=NOW).lines]
        assert messages == ["package started", "large job started", "shard hashed"]


class TestWatch:
    def test_returns_changes_since_the_last_poll(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        watch = Watch(deployment, since=ago(minutes=5))
        write_log(started("a", ago(minutes=1)), started("b", ago(minutes=2)))
        assert ids(watch.poll(NOW)) == ["b", "a"]
        assert watch.poll(NOW + timedelta(seconds=1)) == []
        write_log(succeeded("b", ago(seconds=1)))
        (job,) = watch.poll(NOW + timedelta(seconds=2))
        assert (job.id, job.outcome, job.attempts) == ("b", "created", 1)

    def test_reads_late_lines(self, deployment: Deployment, write_log: WriteLog) -> None:
        watch = Watch(deployment, since=ago(minutes=5))
        watch.poll(NOW)
        write_log(started("a", ago(seconds=50)))
        assert ids(watch.poll(NOW + timedelta(seconds=5))) == ["a"]

    def test_returns_a_lost_job(self, deployment: Deployment, write_log: WriteLog) -> None:
        watch = Watch(deployment, since=ago(minutes=5))
        write_log(started("a", ago(seconds=50)))
        watch.poll(NOW)
        (job,) = watch.poll(NOW + timedelta(minutes=20))
        assert (job.outcome, job.code) == ("failed", "Lost")

    def test_of_one_job_returns_no_other(self, deployment: Deployment, write_log: WriteLog) -> None:
        watch = Watch(deployment, since=ago(minutes=5), job_id="a")
        write_log(started("a", ago(minutes=1)), started("b", ago(minutes=2)))
        assert ids(watch.poll(NOW)) == ["a"]

    def test_evicts_jobs_that_ended_long_ago(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        watch = Watch(deployment, since=ago(minutes=5))
        write_log(succeeded("a", ago(minutes=1)))
        watch.poll(NOW)
        watch.poll(NOW + timedelta(days=1))
        assert watch.jobs == []

    def test_polls_less_often_while_no_job_runs(
        self, deployment: Deployment, write_log: WriteLog
    ) -> None:
        waits: list[float] = []

        def sleep(seconds: float) -> None:
            waits.append(seconds)
            line = succeeded if len(waits) == 2 else started
            write_log(line("a", before_now()))

        changes = follow(deployment, before_now(minutes=5), sleep=sleep)
        assert [next(changes).outcome for _ in range(2)] == ["running", "created"]
        assert waits == [15, 5]
