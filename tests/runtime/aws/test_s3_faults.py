"""What S3's troubles become: each row of the fault matrix that ends in `s3.py`."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from quilt_packager_runtime.aws.multipart import MultipartUpload
from quilt_packager_runtime.aws.s3 import PAGE_ATTEMPTS, S3
from quilt_packager_runtime.errors import (
    AccessDenied,
    BadRequest,
    ConditionalRequestConflict,
    CredentialsRefused,
    InvalidObjectState,
    MalformedResponse,
    NoSuchBucket,
    NoSuchKey,
    PackagerError,
    PreconditionFailed,
    Rejected,
    S3Error,
    ServiceUnavailable,
)
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, S3Uri

from tests.conftest import CREDENTIALS
from tests.runtime_s3 import connect_to
from tests.s3_stub import Bucket, Pattern, S3Stub

MIB = 2**20
MAX_ATTEMPTS = 6
URI = S3Uri("raw", "k")
SHA256 = ChecksumAlgorithm.SHA256_CHUNKED

Call = Callable[[S3], Awaitable[object]]


async def list_versions(s3: S3) -> list[str]:
    return [found.key async for page in s3.list_latest_versions("raw", "") for found in page]


async def list_keys(s3: S3) -> list[str]:
    return [key async for page in s3.list_keys("raw", "") for key in page]


async def copy(s3: S3, etag: str = "*") -> str | None:
    upload = await MultipartUpload.create(s3, S3Uri("raw", "scratch"), SHA256)
    part = await upload.copy_part(1, source=URI, first_byte=0, last_byte=4, if_match=etag)
    return part.checksum


CALLS: dict[str, Call] = {
    "AbortMultipartUpload": lambda s3: MultipartUpload(s3, URI, "any", SHA256).abort(),
    "CreateMultipartUpload": lambda s3: MultipartUpload.create(s3, URI, SHA256),
    "GetObject": lambda s3: s3.get_object(URI),
    "GetObjectAttributes": lambda s3: s3.get_part_sizes_bytes(URI),
    "HeadObject": lambda s3: s3.head_object(URI),
    "ListObjectVersions": list_versions,
    "ListObjectsV2": list_keys,
    "PutObject": lambda s3: s3.put_object(URI, b"1"),
    "UploadPartCopy": copy,
}


@pytest.fixture(autouse=True)
def bucket(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    bucket.put("k", b"hello")
    return bucket


@pytest.fixture(params=CALLS)
def operation(request: pytest.FixtureRequest) -> str:
    """Each operation in turn."""
    name = request.param
    assert isinstance(name, str)
    return name


class TestEveryCall:
    @pytest.mark.parametrize("status", [500, 503])
    async def test_is_repeated_while_s3_is_in_trouble(
        self, s3: S3, s3_stub: S3Stub, operation: str, status: int
    ) -> None:
        s3_stub.on(operation, times=2).answer(status, "SlowDown")
        if operation == "AbortMultipartUpload":
            with pytest.raises(NoSuchKey):
                await CALLS[operation](s3)
        else:
            await CALLS[operation](s3)
        assert s3_stub.counts[operation] == 3

    @pytest.mark.parametrize("status", [500, 503])
    async def test_gives_up_after_a_bounded_number_of_attempts(
        self, s3: S3, s3_stub: S3Stub, operation: str, status: int
    ) -> None:
        s3_stub.on(operation, times=None).answer(status, "SlowDown")
        with pytest.raises(ServiceUnavailable):
            await CALLS[operation](s3)
        assert s3_stub.counts[operation] == MAX_ATTEMPTS

    async def test_is_repeated_when_the_connection_breaks(
        self, s3: S3, s3_stub: S3Stub, operation: str
    ) -> None:
        s3_stub.on(operation).drop_connection()
        if operation == "AbortMultipartUpload":
            with pytest.raises(NoSuchKey):
                await CALLS[operation](s3)
        else:
            await CALLS[operation](s3)
        assert s3_stub.counts[operation] == 2

    async def test_tells_a_refusal_by_action_and_place(
        self, s3: S3, s3_stub: S3Stub, operation: str
    ) -> None:
        s3_stub.deny(operation)
        with pytest.raises(AccessDenied, match=f"{operation} on .s3://raw"):
            await CALLS[operation](s3)
        assert s3_stub.counts[operation] == 1

    async def test_tells_of_a_missing_bucket(self, s3: S3, s3_stub: S3Stub, operation: str) -> None:
        s3_stub.store.buckets.clear()
        # The answer to HEAD has no body that could name what is missing.
        expected = NoSuchKey if operation == "HeadObject" else NoSuchBucket
        with pytest.raises(expected):
            await CALLS[operation](s3)

    @pytest.mark.parametrize("status", [400, 403])
    async def test_expired_credentials_are_no_refusal(
        self, s3: S3, s3_stub: S3Stub, operation: str, status: int
    ) -> None:
        s3_stub.on(times=None).answer(status, "ExpiredToken")
        with pytest.raises(CredentialsRefused) as caught:
            await CALLS[operation](s3)
        assert not isinstance(caught.value, Rejected)

    async def test_can_be_cancelled_while_s3_is_silent(
        self, s3: S3, s3_stub: S3Stub, operation: str
    ) -> None:
        pause = s3_stub.on(operation, times=None).pause_before()
        call = asyncio.ensure_future(CALLS[operation](s3))
        await pause.reached()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call


async def test_an_endpoint_where_nobody_listens_is_a_failure() -> None:
    s3 = connect_to("http://127.0.0.1:9", CREDENTIALS, retry_base_ms=1)
    with pytest.raises(ServiceUnavailable, match="takes no connections") as raised:
        await s3.head_object(URI)
    assert raised.value.is_unreachable


@pytest.mark.parametrize("operation", ["ListObjectVersions", "ListObjectsV2"])
class TestListing:
    @pytest.fixture(autouse=True)
    def pages(self, bucket: Bucket) -> list[str]:
        """So many keys that there are three pages."""
        bucket.delete("k", bucket.versions("k")[0].version_id)
        for number in range(2001):
            bucket.put(f"k{number:04d}")
        return bucket.keys()

    async def test_repeats_a_page_that_was_cut(
        self, s3: S3, s3_stub: S3Stub, pages: list[str], operation: str
    ) -> None:
        s3_stub.on(operation, nth=2).cut_body(1000)
        assert await CALLS[operation](s3) == pages
        assert s3_stub.counts[operation] == 4

    async def test_repeats_a_page_that_is_truncated(
        self, s3: S3, s3_stub: S3Stub, pages: list[str], operation: str
    ) -> None:
        s3_stub.on(operation, nth=2).rewrite_body(lambda body: body[:1000])
        assert await CALLS[operation](s3) == pages
        assert s3_stub.counts[operation] == 4

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param(lambda body: body[:1000], id="truncated"),
            pytest.param(lambda body: b"", id="empty"),
            pytest.param(lambda body: body.replace(b"Next", b"Other"), id="no token"),
            pytest.param(lambda body: body.replace(b"IsTruncated", b"Is"), id="no end"),
        ],
    )
    async def test_never_ends_with_part_of_the_keys(
        self, s3: S3, s3_stub: S3Stub, operation: str, change: Callable[[bytes], bytes]
    ) -> None:
        s3_stub.on(operation, nth=2, times=None).rewrite_body(change)
        with pytest.raises(MalformedResponse):
            await CALLS[operation](s3)
        assert s3_stub.counts[operation] == 1 + PAGE_ATTEMPTS

    @pytest.mark.parametrize("length", [1, 2])
    async def test_never_goes_round_in_circles(
        self, s3: S3, s3_stub: S3Stub, operation: str, length: int
    ) -> None:
        pages: list[bytes] = []

        def repeat(body: bytes) -> bytes:
            pages.append(body)
            return pages[(len(pages) - 1) % length]

        s3_stub.on(operation, times=None).rewrite_body(repeat)
        with pytest.raises(MalformedResponse):
            await CALLS[operation](s3)
        assert s3_stub.counts[operation] == length + PAGE_ATTEMPTS

    async def test_a_refusal_midway_is_one(self, s3: S3, s3_stub: S3Stub, operation: str) -> None:
        s3_stub.on(operation, nth=3).answer(403, "AccessDenied")
        with pytest.raises(AccessDenied):
            await CALLS[operation](s3)


class TestGetObject:
    @pytest.mark.parametrize("after_bytes", [0, 3, 9 * MIB])
    async def test_reads_from_zero_again_when_cut(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, after_bytes: int
    ) -> None:
        body = Pattern(20 * MIB)
        bucket.put("k", body)
        s3_stub.on("GetObject").cut_body(after_bytes)
        assert (await s3.get_object(URI)).data == body.read(0, 20 * MIB)
        assert s3_stub.counts["GetObject"] == 2

    async def test_gives_up_when_it_is_always_cut(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.on("GetObject", times=None).cut_body(3)
        with pytest.raises(ServiceUnavailable):
            await s3.get_object(URI)
        assert s3_stub.counts["GetObject"] == MAX_ATTEMPTS

    @pytest.mark.parametrize("change", [lambda body: body[:-1], lambda body: body + b"!"])
    async def test_shows_a_wrong_length_beside_the_right_size(
        self, s3: S3, s3_stub: S3Stub, change: Callable[[bytes], bytes]
    ) -> None:
        s3_stub.on("GetObject").rewrite_body(change)
        body = await s3.get_object(URI, last_byte=4)
        assert len(body.data) != body.size_bytes

    async def test_of_an_archived_object_is_not_refused(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"1", storage_class="GLACIER")
        with pytest.raises(InvalidObjectState):
            await s3.get_object(URI)

    async def test_of_a_missing_version_is_not_found(self, s3: S3) -> None:
        with pytest.raises(NoSuchKey):
            await s3.get_object(S3Uri("raw", "k", "other"))

    async def test_of_a_changed_object_fails_the_condition(self, s3: S3) -> None:
        with pytest.raises(PreconditionFailed):
            await s3.get_object(URI, if_match='"other"')


@pytest.mark.parametrize("operation", ["HeadObject", "GetObject", "PutObject"])
async def test_an_answer_without_an_etag_is_broken(s3: S3, s3_stub: S3Stub, operation: str) -> None:
    s3_stub.on(operation).rewrite_headers({"ETag": None})
    with pytest.raises(MalformedResponse, match="has no ETag"):
        await CALLS[operation](s3)


class TestReadIfExists:
    async def test_a_refused_object_is_never_absent(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.deny("GetObject")
        with pytest.raises(AccessDenied, match="GetObject"):
            await s3.read_if_exists(URI, max_bytes=10)

    async def test_an_object_that_nobody_lists_is_absent(self, s3: S3, bucket: Bucket) -> None:
        bucket.hides_missing_keys = True
        bucket.put("k2")
        assert await s3.read_if_exists(S3Uri("raw", "missing"), max_bytes=10) is None

    async def test_a_refused_listing_proves_nothing(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.deny("GetObject")
        s3_stub.deny("ListObjectsV2")
        with pytest.raises(AccessDenied):
            await s3.read_if_exists(URI, max_bytes=10)


class TestHeadObject:
    async def test_encryption_with_the_owners_key_is_a_bad_request(
        self, s3: S3, s3_stub: S3Stub
    ) -> None:
        s3_stub.on("*Object", times=None).answer(400, "InvalidRequest")
        with pytest.raises(BadRequest):
            await s3.head_object(URI)


class TestPutObject:
    async def test_is_repeated_when_s3_waited_too_long_for_the_body(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        s3_stub.on("PutObject").answer(400, "RequestTimeout")
        await s3.put_object(S3Uri("raw", "new"), b"1")
        assert s3_stub.counts["PutObject"] == 2
        assert [v.data for v in bucket.versions("new")] == [b"1"]

    async def test_a_lost_reply_to_a_condition_shows_as_its_failure(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        """The client repeats what was applied already: the caller looks whether it is its own."""
        s3_stub.on("PutObject").lose_reply()
        with pytest.raises(PreconditionFailed):
            await s3.put_object(S3Uri("raw", "new"), b"1", if_none_match=True)
        assert [v.data for v in bucket.versions("new")] == [b"1"]
        assert s3_stub.counts["PutObject"] == 2

    async def test_a_lost_reply_without_a_condition_is_repaired(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        s3_stub.on("PutObject").lose_reply()
        await s3.put_object(S3Uri("raw", "new"), b"1")
        assert bucket.keys("new") == ["new"]

    async def test_a_conflict_is_sent_once_and_told(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.on("PutObject").answer(409, "ConditionalRequestConflict")
        with pytest.raises(ConditionalRequestConflict):
            await s3.put_object(URI, b"1", if_match="*")
        assert s3_stub.counts["PutObject"] == 1


class TestPutFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """A file that goes in three parts."""
        path = tmp_path / "file"
        path.write_bytes(Pattern(20 * MIB).read(0, 20 * MIB))
        return path

    @pytest.mark.parametrize("operation", ["UploadPart", "CompleteMultipartUpload"])
    async def test_survives_trouble_with_one_request(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, path: Path, operation: str
    ) -> None:
        s3_stub.on(operation).answer(503, "SlowDown")
        await s3.put_file(URI, path)
        version = bucket.get("k")
        assert version
        assert version.data == Pattern(20 * MIB).read(0, 20 * MIB)

    async def test_is_not_complete_while_complete_answers_with_an_error_in_a_200(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, path: Path
    ) -> None:
        s3_stub.on("CompleteMultipartUpload").answer(200, "InternalError")
        await s3.put_file(URI, path)
        assert s3_stub.counts["CompleteMultipartUpload"] == 2
        version = bucket.get("k")
        assert version
        assert version.size_bytes == 20 * MIB

    @pytest.mark.parametrize(
        ("operation", "status", "code", "error"),
        [
            ("UploadPart", 403, "AccessDenied", AccessDenied),
            ("UploadPart", 503, "SlowDown", ServiceUnavailable),
            ("CompleteMultipartUpload", 200, "InternalError", ServiceUnavailable),
            ("CompleteMultipartUpload", 200, "AccessDenied", AccessDenied),
        ],
    )
    async def test_leaves_nothing_behind_when_it_fails(  # noqa: PLR0917 - one row of a table
        self,
        s3: S3,
        s3_stub: S3Stub,
        path: Path,
        operation: str,
        status: int,
        code: str,
        error: type[PackagerError],
    ) -> None:
        s3_stub.on(operation, times=None).answer(status, code)
        with pytest.raises(error):
            await s3.put_file(S3Uri("raw", "new"), path)
        bucket = s3_stub.store.buckets["raw"]
        assert not bucket.uploads
        assert not bucket.get("new")


class TestUploadPartCopy:
    async def test_an_error_inside_a_200_is_repeated(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.on("UploadPartCopy").answer(200, "InternalError")
        assert await copy(s3)
        assert s3_stub.counts["UploadPartCopy"] == 2

    async def test_a_refusal_inside_a_200_is_one(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.on("UploadPartCopy").answer(200, "AccessDenied")
        with pytest.raises(AccessDenied):
            await copy(s3)

    async def test_an_unknown_error_inside_a_200_is_an_error(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.on("UploadPartCopy").answer(200, "Unheard")
        with pytest.raises(S3Error, match="Unheard"):
            await copy(s3)

    async def test_tells_where_no_checksum_came(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.store.copies_return_checksums = False
        assert await copy(s3) is None

    async def test_of_a_changed_object_fails_the_condition(self, s3: S3) -> None:
        with pytest.raises(PreconditionFailed):
            await copy(s3, etag='"other"')

    async def test_of_a_deleted_object_is_not_found(self, s3: S3, bucket: Bucket) -> None:
        bucket.delete("k")
        with pytest.raises(NoSuchKey):
            await copy(s3)

    async def test_of_an_archived_object_is_not_refused(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"hello", storage_class="GLACIER")
        with pytest.raises(InvalidObjectState):
            await copy(s3)


class TestGetPartSizes:
    async def test_an_answer_that_makes_no_sense_is_an_error(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.on("GetObjectAttributes").rewrite_body(lambda body: body[:100])
        with pytest.raises(MalformedResponse):
            await s3.get_part_sizes_bytes(URI)
