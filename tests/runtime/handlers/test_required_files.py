"""A job waits for required files; the test stands in for the state machine."""

import json
import time
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import pytest
from quilt_packager_runtime.errors import Incomplete
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.settings.requirements import RequiredFiles
from quilt_packager_runtime.settings.source_options import SourceOptions

from tests.job_log import JobLog
from tests.large_job_functions import LATEST, OBJECTS, LargeJobs, State
from tests.s3_stub import S3Stub

TIMEOUT_SECONDS = 900


def body(**fields: Any) -> str:
    message = {"source_prefix": "s3://raw/runs/42/", "require": [{"files": ["done.txt"]}]}
    return json.dumps(message | fields)


@pytest.fixture
def engine(large_jobs: LargeJobs, configure_large_jobs: Callable[..., None]) -> LargeJobs:
    configure_large_jobs(max_inline_objects=OBJECTS + 1)
    return large_jobs


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> JobLog:
    return JobLog(capsys, monkeypatch)


def waited(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Set the time since the job began."""
    monkeypatch.setattr(Delivery, "seconds", seconds)


class TestWait:
    def test_is_an_execution_without_shards(self, engine: LargeJobs) -> None:
        state = engine.hand_off(body=body())
        assert 15 <= state["wait_seconds"] <= 16
        assert engine.scratch.keys("jobs/id/") == ["jobs/id/message.json"]

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

    def test_is_logged_with_its_limit(self, engine: LargeJobs, log: JobLog) -> None:
        engine.hand_off(body=body(require_timeout_seconds=3600))
        (awaited,) = (line for line in log.read_lines() if line["message"] == "files awaited")
        assert awaited["missing"] == 1
        assert 0 < awaited["gives_up_seconds"] <= 3600

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


class TestUploads:
    """An announcement of uploads to the folder of a job that waits."""

    METADATA = MappingProxyType({"study": "A"})

    @pytest.fixture
    def state(self, engine: LargeJobs) -> State:
        return engine.hand_off(body=body(metadata=dict(self.METADATA)), sent_ms=1)

    def announce(self, engine: LargeJobs, **detail: str) -> None:
        """Deliver the announcement, without anything that starts an execution."""
        event = {
            "source": "quilt.packager.uploads",
            "detail-type": "package-objects-ready",
            "detail": {"bucket": "raw", "prefix": "runs/42/", **detail},
        }
        assert engine.deliver(body=json.dumps(event), message_id="upload", sent_ms=3) == []

    def metadata(self, engine: LargeJobs) -> object:
        manifest = engine.raw.get(f".quilt/packages/{engine.top_hash()}")
        assert manifest
        return json.loads(manifest.data.splitlines()[0])["user_meta"]

    def test_end_the_wait_with_the_package_that_was_requested(
        self, engine: LargeJobs, state: State, log: JobLog
    ) -> None:
        engine.raw.put("runs/42/done.txt", "", stored=["SHA256"])
        self.announce(engine)
        assert self.metadata(engine) == self.METADATA
        (created,) = log.read_ends()
        assert created["message_id"] == "upload"
        assert created["trigger"] == "objects_ready"
        assert "As requested by id, which waited for files" in created["remark"]

    def test_leave_nothing_to_do_for_the_waiting_job(self, engine: LargeJobs, state: State) -> None:
        engine.raw.put("runs/42/done.txt", "", stored=["SHA256"])
        self.announce(engine)
        made = engine.top_hash()
        assert engine.publish(state)["goes_on"] is False
        assert (engine.top_hash(), self.metadata(engine)) == (made, self.METADATA)

    def test_package_nothing_while_files_are_missing(
        self, engine: LargeJobs, state: State, log: JobLog
    ) -> None:
        self.announce(engine)
        assert LATEST not in engine.raw.keys()  # noqa: SIM118 - not a dict
        ignored = log.read_lines()[-1]
        assert ignored["message"] == "message ignored"
        assert "another job waits for the files of its folder" in ignored["why"]
        engine.raw.put("runs/42/done.txt", "", stored=["SHA256"])
        assert engine.publish(state)["goes_on"] is False
        assert self.metadata(engine) == self.METADATA

    def test_keep_the_package_of_a_job_that_looked_before(
        self, engine: LargeJobs, state: State
    ) -> None:
        engine.raw.put("runs/42/done.txt", "", stored=["SHA256"])
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        self.announce(engine)
        assert engine.top_hash() == made
        engine.raw.put("runs/42/late.txt", "", stored=["SHA256"])
        self.announce(engine)
        assert engine.top_hash() != made
        assert self.metadata(engine) == self.METADATA

    def test_are_packaged_as_usual_after_another_message(
        self, engine: LargeJobs, state: State
    ) -> None:
        assert engine.deliver(body=body(require=None), message_id="person", sent_ms=2) == []
        engine.raw.put("runs/42/done.txt", "", stored=["SHA256"])
        self.announce(engine)
        assert self.metadata(engine) is None

    def test_are_packaged_as_usual_when_the_job_did_not_look_again(
        self, engine: LargeJobs, state: State, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = time.time()
        monkeypatch.setattr(time, "time", lambda: now + 15 + 900 + 1)
        self.announce(engine)
        assert self.metadata(engine) is None

    def test_are_packaged_as_usual_if_another_version_of_the_engine_noted_the_wait(
        self, engine: LargeJobs, state: State
    ) -> None:
        (note,) = engine.scratch.keys("jobs/waiting/")
        engine.scratch.put(note, '{"version": 2}')
        self.announce(engine)
        assert self.metadata(engine) is None

    def test_of_another_folder_are_packaged_as_usual(self, engine: LargeJobs, state: State) -> None:
        engine.raw.put("runs/43/a.txt", "", stored=["SHA256"])
        self.announce(engine, prefix="runs/43/")
        assert engine.raw.keys(".quilt/named_packages/runs/43/")

    def test_wait_for_the_files_of_their_own_source(
        self, engine: LargeJobs, state: State, configure_large_jobs: Callable[..., None]
    ) -> None:
        required = (RequiredFiles(("other.txt",)),)
        source = SourceOptions(kind="objects_ready", require=required)
        configure_large_jobs(max_inline_objects=OBJECTS + 1, sources=(source,))
        engine.expect_start()
        self.announce(engine)
        assert engine.states.asked[-1]["name"] == "upload"

    def test_package_nothing_after_later_looks_either(
        self, engine: LargeJobs, state: State, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        waited(monkeypatch, 200)
        engine.publish(state)
        self.announce(engine)
        assert [each["name"] for each in engine.states.asked] == ["id"]


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
