"""Large jobs from the message to the revision; the test stands in for the state machine."""

import json
from collections.abc import Callable

import pytest
from quilt_packager_runtime.errors import (
    AccessDenied,
    DeadlineExceeded,
    InternalError,
    ServiceUnavailable,
    WorkflowViolations,
)
from quilt_packager_runtime.formats.json_documents import MAX_INTEGER_DIGITS, MAX_METADATA_BYTES
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm
from quilt_packager_runtime.handlers import checksum, invocations
from quilt_packager_runtime.hashing import server_side_copy
from quilt_packager_runtime.large_jobs import worker
from quilt_packager_runtime.large_jobs.hand_off import MAX_ROUNDS, StoredFailure

from tests.job_log import JobLog
from tests.lambda_context import invocation
from tests.large_job_functions import (
    BODY,
    LATEST,
    OBJECTS,
    LargeJobs,
)
from tests.packager_function import crate
from tests.s3_stub import Pattern, S3Stub

MIB, TIB = 2**20, 2**40
HEADER_BYTES = 100
"""Maximum size of the header of a manifest without the metadata."""


@pytest.fixture
def configure(configure_large_jobs: Callable[..., None]) -> Callable[..., None]:
    return configure_large_jobs


@pytest.fixture
def engine(large_jobs: LargeJobs) -> LargeJobs:
    return large_jobs


@pytest.fixture
def inline_hash(engine: LargeJobs, configure: Callable[..., None]) -> Callable[[], str]:
    """What one invocation makes of the folder as it is, in an account of its own."""

    def package_inline() -> str:
        pointers = {key: engine.raw.get(key) for key in engine.raw.keys(".quilt/")}
        for key in pointers:
            engine.raw.delete(key)
        configure(max_inline_objects=10_000, state_machine_arn=None)
        assert engine.deliver() == []
        return engine.top_hash()

    return package_inline


class TestRevision:
    def test_is_the_same_as_that_of_one_invocation(
        self, engine: LargeJobs, inline_hash: Callable[[], str]
    ) -> None:
        state = engine.hand_over()
        assert len(engine.items(state)) == 7
        engine.hash_shards(state)
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        assert made == inline_hash()

    def test_has_the_crate_that_was_read_before_the_hand_off(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        key = "runs/42/ro-crate-metadata.json"
        body = json.dumps({"source_prefix": f"s3://raw/{key}"})
        engine.raw.put(key, crate("1"), stored=["SHA256"])
        state = engine.hand_over(body=body)
        engine.raw.put(key, crate("2"), stored=["SHA256"])
        assert engine.hand_over(body=body, delivery=2) == state
        engine.hash_shards(state)
        engine.publish(state)
        manifest = engine.raw.get(f".quilt/packages/{engine.top_hash()}")
        assert manifest
        assert json.loads(manifest.data.splitlines()[0])["user_meta"]["run_id"] == "1"
        assert [each.key for each in s3_stub.requests_of("GetObject")].count(key) == 1

    def test_has_metadata_of_the_largest_size_and_of_the_longest_integers(
        self, engine: LargeJobs
    ) -> None:
        integer = int("9" * MAX_INTEGER_DIGITS)
        metadata = {"integer": integer, "float": 1e-07, "text": ""}
        metadata["text"] = "x" * (MAX_METADATA_BYTES - len(json.dumps(metadata)) - HEADER_BYTES)
        engine.raw.put("entry.json", json.dumps(metadata))
        fields = {"source_prefix": "s3://raw/runs/42/", "metadata_uri": "/entry.json"}
        state = engine.hand_over(body=json.dumps(fields))
        engine.hash_shards(state)
        engine.publish(state)
        manifest = engine.raw.get(f".quilt/packages/{engine.top_hash()}")
        assert manifest
        assert json.loads(manifest.data.splitlines()[0])["user_meta"] == metadata

    def test_has_what_changed_meanwhile(
        self, engine: LargeJobs, inline_hash: Callable[[], str]
    ) -> None:
        state = engine.hand_over()
        engine.raw.put("runs/42/00.txt", "changed before it was hashed", stored=[])
        engine.hash_shards(state)
        engine.raw.put("runs/42/01.txt", "changed after it was hashed", stored=[])
        engine.raw.put("runs/42/new.txt", "new", stored=[])
        engine.raw.delete("runs/42/02.txt")
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        assert made == inline_hash()

    def test_takes_no_request_for_an_object_when_publishing(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_over()
        engine.hash_shards(state)
        s3_stub.forget_requests()
        engine.publish(state)
        assert not [each for each in s3_stub.requests if each.key.startswith("runs/42/")]


class TestHandOver:
    def test_of_what_one_invocation_can_do_does_not_happen(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        configure(max_inline_objects=OBJECTS)
        assert engine.deliver() == []
        assert engine.states.asked == []
        assert engine.scratch.keys("jobs/") == []

    def test_of_too_many_bytes_happens(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        configure(max_inline_objects=OBJECTS, max_inline_bytes=50)
        assert engine.items(engine.hand_over())

    def test_of_bytes_that_s3_has_hashed_does_not_happen(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        for number in range(OBJECTS):
            engine.raw.put(f"runs/42/{number:02}.txt", f"number {number}", stored=["SHA256"])
        configure(max_inline_objects=OBJECTS, max_inline_bytes=0)
        assert engine.deliver() == []
        assert engine.states.asked == []
        assert engine.top_hash()

    def test_that_did_not_start_keeps_the_message(self, engine: LargeJobs) -> None:
        engine.states.fail("start_execution", "ThrottlingException")
        assert engine.deliver() == ["id"]

    def test_delivered_again_starts_the_same_job(self, engine: LargeJobs) -> None:
        state = engine.hand_over()
        assert engine.hand_over(delivery=2) == state
        first, second = engine.states.asked
        assert first == second
        assert first["name"] == "id"

    def test_delivered_again_plans_nothing_anew(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        engine.hand_over()
        s3_stub.forget_requests()
        engine.hand_over(delivery=2)
        assert not [each for each in s3_stub.requests if each.bucket != "scratch"]

    def test_delivered_once_more_than_it_may_be_attempted_is_acknowledged(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        configure(max_attempts=3)
        state = engine.hand_over()
        assert engine.hand_over(delivery=4) == state
        assert engine.sqs.asked == []

    def test_that_was_never_planned_is_given_up_then(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        configure(max_attempts=3)
        engine.sqs.script.add_response("send_message", {"MessageId": "m"})
        assert engine.deliver(delivery=4) == []
        (letter,) = engine.sqs.asked
        assert letter["MessageAttributes"]["code"]["StringValue"] == "AttemptsExhausted"

    def test_of_a_job_that_runs_is_acknowledged(self, engine: LargeJobs) -> None:
        engine.states.fail("start_execution", "ExecutionAlreadyExists")
        assert engine.deliver() == []

    def test_near_the_deadline_keeps_what_is_hashed(
        self,
        engine: LargeJobs,
        s3_stub: S3Stub,
        configure: Callable[..., None],
        inline_hash: Callable[[], str],
    ) -> None:
        configure(max_inline_objects=OBJECTS, max_requests_in_flight=1)
        s3_stub.on("HeadObject", key="runs/42/20.txt", times=None).delay(60)
        state = engine.hand_over(remaining_seconds=invocations.DEADLINE_MARGIN_SECONDS + 4)
        s3_stub.faults.clear()
        shards = engine.items(state)
        assert 1 <= len(shards) < 7
        assert any("inline" in key for key in engine.results())
        engine.hash_shards(state)
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        assert made == inline_hash()


class TestWorker:
    def test_skips_a_shard_that_is_done(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        state = engine.hand_over()
        engine.hash_shards(state)
        s3_stub.forget_requests()
        engine.hash_shards(state)
        assert set(s3_stub.counts) == {"GetObject"}
        assert s3_stub.counts["GetObject"] == len(engine.items(state))

    def test_that_failed_does_its_shard_again(
        self, engine: LargeJobs, s3_stub: S3Stub, inline_hash: Callable[[], str]
    ) -> None:
        state = engine.hand_over()
        s3_stub.on("HeadObject", times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable) as raised:
            engine.hash_shards(state)
        assert raised.value.__cause__ is not raised.value
        s3_stub.faults.clear()
        engine.hash_shards(state)
        engine.publish(state)
        made = engine.top_hash()
        assert made == inline_hash()

    def test_that_finds_nothing_in_time_fails(self, engine: LargeJobs) -> None:
        state = engine.hand_over()
        with pytest.raises(DeadlineExceeded):
            engine.hash_shards(state, remaining_seconds=invocations.DEADLINE_MARGIN_SECONDS)
        assert engine.results() == []

    def test_that_crashes_says_so(self, engine: LargeJobs, monkeypatch: pytest.MonkeyPatch) -> None:
        state = engine.hand_over()
        monkeypatch.setattr(worker, "decode_tasks", lambda _data: 1 / 0)
        with pytest.raises(InternalError):
            engine.hash_shards(state)


class TestVeryLargeObject:
    """Its chunks are shared by workers."""

    def test_has_the_checksum_that_one_worker_finds(
        self,
        engine: LargeJobs,
        configure: Callable[..., None],
        inline_hash: Callable[[], str],
    ) -> None:
        engine.raw.put("runs/42/large", Pattern(50 * MIB), stored=[])
        configure(max_shard_bytes=16 * MIB)
        state = engine.hand_over()
        engine.hash_shards(state)
        engine.publish(state)
        made = engine.top_hash()
        assert made == inline_hash()

    def test_that_is_restored_from_an_archive_is_hashed(
        self,
        engine: LargeJobs,
        configure: Callable[..., None],
        inline_hash: Callable[[], str],
    ) -> None:
        for name, size_bytes in (("large", 50 * MIB), ("small", 5)):
            engine.raw.put(
                f"runs/42/{name}",
                Pattern(size_bytes),
                stored=[],
                storage_class="DEEP_ARCHIVE",
                restored=True,
            )
        configure(max_shard_bytes=16 * MIB)
        state = engine.hand_over()
        engine.hash_shards(state)
        engine.publish(state)
        made = engine.top_hash()
        assert made == inline_hash()

    def test_is_begun_with_where_a_shard_has_other_objects_too(
        self, engine: LargeJobs, s3_stub: S3Stub, configure: Callable[..., None]
    ) -> None:
        engine.raw.put("runs/42/large", Pattern(20 * MIB), stored=[])
        engine.raw.put("runs/42/small", b"x", stored=[])
        configure(max_shard_bytes=16 * MIB, max_shard_objects=100)
        state = engine.hand_over()
        s3_stub.forget_requests()
        checksum.handler(engine.items(state)[-1], invocation(900))
        asked = [each.key for each in s3_stub.requests_of("HeadObject")]
        assert asked == ["runs/42/large", "runs/42/small"]

    def test_whose_chunks_no_part_holds_is_read_in_ranges(
        self,
        engine: LargeJobs,
        s3_stub: S3Stub,
        configure: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
        inline_hash: Callable[[], str],
    ) -> None:
        monkeypatch.setattr(server_side_copy, "MAX_PART_BYTES", 4 * MIB)
        engine.raw.put("runs/42/large", Pattern(50 * MIB), stored=[])
        configure(max_shard_bytes=16 * MIB)
        state = engine.hand_over()
        engine.hash_shards(state)
        engine.publish(state)
        assert s3_stub.counts["UploadPartCopy"] == 0
        made = engine.top_hash()
        monkeypatch.setattr(server_side_copy, "MAX_PART_BYTES", 5 * 1024 * MIB)
        assert made == inline_hash()
        assert s3_stub.counts["UploadPartCopy"] > 0

    def test_tries_a_useless_scratch_bucket_once_a_shard(
        self, engine: LargeJobs, s3_stub: S3Stub, configure: Callable[..., None]
    ) -> None:
        engine.raw.put("runs/42/large", Pattern(50 * MIB), stored=[])
        engine.raw.put("runs/42/larger", Pattern(50 * MIB), stored=[])
        configure(max_shard_bytes=16 * MIB)
        state = engine.hand_over()
        item = engine.items(state)[0]
        shards = engine.scratch.keys("jobs/id/00/shards/")
        lines = [line for key in shards for line in engine.lines(key) if "chunks" in line]
        assert len(lines) > 2
        engine.scratch.put(shards[0], "\n".join(map(json.dumps, lines)))
        configure(scratch_buckets=("us-east-1=missing",))
        checksum.handler(item, invocation(900))
        assert s3_stub.counts["CreateMultipartUpload"] == 1

    def test_of_5_tebibytes_is_hashed_by_s3(
        self, engine: LargeJobs, s3_stub: S3Stub, configure: Callable[..., None]
    ) -> None:
        engine.raw.put("runs/42/huge", Pattern(5 * TIB), stored=[], etag="e")
        state = engine.hand_over()
        assert len(engine.items(state)) > 160
        engine.hash_shards(state)
        engine.publish(state)
        assert s3_stub.counts["UploadPartCopy"] == 5 * 1024
        manifest = engine.raw.get(f".quilt/packages/{engine.top_hash()}")
        assert manifest
        entry = next(json.loads(each) for each in manifest.data.splitlines() if b'"huge"' in each)
        assert entry["size"] == 5 * TIB
        assert entry["hash"]["type"] == "sha2-256-chunked"

    def test_of_48_tebibytes_with_a_stored_checksum_is_not_read(
        self, engine: LargeJobs, s3_stub: S3Stub, configure: Callable[..., None]
    ) -> None:
        configure(checksum_algorithms=(ChecksumAlgorithm.CRC64NVME,), max_shard_bytes=8 * TIB)
        stored = {"CRC64NVME": "AAAAAAAAAAE="}
        engine.raw.put("runs/42/huge", Pattern(48 * TIB), stored=stored, etag="e")
        state = engine.hand_over()
        engine.hash_shards(state)
        engine.publish(state)
        read = [each for each in s3_stub.requests if each.key == "runs/42/huge"]
        assert {each.operation for each in read} == {"HeadObject"}


class TestGivingUp:
    def test_puts_the_message_aside_with_the_workers_reason(self, engine: LargeJobs) -> None:
        engine.raw.put("runs/42/cold", "cold", stored=[], storage_class="GLACIER")
        state = engine.hand_over()
        with pytest.raises(Exception, match="Archived"):
            engine.hash_shards(state)
        told = engine.fail_job(state, "States.ExceedToleratedFailureThreshold")
        assert told["code"] == "ArchivedObjects"
        (letter,) = engine.sqs.asked
        assert letter["MessageBody"] == BODY
        assert letter["MessageAttributes"]["code"]["StringValue"] == "ArchivedObjects"
        assert "runs/42/cold" in letter["MessageAttributes"]["reason"]["StringValue"]

    def test_forgets_the_failures_that_were_overcome(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_over()
        s3_stub.on("HeadObject", times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable):
            engine.hash_shards(state)
        s3_stub.faults.clear()
        engine.hash_shards(state)
        assert engine.fail_job(state, "Sandbox.Timedout", "Too late.")["code"] == "LargeJobFailed"
        (letter,) = engine.sqs.asked
        assert "Sandbox.Timedout" in letter["MessageAttributes"]["reason"]["StringValue"]

    @staticmethod
    def put_failures(engine: LargeJobs, *codes: str) -> None:
        """Let the shards have failed so, one after another."""
        for number, code in enumerate(codes):
            failure = {"code": code, "happened": f"{code}.", "why": "So.", "remedy": "Do."}
            engine.scratch.put(f"jobs/id/00/failures/{number:06}.json", json.dumps(failure))

    def test_tells_the_rejection_though_other_workers_wait_for_their_next_try(
        self, engine: LargeJobs
    ) -> None:
        state = engine.hand_over()
        self.put_failures(engine, "ServiceUnavailable", "ArchivedObjects", "ServiceUnavailable")
        told = engine.fail_job(state, "States.ExceedToleratedFailureThreshold")
        assert told["code"] == "ArchivedObjects"

    @pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT"])
    def test_of_a_stopped_job_does_not_blame_what_a_worker_waited_for(
        self, engine: LargeJobs, status: str
    ) -> None:
        state = engine.hand_over()
        self.put_failures(engine, "ServiceUnavailable")
        assert engine.fail_job(state, status)["code"] == "LargeJobFailed"

    def test_tells_why_publishing_failed(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        state = engine.hand_over()
        engine.hash_shards(state)
        s3_stub.on("PutObject", bucket="raw", times=None).answer(403, "AccessDenied")
        with pytest.raises(AccessDenied):
            engine.publish(state)
        assert engine.fail_job(state, "AccessDenied")["code"] == "AccessDenied"

    def test_of_a_stopped_job_forgets_the_publishing_that_an_earlier_round_overcame(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_over()
        s3_stub.on("ListObjectVersions", times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable):
            engine.publish(state)
        s3_stub.faults.clear()
        assert engine.publish(state)["goes_on"]
        told = engine.fail_job(state, "ABORTED", "somebody stopped the execution")
        assert told["code"] == "LargeJobFailed"
        assert "somebody stopped" in told["reason"]

    def test_tells_the_sentences_of_a_code_that_it_does_not_know(self, engine: LargeJobs) -> None:
        state = engine.hand_over()
        failure = {"code": "OfAnotherVersion", "happened": "It.", "why": "So.", "remedy": "Do."}
        engine.scratch.put("jobs/id/00/failures/publish.json", json.dumps(failure))
        told = engine.fail_job(state, "OfAnotherVersion")
        assert told == {"code": "LargeJobFailed", "reason": "It. So. Do."}

    def test_keeps_the_link_to_what_was_quarantined(self) -> None:
        error = WorkflowViolations("It.", why="So.", remedy="Do.")
        error.quarantine = "quilt+s3://quarantine#package=runs/42@f"
        told = StoredFailure.from_error(error).to_error()
        assert isinstance(told, WorkflowViolations)
        assert (told.quarantine, told.reason) == (error.quarantine, error.reason)


class TestStory:
    """What the log tells of a large job."""

    @pytest.fixture
    def log(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> JobLog:
        return JobLog(capsys, monkeypatch)

    def test_is_under_the_id_of_the_message_from_beginning_to_end(
        self, engine: LargeJobs, log: JobLog
    ) -> None:
        state = engine.hand_over()
        engine.hash_shards(state)
        engine.publish(state)
        lines = log.read_lines()
        assert {line["message_id"] for line in lines} == {"id"}
        told = [line.get("phase", line["message"]) for line in lines]
        assert told == [
            "package started",
            "listing",
            "large job started",
            *["shard hashed"] * 7,
            "listing",
            "checksums",
            "publishing",
            "package created",
        ]

    def test_names_the_execution_that_goes_on(self, engine: LargeJobs, log: JobLog) -> None:
        engine.hand_over()
        handed = log.read_lines()[-1]
        assert (handed["shards"], handed["left"]) == (7, OBJECTS)
        assert handed["execution"] == engine.states.asked[-1]["name"]

    def test_says_of_a_second_delivery_that_the_job_goes_on(
        self, engine: LargeJobs, log: JobLog
    ) -> None:
        engine.hand_over()
        log.read()
        engine.hand_over(delivery=2)
        assert log.read_lines()[-1]["message"] == "large job redelivered"

    def test_tells_why_a_step_failed_that_is_tried_again(
        self, engine: LargeJobs, log: JobLog, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_over()
        engine.hash_shards(state)
        log.read()
        s3_stub.on("PutObject", key=LATEST, times=None).answer(500)
        with pytest.raises(ServiceUnavailable):
            engine.publish(state)
        failed = log.read_lines()[-1]
        assert (failed["message"], failed["step"]) == ("step failed", "publish")
        assert failed["code"] == "ServiceUnavailable"
        assert failed["reason"] == " ".join(failed[name] for name in ("happened", "why", "remedy"))

    def test_tells_how_much_each_worker_did(self, engine: LargeJobs, log: JobLog) -> None:
        state = engine.hand_over()
        log.read()
        engine.hash_shards(state)
        engine.hash_shards(state)  # the map, too, may call a worker again
        done = log.read_lines()
        assert [line["shard"] for line in done] == [*range(7)] * 2
        assert sum(line["objects"] for line in done[:7]) == OBJECTS
        assert sum(line["bytes"] for line in done[:7]) == engine.raw_bytes()
        assert {(line["objects"], line["bytes"]) for line in done[7:]} == {(0, 0)}
        assert all(line["seconds"] >= 0 for line in done)

    def test_tells_why_a_worker_failed(
        self, engine: LargeJobs, log: JobLog, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_over()
        log.read()
        s3_stub.on("HeadObject", key="runs/42/00.txt", times=None).answer(403)
        with pytest.raises(AccessDenied):
            engine.hash_shards(state)
        failed = log.read_lines()[-1]
        assert (failed["message"], failed["step"], failed["shard"]) == ("step failed", "hash", 0)
        assert failed["code"] == "AccessDenied"

    def test_ends_for_good_when_the_state_machine_gives_up(
        self, engine: LargeJobs, log: JobLog
    ) -> None:
        state = engine.hand_over()
        log.read()
        engine.fail_job(state, "States.Timeout")
        end = log.read_end()
        assert (end["message"], end["code"]) == ("package failed", "LargeJobFailed")
        assert end["final"] is True

    def test_is_found_by_its_dead_letter(self, engine: LargeJobs) -> None:
        engine.fail_job(engine.hand_over(), "States.Timeout", "It took long.")
        attributes = engine.sqs.asked[-1]["MessageAttributes"]
        told = {name: each["StringValue"] for name, each in attributes.items()}
        assert (told["job_id"], told["package_name"], told["registry"]) == ("id", "runs/42", "raw")
        assert told["happened"] == 'The state machine gave up: "States.Timeout".'
        assert told["why"] == 'Its cause is "It took long.".'


class TestRounds:
    @staticmethod
    def change_some(engine: LargeJobs) -> list[str]:
        """Overwrite four objects: what publishing has to hash by itself. Returns their keys."""
        keys = [f"runs/42/{number:02}.txt" for number in range(4)]
        for key in keys:
            engine.raw.put(key, f"changed {key}", stored=[])
        return keys

    def test_keep_what_publishing_hashed_before_its_deadline_and_that_alone(
        self,
        engine: LargeJobs,
        s3_stub: S3Stub,
        configure: Callable[..., None],
        inline_hash: Callable[[], str],
    ) -> None:
        configure(max_requests_in_flight=1)
        state = engine.hand_over()
        engine.hash_shards(state)
        changed = self.change_some(engine)
        s3_stub.on("HeadObject", key=changed[2], times=None).delay(60)
        seconds = invocations.DEADLINE_MARGIN_SECONDS + 2
        state = engine.publish(state, remaining_seconds=seconds)
        assert state["goes_on"] is True
        s3_stub.faults.clear()
        assert engine.inline_keys() == changed[:2]
        assert engine.keys("jobs/id/01/shards/000000.jsonl") == changed[2:]
        engine.hash_shards(state)
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        assert made == inline_hash()

    def test_keep_what_each_try_of_publishing_hashed(
        self, engine: LargeJobs, s3_stub: S3Stub, configure: Callable[..., None]
    ) -> None:
        configure(max_requests_in_flight=1)
        state = engine.hand_over()
        engine.hash_shards(state)
        changed = self.change_some(engine)
        seconds = invocations.DEADLINE_MARGIN_SECONDS + 2
        s3_stub.on("HeadObject", key=changed[1], times=None).delay(60)
        s3_stub.on("PutObject", key="jobs/id/01/shards/*", times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable):
            engine.publish(state, remaining_seconds=seconds)
        s3_stub.faults.clear()
        s3_stub.on("HeadObject", key=changed[2], times=None).delay(60)
        assert engine.publish(state, remaining_seconds=seconds)["goes_on"] is True
        assert engine.inline_keys() == changed[:2]
        assert engine.keys("jobs/id/01/shards/000000.jsonl") == changed[2:]

    def test_go_on_while_too_much_is_left(
        self, engine: LargeJobs, inline_hash: Callable[[], str]
    ) -> None:
        state = engine.hand_over()
        for key in engine.raw.keys("runs/42/"):
            engine.raw.put(key, f"changed {key}", stored=[])
        engine.hash_shards(state)
        state = engine.publish(state)
        assert (state["goes_on"], state["round"]) == (True, 1)
        engine.hash_shards(state)
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        assert made == inline_hash()

    def test_end(self, engine: LargeJobs) -> None:
        state = engine.hand_over()
        assert engine.publish(state | {"round": MAX_ROUNDS - 1})["goes_on"] is False
