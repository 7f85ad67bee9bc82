"""Dead letters in a real queue: all are read, none is lost, and each is explained."""

import json
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.stub import Stubber
from quilt_packager_runtime import errors
from quilt_packager_runtime.formats.names import MAX_PACKAGE_NAME

from quilt_packager.operations.dead_letters.error_codes import (
    NOT_A_MESSAGE,
    REDRIVEN,
    UNKNOWN,
    count_not_retried,
    describe_code,
)
from quilt_packager.operations.dead_letters.queue import (
    HOLD_SECONDS,
    Failure,
    Failures,
    NotDeleted,
    Origin,
    discard,
    group,
    read_failures,
    retry,
)
from quilt_packager.operations.deployment.deployments import Deployment, Options
from tests.operations.dead_letters.letters import (
    Killer,
    bodies_in,
    calls_of,
    folder,
    object_created,
    redrive,
    reject,
    send_dead_letter,
)

EMPTY = errors.EmptySource(
    "s3://raw/runs/1/ has no objects.", why="It is too early.", remedy="Check the folder."
)
CRATE_EVENT = object_created("runs/1/ro-crate-metadata.json")
CUSTOM_EVENT = object_created("runs/1/done.txt")
LONG = "x" * (MAX_PACKAGE_NAME + 1)
UNKNOWN_EVENT = json.dumps({"source": "lims", "detail-type": "Run Done", "detail": {}})


def omics_event(**detail: str) -> str:
    arn = "arn:aws:omics:us-east-1:123456789012:run/42"
    return json.dumps(
        {
            "source": "aws.omics",
            "detail-type": "Run Status Change",
            "detail": {"arn": arn, "status": "COMPLETED", **detail},
        }
    )


def read(deployment: Deployment, **how: Any) -> Failures:
    with read_failures(deployment, **how) as failures:
        return failures


def queued(deployment: Deployment) -> str:
    """The id of the only message in the queue."""
    (message,) = deployment.sqs.receive_message(QueueUrl=deployment.queue_url)["Messages"]
    return message["MessageId"]


def read_one(deployment: Deployment) -> Failure:
    (failure,) = read(deployment).letters
    return failure


def test_letter_of_the_packager_has_all_its_attributes(deployment: Deployment) -> None:
    reject(deployment, EMPTY, job_id="51c0", package_name="runs/1", registry="reg")
    failure = read_one(deployment)
    assert (failure.code, failure.origin) == ("EmptySource", Origin.PACKAGER)
    assert failure.happened == "s3://raw/runs/1/ has no objects."
    assert (failure.why, failure.remedy) == ("It is too early.", "Check the folder.")
    assert (failure.job_id, failure.package_name, failure.registry) == ("51c0", "runs/1", "reg")
    assert (failure.source, failure.body) == ("s3://raw/runs/1/", folder("runs/1"))


def test_letter_with_room_for_its_reason_alone_shows_it(deployment: Deployment) -> None:
    send_dead_letter(deployment, folder("runs/1"), code="EmptySource", reason="It is empty. Look.")
    failure = read_one(deployment)
    assert (failure.happened, failure.why) == ("It is empty. Look.", "")
    assert failure.remedy == describe_code("EmptySource").remedy
    assert (failure.job_id, failure.package_name) == (None, "runs/1")


def test_message_that_sqs_moved_keeps_the_id_of_its_job(deployment: Deployment) -> None:
    job_id = redrive(deployment, folder("runs/1"))
    failure = read_one(deployment)
    assert (failure.code, failure.origin) == (REDRIVEN, Origin.SQS)
    assert failure.job_id == job_id
    assert failure.label == "runs/1"


def test_undelivered_event_names_its_rule_and_its_error(deployment: Deployment) -> None:
    rule = "arn:aws:events:us-east-1:123456789012:rule/lab-Crates"
    send_dead_letter(
        deployment,
        CRATE_EVENT,
        ERROR_CODE="NO_PERMISSIONS",
        ERROR_MESSAGE="Not allowed.",
        RULE_ARN=rule,
    )
    failure = read_one(deployment)
    assert (failure.code, failure.origin) == ("Undelivered", Origin.EVENTBRIDGE)
    assert failure.happened.endswith("to the queue: NO_PERMISSIONS: Not allowed.")
    assert "lab-Crates" in failure.why
    assert (failure.job_id, failure.label) == (None, "s3://raw/runs/1/")
    assert failure.trigger == "workflow_run_crate"


@pytest.mark.parametrize("event", [CUSTOM_EVENT, UNKNOWN_EVENT, '{"source": "lims"}'])
def test_undelivered_event_of_a_custom_rule_cannot_be_retried(
    deployment: Deployment, event: str
) -> None:
    send_dead_letter(deployment, event, ERROR_CODE="NO_PERMISSIONS")
    failure = read_one(deployment)
    assert not failure.can_retry
    assert "Send that message by hand" in failure.remedy
    assert failure.label == failure.id


@pytest.mark.parametrize(
    ("event", "source"),
    [
        (CRATE_EVENT, "s3://raw/runs/1/"),
        (omics_event(), None),
        (omics_event(runOutputUri="s3://raw/out/42"), "s3://raw/out/42/"),
        # The letter does not name the options of the engine's sources.
        (object_created("ro-crate-metadata.json"), "s3://raw/"),
        (object_created(f"{LONG}/ro-crate-metadata.json"), f"s3://raw/{LONG}/"),
    ],
)
def test_undelivered_event_that_may_be_a_job_can_be_retried(
    deployment: Deployment, event: str, source: str | None
) -> None:
    send_dead_letter(deployment, event, ERROR_CODE="NO_PERMISSIONS")
    failure = read_one(deployment)
    assert (failure.can_retry, failure.source) == (True, source)
    assert failure.remedy == describe_code("Undelivered").remedy


@pytest.mark.parametrize("body", [CUSTOM_EVENT, "{}"])
def test_message_that_was_in_the_queue_before_can_be_retried(
    deployment: Deployment, body: str
) -> None:
    send_dead_letter(deployment, body, code="InvalidMessage")
    redrive(deployment, body)
    assert all(each.can_retry for each in read(deployment).letters)


@pytest.mark.parametrize(
    ("fields", "name", "source"),
    [
        ({"source_prefix": "raw/runs/1/"}, None, "raw/runs/1/"),
        ({"source_prefix": "raw/1", "package_name": "Run 1"}, "Run 1", "raw/1"),
        ({"source_prefix": "s3://raw/1/", "registry": "n/o"}, None, "s3://raw/1/"),
        ({"source_prefix": "raw/\x1b[2J\n"}, None, r"raw/\x1b[2J\n"),
        ({"source_prefix": "x" * 5000}, None, "x" * 1024 + "…"),
        ({"source_prefix": 7, "package_name": " "}, None, None),
        (["source_prefix"], None, None),
    ],
)
def test_invalid_message_is_labelled_as_its_sender_wrote_it(
    deployment: Deployment, fields: object, name: str | None, source: str | None
) -> None:
    send_dead_letter(deployment, json.dumps(fields), code="InvalidMessage")
    failure = read_one(deployment)
    assert (failure.package_name, failure.source) == (name, source)
    assert failure.label == (name or source or failure.id)


def test_message_without_json_is_labelled_by_its_id(deployment: Deployment) -> None:
    send_dead_letter(deployment, "s3://raw/runs/1/", code="InvalidMessage")
    assert read_one(deployment).label == read_one(deployment).id


def test_retention_counts_from_the_time_of_sending(deployment: Deployment) -> None:
    deployment.sqs.set_queue_attributes(
        QueueUrl=deployment.dead_letter_queue_url,
        Attributes={"MessageRetentionPeriod": "1209600"},
    )
    reject(deployment, EMPTY)
    failure = read_one(deployment)
    assert abs(datetime.now(UTC) - failure.sent) < timedelta(minutes=1)
    assert failure.expires - failure.sent == timedelta(days=14)


def test_all_letters_are_read_and_released(deployment: Deployment) -> None:
    ids = {send_dead_letter(deployment, folder(f"runs/{n}")) for n in range(23)}
    for _ in range(2):
        failures = read(deployment)
        assert {each.id for each in failures.letters} == ids
        assert (failures.total, failures.in_flight, failures.is_complete) == (23, 0, True)


def test_empty_queue_is_read_without_waiting(deployment: Deployment) -> None:
    with calls_of(deployment.sqs, "ReceiveMessage") as receives:
        assert read(deployment) == Failures((), total=0, in_flight=0, is_complete=True)
    assert [each["WaitTimeSeconds"] for each in receives] == [0]


def test_letters_in_flight_are_counted(deployment: Deployment) -> None:
    send_dead_letter(deployment, folder("runs/1"))
    with read_failures(deployment):
        failures = read(deployment)
    assert (failures.letters, failures.total, failures.in_flight) == ((), 1, 1)


def test_reading_ends_at_its_limit_incomplete(deployment: Deployment) -> None:
    for n in range(12):
        send_dead_letter(deployment, folder(f"runs/{n}"))
    failures = read(deployment, limit=5)
    assert len(failures.letters) == 10  # SQS hands out ten at a time
    assert (failures.total, failures.is_complete) == (12, False)


def test_reading_that_ends_at_its_limit_with_the_last_letter_is_complete(
    deployment: Deployment,
) -> None:
    for n in range(10):
        send_dead_letter(deployment, folder(f"runs/{n}"))
    assert read(deployment, limit=10).is_complete


def test_ids_are_found_among_many(deployment: Deployment) -> None:
    ids = [send_dead_letter(deployment, folder(f"runs/{n}")) for n in range(25)]
    failures = read(deployment, ids={ids[3], ids[24]}, limit=2)
    assert {each.id for each in failures.letters} == {ids[3], ids[24]}


def test_missing_ids_are_reported(deployment: Deployment) -> None:
    letter = send_dead_letter(deployment, folder("runs/1"))
    picked = read(deployment, ids=["gone", letter]).pick(["gone", letter])
    assert [each.id for each in picked.found] == [letter]
    assert picked.gone == ("gone",)


def test_interrupted_reading_releases_its_letters(deployment: Deployment) -> None:
    send_dead_letter(deployment, folder("runs/1"))
    with pytest.raises(KeyboardInterrupt), read_failures(deployment):
        raise KeyboardInterrupt
    assert len(read(deployment).letters) == 1


def test_retried_messages_are_in_the_queue_alone(deployment: Deployment) -> None:
    reject(deployment, EMPTY)
    send_dead_letter(deployment, CRATE_EVENT, ERROR_CODE="NO_PERMISSIONS")
    seen: list[Failure] = []
    with read_failures(deployment) as failures:
        done = retry(deployment, failures.letters, seen.append)
    assert len(done.sent) == 2
    assert list(done.done) == seen == list(failures.letters)
    assert bodies_in(deployment, deployment.queue_url) == sorted([folder("runs/1"), CRATE_EVENT])
    assert bodies_in(deployment, deployment.dead_letter_queue_url) == []


def test_letters_of_one_job_are_retried_as_one(deployment: Deployment) -> None:
    for job_id in ("a", "a", "b"):
        reject(deployment, EMPTY, job_id=job_id)
    with read_failures(deployment) as failures:
        done = retry(deployment, failures.letters)
    assert (len(done.done), len(done.sent)) == (3, 2)
    assert bodies_in(deployment, deployment.queue_url) == [folder("runs/1")] * 2
    assert bodies_in(deployment, deployment.dead_letter_queue_url) == []


def test_retry_keeps_events_that_cannot_be_retried(deployment: Deployment) -> None:
    reject(deployment, EMPTY)
    stays = send_dead_letter(deployment, CUSTOM_EVENT, ERROR_CODE="NO_PERMISSIONS")
    with read_failures(deployment) as failures:
        done = retry(deployment, failures.letters)
    assert [each.id for each in done.kept] == [stays]
    assert (len(done.done), len(done.sent), done.gone) == (1, 1, ())
    assert bodies_in(deployment, deployment.queue_url) == [folder("runs/1")]
    assert bodies_in(deployment, deployment.dead_letter_queue_url) == [CUSTOM_EVENT]


def test_retry_of_a_held_job_has_the_decision(deployment: Deployment) -> None:
    held = errors.HeldForReview("It is held.", why="hold", remedy="Decide.")
    reject(deployment, held)
    reject(deployment, EMPTY, job_id="other")
    with read_failures(deployment) as failures:
        retry(deployment, failures.letters, on_foreign_revision="replace")
    decided = {**json.loads(folder("runs/1")), "on_foreign_revision": "replace"}
    sent = [json.loads(each) for each in bodies_in(deployment, deployment.queue_url)]
    assert sorted(sent, key=len) == [json.loads(folder("runs/1")), decided]


def test_largest_message_is_retried(deployment: Deployment) -> None:
    body = json.dumps({"source_prefix": "s3://raw/", "x": "x" * 1_000_000})
    send_dead_letter(deployment, body, code="InvalidMessage")
    with read_failures(deployment) as failures:
        retry(deployment, failures.letters)
    assert bodies_in(deployment, deployment.queue_url) == [body]


def test_discarded_messages_are_in_no_queue(deployment: Deployment) -> None:
    reject(deployment, EMPTY)
    kept = send_dead_letter(deployment, folder("runs/2"))
    with read_failures(deployment) as failures:
        done = discard(deployment, [each for each in failures.letters if each.id != kept])
    assert len(done.done) == 1
    assert bodies_in(deployment, deployment.queue_url) == []
    assert bodies_in(deployment, deployment.dead_letter_queue_url) == [folder("runs/2")]


def expire(failure: Failure) -> Failure:
    return replace(failure, held_until=time.monotonic())


def test_only_a_visibility_timeout_that_ends_is_extended(deployment: Deployment) -> None:
    reject(deployment, EMPTY)
    reject(deployment, EMPTY, body=folder("runs/2"))
    with read_failures(deployment) as failures:
        ending, fresh = failures.letters
        with calls_of(deployment.sqs, "ChangeMessageVisibility") as renewals:
            done = retry(deployment, [expire(ending), fresh])
    assert len(done.sent) == 2
    assert renewals == [
        {
            "QueueUrl": deployment.dead_letter_queue_url,
            "ReceiptHandle": ending.receipt_handle,
            "VisibilityTimeout": 120,
        }
    ]


def test_letter_that_another_reader_deleted_is_not_sent_again(deployment: Deployment) -> None:
    reject(deployment, EMPTY)
    with read_failures(deployment) as failures:
        discard(deployment, failures.letters)
        done = retry(deployment, [expire(each) for each in failures.letters])
    assert (len(done.done), len(done.gone)) == (0, 1)
    assert bodies_in(deployment, deployment.queue_url) == []


def test_letter_that_cannot_be_deleted_is_reported(deployment: Deployment) -> None:
    reject(deployment, EMPTY)
    with read_failures(deployment) as failures:
        discard(deployment, failures.letters)
        deployment.options = Options("lab", region="us-east-1")
        with pytest.raises(NotDeleted, match="was sent again") as raised:
            retry(deployment, failures.letters)
    discarding = f"quilt-packager failures discard {failures.letters[0].id}"
    assert raised.value.remedy == f"{discarding} --stack lab --region us-east-1"


def test_failed_retry_reports_the_messages_it_sent(deployment: Deployment) -> None:
    reject(deployment, EMPTY)
    sent: list[tuple[str, str]] = []
    with read_failures(deployment) as failures:
        discard(deployment, failures.letters)
        with pytest.raises(NotDeleted):
            retry(
                deployment,
                failures.letters,
                on_sent=lambda failure, job_id: sent.append((failure.id, job_id)),
            )
    ((failure_id, job_id),) = sent
    assert failure_id == failures.letters[0].id
    assert job_id == queued(deployment)


def kill_at(deployment: Deployment, fatal: int, *, answers: bool, action: Any) -> bool:
    """Read the letters, act on them, and die at one call; False if that call was not reached."""
    client = deployment.sqs
    killer = Killer(client, fatal, answers=answers)
    deployment.__dict__["sqs"] = killer
    try:
        with read_failures(deployment) as failures:
            action(deployment, failures.letters)
    except KeyboardInterrupt:
        pass
    finally:
        deployment.__dict__["sqs"] = client
    killer.bury()
    return killer.is_dead


@pytest.mark.parametrize("answers", [False, True])
def test_killed_retry_loses_nothing_and_sends_at_most_one_twice(
    deployment: Deployment, answers: bool
) -> None:
    bodies = [folder(f"runs/{n}") for n in range(3)]
    fatal = 0
    reached = True
    while reached:
        for body in bodies:
            send_dead_letter(deployment, body, code="EmptySource")
        reached = kill_at(deployment, fatal, answers=answers, action=retry)
        sent = bodies_in(deployment, deployment.queue_url)
        left = bodies_in(deployment, deployment.dead_letter_queue_url)
        assert {*sent, *left} == set(bodies)
        assert len(sent) + len(left) <= len(bodies) + 1
        for url in (deployment.queue_url, deployment.dead_letter_queue_url):
            deployment.sqs.purge_queue(QueueUrl=url)
        fatal += 1
    assert fatal > 2 * len(bodies)


def test_killed_discard_deletes_only_the_given_letters(deployment: Deployment) -> None:
    kept = send_dead_letter(deployment, folder("kept"))

    def discard_others(deployment: Deployment, letters: tuple[Failure, ...]) -> None:
        discard(deployment, [each for each in letters if each.id != kept])

    fatal = 0
    reached = True
    while reached:
        send_dead_letter(deployment, folder("runs/1"))
        reached = kill_at(deployment, fatal, answers=True, action=discard_others)
        assert folder("kept") in bodies_in(deployment, deployment.dead_letter_queue_url)
        fatal += 1


ATTRIBUTES = {
    "ApproximateNumberOfMessages": "2",
    "ApproximateNumberOfMessagesNotVisible": "0",
    "MessageRetentionPeriod": "1209600",
}


def make_letter(letter_id: str, receipt_handle: str) -> dict[str, Any]:
    return {
        "MessageId": letter_id,
        "ReceiptHandle": receipt_handle,
        "Body": folder(letter_id),
        "Attributes": {"SentTimestamp": "1795356128000"},
    }


def test_letter_received_twice_ends_reading_incomplete(deployment: Deployment) -> None:
    letter = make_letter("51c0", "r")
    with Stubber(deployment.sqs) as sqs:
        sqs.add_response("get_queue_attributes", {"Attributes": ATTRIBUTES})
        sqs.add_response("receive_message", {"Messages": [letter]})
        sqs.add_response("receive_message", {"Messages": [letter]})
        sqs.add_response("change_message_visibility_batch", {"Successful": [], "Failed": []})
        with read_failures(deployment) as read:
            assert (len(read.letters), read.total, read.is_complete) == (1, 2, False)


@pytest.mark.parametrize("others", [[], [make_letter("b", "b1")]])
def test_letter_received_twice_is_deleted_by_its_last_receipt_handle(
    deployment: Deployment, others: list[dict[str, Any]]
) -> None:
    deletion = {"QueueUrl": deployment.dead_letter_queue_url, "ReceiptHandle": "a2"}
    with Stubber(deployment.sqs) as sqs:
        sqs.add_response("get_queue_attributes", {"Attributes": ATTRIBUTES})
        sqs.add_response("receive_message", {"Messages": [make_letter("a", "a1")]})
        sqs.add_response("receive_message", {"Messages": [make_letter("a", "a2"), *others]})
        if others:
            sqs.add_response("receive_message", {})
        sqs.add_response("delete_message", {}, deletion)
        sqs.add_response("change_message_visibility_batch", {"Successful": [], "Failed": []})
        with read_failures(deployment) as failures:
            assert len(failures.letters) == 1 + len(others)
            discard(deployment, failures.pick(["a"]).found)
        sqs.assert_no_pending_responses()


def test_visibility_timeout_of_a_letter_received_twice_starts_anew(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(monotonic=iter([0.0, 100.0]).__next__)
    monkeypatch.setattr("quilt_packager.operations.dead_letters.queue.time", clock)
    with Stubber(deployment.sqs) as sqs:
        sqs.add_response("get_queue_attributes", {"Attributes": ATTRIBUTES})
        sqs.add_response("receive_message", {"Messages": [make_letter("a", "a1")]})
        sqs.add_response("receive_message", {"Messages": [make_letter("a", "a2")]})
        sqs.add_response("change_message_visibility_batch", {"Successful": [], "Failed": []})
        (failure,) = read(deployment).letters
    assert failure.held_until == 100 + HOLD_SECONDS


def make_failure(code: str, *, days_left: int = 1, happened: str = "It failed.") -> Failure:
    sent = datetime(2026, 11, 22, tzinfo=UTC)
    return Failure(
        id=f"{code}-{days_left}",
        job_id=None,
        code=code,
        happened=happened,
        why="So.",
        remedy="Repair it.",
        package_name=None,
        registry=None,
        source=None,
        body="{}",
        sent=sent,
        expires=sent + timedelta(days=days_left),
        origin=Origin.PACKAGER,
        receipt_handle="",
        held_until=0,
    )


def test_groups_are_in_the_order_in_which_they_expire() -> None:
    groups = group(
        [
            make_failure("WriteConflict", days_left=3),
            make_failure("EmptySource", days_left=2),
            make_failure("WriteConflict", days_left=1),
        ]
    )
    assert [each.code for each in groups] == ["WriteConflict", "EmptySource"]
    assert [each.id for each in groups[0].failures] == ["WriteConflict-1", "WriteConflict-3"]
    assert groups[0].expires == groups[0].failures[0].expires


def test_group_shows_sentences_that_all_its_failures_share() -> None:
    (found,) = group([make_failure("EmptySource"), make_failure("EmptySource", days_left=2)])
    assert (found.happened, found.why, found.remedy) == ("It failed.", "So.", "Repair it.")
    assert not found.has_individual_reasons


def test_group_of_different_failures_describes_their_code() -> None:
    (found,) = group(
        [make_failure("EmptySource"), make_failure("EmptySource", happened="It ended.")]
    )
    assert found.happened == describe_code("EmptySource").happened
    assert found.has_individual_reasons


def test_group_counts_events_that_cannot_be_retried() -> None:
    stays = replace(make_failure("Undelivered"), can_retry=False, remedy=NOT_A_MESSAGE)
    goes = make_failure("Undelivered", days_left=2)
    (mixed,) = group([stays, goes])
    assert mixed.retriable == (goes,)
    assert mixed.remedy == f"{describe_code('Undelivered').remedy} {count_not_retried(1)}"
    (stuck,) = group([stays])
    assert (stuck.retriable, stuck.remedy) == ((), NOT_A_MESSAGE)


def test_only_the_rejected_need_a_change() -> None:
    failures = [make_failure("EmptySource"), make_failure("WriteConflict", days_left=2)]
    rejected, failed = group(failures)
    assert (rejected.needs_change, failed.needs_change) == (True, False)


def test_code_of_a_newer_engine_is_described_as_unknown() -> None:
    assert describe_code("Undreamt") is UNKNOWN
    assert describe_code("Sequence") is UNKNOWN  # not every name of the module is an error's
    assert not group([make_failure("Undreamt")])[0].needs_change
