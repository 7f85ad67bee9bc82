"""A job waits for required files; the test stands in for the state machine."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from quilt_packager_runtime.errors import Incomplete
from quilt_packager_runtime.requests.delivery import Delivery

from tests.large_job_functions import OBJECTS, LargeJobs, State
from tests.s3_stub import S3Stub

TIMEOUT_SECONDS = 900


def body(**fields: Any) -> str:
    message = {"source_prefix": "s3://raw/runs/42/", "require": [{"files": ["done.txt"]}]}
    return json.dumps(message | fields)


@pytest.fixture
def engine(large_jobs: LargeJobs, configure_large_jobs: Callable[..., None]) -> LargeJobs:
    configure_large_jobs(max_inline_objects=OBJECTS + 1)
    return large_jobs


def waited(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the time since the job began."""
    monkeypatch.setattr(Delivery, "seconds", seconds)


class TestWait:
    def test_is_an_execution_without_shards(self, engine: LargeJobs) -> None:
        state = engine.hand_off(body=body())
        assert 15 <= state["wait_seconds"] <= 16
        assert engine.scratch.keys() == ["jobs/id/message.json"]

    def test_goes_on_with_growing_pauses(
        self, engine: LargeJobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = engine.hand_off(body=body())
        waited(monkeypatch, 200)
        assert engine.publish(state) == {**state, "wait_seconds": 100, "goes_on": True}
        waited(monkeypatch, 890)
        assert engine.publish(state)["wait_seconds"] == 10

    def test_ends_with_the_package_when_the_files_are_there(self, engine: LargeJobs) -> None:
        state = engine.hand_off(body=body())
        engine.raw.put("runs/42/done.txt", "", stored=["SHA256"])
        assert engine.publish(state)["goes_on"] is False
        assert engine.top_hash()

    def test_includes_the_wait_for_the_first_file(self, engine: LargeJobs) -> None:
        state = engine.hand_off(body=body(source_prefix="s3://raw/runs/43/"))
        assert "wait_seconds" in engine.publish(state)

    def test_of_a_job_that_turns_out_to_be_large_is_followed_by_the_map(
        self, engine: LargeJobs, configure_large_jobs: Callable[..., None]
    ) -> None:
        state = engine.hand_off(body=body())
        configure_large_jobs()
        engine.raw.put("runs/42/done.txt", "", stored=["SHA256"])
        state = engine.publish(state)
        assert (state["goes_on"], "wait_seconds" in state) == (True, False)
        engine.hash_shards(state)
        assert engine.publish(state)["goes_on"] is False
        assert engine.top_hash()

    def test_ends_with_a_dead_letter_after_the_timeout(
        self, engine: LargeJobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = engine.hand_off(body=body())
        waited(monkeypatch, TIMEOUT_SECONDS)
        with pytest.raises(Incomplete):
            engine.publish(state)
        failed = engine.fail_job(state, "Incomplete")
        assert failed["code"] == "Incomplete"
        assert '"done.txt"' in failed["reason"]
        (letter,) = engine.sqs.asked
        assert letter["MessageAttributes"]["code"]["StringValue"] == "Incomplete"

    def test_of_a_redelivered_message_starts_the_same_execution(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        engine.hand_off(body=body())
        s3_stub.forget_requests()
        state: State = engine.hand_off(body=body(), delivery=2)
        assert state["wait_seconds"] == 15
        assert not [each for each in s3_stub.requests if each.bucket != "scratch"]
        assert {each["name"] for each in engine.states.asked} == {"id"}

    def test_ends_when_a_newer_message_has_published_the_package(self, engine: LargeJobs) -> None:
        state = engine.hand_off(body=body(), sent_ms=1)
        assert engine.deliver(body=body(require=None), sent_ms=2) == []
        made = engine.top_hash()
        assert engine.publish(state)["goes_on"] is False
        assert engine.top_hash() == made


class TestNoWait:
    def test_rejects_files_that_a_checksum_list_names_at_once(self, engine: LargeJobs) -> None:
        engine.raw.put("runs/42/done.txt", "", stored=["SHA256"])
        engine.sqs.script.add_response("send_message", {"MessageId": "m"})
        assert engine.deliver(body=body(verify_checksums=["*.md5"])) == []
        (letter,) = engine.sqs.asked
        assert letter["MessageAttributes"]["code"]["StringValue"] == "Incomplete"

    @pytest.mark.parametrize("machine", [True, False], ids=["no timeout", "no state machine"])
    def test_rejects_an_incomplete_folder_at_once(
        self, engine: LargeJobs, configure_large_jobs: Callable[..., None], *, machine: bool
    ) -> None:
        if not machine:
            configure_large_jobs(state_machine_arn=None)
        engine.sqs.script.add_response("send_message", {"MessageId": "m"})
        timeout_seconds = 0 if machine else TIMEOUT_SECONDS
        assert engine.deliver(body=body(require_timeout_seconds=timeout_seconds)) == []
        (letter,) = engine.sqs.asked
        assert letter["MessageAttributes"]["code"]["StringValue"] == "Incomplete"

    def test_is_needed_for_an_empty_folder_without_requirements(self, engine: LargeJobs) -> None:
        engine.sqs.script.add_response("send_message", {"MessageId": "m"})
        fields = {"source_prefix": "s3://raw/runs/43/", "require": None}
        assert engine.deliver(body=body(**fields)) == []
        (letter,) = engine.sqs.asked
        assert letter["MessageAttributes"]["code"]["StringValue"] == "EmptySource"
