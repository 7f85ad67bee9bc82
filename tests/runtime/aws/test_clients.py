"""What is sent to SQS and asked of HealthOmics, and what their errors become."""

import re
from collections.abc import Iterator, Mapping
from threading import Thread, current_thread
from typing import Any

import pytest
from botocore.exceptions import NoCredentialsError, NoRegionError
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.aws.clients import (
    change_message_visibility,
    send_to_dead_letters,
)
from quilt_packager_runtime.errors import (
    AccessDenied,
    AwsError,
    EmptySource,
    InvalidKeys,
    NoRunOutput,
    Rejected,
    name_some,
)
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES
from quilt_packager_runtime.requests.omics_runs import get_run

from tests.boto_stub import Service

QUEUE_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters"
EMPTY = EmptySource("No objects.", why="Nothing was uploaded.", remedy="Upload.")
# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
MAX_ATTRIBUTES = 10
REFUSED_ENTRY = {
    "FailedEntryCount": 1,
    "Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "Slow down"}],
}
LEGAL = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]*")


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service("sqs")
    monkeypatch.setattr(clients, "connect", lambda name: {"sqs": service}[name].client)
    return service


def connect_anywhere(monkeypatch: pytest.MonkeyPatch) -> list[Service]:
    """Let SQS be asked once in any region, and tell where it was."""
    services: list[Service] = []

    def connect(name: str, region: str) -> Any:
        service = Service(name, region)
        service.script.add_response("change_message_visibility", {})
        services.append(service)
        return service.client

    monkeypatch.setattr(clients, "connect", connect)
    return services


@pytest.fixture
def omics(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service("omics")
    monkeypatch.setattr(clients, "connect", lambda name, _region: {"omics": service}[name].client)
    return service


NO_JOB: Mapping[str, str | None] = {}
JOB = {"job_id": "5fea7756-0ea4-451a-a703-a558b933e274", "package_name": "runs/42"}


def send(
    sqs: Service, body: str, error: Rejected = EMPTY, job: Mapping[str, str | None] = NO_JOB
) -> dict[str, str]:
    """Send, and return the attributes."""
    sqs.script.add_response("send_message", {"MessageId": "m"})
    send_to_dead_letters(QUEUE_URL, body, error, **job)
    attributes = sqs.asked[-1]["MessageAttributes"]
    assert {attribute["DataType"] for attribute in attributes.values()} <= {"String"}
    return {name: attribute["StringValue"] for name, attribute in attributes.items()}


def size_bytes(body: str, attributes: dict[str, str]) -> int:
    """A message's size as SQS counts it."""
    texts = [text for name, value in attributes.items() for text in (name, "String", value)]
    return sum(len(text.encode()) for text in (body, *texts))


class TestDeadLetter:
    def test_is_the_message_with_code_and_reason_and_what_is_known_of_the_job(
        self, sqs: Service
    ) -> None:
        attributes = send(
            sqs, '{"source_prefix": "s3://raw/x/"}', job={**JOB, "registry": "packages"}
        )
        assert attributes == {
            "code": "EmptySource",
            **JOB,
            "registry": "packages",
            "reason": EMPTY.reason,
            "happened": "No objects.",
            "why": "Nothing was uploaded.",
            "remedy": "Upload.",
        }
        assert len(attributes) <= MAX_ATTRIBUTES
        assert sqs.asked[-1]["MessageBody"] == '{"source_prefix": "s3://raw/x/"}'
        assert sqs.asked[-1]["QueueUrl"] == QUEUE_URL

    @pytest.mark.parametrize("room", [0, 1, 10, 11, 16, 25, 40, 60, 100, 1000])
    def test_of_any_size_fits_into_sqs(self, sqs: Service, room: int) -> None:
        body = "x" * (MAX_MESSAGE_BYTES - room)
        attributes = send(sqs, body, job=JOB)
        assert size_bytes(body, attributes) <= MAX_MESSAGE_BYTES

    def test_that_leaves_no_room_goes_without_attributes(self, sqs: Service) -> None:
        assert send(sqs, "x" * MAX_MESSAGE_BYTES) == {}

    @pytest.mark.parametrize("room", range(20, 120, 7))
    def test_that_leaves_little_room_never_cuts_a_name(self, sqs: Service, room: int) -> None:
        attributes = send(sqs, "x" * (MAX_MESSAGE_BYTES - room), job=JOB)
        names = {"code": "EmptySource", **JOB}
        assert {name: attributes[name] for name in names if name in attributes}.items() <= (
            names.items()
        )

    def test_says_nothing_of_what_is_not_known(self, sqs: Service) -> None:
        attributes = send(sqs, "{}", job={"package_name": None, "registry": ""})
        assert not {"package_name", "registry"} & attributes.keys()

    def test_that_leaves_little_room_shortens_the_reason(self, sqs: Service) -> None:
        body = "x" * (MAX_MESSAGE_BYTES - 60)
        attributes = send(sqs, body)
        assert attributes["code"] == "EmptySource"
        assert attributes["reason"].startswith("No objects.")
        assert attributes["reason"].endswith("…")
        assert size_bytes(body, attributes) == MAX_MESSAGE_BYTES

    def test_of_a_key_with_a_control_character_has_a_legal_reason(self, sqs: Service) -> None:
        error = InvalidKeys(name_some(["a\x01//b"]), why="No.", remedy="Rename it.")
        assert send(sqs, "{}", error)["reason"] == '"a\\x01//b" No. Rename it.'

    @given(st.text(st.characters(exclude_categories=())))
    def test_has_a_legal_reason_whatever_the_error_says(self, text: str) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            service = Service("sqs")
            monkeypatch.setattr(clients, "connect", lambda _: service.client)
            reason = send(service, "{}", Rejected(text, why="No.", remedy="None."))["reason"]
        assert LEGAL.fullmatch(reason)

    @pytest.mark.parametrize("code", ["AccessDenied", "RequestThrottled", "QueueDoesNotExist"])
    def test_that_is_not_sent_is_no_rejection(self, sqs: Service, code: str) -> None:
        sqs.fail("send_message", code)
        with pytest.raises(AwsError, match=f"EmptySource.*{code}.*{EMPTY.why}"):
            send_to_dead_letters(QUEUE_URL, "{}", EMPTY)

    def test_that_cannot_be_signed_is_no_rejection(self, sqs: Service) -> None:
        sqs.script.deactivate()
        sqs.client.meta.events.register("before-send.sqs.SendMessage", _lose_credentials)
        with pytest.raises(AwsError, match="credentials"):
            send_to_dead_letters(QUEUE_URL, "{}", EMPTY)


class TestPostponement:
    @pytest.mark.parametrize(
        ("queue_arn", "queue_url"),
        [
            (
                "arn:aws:sqs:eu-west-1:123456789012:jobs",
                "https://sqs.eu-west-1.amazonaws.com/123456789012/jobs",
            ),
            (
                "arn:aws-cn:sqs:cn-north-1:123456789012:jobs",
                "https://sqs.cn-north-1.amazonaws.com.cn/123456789012/jobs",
            ),
        ],
    )
    def test_is_asked_of_the_queue_in_its_partition(
        self, monkeypatch: pytest.MonkeyPatch, queue_arn: str, queue_url: str
    ) -> None:
        monkeypatch.delenv("AWS_ENDPOINT_URL")
        sqs = connect_anywhere(monkeypatch)
        change_message_visibility(queue_arn, "receipt", 30)
        assert sqs[0].asked == [
            {"QueueUrl": queue_url, "ReceiptHandle": "receipt", "VisibilityTimeout": 30}
        ]

    def test_is_asked_where_the_environment_says_that_aws_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9/")
        sqs = connect_anywhere(monkeypatch)
        change_message_visibility("arn:aws:sqs:us-east-1:123456789012:jobs", "receipt", 30)
        assert sqs[0].asked[0]["QueueUrl"] == "http://127.0.0.1:9/123456789012/jobs"


class TestRun:
    def test_is_what_healthomics_says(self, omics: Service) -> None:
        answer = {"id": "123", "outputUri": "s3://runs/out"}
        omics.script.add_response("get_run", answer, {"id": "123"})
        assert get_run("123", region="us-east-1")["outputUri"] == "s3://runs/out"

    def test_that_we_may_not_ask_for_names_the_permission(self, omics: Service) -> None:
        omics.fail("get_run", "AccessDeniedException")
        with pytest.raises(AccessDenied, match="omics:GetRun on run 123"):
            get_run("123", region="us-east-1")

    def test_of_a_run_that_is_gone_is_rejected(self, omics: Service) -> None:
        omics.fail("get_run", "ResourceNotFoundException")
        with pytest.raises(NoRunOutput, match="no such run in us-east-1"):
            get_run("123", region="us-east-1")

    @pytest.mark.parametrize(
        "code", ["ThrottlingException", "InternalServerException", "ExpiredTokenException"]
    )
    def test_that_is_not_told_now_may_be_told_later(self, omics: Service, code: str) -> None:
        omics.fail("get_run", code)
        with pytest.raises(AwsError, match=f"run 123.*{code}"):
            get_run("123", region="us-east-1")

    def test_without_credentials_may_be_told_later(self, omics: Service) -> None:
        omics.script.deactivate()
        omics.client.meta.events.register("before-send.omics.GetRun", _lose_credentials)
        with pytest.raises(AwsError, match="credentials"):
            get_run("123", region="us-east-1")


class TestEvent:
    @pytest.fixture
    def events(self, monkeypatch: pytest.MonkeyPatch) -> Service:
        service = Service("events")
        monkeypatch.setattr(clients, "connect", lambda name: {"events": service}[name].client)
        monkeypatch.setattr(clients, "REFUSED_ENTRY_PAUSE_SECONDS", 0)
        return service

    def put(self) -> None:
        clients.put_event(
            "bus", source="quilt.packager", detail_type="Package Created", detail="{}"
        )

    def test_is_put_on_its_bus(self, events: Service) -> None:
        events.script.add_response("put_events", {"FailedEntryCount": 0, "Entries": []})
        self.put()
        assert events.asked == [
            {
                "Entries": [
                    {
                        "EventBusName": "bus",
                        "Source": "quilt.packager",
                        "DetailType": "Package Created",
                        "Detail": "{}",
                    }
                ]
            }
        ]

    def test_that_is_refused_in_a_success_is_put_again(self, events: Service) -> None:
        events.script.add_response("put_events", REFUSED_ENTRY)
        events.script.add_response("put_events", {"FailedEntryCount": 0, "Entries": []})
        self.put()
        assert len(events.asked) == 2

    def test_that_keeps_being_refused_fails_with_the_reason(self, events: Service) -> None:
        for _ in range(clients.ATTEMPTS):
            events.script.add_response("put_events", REFUSED_ENTRY)
        with pytest.raises(AwsError, match=r'bus: ThrottlingException. AWS said: "Slow down"'):
            self.put()
        assert len(events.asked) == clients.ATTEMPTS

    @pytest.mark.parametrize("code", ["AccessDeniedException", "ResourceNotFoundException"])
    def test_that_is_not_taken_fails(self, events: Service, code: str) -> None:
        events.fail("put_events", code)
        with pytest.raises(AwsError, match=code):
            self.put()


class TestNotice:
    @pytest.fixture
    def sns(self, monkeypatch: pytest.MonkeyPatch) -> Service:
        service = Service("sns")
        monkeypatch.setattr(clients, "connect", lambda name: {"sns": service}[name].client)
        return service

    def test_is_published_to_its_topic(self, sns: Service) -> None:
        sns.script.add_response("publish", {"MessageId": "m"})
        clients.publish_notice("topic", "Package Failed", "Why.")
        assert sns.asked == [{"TopicArn": "topic", "Subject": "Package Failed", "Message": "Why."}]

    def test_that_is_not_published_fails(self, sns: Service) -> None:
        sns.fail("publish", "AuthorizationError")
        with pytest.raises(AwsError, match=r"topic.*AuthorizationError"):
            clients.publish_notice("topic", "Package Failed", "Why.")


class TestClient:
    @pytest.fixture(autouse=True)
    def forget_clients(self) -> Iterator[None]:
        clients.prepare.cache_clear()
        yield
        clients.connect.cache_clear()
        clients.prepare.cache_clear()

    def test_is_of_the_region_of_the_run(self) -> None:
        assert clients.connect("omics", "eu-west-1").meta.region_name == "eu-west-1"

    def test_ends_its_calls_within_half_a_minute(self) -> None:
        config = clients.connect("sqs").meta.config
        attempts = config.retries["total_max_attempts"]
        assert attempts * (config.connect_timeout + config.read_timeout) < 30

    def test_is_made_once(self) -> None:
        assert clients.connect("sqs") is clients.connect("sqs")

    def test_that_is_prepared_is_made_once_and_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        makers: list[Thread] = []

        def make(service: str, region: str | None) -> str:
            makers.append(current_thread())
            return service

        monkeypatch.setattr(clients, "_make_client", make)
        clients.prepare("events")
        clients.prepare("events")
        assert clients.connect("events") == "events"
        assert clients.connect("sqs") == "sqs"
        beside, here = makers
        assert beside is not here is current_thread()

    def test_that_could_not_be_prepared_fails_whoever_needs_it_first(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers: list[BaseException | Service] = [NoRegionError(), Service("sns")]

        def make(_service: str, _region: str | None) -> object:
            answer = answers.pop(0)
            if isinstance(answer, BaseException):
                raise answer
            answer.script.add_response("publish", {"MessageId": "m"})
            return answer.client

        monkeypatch.setattr(clients, "_make_client", make)
        clients.prepare("sns")
        with pytest.raises(AwsError, match="region"):
            clients.publish_notice("topic", "Package Failed", "Why.")
        clients.publish_notice("topic", "Package Failed", "Why.")


def _lose_credentials(**_: object) -> None:
    raise NoCredentialsError
