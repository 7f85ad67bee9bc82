"""Large jobs whose execution ended without failing them: the invocation itself retries."""

from collections.abc import Callable

import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError, NoSuchKey
from quilt_packager_runtime.handlers import invocations, large_job

from tests.boto_stub import Service
from tests.deliveries import Destinations
from tests.job_log import JobLog
from tests.lambda_context import invocation
from tests.large_job_functions import BODY, DEAD_LETTERS, LargeJobs
from tests.s3_stub import S3Stub

MARGIN_SECONDS = 10
TOPIC = "arn:aws:sns:us-east-1:123456789012:notices"
EVENT = {
    "job_id": "id",
    "round": 0,
    "error": {"Error": "ABORTED", "Cause": "a user stopped the execution"},
    "keep_trying": True,
}


@pytest.fixture
def engine(large_jobs: LargeJobs) -> LargeJobs:
    large_jobs.hand_off()
    return large_jobs


@pytest.fixture(autouse=True)
def waits(engine: LargeJobs, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Record the pauses of the handler, and let its clock jump over them."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    clock = [0.0]
    # The names in these modules only: S3's client waits and measures by the real ones.
    monkeypatch.setattr(large_job, "sleep", sleep)
    for module in (invocations, large_job):
        monkeypatch.setattr(module, "monotonic", lambda: clock[0])
    return waited


def refuse(engine: LargeJobs, times: int) -> None:
    for _ in range(times):
        engine.sqs.fail("send_message", "AccessDenied")


def test_message_moves_at_the_first_try(engine: LargeJobs, waits: list[float]) -> None:
    engine.sqs.script.add_response("send_message", {"MessageId": "m"})
    reported = large_job.handler(EVENT, invocation())
    assert reported["code"] == "LargeJobFailed"
    assert engine.sqs.asked[-1]["QueueUrl"] == DEAD_LETTERS
    assert engine.sqs.asked[-1]["MessageBody"] == BODY
    assert waits == []


def test_invocation_retries_until_the_message_has_moved(
    engine: LargeJobs, waits: list[float]
) -> None:
    refuse(engine, 7)
    engine.sqs.script.add_response("send_message", {"MessageId": "m"})
    assert large_job.handler(EVENT, invocation())["code"] == "LargeJobFailed"
    assert waits == [5, 10, 20, 40, 60, 60, 60]


def test_each_failed_try_is_logged(
    engine: LargeJobs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = JobLog(capsys, monkeypatch)
    refuse(engine, 2)
    engine.sqs.script.add_response("send_message", {"MessageId": "m"})
    large_job.handler(EVENT, invocation())
    failed = [line for line in log.read_lines() if line["message"] == "step failed"]
    assert [(line["message_id"], line["step"], line["round"]) for line in failed] == [
        ("id", "fail_job", 0)
    ] * 2


@pytest.mark.parametrize(("remaining_seconds", "tries"), [(1, 1), (60, 3), (300, 7), (900, 17)])
def test_invocation_leaves_retries_to_the_next_before_it_ends(
    engine: LargeJobs, waits: list[float], remaining_seconds: float, tries: int
) -> None:
    refuse(engine, tries)
    with pytest.raises(AwsError):
        large_job.handler(EVENT, invocation(remaining_seconds))
    left_seconds = remaining_seconds - MARGIN_SECONDS - sum(waits)
    assert tries == 1 or large_job.TRY_SECONDS <= left_seconds < 2 * large_job.MAX_WAIT_SECONDS
    engine.sqs.script.assert_no_pending_responses()


def ends(log: JobLog) -> list[bool]:
    """The field `final` of each failure."""
    return [line["final"] for line in log.read_lines() if line["message"] == "package failed"]


def test_last_try_of_an_invocation_is_final(
    engine: LargeJobs, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    log = JobLog(capsys, monkeypatch)
    refuse(engine, 3)
    with pytest.raises(AwsError):
        large_job.handler(EVENT, invocation(60))
    assert ends(log) == [False, False, True]


@pytest.mark.parametrize(("retry", "is_end"), [(0, False), (74, False), (75, True)])
def test_last_retry_of_the_state_machine_is_final(
    engine: LargeJobs,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    retry: int,
    is_end: bool,
) -> None:
    log = JobLog(capsys, monkeypatch)
    refuse(engine, 1)
    event = {**EVENT, "keep_trying": False, "retry": retry, "max_retries": 75}
    with pytest.raises(AwsError):
        large_job.handler(event, invocation())
    assert ends(log) == [is_end]


def test_message_that_cannot_be_read_is_read_again(
    engine: LargeJobs, waits: list[float], s3_stub: S3Stub
) -> None:
    (message,) = engine.scratch.keys("jobs/id/message")
    s3_stub.faults.on("GetObject", key=message, times=2).answer(403, "AccessDenied")
    engine.sqs.script.add_response("send_message", {"MessageId": "m"})
    large_job.handler(EVENT, invocation())
    assert waits == [5, 10]


def test_message_moves_once_the_outcome_is_published(
    engine: LargeJobs,
    waits: list[float],
    configure_large_jobs: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configure_large_jobs(event_bus="bus", notifications_topic_arn=TOPIC)
    services = {"sqs": engine.sqs, "events": Service("events"), "sns": Service("sns")}
    monkeypatch.setattr(clients, "connect", lambda name, _region=None: services[name].client)
    destinations = Destinations(monkeypatch, **services)
    destinations.refuse("PutEvents", times=2)
    destinations.refuse("Publish")
    large_job.handler(EVENT, invocation())
    assert destinations.operations() == ["PutEvents", "SendMessage"]
    assert waits == [5, 10]


def test_missing_message_is_not_read_again(engine: LargeJobs, waits: list[float]) -> None:
    with pytest.raises(NoSuchKey):
        large_job.handler({**EVENT, "job_id": "of-another-queue"}, invocation())
    assert waits == []


def test_failing_in_the_state_machine_is_left_to_its_retries(
    engine: LargeJobs, waits: list[float]
) -> None:
    refuse(engine, 1)
    event = {name: value for name, value in EVENT.items() if name != "keep_trying"}
    with pytest.raises(AwsError):
        large_job.handler(event, invocation())
    assert waits == []
