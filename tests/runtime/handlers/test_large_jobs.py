"""Large jobs from the message to the revision; the test stands in for the state machine."""

import hashlib
import json
from collections.abc import Callable

import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import (
    AccessDenied,
    AwsError,
    ChecksumMismatch,
    DeadlineExceeded,
    InternalError,
    NotificationFailed,
    ServiceUnavailable,
    WorkflowViolations,
)
from quilt_packager_runtime.formats.json_documents import MAX_INTEGER_DIGITS, MAX_METADATA_BYTES
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm
from quilt_packager_runtime.handlers import checksum, invocations, large_job
from quilt_packager_runtime.hashing import server_side_copy
from quilt_packager_runtime.large_jobs import worker
from quilt_packager_runtime.large_jobs.hand_off import MAX_ROUNDS, StoredFailure

from tests.boto_stub import Service
from tests.conftest import CREDENTIALS
from tests.deliveries import Destinations, Killed
from tests.job_log import JobLog
from tests.lambda_context import invocation
from tests.large_job_functions import (
    BODY,
    LATEST,
    OBJECTS,
    LargeJobs,
    State,
)
from tests.other_writers import README, add, publish_edit, read_package
from tests.packager_function import crate
from tests.runtime_s3 import connect_to
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
    """Package the folder in one invocation, without the revisions so far."""

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
        state = engine.hand_off()
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
        state = engine.hand_off(body=body)
        engine.raw.put(key, crate("2"), stored=["SHA256"])
        assert engine.hand_off(body=body, delivery=2) == state
        engine.hash_shards(state)
        engine.publish(state)
        manifest = engine.raw.get(f".quilt/packages/{engine.top_hash()}")
        assert manifest
        assert json.loads(manifest.data.splitlines()[0])["user_meta"]["run_id"] == "1"
        assert [each.key for each in s3_stub.requests_of("GetObject")].count(key) == 1

    def test_has_the_objects_of_several_sources_in_several_regions(
        self,
        engine: LargeJobs,
        configure: Callable[..., None],
        s3_stub: S3Stub,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        far = s3_stub.create_bucket("results", region="eu-west-1")
        s3_stub.create_bucket("far-scratch", region="eu-west-1")
        far.put("42/00.txt", "equal names", stored=[])
        far.put("42/large", Pattern(9 * MIB), stored=[])
        sources = [{"prefix": "s3://raw/runs/42/"}, {"prefix": "s3://results/42/", "into": "r/"}]
        configure(scratch_buckets=("eu-west-1=far-scratch",), max_shard_bytes=8 * MIB)
        state = engine.hand_off(body=json.dumps({"sources": sources}))
        monkeypatch.setattr(invocations, "connect", lambda: connect_to(s3_stub.url, CREDENTIALS))
        engine.hash_shards(state)
        assert {each.bucket for each in s3_stub.requests_of("UploadPartCopy")} == {"far-scratch"}
        s3_stub.forget_requests()
        assert engine.publish(state)["goes_on"] is False
        assert s3_stub.counts["HeadObject"] == s3_stub.counts["UploadPartCopy"] == 0
        manifest = engine.raw.get(f".quilt/packages/{engine.top_hash()}")
        assert manifest
        physical_keys = {
            line["logical_key"]: line["physical_keys"][0].partition("?")[0]
            for line in map(json.loads, manifest.data.splitlines()[1:])
        }
        assert len(physical_keys) == OBJECTS + 2
        assert physical_keys["00.txt"] == "s3://raw/runs/42/00.txt"
        assert physical_keys["r/00.txt"] == "s3://results/42/00.txt"
        assert physical_keys["r/large"] == "s3://results/42/large"

    def test_has_metadata_of_the_largest_size_and_of_the_longest_integers(
        self, engine: LargeJobs
    ) -> None:
        integer = int("9" * MAX_INTEGER_DIGITS)
        metadata = {"integer": integer, "float": 1e-07, "text": ""}
        metadata["text"] = "x" * (MAX_METADATA_BYTES - len(json.dumps(metadata)) - HEADER_BYTES)
        engine.raw.put("entry.json", json.dumps(metadata))
        fields = {"source_prefix": "s3://raw/runs/42/", "metadata_uri": "/entry.json"}
        state = engine.hand_off(body=json.dumps(fields))
        engine.hash_shards(state)
        engine.publish(state)
        manifest = engine.raw.get(f".quilt/packages/{engine.top_hash()}")
        assert manifest
        assert json.loads(manifest.data.splitlines()[0])["user_meta"] == metadata

    def test_has_objects_that_changed_meanwhile(
        self, engine: LargeJobs, inline_hash: Callable[[], str]
    ) -> None:
        state = engine.hand_off()
        engine.raw.put("runs/42/00.txt", "changed before it was hashed", stored=[])
        engine.hash_shards(state)
        engine.raw.put("runs/42/01.txt", "changed after it was hashed", stored=[])
        engine.raw.put("runs/42/new.txt", "new", stored=[])
        engine.raw.delete("runs/42/02.txt")
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        assert made == inline_hash()

    def test_has_the_changes_of_another_writer(
        self, engine: LargeJobs, inline_hash: Callable[[], str], configure: Callable[..., None]
    ) -> None:
        inline_hash()
        configure()
        publish_edit(engine.raw, "runs/42", add(README))
        for key in engine.raw.keys("runs/42/")[:15]:
            engine.raw.put(key, f"new {key}", stored=[])
        body = json.dumps({**json.loads(BODY), "on_foreign_revision": "carry"})
        state = engine.hand_off(body=body)
        assert len(engine.items(state)) == 4  # of 4 objects each: checksums of the base are reused
        engine.hash_shards(state)
        assert engine.publish(state)["goes_on"] is False
        _, entries = read_package(engine.raw, "runs/42")
        assert (len(entries), entries["README.md"]) == (OBJECTS + 1, README)

    def test_publishes_without_a_request_for_an_object(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_off()
        engine.hash_shards(state)
        s3_stub.forget_requests()
        engine.publish(state)
        assert not [each for each in s3_stub.requests if each.key.startswith("runs/42/")]


class TestHandOff:
    def test_is_omitted_if_one_invocation_suffices(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        configure(max_inline_objects=OBJECTS)
        assert engine.deliver() == []
        assert engine.states.asked == []
        assert engine.scratch.keys("jobs/") == []

    def test_starts_for_too_many_bytes(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        configure(max_inline_objects=OBJECTS, max_inline_bytes=50)
        assert engine.items(engine.hand_off())

    def test_does_not_count_bytes_that_s3_has_hashed(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        for number in range(OBJECTS):
            engine.raw.put(f"runs/42/{number:02}.txt", f"number {number}", stored=["SHA256"])
        configure(max_inline_objects=OBJECTS, max_inline_bytes=0)
        assert engine.deliver() == []
        assert engine.states.asked == []
        assert engine.top_hash()

    def test_that_fails_to_start_keeps_the_message(self, engine: LargeJobs) -> None:
        engine.states.fail("start_execution", "ThrottlingException")
        assert engine.deliver() == ["id"]

    def test_of_a_redelivery_starts_the_same_execution(self, engine: LargeJobs) -> None:
        state = engine.hand_off()
        assert engine.hand_off(delivery=2) == state
        first, second = engine.states.asked
        assert first == second
        assert first["name"] == "id"

    def test_of_a_redelivery_keeps_the_plan(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        engine.hand_off()
        s3_stub.forget_requests()
        engine.hand_off(delivery=2)
        assert not [each for each in s3_stub.requests if each.bucket != "scratch"]

    def test_of_a_delivery_after_the_last_attempt_is_acknowledged(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        configure(max_attempts=3)
        state = engine.hand_off()
        assert engine.hand_off(delivery=4) == state
        assert engine.sqs.asked == []

    def test_without_a_plan_fails_after_the_last_attempt(
        self, engine: LargeJobs, configure: Callable[..., None]
    ) -> None:
        configure(max_attempts=3)
        engine.sqs.script.add_response("send_message", {"MessageId": "m"})
        assert engine.deliver(delivery=4) == []
        (letter,) = engine.sqs.asked
        assert letter["MessageAttributes"]["code"]["StringValue"] == "AttemptsExhausted"

    def test_of_a_running_job_is_acknowledged(self, engine: LargeJobs) -> None:
        engine.states.fail("start_execution", "ExecutionAlreadyExists")
        assert engine.deliver() == []

    def test_near_the_deadline_stores_finished_checksums(
        self,
        engine: LargeJobs,
        s3_stub: S3Stub,
        configure: Callable[..., None],
        inline_hash: Callable[[], str],
    ) -> None:
        configure(max_inline_objects=OBJECTS, max_requests_in_flight=1)
        s3_stub.on("*Object", key="runs/42/20.txt", times=None).delay(60)
        state = engine.hand_off(remaining_seconds=invocations.DEADLINE_MARGIN_SECONDS + 4)
        s3_stub.faults.clear()
        shards = engine.items(state)
        assert 1 <= len(shards) < 7
        assert any("inline" in key for key in engine.results())
        engine.hash_shards(state)
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        assert made == inline_hash()


class TestWorker:
    def test_skips_a_finished_shard(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        state = engine.hand_off()
        engine.hash_shards(state)
        s3_stub.forget_requests()
        engine.hash_shards(state)
        assert set(s3_stub.counts) == {"GetObject"}
        assert s3_stub.counts["GetObject"] == len(engine.items(state))

    def test_retries_a_failed_shard(
        self, engine: LargeJobs, s3_stub: S3Stub, inline_hash: Callable[[], str]
    ) -> None:
        state = engine.hand_off()
        s3_stub.on("HeadObject", times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable) as raised:
            engine.hash_shards(state)
        assert raised.value.__cause__ is not raised.value
        s3_stub.faults.clear()
        engine.hash_shards(state)
        engine.publish(state)
        made = engine.top_hash()
        assert made == inline_hash()

    def test_without_time_for_an_object_fails(self, engine: LargeJobs) -> None:
        state = engine.hand_off()
        with pytest.raises(DeadlineExceeded):
            engine.hash_shards(state, remaining_seconds=invocations.DEADLINE_MARGIN_SECONDS)
        assert engine.results() == []

    def test_that_crashes_stores_an_internal_error(
        self, engine: LargeJobs, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        state = engine.hand_off()
        monkeypatch.setattr(worker, "decode_tasks", lambda _data: 1 / 0)
        with pytest.raises(InternalError):
            engine.hash_shards(state)


class TestChecksumLists:
    """Lists whose files have to be read, which workers do."""

    BODY = json.dumps({"source_prefix": "s3://raw/runs/42/", "verify_checksums": ["md5sum.txt"]})

    @pytest.fixture
    def log(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> JobLog:
        return JobLog(capsys, monkeypatch)

    @pytest.fixture
    def listed(self, engine: LargeJobs, configure: Callable[..., None]) -> dict[str, bytes]:
        """Files that were uploaded in parts, with their list; those of the engine have ETags."""
        files = {f"{number:02}.txt": f"number {number}".encode() for number in range(OBJECTS)}
        for name, size_bytes in (("a.bam", 20 * MIB), ("b.bam", 10)):
            files[name] = bytes(size_bytes)
            engine.raw.put(f"runs/42/{name}", files[name], part_sizes=[size_bytes])
        lines = (
            f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {name}\n"
            for name, data in files.items()
        )
        engine.raw.put("runs/42/md5sum.txt", "".join(lines))
        configure(max_shard_bytes=64 * MIB)
        return files

    def test_are_compared_with_bytes_that_workers_read_once(
        self,
        engine: LargeJobs,
        listed: dict[str, bytes],
        s3_stub: S3Stub,
        log: JobLog,
        inline_hash: Callable[[], str],
    ) -> None:
        state = engine.hand_off(body=self.BODY)
        engine.hash_shards(state)
        reads = [each.key for each in s3_stub.requests_of("GetObject")]
        engine.publish(state)
        (end,) = log.read_ends()
        assert (end["verified"], end["checksum_lists"]) == (len(listed), '"md5sum.txt"')
        assert [reads.count(f"runs/42/{key}") for key in ("a.bam", "b.bam")] == [3, 1]
        made = engine.top_hash()
        assert made == inline_hash()

    def test_reject_a_file_that_differs(self, engine: LargeJobs, listed: dict[str, bytes]) -> None:
        engine.raw.put("runs/42/a.bam", b"damaged" + listed["a.bam"][7:], part_sizes=[20 * MIB])
        state = engine.hand_off(body=self.BODY)
        engine.hash_shards(state)
        with pytest.raises(ChecksumMismatch, match=r'1 file differs .*: "a\.bam"'):
            engine.publish(state)

    def test_are_compared_with_bytes_that_change_after_the_workers(
        self, engine: LargeJobs, listed: dict[str, bytes], log: JobLog
    ) -> None:
        state = engine.hand_off(body=self.BODY)
        engine.hash_shards(state)
        engine.raw.put("runs/42/b.bam", listed["b.bam"], part_sizes=[10])
        engine.publish(state)
        (end,) = log.read_ends()
        assert end["verified"] == len(listed)


class TestVeryLargeObject:
    """Its chunks are shared by workers."""

    def test_has_the_same_checksum_from_many_workers(
        self,
        engine: LargeJobs,
        configure: Callable[..., None],
        inline_hash: Callable[[], str],
    ) -> None:
        engine.raw.put("runs/42/large", Pattern(50 * MIB), stored=[])
        configure(max_shard_bytes=16 * MIB)
        state = engine.hand_off()
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
        state = engine.hand_off()
        engine.hash_shards(state)
        engine.publish(state)
        made = engine.top_hash()
        assert made == inline_hash()

    def test_is_hashed_before_other_objects_of_its_shard(
        self, engine: LargeJobs, s3_stub: S3Stub, configure: Callable[..., None]
    ) -> None:
        engine.raw.put("runs/42/large", Pattern(20 * MIB), stored=[])
        engine.raw.put("runs/42/small", b"x", stored=[])
        configure(max_shard_bytes=16 * MIB, max_shard_objects=100)
        state = engine.hand_off()
        s3_stub.forget_requests()
        checksum.handler(engine.items(state)[-1], invocation(900))
        operations = [each.operation for each in s3_stub.requests]
        assert s3_stub.requests[-2].key == "runs/42/small"
        assert "UploadPartCopy" in operations[:-2]

    def test_without_a_usable_checksum_is_copied_in_its_region_without_a_head(
        self,
        engine: LargeJobs,
        s3_stub: S3Stub,
        configure: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        engine.raw.region = "eu-west-1"
        engine.raw.put("runs/42/large", Pattern(20 * MIB))
        s3_stub.create_bucket("far", region="eu-west-1")
        configure(
            max_shard_bytes=16 * MIB, max_shard_objects=100, scratch_buckets=("eu-west-1=far",)
        )
        state = engine.hand_off()
        s3_stub.forget_requests()
        s3 = connect_to(s3_stub.url, CREDENTIALS)
        monkeypatch.setattr(invocations, "connect", lambda: s3)
        checksum.handler(engine.items(state)[-1], invocation(900))
        assert {each.bucket for each in s3_stub.requests_of("UploadPartCopy")} == {"far"}
        assert not [each for each in s3_stub.requests_of("HeadObject") if "large" in each.key]

    def test_with_chunks_larger_than_a_part_is_read_in_ranges(
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
        state = engine.hand_off()
        engine.hash_shards(state)
        engine.publish(state)
        assert s3_stub.counts["UploadPartCopy"] == 0
        made = engine.top_hash()
        monkeypatch.setattr(server_side_copy, "MAX_PART_BYTES", 5 * 1024 * MIB)
        assert made == inline_hash()
        assert s3_stub.counts["UploadPartCopy"] > 0

    def test_tries_an_unusable_scratch_bucket_once_a_shard(
        self, engine: LargeJobs, s3_stub: S3Stub, configure: Callable[..., None]
    ) -> None:
        engine.raw.put("runs/42/large", Pattern(50 * MIB), stored=[])
        engine.raw.put("runs/42/larger", Pattern(50 * MIB), stored=[])
        configure(max_shard_bytes=16 * MIB)
        state = engine.hand_off()
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
        state = engine.hand_off()
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
        state = engine.hand_off()
        engine.hash_shards(state)
        engine.publish(state)
        read = [each for each in s3_stub.requests if each.key == "runs/42/huge"]
        assert {each.operation for each in read} == {"HeadObject"}


class TestFailing:
    def test_moves_the_message_with_the_workers_reason(self, engine: LargeJobs) -> None:
        engine.raw.put("runs/42/cold", "cold", stored=[], storage_class="GLACIER")
        state = engine.hand_off()
        with pytest.raises(Exception, match="Archived"):
            engine.hash_shards(state)
        reported = engine.fail_job(state, "States.ExceedToleratedFailureThreshold")
        assert reported["code"] == "ArchivedObjects"
        (letter,) = engine.sqs.asked
        assert letter["MessageBody"] == BODY
        assert letter["MessageAttributes"]["code"]["StringValue"] == "ArchivedObjects"
        assert "runs/42/cold" in letter["MessageAttributes"]["reason"]["StringValue"]

    def test_ignores_failures_before_a_success(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        state = engine.hand_off()
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

    def test_reports_a_rejection_rather_than_failures_of_waiting_workers(
        self, engine: LargeJobs
    ) -> None:
        state = engine.hand_off()
        self.put_failures(engine, "ServiceUnavailable", "ArchivedObjects", "ServiceUnavailable")
        reported = engine.fail_job(state, "States.ExceedToleratedFailureThreshold")
        assert reported["code"] == "ArchivedObjects"

    @pytest.mark.parametrize("status", ["ABORTED", "TIMED_OUT"])
    def test_of_a_stopped_job_ignores_failures_of_waiting_workers(
        self, engine: LargeJobs, status: str
    ) -> None:
        state = engine.hand_off()
        self.put_failures(engine, "ServiceUnavailable")
        assert engine.fail_job(state, status)["code"] == "LargeJobFailed"

    def test_reports_the_error_of_publishing(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        state = engine.hand_off()
        engine.hash_shards(state)
        s3_stub.on("PutObject", bucket="raw", times=None).answer(403, "AccessDenied")
        with pytest.raises(AccessDenied):
            engine.publish(state)
        assert engine.fail_job(state, "AccessDenied")["code"] == "AccessDenied"

    def test_of_a_stopped_job_ignores_publishing_errors_of_an_earlier_round(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_off()
        s3_stub.on("ListObjectVersions", times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable):
            engine.publish(state)
        s3_stub.faults.clear()
        assert engine.publish(state)["goes_on"]
        reported = engine.fail_job(state, "ABORTED", "a user stopped the execution")
        assert reported["code"] == "LargeJobFailed"
        assert "a user stopped" in reported["reason"]

    def test_keeps_the_text_of_an_unknown_code(self, engine: LargeJobs) -> None:
        state = engine.hand_off()
        failure = {"code": "OfAnotherVersion", "happened": "It.", "why": "So.", "remedy": "Do."}
        engine.scratch.put("jobs/id/00/failures/publish.json", json.dumps(failure))
        reported = engine.fail_job(state, "OfAnotherVersion")
        assert reported == {"code": "LargeJobFailed", "reason": "It. So. Do."}

    def test_keeps_the_link_to_the_quarantined_package(self) -> None:
        error = WorkflowViolations("It.", why="So.", remedy="Do.")
        error.quarantine = "quilt+s3://quarantine#package=runs/42@f"
        reported = StoredFailure.from_error(error).to_error()
        assert isinstance(reported, WorkflowViolations)
        assert (reported.quarantine, reported.reason) == (error.quarantine, error.reason)


class TestUnpublished:
    """A job whose events the bus refuses for a while."""

    @pytest.fixture
    def destinations(
        self,
        engine: LargeJobs,
        configure: Callable[..., None],
        monkeypatch: pytest.MonkeyPatch,
    ) -> Destinations:
        configure(event_bus="bus", max_attempts=5)
        services = {
            "stepfunctions": engine.states,
            "sqs": engine.sqs,
            "events": Service("events"),
        }
        monkeypatch.setattr(clients, "connect", lambda name, _region=None: services[name].client)
        return Destinations(monkeypatch, sqs=engine.sqs, events=services["events"])

    @pytest.fixture
    def state(self, engine: LargeJobs, destinations: Destinations) -> State:
        state = engine.hand_off()
        engine.hash_shards(state)
        return state

    def test_is_published_once_and_announced_by_a_retry(
        self, engine: LargeJobs, destinations: Destinations, state: State, s3_stub: S3Stub
    ) -> None:
        destinations.refuse("PutEvents", times=1)
        with pytest.raises(NotificationFailed):
            engine.publish(state)
        listings = s3_stub.counts["ListObjectVersions"]
        engine.publish(state)
        assert destinations.operations() == ["PutEvents"]
        assert destinations.events() == ["Package Created"]
        assert s3_stub.counts["ListObjectVersions"] == listings

    def test_is_announced_by_the_step_that_would_fail_it(
        self, engine: LargeJobs, destinations: Destinations, state: State
    ) -> None:
        destinations.refuse("PutEvents", times=1)
        with pytest.raises(NotificationFailed):
            engine.publish(state)
        reported = large_job.handler(failing(state), invocation())
        assert reported["code"] == "NotificationFailed"
        assert destinations.operations() == ["PutEvents"]
        assert destinations.events() == ["Package Created"]

    @pytest.mark.parametrize(
        ("operation", "before"), [("PutEvents", True), ("PutEvents", False), ("SendMessage", True)]
    )
    def test_that_fails_is_one_letter_if_a_try_dies(
        self,
        engine: LargeJobs,
        destinations: Destinations,
        state: State,
        operation: str,
        before: bool,
    ) -> None:
        destinations.kill(operation, before=before)
        with pytest.raises(Killed):
            large_job.handler(failing(state), invocation())
        large_job.handler(failing(state), invocation())
        assert set(destinations.events()) == {"Package Failed"}
        assert len(destinations.letters()) == 1

    def test_that_fails_is_announced_once_while_its_letter_is_refused(
        self, engine: LargeJobs, destinations: Destinations, state: State
    ) -> None:
        destinations.refuse("SendMessage", times=2)
        for retry in range(2):
            with pytest.raises(AwsError):
                large_job.handler(failing(state, retry=retry), invocation())
        large_job.handler(failing(state, retry=2), invocation())
        assert destinations.operations() == ["PutEvents", "SendMessage"]

    def test_that_fails_is_one_letter_after_the_last_refusal(
        self, engine: LargeJobs, destinations: Destinations, state: State
    ) -> None:
        destinations.refuse("PutEvents")
        for retry in range(3):
            with pytest.raises(NotificationFailed):
                large_job.handler(failing(state, retry=retry), invocation())
        large_job.handler(failing(state, retry=3), invocation())
        assert destinations.operations() == ["SendMessage"]


def failing(state: State, *, retry: int = 0) -> State:
    """The input of the step that fails a job."""
    return {
        "job_id": state["job_id"],
        "round": state["round"],
        "error": {"Error": "Sandbox.Timedout", "Cause": ""},
        "retry": retry,
        "max_retries": 3,
    }


class TestStory:
    """The log of a large job."""

    @pytest.fixture
    def log(self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> JobLog:
        return JobLog(capsys, monkeypatch)

    def test_has_the_message_id_in_all_lines(self, engine: LargeJobs, log: JobLog) -> None:
        state = engine.hand_off()
        engine.hash_shards(state)
        engine.publish(state)
        lines = log.read_lines()
        assert {line["message_id"] for line in lines} == {"id"}
        reported = [line.get("phase", line["message"]) for line in lines]
        assert reported == [
            "package started",
            "listing",
            "large job started",
            *["shard hashed"] * 7,
            "listing",
            "checksums",
            "publishing",
            "package created",
        ]

    def test_names_the_execution(self, engine: LargeJobs, log: JobLog) -> None:
        engine.hand_off()
        handed = log.read_lines()[-1]
        assert (handed["shards"], handed["left"]) == (7, OBJECTS)
        assert handed["execution"] == engine.states.asked[-1]["name"]

    def test_of_a_second_delivery_is_a_redelivered_large_job(
        self, engine: LargeJobs, log: JobLog
    ) -> None:
        engine.hand_off()
        log.read()
        engine.hand_off(delivery=2)
        assert log.read_lines()[-1]["message"] == "large job redelivered"

    def test_has_the_error_of_a_step_that_is_retried(
        self, engine: LargeJobs, log: JobLog, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_off()
        engine.hash_shards(state)
        log.read()
        s3_stub.on("PutObject", key=LATEST, times=None).answer(500)
        with pytest.raises(ServiceUnavailable):
            engine.publish(state)
        failed = log.read_lines()[-1]
        assert (failed["message"], failed["step"]) == ("step failed", "publish")
        assert failed["code"] == "ServiceUnavailable"
        assert failed["reason"] == " ".join(failed[name] for name in ("happened", "why", "remedy"))

    def test_has_the_work_of_each_worker(self, engine: LargeJobs, log: JobLog) -> None:
        state = engine.hand_off()
        log.read()
        engine.hash_shards(state)
        engine.hash_shards(state)  # the map, too, may call a worker again
        done = log.read_lines()
        assert [line["shard"] for line in done] == [*range(7)] * 2
        assert sum(line["objects"] for line in done[:7]) == OBJECTS
        assert sum(line["bytes"] for line in done[:7]) == engine.raw_bytes()
        assert {(line["objects"], line["bytes"]) for line in done[7:]} == {(0, 0)}
        assert all(line["seconds"] >= 0 for line in done)

    def test_has_the_error_of_a_worker(
        self, engine: LargeJobs, log: JobLog, s3_stub: S3Stub
    ) -> None:
        state = engine.hand_off()
        log.read()
        s3_stub.deny("*Object", key="runs/42/00.txt")
        with pytest.raises(AccessDenied):
            engine.hash_shards(state)
        failed = log.read_lines()[-1]
        assert (failed["message"], failed["step"], failed["shard"]) == ("step failed", "hash", 0)
        assert failed["code"] == "AccessDenied"

    def test_ends_finally_when_the_execution_fails(self, engine: LargeJobs, log: JobLog) -> None:
        state = engine.hand_off()
        log.read()
        engine.fail_job(state, "States.Timeout")
        end = log.read_end()
        assert (end["message"], end["code"]) == ("package failed", "LargeJobFailed")
        assert end["final"] is True

    def test_is_found_by_the_attributes_of_its_dead_letter(self, engine: LargeJobs) -> None:
        engine.fail_job(engine.hand_off(), "States.Timeout", "It took long.")
        attributes = engine.sqs.asked[-1]["MessageAttributes"]
        reported = {name: each["StringValue"] for name, each in attributes.items()}
        assert (reported["job_id"], reported["package_name"], reported["registry"]) == (
            "id",
            "runs/42",
            "raw",
        )
        assert reported["happened"] == 'The state machine gave up: "States.Timeout".'
        assert reported["why"] == 'Its cause is "It took long.".'


class TestRounds:
    @staticmethod
    def change_some(engine: LargeJobs) -> list[str]:
        """Overwrite four objects: what publishing has to hash by itself. Returns their keys."""
        keys = [f"runs/42/{number:02}.txt" for number in range(4)]
        for key in keys:
            engine.raw.put(key, f"changed {key}", stored=[])
        return keys

    def test_keep_exactly_the_checksums_before_the_deadline_of_publishing(
        self,
        engine: LargeJobs,
        s3_stub: S3Stub,
        configure: Callable[..., None],
        inline_hash: Callable[[], str],
    ) -> None:
        configure(max_requests_in_flight=1)
        state = engine.hand_off()
        engine.hash_shards(state)
        changed = self.change_some(engine)
        s3_stub.on("*Object", key=changed[2], times=None).delay(60)
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

    def test_keep_the_checksums_of_each_retry_of_publishing(
        self, engine: LargeJobs, s3_stub: S3Stub, configure: Callable[..., None]
    ) -> None:
        configure(max_requests_in_flight=1)
        state = engine.hand_off()
        engine.hash_shards(state)
        changed = self.change_some(engine)
        seconds = invocations.DEADLINE_MARGIN_SECONDS + 2
        s3_stub.on("*Object", key=changed[1], times=None).delay(60)
        s3_stub.on("PutObject", key="jobs/id/01/shards/*", times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable):
            engine.publish(state, remaining_seconds=seconds)
        s3_stub.faults.clear()
        s3_stub.on("*Object", key=changed[2], times=None).delay(60)
        assert engine.publish(state, remaining_seconds=seconds)["goes_on"] is True
        assert engine.inline_keys() == changed[:2]
        assert engine.keys("jobs/id/01/shards/000000.jsonl") == changed[2:]

    def test_continue_while_too_much_is_left(
        self, engine: LargeJobs, inline_hash: Callable[[], str]
    ) -> None:
        state = engine.hand_off()
        for key in engine.raw.keys("runs/42/"):
            engine.raw.put(key, f"changed {key}", stored=[])
        engine.hash_shards(state)
        state = engine.publish(state)
        assert (state["goes_on"], state["round"]) == (True, 1)
        engine.hash_shards(state)
        assert engine.publish(state)["goes_on"] is False
        made = engine.top_hash()
        assert made == inline_hash()

    def test_end_after_the_last(self, engine: LargeJobs) -> None:
        state = engine.hand_off()
        assert engine.publish(state | {"round": MAX_ROUNDS - 1})["goes_on"] is False
