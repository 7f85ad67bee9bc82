"""The end of a job: told, put aside, recorded, in an order in which nothing is lost."""

import json
import time
from typing import Any

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


class Told:
    """What AWS was told, in order: `event`, `notice`, `dead letter`. One of them may fail."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, Any]] = []
        self.failing = ""
        monkeypatch.setattr(clients, "put_event", self._put_event)
        monkeypatch.setattr(clients, "publish_notice", lambda *call: self._tell("notice", call))
        monkeypatch.setattr(
            clients,
            "send_to_dead_letters",
            lambda *call, **known: self._tell("dead letter", (*call, known)),
        )

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def event(self) -> tuple[str, dict[str, Any]]:
        """The detail-type and detail of the only event."""
        (call,) = [call for name, call in self.calls if name == "event"]
        return call["detail_type"], json.loads(call["detail"])

    def _put_event(self, bus: str, **event: str) -> None:
        assert (bus, event["source"]) == ("bus", "quilt.packager")
        self._tell("event", event)

    def _tell(self, name: str, call: object) -> None:
        self.calls.append((name, call))
        if name == self.failing:
            raise AwsError(f"No {name}.", **WORDS)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    return Told(monkeypatch)


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
    def test_is_an_event_and_a_log_line_and_no_notice(self, told: Told, log: JobLog) -> None:
        report_success(attempt(), CREATED, SETTINGS)
        assert told.names() == ["event"]
        detail_type, detail = told.event()
        assert detail_type == "Package Created"
        assert (detail["engine"], detail["top_hash"]) == ("lab", "f" * 64)
        assert detail["source"] == "s3://raw/runs/42/"
        assert log.read_line()["outcome"] == "created"

    def test_that_cannot_be_told_is_a_failure_to_be_repeated(self, told: Told, log: JobLog) -> None:
        told.failing = "event"
        with pytest.raises(AwsError):
            report_success(attempt(), CREATED, SETTINGS)
        line = log.read_line()
        assert (line["outcome"], line["code"], line["package_name"]) == (
            "failed",
            "AwsError",
            "runs/42",
        )


class TestFailure:
    def test_that_is_repeated_is_only_logged(self, told: Told, log: JobLog) -> None:
        assert not report_failure(attempt(), FAILED, SETTINGS)
        assert told.names() == []
        assert log.read_line()["outcome"] == "failed"

    @pytest.mark.parametrize(
        ("error", "is_last", "detail_type"),
        [
            (REJECTED, False, "Package Rejected"),
            (REJECTED, True, "Package Rejected"),
            (FAILED, True, "Package Failed"),
        ],
    )
    def test_that_is_the_end_is_told_after_the_message_is_put_aside(
        self, told: Told, log: JobLog, error: EmptySource, is_last: bool, detail_type: str
    ) -> None:
        assert report_failure(attempt(is_last=is_last), error, SETTINGS)
        assert told.names() == ["dead letter", "event", "notice"]
        assert told.event()[0] == detail_type
        assert told.event()[1]["code"] == error.code
        assert told.calls[2][1][:2] == ("topic", f"{detail_type}: runs/42")
        known = {"job_id": "m", "package_name": "runs/42", "registry": "raw"}
        assert told.calls[0][1] == ("dead-letters", BODY, error, known)
        assert log.read_line()["code"] == error.code

    @pytest.mark.parametrize("failing", ["event", "notice"])
    def test_that_cannot_be_told_is_put_aside_and_repeated(
        self, told: Told, log: JobLog, failing: str
    ) -> None:
        told.failing = failing
        with pytest.raises(NotificationFailed, match=f"No {failing}"):
            report_failure(attempt(), REJECTED, SETTINGS)
        assert (told.names()[0], told.names()[-1]) == ("dead letter", failing)
        assert log.read_line()["code"] == "NotificationFailed"

    def test_that_cannot_be_put_aside_stays_in_its_queue_and_is_told_when_it_can(
        self, told: Told, log: JobLog
    ) -> None:
        told.failing = "dead letter"
        for _ in range(2):
            with pytest.raises(AwsError, match="No dead letter") as raised:
                report_failure(attempt(), REJECTED, SETTINGS)
            assert raised.value.code == log.read_line()["code"] == "AwsError"
        told.failing = ""
        report_failure(attempt(), REJECTED, SETTINGS)
        assert told.names() == [*["dead letter"] * 3, "event", "notice"]

    @pytest.mark.parametrize("error", [REJECTED, FAILED])
    def test_that_cannot_be_put_aside_and_does_not_come_back_is_told(
        self, told: Told, log: JobLog, error: EmptySource
    ) -> None:
        told.failing = "dead letter"
        with pytest.raises(AwsError, match="No dead letter"):
            report_failure(attempt(is_last=True, will_be_redelivered=False), error, SETTINGS)
        assert told.names() == ["dead letter", "event", "notice"]
        assert told.event()[1]["code"] == error.code

    def test_of_a_message_that_cannot_be_read_names_no_package(
        self, told: Told, log: JobLog
    ) -> None:
        report_failure(attempt(parsed=False), REJECTED, SETTINGS)
        assert not {"package_name", "registry", "source", "trigger"} & told.event()[1].keys()
        known = {"job_id": "m", "package_name": None, "registry": None}
        assert told.calls[0][1][-1] == known

    def test_without_a_queue_of_ours_is_left_to_sqs_and_not_told(
        self, told: Told, log: JobLog
    ) -> None:
        assert not report_failure(attempt(), REJECTED, Settings(event_bus="bus"))
        assert told.names() == []


class TestFinal:
    """Whether a log line says that nobody tries again."""

    @pytest.mark.parametrize(
        ("error", "is_last", "final"),
        [(REJECTED, False, True), (FAILED, True, True), (FAILED, False, False)],
    )
    def test_is_the_end_alone(
        self, told: Told, log: JobLog, error: EmptySource, is_last: bool, final: bool
    ) -> None:
        report_failure(attempt(is_last=is_last), error, SETTINGS)
        assert log.read_line()["final"] is final

    @pytest.mark.parametrize("failing", ["dead letter", "event"])
    @pytest.mark.parametrize("will_be_redelivered", [True, False])
    def test_is_not_what_comes_back_to_be_put_aside_or_told(
        self, told: Told, log: JobLog, failing: str, will_be_redelivered: bool
    ) -> None:
        told.failing = failing
        with pytest.raises(AwsError):
            report_failure(
                attempt(is_last=True, will_be_redelivered=will_be_redelivered), FAILED, SETTINGS
            )
        assert log.read_line()["final"] is not will_be_redelivered

    def test_is_not_a_success_that_is_to_be_told_once_more(self, told: Told, log: JobLog) -> None:
        told.failing = "event"
        with pytest.raises(AwsError):
            report_success(attempt(is_last=True), CREATED, SETTINGS)
        assert log.read_line()["final"] is False

    def test_is_not_what_sqs_puts_aside_later(self, told: Told, log: JobLog) -> None:
        report_failure(attempt(), REJECTED, Settings())
        assert log.read_line()["final"] is False


def test_an_engine_that_tells_nobody_only_logs(told: Told, log: JobLog) -> None:
    report_success(attempt(), CREATED, Settings())
    assert told.names() == []
    assert log.read_line()["outcome"] == "created"
