import asyncio
from collections.abc import Callable

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import ArchivedObjects, ServiceUnavailable, SourceChanged
from quilt_packager_runtime.hashing import server_side_copy

from tests.hashes import CRC64NVME, MIB, SHA256, hash_bucket, quilt3_checksum
from tests.s3_stub import Bucket, Pattern, Pause, Rule, S3Stub

SIZE_BYTES = 20 * MIB
EXPECTED = quilt3_checksum(Pattern(SIZE_BYTES).read(0, SIZE_BYTES))


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    bucket.put("k", Pattern(SIZE_BYTES), stored=[])
    return bucket


@pytest.fixture
def scratch(s3_stub: S3Stub, bucket: Bucket) -> Bucket:
    return s3_stub.create_bucket("scratch")


def read(stub: S3Stub) -> bool:
    return stub.counts["GetObject"] > 0


async def test_no_bytes_are_read(s3: S3, s3_stub: S3Stub, scratch: Bucket) -> None:
    hashed = await hash_bucket(s3, scratch_bucket="scratch")
    assert hashed.checksums == [EXPECTED]
    assert hashed.computed == 1
    assert s3_stub.counts == {
        "ListObjectVersions": 1,
        "HeadObject": 1,
        "CreateMultipartUpload": 1,
        "UploadPartCopy": 3,
        "AbortMultipartUpload": 1,
    }
    assert not scratch.uploads
    assert not scratch.keys()


async def test_copies_name_the_listed_version_and_etag(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, scratch: Bucket
) -> None:
    version = bucket.versions("k")[0]
    await hash_bucket(s3, scratch_bucket="scratch")
    for request in s3_stub.requests_of("UploadPartCopy"):
        assert request.headers["x-amz-copy-source"] == f"raw/k?versionId={version.version_id}"
        assert request.headers["x-amz-copy-source-if-match"] == f'"{version.etag}"'


async def test_upload_keys_have_the_prefix_that_the_role_allows(
    s3: S3, s3_stub: S3Stub, scratch: Bucket
) -> None:
    await hash_bucket(s3, scratch_bucket="scratch")
    keys = {r.key for r in s3_stub.requests if r.bucket == "scratch"}
    assert len(keys) == 1
    assert keys.pop().startswith("hash/")


async def test_an_object_with_chunks_larger_than_a_part_is_read(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, scratch: Bucket
) -> None:
    bucket.put("k", Pattern(40 * 2**40), stored=[], etag="e")
    pause = s3_stub.on("GetObject", times=None).pause_before()
    job = asyncio.create_task(hash_bucket(s3, scratch_bucket="scratch"))
    await pause.reached()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert s3_stub.counts["CreateMultipartUpload"] == 0


class TestUnusableScratchBucket:
    """Objects are read instead, and the bucket is tried for the first object only."""

    @pytest.fixture(autouse=True)
    def two_objects(self, bucket: Bucket) -> None:
        bucket.put("k2", Pattern(SIZE_BYTES), stored=[])

    async def check(self, s3: S3, stub: S3Stub) -> None:
        hashed = await hash_bucket(s3, scratch_bucket="scratch", max_requests_in_flight=1)
        assert hashed.checksums == [EXPECTED] * 2
        assert stub.distinct_counts["GetObject"] == 2 * 3
        in_scratch = {r.key for r in stub.requests if r.bucket == "scratch"}
        assert len(in_scratch) == 1

    async def test_is_denied(self, s3: S3, s3_stub: S3Stub, scratch: Bucket) -> None:
        s3_stub.deny("*", bucket="scratch")
        await self.check(s3, s3_stub)

    async def test_is_missing(self, s3: S3, s3_stub: S3Stub) -> None:
        await self.check(s3, s3_stub)

    async def test_rejects_uploads_with_checksums(
        self, s3: S3, s3_stub: S3Stub, scratch: Bucket
    ) -> None:
        s3_stub.on("CreateMultipartUpload", times=None).answer(400, "InvalidRequest")
        await self.check(s3, s3_stub)

    @pytest.mark.parametrize("status", [405, 501])
    async def test_has_no_multipart_uploads(
        self, s3: S3, s3_stub: S3Stub, scratch: Bucket, status: int
    ) -> None:
        s3_stub.on("CreateMultipartUpload", times=None).answer(status, "NotImplemented")
        await self.check(s3, s3_stub)

    async def test_is_in_another_region(self, s3: S3, s3_stub: S3Stub) -> None:
        scratch = s3_stub.create_bucket("scratch", region="eu-west-1")
        await self.check(s3, s3_stub)
        assert s3_stub.counts["UploadPartCopy"] == 0
        assert not scratch.uploads

    async def test_returns_no_checksums(self, s3: S3, s3_stub: S3Stub, scratch: Bucket) -> None:
        s3_stub.store.copies_return_checksums = False
        await self.check(s3, s3_stub)
        assert s3_stub.counts["UploadPartCopy"] == 1
        assert not scratch.uploads


@pytest.mark.parametrize(
    "refuse",
    [
        pytest.param(lambda rule: rule.answer(403, "AccessDenied"), id="403"),
        pytest.param(lambda rule: rule.answer(400, "InvalidRequest"), id="400"),
        pytest.param(
            lambda rule: rule.rewrite_body(lambda body: body.replace(b"ChecksumSHA256", b"X")),
            id="no-checksum",
        ),
        pytest.param(
            lambda rule: rule.rewrite_body(
                lambda body: body.replace(b"<ChecksumSHA256>", b"<ChecksumSHA256>AAAA")
            ),
            id="no-sha256",
        ),
    ],
)
@pytest.mark.parametrize("nth", [1, 2, 3])
async def test_an_object_that_cannot_be_copied_is_read(
    s3: S3, s3_stub: S3Stub, scratch: Bucket, refuse: Callable[[Rule], object], nth: int
) -> None:
    refuse(s3_stub.on("UploadPartCopy", nth=nth))
    assert (await hash_bucket(s3, scratch_bucket="scratch")).checksums == [EXPECTED]
    assert s3_stub.distinct_counts["GetObject"] == 3
    assert not scratch.uploads


async def test_an_archived_object_is_rejected(s3: S3, s3_stub: S3Stub, scratch: Bucket) -> None:
    s3_stub.on("UploadPartCopy").answer(403, "InvalidObjectState")
    with pytest.raises(ArchivedObjects, match='"k"'):
        await hash_bucket(s3, scratch_bucket="scratch")
    assert not scratch.uploads


@pytest.mark.parametrize(
    ("status", "code"), [(500, "InternalError"), (503, "SlowDown"), (200, "InternalError")]
)
async def test_a_failed_copy_is_retried(
    s3: S3, s3_stub: S3Stub, scratch: Bucket, status: int, code: str
) -> None:
    s3_stub.on("UploadPartCopy", nth=2, times=2).answer(status, code)
    assert (await hash_bucket(s3, scratch_bucket="scratch")).checksums == [EXPECTED]
    assert s3_stub.counts["UploadPartCopy"] == 3 + 2
    assert not read(s3_stub)


async def test_a_copy_with_a_lost_reply_is_retried(
    s3: S3, s3_stub: S3Stub, scratch: Bucket
) -> None:
    s3_stub.on("UploadPartCopy", nth=2, times=2).lose_reply()
    assert (await hash_bucket(s3, scratch_bucket="scratch")).checksums == [EXPECTED]
    assert not read(s3_stub)


@pytest.mark.parametrize("operation", ["CreateMultipartUpload", "UploadPartCopy"])
async def test_s3_being_down_fails_the_job(
    s3: S3, s3_stub: S3Stub, scratch: Bucket, operation: str
) -> None:
    s3_stub.on(operation, nth=1 if operation.startswith("Create") else 2, times=None).answer(503)
    with pytest.raises(ServiceUnavailable):
        await hash_bucket(s3, scratch_bucket="scratch")
    assert not scratch.uploads


@pytest.mark.parametrize(("status", "code"), [(412, "PreconditionFailed"), (404, "NoSuchKey")])
async def test_an_object_that_changed_fails_the_job(
    s3: S3, s3_stub: S3Stub, scratch: Bucket, status: int, code: str
) -> None:
    s3_stub.on("UploadPartCopy", nth=2).answer(status, code)
    with pytest.raises(SourceChanged, match="s3://raw/k"):
        await hash_bucket(s3, scratch_bucket="scratch")
    assert not scratch.uploads


@pytest.mark.parametrize("algorithm", [SHA256, CRC64NVME])
async def test_uploads_request_the_configured_algorithm(
    s3: S3, s3_stub: S3Stub, scratch: Bucket, algorithm: str
) -> None:
    await hash_bucket(s3, scratch_bucket="scratch", checksum_algorithms=(algorithm,))
    [request] = s3_stub.requests_of("CreateMultipartUpload")
    assert request.headers["x-amz-checksum-algorithm"] == algorithm.removesuffix("_CHUNKED")


class TestAbort:
    @pytest.mark.usefixtures("bucket")
    @pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchUpload")])
    async def test_that_fails_is_only_logged(
        self, s3: S3, s3_stub: S3Stub, caplog: pytest.LogCaptureFixture, status: int, code: str
    ) -> None:
        s3_stub.create_bucket("scratch")
        s3_stub.on("AbortMultipartUpload", times=None).answer(status, code)
        assert (await hash_bucket(s3, scratch_bucket="scratch")).checksums == [EXPECTED]
        assert "multipart upload not aborted" in caplog.text

    async def test_that_hangs_is_stopped_and_logged(
        self,
        s3: S3,
        s3_stub: S3Stub,
        scratch: Bucket,
        caplog: pytest.LogCaptureFixture,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(server_side_copy, "ABORT_SECONDS", 0.01)
        s3_stub.on("AbortMultipartUpload", times=None).pause_before()
        assert (await hash_bucket(s3, scratch_bucket="scratch")).checksums == [EXPECTED]
        assert "multipart upload not aborted" in caplog.text

    async def test_that_fails_once_is_retried(
        self, s3: S3, s3_stub: S3Stub, scratch: Bucket
    ) -> None:
        s3_stub.on("AbortMultipartUpload").answer(503, "SlowDown")
        await hash_bucket(s3, scratch_bucket="scratch")
        assert not scratch.uploads

    @pytest.mark.parametrize("stop", [Rule.pause_before, Rule.pause_after])
    @pytest.mark.parametrize("nth", [3, 4, 6], ids=["create", "first-copy", "last-copy"])
    async def test_follows_a_cancellation(
        self, s3: S3, s3_stub: S3Stub, scratch: Bucket, stop: Callable[[Rule], Pause], nth: int
    ) -> None:
        pause = stop(s3_stub.on(nth=nth))
        job = asyncio.create_task(hash_bucket(s3, scratch_bucket="scratch"))
        await pause.reached()
        job.cancel()
        await asyncio.sleep(0)
        pause.open()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert not scratch.uploads

    async def test_follows_the_failure_of_another_object(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, scratch: Bucket
    ) -> None:
        bucket.put("other", b"x", stored=[])
        hang = s3_stub.on("HeadObject", key="other").pause_before()
        copy = s3_stub.on("UploadPartCopy", times=None).pause_before()
        job = asyncio.create_task(hash_bucket(s3, scratch_bucket="scratch"))
        await copy.reached()
        bucket.delete("other", bucket.versions("other")[0].version_id)
        hang.open()
        with pytest.raises(SourceChanged, match="other"):
            await job
        assert not scratch.uploads


class TestBucketOfAnotherRegion:
    async def test_is_copied_to_the_scratch_bucket_there(self, s3: S3, s3_stub: S3Stub) -> None:
        far = s3_stub.create_bucket("raw", region="eu-west-1")
        far.put("k", Pattern(SIZE_BYTES), stored=[])
        s3_stub.create_bucket("scratch", region="us-east-1")
        s3_stub.create_bucket("far-scratch", region="eu-west-1")
        hashes = await hash_bucket(
            s3, scratch_bucket="scratch", scratch_buckets=("eu-west-1=far-scratch",)
        )
        assert hashes.checksums == [EXPECTED]
        assert not read(s3_stub)
        assert not [each for each in s3_stub.requests if each.bucket == "scratch"]
