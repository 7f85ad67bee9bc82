import hashlib
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quilt_packager_runtime.aws.multipart import MultipartUpload
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    InvalidObjectState,
    InvalidRange,
    NoSuchKey,
    PreconditionFailed,
    UnsupportedEndpoint,
)
from quilt_packager_runtime.formats.objects import (
    ChecksumAlgorithm,
    S3Uri,
    SourceObject,
    StoredChecksums,
)

from tests.s3_stub import Bucket, Pattern, S3Stub, Versioning
from tests.s3_stub.checksums import encode

MIB = 2**20
STRANGE_KEYS = [
    "a b",
    "a+b",
    "a%2Fb",
    "a%",
    "run#1/x",
    "?versionId=v",
    "a//b",
    "/a",
    "a/../b",
    "./a",
    "a\n",
    "a\x01",
    "a\\b",
    "\"<&>'",
    "~*'()!@$&=:,;[]{}|^`",
    "\u00e9/\U0001f9ec",
    "e\u0301/\U0001f9ec",
]


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


async def list_all(s3: S3, prefix: str = "") -> list[SourceObject]:
    return [found async for page in s3.list_latest_versions("raw", prefix) for found in page]


async def list_keys(s3: S3, prefix: str = "") -> list[str]:
    return [key async for page in s3.list_keys("raw", prefix) for key in page]


class TestHeadObject:
    async def test_tells_size_and_identity(self, s3: S3, bucket: Bucket) -> None:
        version = bucket.put("k", b"hello")
        head = await s3.head_object(S3Uri("raw", "k"))
        assert head.size_bytes == 5
        assert head.etag == f'"{version.etag}"'

    async def test_tells_the_stored_checksums(self, s3: S3, bucket: Bucket) -> None:
        version = bucket.put("k", b"hello", stored=["SHA256", "CRC64NVME"])
        head = await s3.head_object(S3Uri("raw", "k"))
        assert head.stored == StoredChecksums(
            sha256=version.checksums["SHA256"],
            crc64nvme=version.checksums["CRC64NVME"],
            type="FULL_OBJECT",
        )

    async def test_is_of_the_version_named(self, s3: S3, bucket: Bucket) -> None:
        old = bucket.put("k", b"old!")
        bucket.put("k", b"newer")
        assert (await s3.head_object(S3Uri("raw", "k", old.version_id))).size_bytes == 4

    async def test_a_changed_object_fails_the_condition(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"1")
        with pytest.raises(PreconditionFailed):
            await s3.head_object(S3Uri("raw", "k"), if_match='"other"')

    async def test_of_an_archived_object_works(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"1", storage_class="GLACIER")
        assert (await s3.head_object(S3Uri("raw", "k"))).size_bytes == 1

    @pytest.mark.parametrize("restored", [None, False, True])
    async def test_tells_whether_an_archived_object_is_restored(
        self, s3: S3, bucket: Bucket, restored: bool | None
    ) -> None:
        bucket.put("k", b"1", storage_class="GLACIER", restored=restored)
        assert (await s3.head_object(S3Uri("raw", "k"))).restored == bool(restored)


class TestGetObject:
    async def test_gives_the_bytes_and_their_identity(self, s3: S3, bucket: Bucket) -> None:
        version = bucket.put("k", b"hello")
        body = await s3.get_object(S3Uri("raw", "k"))
        assert body.data == b"hello"
        assert body.size_bytes == 5
        assert body.etag == f'"{version.etag}"'
        assert body.version_id == version.version_id

    @pytest.mark.parametrize("versioning", [Versioning.OFF, Versioning.SUSPENDED])
    async def test_the_null_version_has_no_id(
        self, s3: S3, s3_stub: S3Stub, versioning: Versioning
    ) -> None:
        s3_stub.create_bucket("raw", versioning=versioning).put("k", b"x")
        assert (await s3.get_object(S3Uri("raw", "k"))).version_id is None

    async def test_gives_a_range_and_the_whole_size(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"hello")
        body = await s3.get_object(S3Uri("raw", "k"), first_byte=1, last_byte=3)
        assert body.data == b"ell"
        assert body.size_bytes == 5

    async def test_gives_a_large_range_unharmed(self, s3: S3, bucket: Bucket) -> None:
        body = Pattern(300 * MIB)
        bucket.put("k", body)
        first, size_bytes = 200 * MIB + 5, 20 * MIB
        got = await s3.get_object(
            S3Uri("raw", "k"), first_byte=first, last_byte=first + size_bytes - 1
        )
        assert got.data == body.read(first, size_bytes)

    async def test_an_archived_object_cannot_be_read(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"1", storage_class="DEEP_ARCHIVE")
        with pytest.raises(InvalidObjectState):
            await s3.get_object(S3Uri("raw", "k"))

    async def test_a_range_behind_the_end_is_an_error(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"hello")
        with pytest.raises(InvalidRange):
            await s3.get_object(S3Uri("raw", "k"), first_byte=5, last_byte=9)


class TestReadIfExists:
    async def test_gives_a_small_object_whole(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"hello")
        body = await s3.read_if_exists(S3Uri("raw", "k"), max_bytes=10)
        assert body
        assert body.data == b"hello"

    async def test_tells_that_there_is_more(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"hello")
        body = await s3.read_if_exists(S3Uri("raw", "k"), max_bytes=2)
        assert body
        assert (body.data, body.size_bytes) == (b"he", 5)

    async def test_gives_an_empty_object(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k", b"")
        body = await s3.read_if_exists(S3Uri("raw", "k"), max_bytes=10)
        assert body
        assert body.data == b""

    async def test_a_missing_object_is_none(self, s3: S3, bucket: Bucket) -> None:
        assert await s3.read_if_exists(S3Uri("raw", "k"), max_bytes=10) is None

    async def test_a_deleted_object_is_none(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k")
        bucket.delete("k")
        assert await s3.read_if_exists(S3Uri("raw", "k"), max_bytes=10) is None


class TestPutObject:
    async def test_writes_the_bytes_and_tells_their_etag(self, s3: S3, bucket: Bucket) -> None:
        etag = await s3.put_object(S3Uri("raw", "k"), b"hello")
        version = bucket.get("k")
        assert version
        assert version.data == b"hello"
        assert etag == f'"{version.etag}"'

    async def test_lets_s3_check_the_bytes(self, s3: S3, s3_stub: S3Stub, bucket: Bucket) -> None:
        await s3.put_object(S3Uri("raw", "k"), b"hello")
        digest = encode(hashlib.sha256(b"hello").digest())
        assert s3_stub.requests[0].headers["x-amz-checksum-sha256"] == digest

    async def test_writes_an_empty_object(self, s3: S3, bucket: Bucket) -> None:
        await s3.put_object(S3Uri("raw", "k"), b"")
        version = bucket.get("k")
        assert version
        assert version.size_bytes == 0

    async def test_writes_where_nothing_is(self, s3: S3, bucket: Bucket) -> None:
        await s3.put_object(S3Uri("raw", "k"), b"1", if_none_match=True)
        with pytest.raises(PreconditionFailed):
            await s3.put_object(S3Uri("raw", "k"), b"2", if_none_match=True)
        assert [v.data for v in bucket.versions("k")] == [b"1"]

    async def test_writes_over_the_object_named_alone(self, s3: S3, bucket: Bucket) -> None:
        etag = await s3.put_object(S3Uri("raw", "k"), b"1")
        await s3.put_object(S3Uri("raw", "k"), b"2", if_match=etag)
        with pytest.raises(PreconditionFailed):
            await s3.put_object(S3Uri("raw", "k"), b"3", if_match=etag)

    async def test_writes_over_nothing_only_unconditionally(self, s3: S3, bucket: Bucket) -> None:
        with pytest.raises(NoSuchKey):
            await s3.put_object(S3Uri("raw", "k"), b"1", if_match='"0"')

    @pytest.mark.parametrize("key", STRANGE_KEYS)
    async def test_writes_to_any_key_and_no_other(self, s3: S3, bucket: Bucket, key: str) -> None:
        await s3.put_object(S3Uri("raw", key), b"1")
        assert bucket.keys() == [key]


class TestPutFile:
    @pytest.mark.parametrize("size_bytes", [0, 1, 8 * MIB, 20 * MIB + 1])
    async def test_writes_a_file_of_any_size(
        self, s3: S3, bucket: Bucket, tmp_path: Path, size_bytes: int
    ) -> None:
        path = tmp_path / "file"
        path.write_bytes(Pattern(size_bytes).read(0, size_bytes))
        await s3.put_file(S3Uri("raw", "k"), path)
        version = bucket.get("k")
        assert version
        assert version.data == path.read_bytes()
        assert not bucket.uploads


class TestListLatestVersions:
    async def test_gives_what_packaging_needs(self, s3: S3, bucket: Bucket) -> None:
        version = bucket.put("a", b"hello", storage_class="GLACIER")
        assert await list_all(s3) == [
            SourceObject(
                "a",
                5,
                f'"{version.etag}"',
                version.version_id,
                archived=True,
                stored=ChecksumAlgorithm.CRC64NVME,
            )
        ]

    async def test_passes_over_old_versions_and_deleted_objects(
        self, s3: S3, bucket: Bucket
    ) -> None:
        bucket.put("deleted")
        bucket.delete("deleted")
        bucket.put("kept", b"1")
        newest = bucket.put("kept", b"2")
        [found] = await list_all(s3)
        assert found.version_id == newest.version_id

    async def test_finds_an_object_that_came_back(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("k")
        bucket.delete("k")
        newest = bucket.put("k")
        assert [found.version_id for found in await list_all(s3)] == [newest.version_id]

    @pytest.mark.parametrize("versioning", [Versioning.OFF, Versioning.SUSPENDED])
    async def test_the_null_version_has_no_id(
        self, s3: S3, s3_stub: S3Stub, versioning: Versioning
    ) -> None:
        s3_stub.create_bucket("raw", versioning=versioning).put("k")
        assert [found.version_id for found in await list_all(s3)] == [None]

    async def test_lists_under_the_prefix_alone(self, s3: S3, bucket: Bucket) -> None:
        for key in ("run", "run/a", "run0"):
            bucket.put(key)
        assert [found.key for found in await list_all(s3, "run/")] == ["run/a"]

    @pytest.mark.parametrize("key", STRANGE_KEYS)
    async def test_gives_any_key_as_it_is(self, s3: S3, bucket: Bucket, key: str) -> None:
        bucket.put(key)
        assert [found.key for found in await list_all(s3, key)] == [key]

    async def test_goes_on_through_pages_that_end_within_a_key(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        for key in ("a b", "c+d"):
            for _ in range(1001):
                bucket.put(key)
        assert [found.key for found in await list_all(s3)] == ["a b", "c+d"]
        assert s3_stub.counts == {"ListObjectVersions": 3}

    async def test_an_empty_folder_gives_nothing(self, s3: S3, bucket: Bucket) -> None:
        assert await list_all(s3) == []


class TestListKeys:
    @pytest.mark.parametrize("key", STRANGE_KEYS)
    async def test_gives_any_key_as_it_is(self, s3: S3, bucket: Bucket, key: str) -> None:
        bucket.put(key)
        assert await list_keys(s3, key) == [key]

    async def test_goes_through_all_pages(self, s3: S3, bucket: Bucket) -> None:
        keys = [f"k {n:04d}" for n in range(2001)]
        for key in keys:
            bucket.put(key)
        assert await list_keys(s3) == keys


class TestGetPartSizes:
    async def test_goes_through_all_pages(self, s3: S3, s3_stub: S3Stub, bucket: Bucket) -> None:
        sizes = [2] * 1999 + [1]
        bucket.put("k", Pattern(3999), part_sizes=sizes, stored=["SHA256"])
        assert await s3.get_part_sizes_bytes(S3Uri("raw", "k")) == sizes
        assert s3_stub.counts == {"GetObjectAttributes": 2}

    @pytest.mark.parametrize("stored", [["CRC64NVME"], []])
    async def test_are_unknown_where_s3_does_not_tell(
        self, s3: S3, bucket: Bucket, stored: list[str]
    ) -> None:
        bucket.put("k", Pattern(3), part_sizes=[2, 1], stored=stored)
        assert await s3.get_part_sizes_bytes(S3Uri("raw", "k")) == []


class TestUploadPartCopy:
    @pytest.mark.parametrize("key", STRANGE_KEYS)
    @pytest.mark.parametrize("algorithm", list(ChecksumAlgorithm))
    async def test_gives_the_checksum_of_the_range(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, key: str, algorithm: ChecksumAlgorithm
    ) -> None:
        version = bucket.put(key, b"0123456789")
        bucket.put(key, b"newer")
        scratch = s3_stub.create_bucket("scratch")
        target = S3Uri("scratch", "hash/1")
        upload = await MultipartUpload.create(s3, target, algorithm)
        part = await upload.copy_part(
            1,
            source=S3Uri("raw", key, version.version_id),
            first_byte=2,
            last_byte=5,
            if_match=f'"{version.etag}"',
        )
        assert version.body
        name = algorithm.value.removesuffix("_CHUNKED")
        assert part.checksum == encode(version.body.digest(name, 2, 4))
        await upload.abort()
        assert not scratch.uploads
        assert not scratch.keys()


class TestClock:
    async def test_is_s3s_own(self, s3: S3, s3_stub: S3Stub, bucket: Bucket) -> None:
        s3_stub.store.clock = lambda: 1_000_000_000.5
        bucket.put("k")
        await s3.head_object(S3Uri("raw", "k"))
        assert s3.server_time_seconds() == 1_000_000_000

    async def test_is_unknown_before_the_first_answer(self, s3: S3) -> None:
        with pytest.raises(UnsupportedEndpoint, match="Date"):
            s3.server_time_seconds()

    @pytest.mark.parametrize(
        ("date", "named"), [("", "no Date"), ("yesterday", 'the Date header "yesterday"')]
    )
    async def test_of_an_endpoint_without_a_valid_date_is_refused_by_name(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, date: str, named: str
    ) -> None:
        bucket.put("k")
        s3_stub.on("HeadObject").rewrite_headers({"Date": date})
        await s3.head_object(S3Uri("raw", "k"))
        host = urlsplit(s3_stub.url).netloc
        with pytest.raises(UnsupportedEndpoint, match=f"{host} sent a response with {named}"):
            s3.server_time_seconds()


KEYS = st.text(
    st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1
).filter(lambda key: len(key.encode()) <= 1024)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=KEYS)
async def test_what_is_written_is_listed_and_read_by_the_same_key(
    s3: S3, s3_stub: S3Stub, key: str
) -> None:
    s3_stub.create_bucket("raw")
    await s3.put_object(S3Uri("raw", key), key.encode())
    [found] = await list_all(s3, key)
    assert found.key == key
    assert await list_keys(s3, key) == [key]
    body = await s3.get_object(S3Uri("raw", key, found.version_id), if_match=found.etag)
    assert body.data == key.encode()


class TestWatched:
    async def test_tells_each_request(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("a", b"hello")
        operations: list[str] = []
        watched = s3.watched(lambda request: operations.append(request.operation))
        await list_all(watched)
        await watched.head_object(S3Uri("raw", "a"))
        assert operations == ["ListObjectVersions", "HeadObject"]

    async def test_leaves_the_other_unwatched(self, s3: S3, bucket: Bucket) -> None:
        requests: list[object] = []
        s3.watched(requests.append)
        await list_all(s3)
        assert requests == []
