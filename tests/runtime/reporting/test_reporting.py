"""The end of a job: no message and no outcome is lost, whichever step fails.

tests/runtime/handlers/test_ends.py counts letters and events over all deliveries of a message.
"""

import json
import time
from typing import Any

import msgspec
import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError, EmptySource, NotificationFailed, SourceChanged
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.reporting.reporting import report_failure, report_success
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.settings import Settings

from tests.job_log import JobLog
from tests.package_requests import request_of

BODY = '{"source_prefix": "s3://raw/runs/42/"}'
SETTINGS = Settings(
    engine="lab",
    event_bus="bus",
    notifications_topic_arn="topic",
    dead_letter_queue_url="dead-letters",
)
CREATED = Outcome(
    outcome=Result.CREATED,
    package_name="runs/42",
    registry="raw",
    top_hash="f" * 64,
    objects=3,
    bytes=42,
    reused=0,
    stored=2,
    computed=1,
)
WORDS = {"why": "Nothing was uploaded.", "remedy": "Upload."}
REJECTED = EmptySource("No objects.", **WORDS)
FAILED = SourceChanged("It changed.", **WORDS)


class AwsCalls:
    """The calls of AWS, in order: `event`, `notice`, `dead letter`. One of them may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.failing = ""
        monkeypatch.setattr(clients, "put_event", self._put_event)
        monkeypatch.setattr(clients, "publish_notice", lambda *call: self._call("notice", call))
        monkeypatch.setattr(
            clients,
            "send_to_dead_letters",
            lambda *call, **known: self._call("dead letter", (*call, known)),
        )

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def event(self) -> tuple[str, dict[str, Any]]:
        """The detail-type and detail of the only event."""
        (call,) = [call for name, call in self.calls if name == "event"]
        return call["detail_type"], json.loads(call["detail"])

    def _put_event(self, bus: str, **event: str) -> None:
        assert (bus, event["source"]) == ("bus", "quilt.packager")
        self._call("event", event)

    def _call(self, name: str, call: object) -> None:
        self.calls.append((name, call))
        if name == self.failing:
            raise AwsError(f"No {name}.", **WORDS)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> AwsCalls:
    return AwsCalls(monkeypatch)


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> JobLog:
    return JobLog(capsys, monkeypatch)


def attempt(
    *, is_last: bool = False, parsed: bool = True, will_be_redelivered: bool = True
) -> Delivery:
    return Delivery(
        body=BODY,
        message_id="m",
        request=request_of(BODY) if parsed else None,
        started_seconds=time.time(),
        is_last_attempt=is_last,
        will_be_redelivered=will_be_redelivered,
    )


class TestSuccess:
    def test_publishes_an_event_and_logs_a_line(self, aws: AwsCalls, log: JobLog) -> None:
        report_success(attempt(), CREATED, SETTINGS)
        assert aws.names() == ["event"]
        detail_type, detail = aws.event()
        assert detail_type == "Package Created"
        assert (detail["engine"], detail["top_hash"]) == ("lab", "f" * 64)
        assert detail["source"] == "s3://raw/runs/42/"
        assert log.read_line()["outcome"] == "created"

    def test_fails_for_a_retry_if_it_cannot_be_published(self, aws: AwsCalls, log: JobLog) -> None:
        aws.failing = "event"
        with pytest.raises(NotificationFailed):
            report_success(attempt(), CREATED, SETTINGS)
        line = log.read_line()
        assert (line["outcome"], line["code"], line["package_name"]) == (
            "failed",
            "NotificationFailed",
            "runs/42",
        )

    def test_that_replaced_another_writers_revision_is_notified(
        self, aws: AwsCalls, log: JobLog
    ) -> None:
        outcome = msgspec.structs.replace(CREATED, foreign_top_hash="e" * 64, remark="Replaced.")
        report_success(attempt(), outcome, SETTINGS)
        assert aws.names() == ["event", "notice"]
        assert aws.event()[1]["foreign_top_hash"] == "e" * 64
        topic, subject, text = aws.calls[1][1]
        assert (topic, subject) == ("topic", "Package Created: runs/42")
        assert f"Replaced: {'e' * 64}" in text
        assert text.endswith("Replaced.")
        assert log.read_line()["foreign_top_hash"] == "e" * 64

    def test_that_lost_a_carried_change_is_notified(self, aws: AwsCalls, log: JobLog) -> None:
        lost = {"carried_entries": 1, "carried_fields": 0, "conflicts": '"a.txt"'}
        outcome = msgspec.structs.replace(CREATED, **lost, remark='Replaced: "a.txt".')
        report_success(attempt(), outcome, SETTINGS)
        assert aws.names() == ["event", "notice"]
        assert aws.calls[1][1][2].endswith('Replaced: "a.txt".')
        for fields in (aws.event()[1], log.read_line()):
            assert {name: fields[name] for name in lost} == lost


class TestFailure:
    def test_is_only_logged_before_a_retry(self, aws: AwsCalls, log: JobLog) -> None:
        assert not report_failure(attempt(), FAILED, SETTINGS)
        assert aws.names() == []
        assert log.read_line()["outcome"] == "failed"

    @pytest.mark.parametrize(
        ("error", "is_last", "detail_type"),
        [
            (REJECTED, False, "Package Rejected"),
            (REJECTED, True, "Package Rejected"),
            (FAILED, True, "Package Failed"),
        ],
    )
    def test_is_published_before_the_message_is_moved(
        self, aws: AwsCalls, log: JobLog, error: EmptySource, is_last: bool, detail_type: str
    ) -> None:
        assert report_failure(attempt(is_last=is_last), error, SETTINGS)
        assert aws.names() == ["event", "notice", "dead letter"]
        assert aws.event()[0] == detail_type
        assert aws.event()[1]["code"] == error.code
        assert aws.calls[1][1][:2] == ("topic", f"{detail_type}: runs/42")
        known = {"job_id": "m", "package_name": "runs/42", "registry": "raw"}
        assert aws.calls[2][1] == ("dead-letters", BODY, error, known)
        assert log.read_line()["code"] == error.code

    def test_that_cannot_be_published_stays_in_its_queue(self, aws: AwsCalls, log: JobLog) -> None:
        aws.failing = "event"
        with pytest.raises(NotificationFailed, match="No event"):
            report_failure(attempt(), REJECTED, SETTINGS)
        assert aws.names() == ["event"]
        assert log.read_line()["code"] == "NotificationFailed"

    def test_that_cannot_be_published_is_moved_at_its_last_delivery(
        self, aws: AwsCalls, log: JobLog
    ) -> None:
        aws.failing = "event"
        assert report_failure(attempt(will_be_redelivered=False), REJECTED, SETTINGS)
        assert aws.names() == ["event", "notice", "dead letter"]
        unpublished, ended = log.read_lines()
        assert (unpublished["message"], unpublished["destination"]) == (
            "outcome not published",
            "event bus",
        )
        assert (ended["code"], ended["final"]) == (REJECTED.code, True)

    def test_is_moved_without_its_notification(self, aws: AwsCalls, log: JobLog) -> None:
        aws.failing = "notice"
        assert report_failure(attempt(), REJECTED, SETTINGS)
        assert aws.names() == ["event", "notice", "dead letter"]
        unpublished, ended = log.read_lines()
        assert unpublished["destination"] == "topic"
        assert (ended["code"], ended["final"]) == (REJECTED.code, True)

    def test_that_cannot_be_moved_is_published_with_each_try(
        self, aws: AwsCalls, log: JobLog
    ) -> None:
        aws.failing = "dead letter"
        with pytest.raises(AwsError, match="No dead letter") as raised:
            report_failure(attempt(), REJECTED, SETTINGS)
        assert raised.value.code == log.read_line()["code"] == "AwsError"
        assert aws.names() == ["event", "notice", "dead letter"]

    def test_of_an_unreadable_message_names_no_package(self, aws: AwsCalls, log: JobLog) -> None:
        report_failure(attempt(parsed=False), REJECTED, SETTINGS)
        assert not {"package_name", "registry", "source", "trigger"} & aws.event()[1].keys()
        known = {"job_id": "m", "package_name": None, "registry": None}
        assert aws.calls[-1][1][-1] == known

    def test_without_a_dead_letter_queue_is_left_to_sqs(self, aws: AwsCalls, log: JobLog) -> None:
        assert not report_failure(attempt(), REJECTED, Settings(event_bus="bus"))
        assert aws.names() == []


class TestFinal:
    """The field `final` of a log line."""

    @pytest.mark.parametrize(
        ("error", "is_last", "final"),
        [(REJECTED, False, True), (FAILED, True, True), (FAILED, False, False)],
    )
    def test_is_true_for_the_last_attempt_alone(
        self, aws: AwsCalls, log: JobLog, error: EmptySource, is_last: bool, final: bool
    ) -> None:
        report_failure(attempt(is_last=is_last), error, SETTINGS)
        assert log.read_line()["final"] is final

    @pytest.mark.parametrize(
        ("failing", "will_be_redelivered"),
        [("event", True), ("dead letter", True), ("dead letter", False)],
    )
    def test_is_false_if_reporting_will_be_retried(
        self, aws: AwsCalls, log: JobLog, failing: str, will_be_redelivered: bool
    ) -> None:
        aws.failing = failing
        with pytest.raises(AwsError):
            report_failure(
                attempt(is_last=True, will_be_redelivered=will_be_redelivered), FAILED, SETTINGS
            )
        assert log.read_line()["final"] is not will_be_redelivered

    def test_is_false_for_a_success_that_will_be_published_again(
        self, aws: AwsCalls, log: JobLog
    ) -> None:
        aws.failing = "event"
        with pytest.raises(AwsError):
            report_success(attempt(is_last=True), CREATED, SETTINGS)
        assert log.read_line()["final"] is False

    def test_is_false_if_sqs_moves_the_message_later(self, aws: AwsCalls, log: JobLog) -> None:
        report_failure(attempt(), REJECTED, Settings())
        assert log.read_line()["final"] is False


def test_an_engine_without_bus_or_topic_only_logs(aws: AwsCalls, log: JobLog) -> None:
    report_success(attempt(), CREATED, Settings())
    assert aws.names() == []
    assert log.read_line()["outcome"] == "created"
