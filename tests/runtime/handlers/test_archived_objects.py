"""Archived objects are hashed without a restore; the test stands in for the state machine."""

import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import ArchivedObjects, LargeJobFailed, ServiceUnavailable
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm

from tests.hashes import CRC64NVME, MIB, SHA256, quilt3_checksum
from tests.large_job_functions import LargeJobs, State
from tests.s3_stub import S3Stub

ACCOUNT = "123456789012"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/Batch"
LARGE = b"x" * (8 * MIB + 1)


def body(**fields: Any) -> str:
    return json.dumps({"source_prefix": "s3://raw/old/", "package_name": "runs/42", **fields})


@pytest.fixture
def engine(
    large_jobs: LargeJobs,
    configure_large_jobs: Callable[..., None],
    s3_stub: S3Stub,
    monkeypatch: pytest.MonkeyPatch,
) -> LargeJobs:
    configure_large_jobs(batch_role_arn=ROLE_ARN)
    control = boto3.client("s3control", region_name="us-east-1", endpoint_url=s3_stub.url)

    def drop_account_from_host(request: Any, **_: object) -> None:
        request.url = request.url.replace(f"{ACCOUNT}.", "", 1)

    control.meta.events.register("before-sign.s3-control.*", drop_account_from_host)
    others = clients.connect
    monkeypatch.setattr(
        clients, "connect", lambda name, *_: control if name == "s3control" else others(name)
    )
    monkeypatch.setattr(
        "quilt_packager_runtime.aws.batch_operations.connect", lambda _name: control
    )
    return large_jobs


def archive(engine: LargeJobs, **bodies: bytes) -> None:
    for name, data in bodies.items():
        engine.raw.put(f"old/{name}", data, stored=[], storage_class="DEEP_ARCHIVE")


def hashes(engine: LargeJobs) -> list[dict[str, str]]:
    manifest = engine.raw.get(f".quilt/packages/{engine.top_hash()}")
    assert manifest
    return [json.loads(line)["hash"] for line in manifest.data.splitlines()[1:]]


def hash_of(data: bytes, algorithm: ChecksumAlgorithm) -> dict[str, str]:
    checksum = quilt3_checksum(data, algorithm)
    return {"type": checksum.type, "value": checksum.value}


def wait(engine: LargeJobs, state: State) -> State:
    """Publish while S3 computes checksums."""
    again = engine.publish(state)
    assert (again["goes_on"], again["wait_seconds"]) == (True, 60)
    return again


class TestPackage:
    def test_has_quilt3_s_hash_of_an_archived_object(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        archive(engine, **{"a b+c,é.txt": b"cold", "d": b"colder"})
        state = engine.hand_off(body=body())
        assert state["wait_seconds"] == 60
        state = wait(engine, state)
        s3_stub.batch.finish(s3_stub.store)
        assert engine.publish(state)["goes_on"] is False
        assert hashes(engine) == [hash_of(data, SHA256) for data in (b"cold", b"colder")]
        assert not [each for each in s3_stub.requests_of("GetObject") if each.key.startswith("old")]

    def test_has_a_crc_of_a_larger_object_if_the_engine_accepts_it(
        self, engine: LargeJobs, s3_stub: S3Stub, configure_large_jobs: Callable[..., None]
    ) -> None:
        configure_large_jobs(batch_role_arn=ROLE_ARN, checksum_algorithms=(SHA256, CRC64NVME))
        archive(engine, large=LARGE, small=b"cold")
        state = wait(engine, engine.hand_off(body=body()))
        assert len(s3_stub.batch.jobs) == 2
        s3_stub.batch.finish(s3_stub.store)
        assert engine.publish(state)["goes_on"] is False
        assert hashes(engine) == [hash_of(LARGE, CRC64NVME), hash_of(b"cold", SHA256)]

    def test_of_a_large_job_is_hashed_by_workers_and_by_s3(
        self, engine: LargeJobs, s3_stub: S3Stub, configure_large_jobs: Callable[..., None]
    ) -> None:
        configure_large_jobs(batch_role_arn=ROLE_ARN, max_inline_objects=1)
        archive(engine, a=b"cold", b=b"colder")
        engine.raw.put("old/c", b"warm", stored=[])
        state = engine.hand_off(body=body())
        assert "wait_seconds" not in state
        engine.hash_shards(state)
        state = engine.publish(state)
        assert (state["round"], state["wait_seconds"]) == (1, 60)
        state = wait(engine, state)
        s3_stub.batch.finish(s3_stub.store)
        assert engine.publish(state)["goes_on"] is False
        assert hashes(engine) == [hash_of(each, SHA256) for each in (b"cold", b"colder", b"warm")]

    def test_of_an_unversioned_bucket_has_the_hash_of_the_listed_bytes(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        engine.raw.versioning = type(engine.raw.versioning).OFF
        archive(engine, a=b"cold")
        state = wait(engine, engine.hand_off(body=body()))
        archive(engine, a=b"other")  # computed for the bytes that replaced the listed ones
        s3_stub.batch.finish(s3_stub.store)
        archive(engine, a=b"cold")  # and were replaced themselves
        state = engine.publish(state)
        assert state["round"] == 1
        state = wait(engine, state)
        s3_stub.batch.finish(s3_stub.store)
        assert engine.publish(state)["goes_on"] is False
        assert hashes(engine) == [hash_of(b"cold", SHA256)]


class TestRejection:
    @pytest.mark.parametrize("settings", [{}, {"batch_role_arn": ROLE_ARN}])
    def test_names_the_objects_that_s3_cannot_hash_for_the_engine(
        self,
        engine: LargeJobs,
        s3_stub: S3Stub,
        configure_large_jobs: Callable[..., None],
        settings: dict[str, str],
    ) -> None:
        configure_large_jobs(**settings)
        archive(engine, large=LARGE)
        engine.sqs.script.add_response("send_message", {"MessageId": "m"})
        assert engine.deliver(body=body()) == []
        (letter,) = engine.sqs.asked
        assert "old/large" in letter["MessageAttributes"]["happened"]["StringValue"]
        assert not s3_stub.counts["CreateJob"]

    def test_has_the_reason_of_the_report(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        archive(engine, a=b"cold", b=b"cold")
        state = wait(engine, engine.hand_off(body=body()))
        s3_stub.batch.refused_keys.add("old/a")
        s3_stub.batch.finish(s3_stub.store)
        with pytest.raises(ArchivedObjects) as rejected:
            engine.publish(state)
        assert 'Archived without a usable checksum: "old/a".' in rejected.value.happened
        assert "PermanentFailure error details" in rejected.value.why
        assert "Key not found" in rejected.value.why

    def test_leaves_out_objects_that_are_gone(self, engine: LargeJobs, s3_stub: S3Stub) -> None:
        archive(engine, a=b"cold", b=b"cold")
        state = wait(engine, engine.hand_off(body=body()))
        s3_stub.batch.refused_keys.add("old/a")
        s3_stub.batch.finish(s3_stub.store)
        engine.raw.delete("old/a")
        assert engine.publish(state)["goes_on"] is False
        assert hashes(engine) == [hash_of(b"cold", SHA256)]


class TestBatchJob:
    def test_is_created_once_for_any_number_of_tries(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        archive(engine, a=b"cold")
        state = engine.hand_off(body=body())
        s3_stub.on("PutObject", bucket="scratch", key="*batch.json", times=10).answer(
            503, "SlowDown"
        )
        with pytest.raises(ServiceUnavailable):
            engine.publish(state)
        s3_stub.faults.clear()
        wait(engine, state)
        assert s3_stub.counts["CreateJob"] == 2
        assert len(s3_stub.batch.jobs) == 1

    @pytest.mark.parametrize("status", ["Cancelled", "Failed"])
    def test_that_ends_early_fails_the_package(
        self, engine: LargeJobs, s3_stub: S3Stub, status: str
    ) -> None:
        archive(engine, a=b"cold")
        state = wait(engine, engine.hand_off(body=body()))
        s3_stub.batch.jobs["job-0000"].status = status
        with pytest.raises(LargeJobFailed, match=f"job-0000 .* ended early: {status}"):
            engine.publish(state)

    def test_is_awaited_until_its_report_is_written(
        self, engine: LargeJobs, s3_stub: S3Stub
    ) -> None:
        archive(engine, a=b"cold")
        state = wait(engine, engine.hand_off(body=body()))
        s3_stub.batch.jobs["job-0000"].status = "Complete"
        wait(engine, state)


def test_a_redelivered_message_starts_the_same_execution(engine: LargeJobs) -> None:
    archive(engine, a=b"cold")
    engine.hand_off(body=body())
    assert "wait_seconds" in engine.hand_off(body=body(), delivery=2)
    assert {each["name"] for each in engine.states.asked} == {"id"}


def test_an_engine_without_the_option_asks_for_no_batch_job(
    engine: LargeJobs, s3_stub: S3Stub, configure_large_jobs: Callable[..., None]
) -> None:
    configure_large_jobs()
    state = engine.hand_off()
    engine.hash_shards(state)
    assert engine.publish(state)["goes_on"] is False
    assert not [each for each in s3_stub.requests if "batch" in each.key]
