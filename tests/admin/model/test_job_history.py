"""The history of jobs, from the log of an engine in the embedded AWS."""

from datetime import datetime

import pytest

from quilt_packager.admin.model.job_history import JobHistory, merge_job
from quilt_packager.admin.model.periods import DAY, WEEK
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.jobs.job import State
from tests.admin.engine import ago, make_job, make_running
from tests.embedded_aws import WriteLog
from tests.operations.job_lines import (
    before_now,
    failed,
    large_job_started,
    progress,
    started,
    succeeded,
)


def outcomes(history: JobHistory) -> list[tuple[str, State]]:
    return [(job.id, job.outcome) for job in history.read().jobs]


def test_history_continues_from_the_last_read(deployment: Deployment, write_log: WriteLog) -> None:
    write_log(started("a", before_now(hours=2)), succeeded("a", before_now(hours=1.9)))
    write_log(started("b", before_now(minutes=4)))
    history = JobHistory(deployment, DAY)
    assert outcomes(history) == [("b", State.RUNNING), ("a", State.CREATED)]
    write_log(succeeded("b", before_now(seconds=2)), started("c", before_now(seconds=1)))
    assert outcomes(history) == [
        ("c", State.RUNNING),
        ("b", State.CREATED),
        ("a", State.CREATED),
    ]


def test_history_merges_a_second_attempt_into_its_job(
    deployment: Deployment, write_log: WriteLog
) -> None:
    first = before_now(minutes=20)
    write_log(started("a", first), failed("a", before_now(minutes=19), final=False))
    history = JobHistory(deployment, DAY)
    assert outcomes(history) == [("a", State.FAILED)]
    write_log(started("a", before_now(seconds=5), delivery=2), succeeded("a", before_now()))
    (job,) = history.read().jobs
    assert (job.outcome, job.attempts) == (State.CREATED, 2)
    assert abs((job.started - first).total_seconds()) < 1


class Executions:
    """Executions that ended at one time; None while they run."""

    class exceptions:  # noqa: N801 - as in the client
        class ExecutionDoesNotExist(Exception):
            pass

    def __init__(self) -> None:
        self.stopped: datetime | None = None

    def describe_execution(self, **_: str) -> dict[str, datetime]:
        return {} if self.stopped is None else {"stopDate": self.stopped}


@pytest.fixture
def executions(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Executions:
    scripted = Executions()
    machine = "arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs"
    monkeypatch.setattr(Deployment, "state_machine_arn", machine)
    deployment.__dict__["states"] = scripted
    return scripted


def test_history_sees_the_end_of_a_job_that_began_long_before(
    deployment: Deployment, executions: Executions, write_log: WriteLog
) -> None:
    write_log(started("a", before_now(hours=3)), large_job_started("a", before_now(hours=2.9)))
    history = JobHistory(deployment, DAY)
    assert outcomes(history) == [("a", State.RUNNING)]
    write_log(progress("a", before_now(seconds=3), "publishing"))
    (job,) = history.read().jobs
    assert (job.outcome, job.execution) == (State.RUNNING, "a")
    write_log(succeeded("a", before_now(seconds=1)))
    assert outcomes(history) == [("a", State.CREATED)]


def test_history_finds_a_lost_job_that_began_long_before(
    deployment: Deployment, executions: Executions, write_log: WriteLog
) -> None:
    write_log(started("a", before_now(hours=3)), large_job_started("a", before_now(hours=2.9)))
    history = JobHistory(deployment, DAY)
    assert outcomes(history) == [("a", State.RUNNING)]
    executions.stopped = before_now(minutes=4)
    assert outcomes(history) == [("a", State.RUNNING)]
    executions.stopped = before_now(minutes=6)
    (job,) = history.read().jobs
    assert (job.outcome, job.code) == (State.FAILED, "Lost")


def test_history_contains_only_its_period(deployment: Deployment, write_log: WriteLog) -> None:
    write_log(started("old", before_now(days=3)), succeeded("old", before_now(days=3)))
    assert outcomes(JobHistory(deployment, DAY)) == []
    assert outcomes(JobHistory(deployment, WEEK)) == [("old", State.CREATED)]


def test_merge_of_a_new_job_is_that_job() -> None:
    job = make_job()
    assert merge_job(None, job) is job


def test_merge_keeps_a_final_outcome_that_is_newer() -> None:
    ended = make_job("a")
    assert merge_job(
        ended, make_running("a", started=ago(minutes=20), updated=ago(minutes=15))
    ) is (ended)


@pytest.mark.parametrize("final", [True, False])
def test_merge_takes_the_newer_state(*, final: bool) -> None:
    before = make_job("a", outcome=State.FAILED, final=final, updated=ago(minutes=5))
    after = make_running("a", updated=ago(minutes=1))
    assert merge_job(before, after).outcome is State.RUNNING


def test_merge_takes_a_later_line_of_an_attempt_that_is_not_final() -> None:
    before = make_job("a", outcome=State.FAILED, final=False, updated=ago(minutes=1))
    assert merge_job(before, make_running("a", updated=ago(minutes=5))).outcome is State.RUNNING


def test_merge_keeps_the_facts_that_only_the_first_attempt_has() -> None:
    facts = {
        "source": "s3://raw/1/",
        "trigger": "message",
        "package_name": "runs/1",
        "registry": "lab",
        "execution": "e-1",
    }
    before = make_running("a", started=ago(hours=2), attempts=3, **facts)
    after = make_running("a", attempts=1, **dict.fromkeys(facts))
    merged = merge_job(before, after)
    assert {name: getattr(merged, name) for name in facts} == facts
    assert (merged.started, merged.attempts) == (before.started, 3)
    assert merged.updated == after.updated


def test_merge_prefers_the_facts_of_the_later_attempt() -> None:
    facts = {"source": "s3://raw/2/", "package_name": "runs/2", "registry": "b", "execution": "e2"}
    merged = merge_job(make_running("a", attempts=1), make_running("a", attempts=2, **facts))
    assert {name: getattr(merged, name) for name in facts} == facts
    assert merged.attempts == 2
