"""Ends of jobs: one dead letter and at least one event, whatever refuses or dies in between."""

import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.settings import Metric, Settings

from tests.boto_stub import Service
from tests.deliveries import Destinations, deliver_until_done
from tests.packager_function import DEAD_LETTERS, LATEST, Packager, message
from tests.s3_stub import S3Stub

MAX_ATTEMPTS = 5
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs"
TOPIC = "arn:aws:sns:us-east-1:123456789012:notices"
POISON = message("none")
DENIED = "AccessDenied"
THROTTLED = "ThrottlingException"
FAILED_ENTRY = "FailedEntry"


@pytest.fixture
def packager_settings() -> Settings:
    return Settings(
        dead_letter_queue_url=DEAD_LETTERS,
        event_bus="bus",
        engine="lab",
        max_attempts=MAX_ATTEMPTS,
        notifications_topic_arn=TOPIC,
        scratch_bucket="scratch",
        state_machine_arn=MACHINE,
    )


class Engine:
    """An engine with its queue, which redelivers messages and moves them in the end."""

    def __init__(self, packager: Packager, destinations: Destinations) -> None:
        self.packager = packager
        self.to = destinations

    def run(self, body: str = POISON) -> int | None:
        """Deliver a message until it is acknowledged; see `deliver_until_done`."""
        return deliver_until_done(
            lambda number: self.packager.deliver(body, delivery=number) == [],
            max_attempts=MAX_ATTEMPTS,
        )

    def codes(self) -> list[str]:
        """The codes of the dead letters that the function sent."""
        return [letter["MessageAttributes"]["code"]["StringValue"] for letter in self.to.letters()]


@pytest.fixture
def engine(packager: Packager, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> Engine:
    s3_stub.create_bucket("scratch")
    services = {"sqs": packager.sqs, "events": packager.events, "sns": Service("sns")}
    monkeypatch.setattr(clients, "connect", lambda name, _region=None: services[name].client)
    return Engine(packager, Destinations(monkeypatch, **services))


class TestRejected:
    """A message that can never be packaged."""

    def test_is_one_letter_one_event_and_one_notification(self, engine: Engine) -> None:
        assert engine.run() == 1
        assert engine.to.operations() == ["PutEvents", "Publish", "SendMessage"]
        assert engine.codes() == ["EmptySource"]

    @pytest.mark.parametrize("code", [DENIED, THROTTLED])
    def test_is_one_letter_and_one_event_if_the_topic_refuses(
        self, engine: Engine, code: str
    ) -> None:
        engine.to.refuse("Publish", code)
        assert engine.run() == 1
        assert engine.to.operations() == ["PutEvents", "SendMessage"]

    @pytest.mark.parametrize("code", [DENIED, THROTTLED, FAILED_ENTRY])
    def test_is_one_letter_and_one_event_if_the_bus_refuses_for_a_while(
        self, engine: Engine, code: str
    ) -> None:
        engine.to.refuse("PutEvents", code, times=5)
        assert engine.run() in {2, 6}  # a failed entry is sent three times in one delivery
        assert engine.to.operations() == ["PutEvents", "Publish", "SendMessage"]

    def test_is_one_letter_and_one_event_if_bus_and_topic_refuse(self, engine: Engine) -> None:
        engine.to.refuse("PutEvents", times=2)
        engine.to.refuse("Publish")
        assert engine.run() == 3
        assert engine.to.operations() == ["PutEvents", "SendMessage"]

    def test_is_one_letter_with_its_reason_if_the_bus_never_accepts(self, engine: Engine) -> None:
        engine.to.refuse("PutEvents")
        assert engine.run() == 7
        assert engine.to.operations() == ["Publish", "SendMessage"]
        assert engine.codes() == ["EmptySource"]

    def test_is_announced_once_if_its_letter_is_refused_for_a_while(self, engine: Engine) -> None:
        engine.to.refuse("SendMessage", times=2)
        assert engine.run() == 3
        assert engine.to.operations() == ["PutEvents", "Publish", "SendMessage"]

    def test_is_announced_once_and_left_to_sqs_if_its_letter_is_always_refused(
        self, engine: Engine
    ) -> None:
        engine.to.refuse("SendMessage")
        assert engine.run() is None
        assert engine.to.operations() == ["PutEvents", "Publish"]

    def test_is_announced_if_neither_its_end_nor_its_letter_can_be_stored(
        self, engine: Engine, s3_stub: S3Stub
    ) -> None:
        s3_stub.on("PutObject", key="jobs/0/end.json", times=None).answer(403, "AccessDenied")
        engine.to.refuse("SendMessage", times=2)
        assert engine.run() == 3
        assert engine.to.events() == ["Package Rejected"] * 3
        assert len(engine.to.letters()) == 1

    @pytest.mark.parametrize(
        ("operation", "before"),
        [
            ("PutEvents", True),
            ("PutEvents", False),
            ("Publish", True),
            ("Publish", False),
            ("SendMessage", True),
        ],
    )
    def test_is_one_letter_if_the_function_dies_in_between(
        self, engine: Engine, operation: str, before: bool
    ) -> None:
        engine.to.kill(operation, before=before)
        assert engine.run() == 2
        assert len(engine.to.letters()) == 1
        assert set(engine.to.events()) == {"Package Rejected"}

    def test_is_announced_again_after_a_redrive(self, engine: Engine) -> None:
        engine.run()
        (letter,) = engine.to.letters()
        engine.to.accepted.clear()
        assert engine.run(letter["MessageBody"]) == 1
        assert engine.to.operations() == ["PutEvents", "Publish", "SendMessage"]


class TestFailed:
    """A message whose attempts all fail."""

    @pytest.fixture(autouse=True)
    def outage(self, engine: Engine, s3_stub: S3Stub) -> None:
        s3_stub.on(bucket="raw", times=None).answer(500)

    def test_is_one_letter_and_one_event_after_the_last_attempt(self, engine: Engine) -> None:
        assert engine.run() == MAX_ATTEMPTS
        assert engine.to.events() == ["Package Failed"]
        assert engine.codes() == ["ServiceUnavailable"]

    def test_is_one_letter_and_one_event_if_the_bus_refuses_after_the_last_attempt(
        self, engine: Engine
    ) -> None:
        engine.to.refuse("PutEvents", times=1)
        assert engine.run() == MAX_ATTEMPTS + 1
        assert engine.to.events() == ["Package Failed"]
        assert engine.codes() == ["ServiceUnavailable"]


class TestSuccess:
    @pytest.mark.parametrize("code", [DENIED, THROTTLED, FAILED_ENTRY])
    def test_is_announced_and_published_once_if_the_bus_refuses_for_a_while(
        self, engine: Engine, code: str
    ) -> None:
        engine.to.refuse("PutEvents", code, times=3)
        (body,) = engine.packager.upload("1")
        assert engine.run(body) is not None
        assert len(engine.to.events()) == 1
        assert engine.to.letters() == []
        assert len(pointers(engine)) == 1

    def test_is_announced_as_what_it_was_without_another_run(
        self, engine: Engine, s3_stub: S3Stub
    ) -> None:
        engine.to.refuse("PutEvents", times=6)
        (body,) = engine.packager.upload("1")
        assert engine.run(body) == 7
        assert engine.to.events() == ["Package Created"]
        assert engine.to.letters() == []
        assert len(s3_stub.requests_of("ListObjectVersions")) == 2  # and the confirmation

    def test_is_one_letter_that_a_retry_announces_if_the_bus_never_accepts(
        self, engine: Engine
    ) -> None:
        engine.to.refuse("PutEvents")
        (body,) = engine.packager.upload("1")
        assert engine.run(body) == 7
        assert engine.codes() == ["NotificationFailed"]
        engine.to.accept()
        assert engine.run(body) == 1
        assert engine.to.events() == ["Package Unchanged"]
        assert len(pointers(engine)) == 1

    def test_is_announced_after_another_run_if_it_cannot_be_stored(
        self, engine: Engine, s3_stub: S3Stub
    ) -> None:
        s3_stub.on("PutObject", key="jobs/0/end.json", times=None).answer(403, "AccessDenied")
        engine.to.refuse("PutEvents", times=2)
        (body,) = engine.packager.upload("1")
        assert engine.run(body) == 3
        assert engine.to.events() == ["Package Created"]
        assert len(pointers(engine)) == 1

    @pytest.mark.parametrize("before", [True, False])
    def test_is_announced_and_published_once_if_the_function_dies(
        self, engine: Engine, before: bool
    ) -> None:
        engine.to.kill("PutEvents", before=before)
        (body,) = engine.packager.upload("1")
        assert engine.run(body) == 2
        assert engine.to.events()
        assert len(pointers(engine)) == 1

    def test_needs_no_topic(self, engine: Engine) -> None:
        engine.to.refuse("Publish")
        (body,) = engine.packager.upload("1")
        assert engine.run(body) == 1
        assert engine.to.operations() == ["PutEvents"]


class TestUnpublished:
    """The log and the metric of an outcome that ended without its event or notification."""

    @pytest.mark.parametrize(
        ("operation", "destination"), [("Publish", "topic"), ("PutEvents", "event bus")]
    )
    def test_is_logged_once_as_an_error(
        self, engine: Engine, operation: str, destination: str
    ) -> None:
        engine.to.refuse(operation)
        engine.run()
        lines = engine.packager.log.read_lines()
        (line,) = [each for each in lines if each["message"] == "outcome not published"]
        assert (line["level"], line["message_id"]) == ("ERROR", "0")
        assert line["destination"] == destination
        assert DENIED in line["reason"]
        assert (lines[-1]["message"], lines[-1]["final"]) == ("package rejected", True)

    def test_is_counted(self, engine: Engine) -> None:
        engine.to.refuse("Publish")
        engine.run()
        (counted,) = engine.packager.log.read_metrics()
        assert counted[Metric.OUTCOMES_NOT_PUBLISHED] == [1.0]

    def test_is_logged_as_a_failed_attempt_while_it_will_be_retried(self, engine: Engine) -> None:
        engine.to.refuse("PutEvents", times=1)
        engine.run()
        first, second = engine.packager.log.read_ends()
        assert (first["code"], first["final"]) == ("NotificationFailed", False)
        assert (second["code"], second["final"]) == ("EmptySource", True)


def pointers(engine: Engine) -> list[str]:
    """The keys of the revisions of run 1."""
    latest = LATEST.format("1")
    keys = engine.packager.raw.keys(latest.removesuffix("latest"))
    return [key for key in keys if key != latest]
