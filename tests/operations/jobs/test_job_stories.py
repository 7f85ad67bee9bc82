"""Jobs are read from the lines that the functions write."""

import pytest

from quilt_packager.operations.jobs import log_lines as read
from quilt_packager.operations.jobs.fold import fold
from quilt_packager.operations.jobs.job import Job, State
from tests.job_log import JobLog
from tests.large_job_functions import LargeJobs
from tests.operations.job_lines import NOW
from tests.packager_function import SETTLING, Packager, crate_event, message


def read_job(log: JobLog) -> Job:
    (job,) = fold(read.read_lines(log.read(), NOW), now=NOW)
    return job


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> JobLog:
    return JobLog(capsys, monkeypatch)


def test_a_published_package_is_a_created_job(packager: Packager) -> None:
    packager.deliver(*packager.upload("1"))
    job = read_job(packager.log)
    assert (job.id, job.outcome, job.final, job.attempts) == ("0", State.CREATED, True, 1)
    assert (job.package_name, job.registry, job.source) == ("runs/1", "raw", "s3://raw/runs/1/")
    assert (job.objects, job.bytes, job.stored, job.computed) == (1, 1, 1, 0)
    assert [phase.name for phase in job.phases] == ["listing", "checksums", "publishing"]
    assert job.seconds is not None
    assert job.top_hash


def test_a_rejection_is_a_job_with_its_reason(packager: Packager) -> None:
    packager.expect_dead_letters()
    packager.deliver(message("none"))
    job = read_job(packager.log)
    assert (job.outcome, job.code, job.final) == (State.REJECTED, "EmptySource", True)
    assert job.reason == f"{job.happened} {job.why} {job.remedy}"


def test_an_unreadable_message_is_a_rejected_job(packager: Packager) -> None:
    packager.expect_dead_letters()
    packager.deliver("poison")
    job = read_job(packager.log)
    assert (job.outcome, job.code, job.attempts) == (State.REJECTED, "InvalidMessage", 1)


def test_deliveries_of_one_message_are_one_job(packager: Packager) -> None:
    bodies = packager.upload("1")
    packager.deliver(*bodies, remaining_seconds=9)
    packager.deliver(*bodies, delivery=2)
    job = read_job(packager.log)
    assert (job.outcome, job.attempts) == (State.CREATED, 2)


@pytest.mark.parametrize("packager_settings", [SETTLING])
def test_a_deferred_job_has_its_origin(packager: Packager) -> None:
    packager.sqs.script.add_response("change_message_visibility", {})
    packager.deliver(crate_event("42"))
    job = read_job(packager.log)
    assert (job.outcome, job.source) == (State.QUEUED, "s3://raw/runs/42/")
    assert (job.trigger, job.event_id) == ("workflow_run_crate", "e2")


def test_a_large_job_is_one_job_in_two_functions(large_jobs: LargeJobs, log: JobLog) -> None:
    state = large_jobs.hand_off()
    large_jobs.hash_shards(state)
    large_jobs.publish(state)
    job = read_job(log)
    assert (job.id, job.outcome, job.execution) == ("id", State.CREATED, "id")
    assert (job.attempts, job.objects) == (1, 25)


def test_a_large_job_runs_in_the_state_machine(large_jobs: LargeJobs, log: JobLog) -> None:
    large_jobs.hand_off()
    job = read_job(log)
    assert (job.outcome, job.execution) == (State.RUNNING, "id")


def test_every_event_of_a_job_decodes(packager: Packager) -> None:
    packager.deliver(*packager.upload("1"))
    lines = [line for line in read.read_lines(packager.log.read(), NOW) if line.message_id]
    assert [line.message for line in lines][-1] == "package created"
    assert None not in [line.event for line in lines]
