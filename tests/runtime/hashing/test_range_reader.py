import asyncio

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import MalformedResponse, ServiceUnavailable, SourceChanged
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.hashing.range_reader import RANGE_BYTES, READ_BUDGET_BYTES

from tests.hashes import MIB, hash_bucket, quilt3_checksum
from tests.s3_stub import Bucket, Pattern, S3Stub


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


async def test_bytes_are_read_once_to_be_hashed_and_verified(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    data = bucket.put("k", Pattern(11 * MIB), stored=["CRC64NVME"]).data
    assert (await hash_bucket(s3)).checksums == [quilt3_checksum(data)]
    assert s3_stub.distinct_counts["GetObject"] == 2


async def test_ranges_cover_the_object_once(s3: S3, s3_stub: S3Stub, bucket: Bucket) -> None:
    bucket.put("k", Pattern(20 * MIB + 1), stored=[])
    await hash_bucket(s3)
    ranges = {request.headers["range"] for request in s3_stub.requests_of("GetObject")}
    assert ranges == {
        f"bytes=0-{8 * MIB - 1}",
        f"bytes={8 * MIB}-{16 * MIB - 1}",
        f"bytes={16 * MIB}-{20 * MIB}",
    }


@pytest.mark.parametrize("size_bytes", [5, 11 * MIB])
async def test_a_truncated_body_is_read_again_from_its_beginning(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, size_bytes: int
) -> None:
    data = bucket.put("k", Pattern(size_bytes), stored=[]).data
    s3_stub.on("GetObject", times=3).cut_body(size_bytes // 2)
    assert (await hash_bucket(s3)).checksums == [quilt3_checksum(data)]


@pytest.mark.parametrize("change", [b"", b"hell", b"hello!", b"hello" * 1000])
async def test_a_body_of_the_wrong_length_is_read_again(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, change: bytes
) -> None:
    bucket.put("k", b"hello", stored=[])
    s3_stub.on("GetObject", times=2).rewrite_body(lambda _: change)
    assert (await hash_bucket(s3)).checksums == [quilt3_checksum(b"hello")]
    assert s3_stub.counts["GetObject"] == 3


@pytest.mark.parametrize("change", [b"", b"hell", b"hello!"])
async def test_repeated_bodies_of_the_wrong_length_fail_the_job(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, change: bytes
) -> None:
    bucket.put("k", b"hello", stored=[])
    s3_stub.on("GetObject", times=None).rewrite_body(lambda _: change)
    with pytest.raises(MalformedResponse, match=f"5 bytes of s3://raw/k.*received {len(change)} "):
        await hash_bucket(s3)
    assert s3_stub.counts["GetObject"] == 3


async def test_a_body_of_another_object_fails_the_job(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("k", b"hello", stored=[])
    s3_stub.on("GetObject", times=None).rewrite_headers({"ETag": '"another"'})
    with pytest.raises(SourceChanged) as failure:
        await hash_bucket(s3)
    assert '"another"' in str(failure.value.__cause__)


async def test_a_repeatedly_truncated_range_fails_the_job(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("k", Pattern(11 * MIB), stored=[])
    s3_stub.on("GetObject", nth=2, times=None).cut_body(100)
    with pytest.raises(ServiceUnavailable):
        await hash_bucket(s3)


async def test_requests_stay_within_the_memory_budget(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    for n in range(5):
        bucket.put(str(n), Pattern(2**30), stored=[], etag=str(n))
    pause = s3_stub.on("GetObject", times=None).pause_before()
    job = asyncio.create_task(hash_bucket(s3))
    held = [await pause.reached() for _ in range(READ_BUDGET_BYTES // RANGE_BYTES)]
    # A further request would have been sent by now.
    await s3.head_object(S3Uri("raw", "0"))
    assert s3_stub.distinct_counts["GetObject"] == READ_BUDGET_BYTES // RANGE_BYTES
    held[0].release()
    await pause.reached()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert s3_stub.distinct_counts["GetObject"] == READ_BUDGET_BYTES // RANGE_BYTES + 1
