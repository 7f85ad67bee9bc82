import asyncio
from collections.abc import Sequence

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    MAX_NAMED,
    AccessDenied,
    ArchivedObjects,
    CredentialsRefused,
    MalformedResponse,
    PackagerError,
    ServiceUnavailable,
    SourceChanged,
    UnreadableObjects,
    UnsupportedEndpoint,
)
from quilt_packager_runtime.formats.checksums import MANIFEST_TYPES
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, SourceFolder
from quilt_packager_runtime.hashing.hash_objects import hash_objects
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import list_source
from quilt_packager_runtime.settings import Settings

from tests.hashes import CRC64NVME, MIB, SHA256, hash_bucket, hash_listed, quilt3_checksum
from tests.s3_stub import Bucket, Pattern, S3Stub, Versioning


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


class TestRequests:
    async def test_each_nonempty_object_gets_one_head(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        for n in range(300):
            bucket.put(f"{n:03}", b"x" * (n % 3), stored=["SHA256"])
        hashed = await hash_bucket(s3)
        assert s3_stub.counts == {"ListObjectVersions": 1, "HeadObject": 200}
        assert len({request.key for request in s3_stub.requests_of("HeadObject")}) == 200
        assert hashed.checksums == [quilt3_checksum(b"x" * (n % 3)) for n in range(300)]

    async def test_an_empty_object_gets_no_request(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", b"", stored=["SHA256"])
        bucket.put("archived", b"", stored=[], storage_class="GLACIER")
        await hash_bucket(s3, scratch_bucket="scratch")
        assert s3_stub.counts == {"ListObjectVersions": 1}

    async def test_a_small_object_without_a_checksum_is_read_once(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", b"hello", stored=[])
        hashed = await hash_bucket(s3)
        assert hashed.checksums == [quilt3_checksum(b"hello")]
        assert s3_stub.counts == {"ListObjectVersions": 1, "HeadObject": 1, "GetObject": 1}

    async def test_each_names_the_listed_version(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        version = bucket.put("k", b"hello", stored=[])
        await hash_bucket(s3)
        asked = s3_stub.requests[1:]
        assert [request.query["versionId"] for request in asked] == [version.version_id] * 2

    @pytest.mark.parametrize("versioning", list(Versioning))
    async def test_each_names_the_listed_etag(
        self, s3: S3, s3_stub: S3Stub, versioning: Versioning
    ) -> None:
        bucket = s3_stub.create_bucket("raw", versioning=versioning)
        version = bucket.put("k", b"hello", stored=[])
        await hash_bucket(s3)
        asked = s3_stub.requests[1:]
        assert [request.headers["if-match"] for request in asked] == [f'"{version.etag}"'] * 2

    async def test_objects_are_processed_up_to_the_concurrency_limit(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        for n in range(10):
            bucket.put(str(n), b"x", stored=["SHA256"])
        pause = s3_stub.on("HeadObject", times=None).pause_before()
        job = asyncio.create_task(hash_bucket(s3, max_requests_in_flight=3))
        held = [await pause.reached() for _ in range(3)]
        assert s3_stub.counts["HeadObject"] == 3
        held[0].release()
        await pause.reached()
        assert s3_stub.counts["HeadObject"] == 4
        pause.open()
        await job

    async def test_progress_counts_completed_objects(self, s3: S3, bucket: Bucket) -> None:
        for n in range(10):
            bucket.put(str(n), b"x" * n)
        assert (await hash_bucket(s3)).progress == list(range(1, 11))

    async def test_stored_and_computed_checksums_are_counted(self, s3: S3, bucket: Bucket) -> None:
        bucket.put("empty", b"")
        bucket.put("stored", b"x", stored=["SHA256"])
        bucket.put("computed", b"x", stored=["CRC32"])
        hashed = await hash_bucket(s3)
        assert (hashed.stored, hashed.computed) == (2, 1)

    async def test_only_stored_reads_no_bytes(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("stored", b"x", stored=["SHA256"])
        bucket.put("small", b"x", stored=["CRC32"])
        bucket.put("large", Pattern(9 * MIB), stored=[])
        with Inventory(SourceFolder("raw", "")) as inventory:
            await list_source(s3, inventory)
            hashed = await hash_objects(
                s3,
                inventory,
                settings=Settings(),
                on_progress=lambda _done: None,
                only_stored=True,
            )
            assert await inventory.unhashed_totals() == (2, 9 * MIB + 1)
        assert (hashed.stored, hashed.computed) == (1, 0)
        assert s3_stub.counts == {"ListObjectVersions": 1, "HeadObject": 3}

    @pytest.mark.parametrize("stored", [["CRC64NVME"], ["CRC32"]])
    async def test_an_unusable_checksum_in_the_listing_gets_no_head(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, stored: list[str]
    ) -> None:
        bucket.put("k", b"hello", stored=stored)
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(b"hello")]
        assert s3_stub.counts == {"ListObjectVersions": 1, "GetObject": 1}

    async def test_an_absent_checksum_gets_no_head_if_the_listing_names_others(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("before 2024", b"hello", stored=[])
        bucket.put("stored", b"x", stored=["SHA256"])
        await hash_bucket(s3)
        assert s3_stub.counts == {"ListObjectVersions": 1, "HeadObject": 1, "GetObject": 1}

    async def test_an_absent_checksum_gets_no_head_on_aws(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(S3, "is_aws", True)
        bucket.put("k", b"hello", stored=[])
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(b"hello")]
        assert s3_stub.counts == {"ListObjectVersions": 1, "GetObject": 1}

    async def test_a_large_object_with_an_unusable_checksum_is_copied_without_a_head(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        s3_stub.create_bucket("scratch")
        data = bucket.put("k", Pattern(9 * MIB)).data
        hashed = await hash_bucket(s3, scratch_bucket="scratch")
        assert hashed.checksums == [quilt3_checksum(data)]
        assert s3_stub.counts == {
            "ListObjectVersions": 1,
            "CreateMultipartUpload": 1,
            "UploadPartCopy": 2,
            "AbortMultipartUpload": 1,
        }

    async def test_a_get_without_a_head_names_version_and_etag(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        version = bucket.put("k", b"hello")
        await hash_bucket(s3)
        [get] = s3_stub.requests_of("GetObject")
        assert get.query["versionId"] == version.version_id
        assert get.headers["if-match"] == f'"{version.etag}"'

    async def test_an_empty_inventory_gets_no_request(self, s3: S3, s3_stub: S3Stub) -> None:
        assert (await hash_listed(s3, [])).checksums == []
        assert not s3_stub.counts


@pytest.mark.parametrize(
    ("wanted", "stored", "expected"),
    [
        ((SHA256,), ["CRC64NVME"], SHA256),
        ((CRC64NVME,), ["SHA256"], CRC64NVME),
        ((SHA256, CRC64NVME), ["SHA256", "CRC64NVME"], SHA256),
        ((CRC64NVME, SHA256), ["SHA256", "CRC64NVME"], CRC64NVME),
        ((SHA256, CRC64NVME), ["CRC64NVME"], CRC64NVME),
        ((CRC64NVME, SHA256), ["SHA256"], SHA256),
        ((SHA256, CRC64NVME), ["CRC32"], SHA256),
        ((CRC64NVME, SHA256), ["CRC32"], CRC64NVME),
        ((CRC64NVME, SHA256), [], CRC64NVME),
    ],
)
async def test_the_first_stored_algorithm_is_used_or_the_first_is_computed(
    s3: S3,
    s3_stub: S3Stub,
    wanted: tuple[ChecksumAlgorithm, ...],
    stored: list[str],
    expected: ChecksumAlgorithm,
) -> None:
    s3_stub.create_bucket("raw").put("k", b"hello", stored=stored)
    hashed = await hash_bucket(s3, checksum_algorithms=wanted)
    assert hashed.checksums == [quilt3_checksum(b"hello", expected)]
    is_stored = expected.removesuffix("_CHUNKED") in stored
    assert s3_stub.counts["HeadObject"] == (is_stored or not stored)
    assert s3_stub.counts["GetObject"] == (not is_stored)


async def test_an_empty_object_has_a_checksum_of_the_first_algorithm(
    s3: S3, bucket: Bucket
) -> None:
    bucket.put("k", b"", stored=["SHA256"])
    hashed = await hash_bucket(s3, checksum_algorithms=(CRC64NVME, SHA256))
    assert hashed.checksums[0].type == MANIFEST_TYPES[CRC64NVME]


class TestFirstFailure:
    async def test_ends_a_job_whose_other_requests_hang(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        for n in range(500):
            bucket.put(f"{n:03}", b"x", stored=["SHA256"])
        s3_stub.on("HeadObject", key="007").answer(404, "NoSuchKey")
        s3_stub.on("HeadObject", times=None).pause_before()
        with pytest.raises(SourceChanged, match="s3://raw/007"):
            await hash_bucket(s3, max_requests_in_flight=16)
        assert s3_stub.counts["HeadObject"] <= 16

    async def test_cancels_all_reads(self, s3: S3, s3_stub: S3Stub, bucket: Bucket) -> None:
        bucket.put("a", Pattern(2**40), stored=[], etag="a")
        bucket.put("b", b"x", stored=[])
        pause = s3_stub.on("GetObject", key="a", times=None).pause_before()
        hang = s3_stub.on("HeadObject", key="b").pause_before()
        job = asyncio.create_task(hash_bucket(s3))
        await pause.reached()
        bucket.delete("b", bucket.versions("b")[0].version_id)
        hang.open()
        with pytest.raises(SourceChanged):
            await job
        assert s3_stub.counts["GetObject"] <= 16

    @pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
    async def test_is_service_unavailable_when_s3_is_down(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, operation: str
    ) -> None:
        bucket.put("k", b"x", stored=[])
        s3_stub.on(operation, times=None).answer(503, "SlowDown")
        with pytest.raises(ServiceUnavailable):
            await hash_bucket(s3)
        assert s3_stub.counts[operation] <= 6

    @pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
    async def test_is_retried_until_s3_recovers(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, operation: str
    ) -> None:
        bucket.put("k", b"hello", stored=[])
        s3_stub.on(operation, times=3).answer(503, "SlowDown")
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(b"hello")]


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
class TestArchivedObjects:
    async def test_use_a_stored_checksum(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, storage_class: str
    ) -> None:
        bucket.put("k", b"hello", stored=["SHA256"], storage_class=storage_class)
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(b"hello")]
        assert s3_stub.counts == {"ListObjectVersions": 1, "HeadObject": 1}

    @pytest.mark.parametrize(
        ("stored", "part_sizes"),
        [([], []), (["CRC64NVME"], []), (["SHA256"], []), (["SHA256"], [5 * MIB, 6 * MIB])],
    )
    async def test_are_rejected_without_one(
        self,
        s3: S3,
        s3_stub: S3Stub,
        storage_class: str,
        stored: list[str],
        part_sizes: list[int],
    ) -> None:
        s3_stub.create_bucket("raw").put(
            "k",
            Pattern(11 * MIB),
            stored=stored,
            part_sizes=part_sizes,
            storage_class=storage_class,
        )
        with pytest.raises(ArchivedObjects, match=r'^Archived without .*: "k"'):
            await hash_bucket(s3, scratch_bucket="scratch")
        assert s3_stub.counts.keys() <= {"ListObjectVersions", "HeadObject", "GetObjectAttributes"}

    @pytest.mark.parametrize("scratch_bucket", [None, "scratch"])
    async def test_are_hashed_when_they_are_restored(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, storage_class: str, scratch_bucket: str
    ) -> None:
        s3_stub.create_bucket("scratch")
        bodies = [b"hello", Pattern(9 * MIB).read(0, 9 * MIB)]
        for key, body in zip("ab", bodies, strict=True):
            bucket.put(key, body, stored=[], storage_class=storage_class, restored=True)
        hashed = await hash_bucket(s3, scratch_bucket=scratch_bucket)
        assert hashed.checksums == [quilt3_checksum(body) for body in bodies]
        assert (hashed.stored, hashed.computed) == (0, 2)
        assert s3_stub.counts["HeadObject"] == 2

    async def test_are_rejected_while_they_are_being_restored(
        self, s3: S3, bucket: Bucket, storage_class: str
    ) -> None:
        bucket.put("k", b"hello", stored=[], storage_class=storage_class, restored=False)
        with pytest.raises(ArchivedObjects, match='"k"'):
            await hash_bucket(s3)

    async def test_are_not_read_after_one_is_unreadable(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, storage_class: str
    ) -> None:
        bucket.put("0", b"x", stored=[], storage_class=storage_class)
        for n in range(1, 10):
            bucket.put(str(n), b"x", stored=[], storage_class=storage_class, restored=n < 9)
        with pytest.raises(ArchivedObjects, match='"0", "9"'):
            await hash_bucket(s3, max_requests_in_flight=1)
        assert s3_stub.counts == {"ListObjectVersions": 1, "HeadObject": 10}

    async def test_are_counted_before_other_objects_are_processed(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, storage_class: str
    ) -> None:
        for n in range(50):
            bucket.put(f"{n:02}", b"x", stored=[], storage_class=storage_class if n % 2 else "")
        with pytest.raises(ArchivedObjects) as failure:
            await hash_bucket(s3, max_requests_in_flight=4)
        named = ", ".join(f'"{n:02}"' for n in range(1, 41, 2))
        assert failure.value.happened == (
            f"Archived without a usable checksum: {named} and 5 more (25)."
        )
        assert s3_stub.counts == {"ListObjectVersions": 1, "HeadObject": 25}

    async def test_keep_only_the_keys_that_the_error_names(
        self, s3: S3, bucket: Bucket, storage_class: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        named: list[int] = []

        def name_some(values: Sequence[str], count: int | None = None) -> str:
            named.append(len(values))
            return str(count)

        monkeypatch.setattr("quilt_packager_runtime.hashing.unhashable.name_some", name_some)
        for n in range(50):
            bucket.put(f"{n:02}", b"x", stored=[], storage_class=storage_class)
        with pytest.raises(ArchivedObjects, match="50"):
            await hash_bucket(s3)
        assert named == [MAX_NAMED]


async def test_an_object_found_archived_when_read_is_rejected(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    bucket.put("k", b"x", stored=[], storage_class="INTELLIGENT_TIERING")
    s3_stub.on("GetObject").answer(403, "InvalidObjectState")
    with pytest.raises(ArchivedObjects, match='"k"'):
        await hash_bucket(s3)


class TestDeniedObjects:
    async def test_with_a_customer_provided_key_are_named(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        for key in "abc":
            bucket.put(key, b"x")
        s3_stub.on("*Object", key="[ac]", times=None).answer(400, "InvalidRequest")
        with pytest.raises(UnreadableObjects) as failure:
            await hash_bucket(s3)
        assert failure.value.happened == 'Encrypted with a customer-provided key: "a", "c".'

    @pytest.mark.parametrize("operation", ["HeadObject", "GetObject"])
    async def test_are_named(self, s3: S3, s3_stub: S3Stub, bucket: Bucket, operation: str) -> None:
        for key in "abc":
            bucket.put(key, b"x", stored=[])
        s3_stub.deny(operation, key="[ac]")
        with pytest.raises(AccessDenied) as failure:
            await hash_bucket(s3)
        assert failure.value.happened == 'Access denied: "a", "c".'

    async def test_fail_even_if_a_checksum_is_stored(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", b"x", stored=["SHA256"])
        s3_stub.deny("HeadObject")
        with pytest.raises(AccessDenied):
            await hash_bucket(s3)

    async def test_stop_the_job_at_the_number_that_the_error_names(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        for n in range(500):
            bucket.put(f"{n:03}", b"x", stored=["SHA256"])
        s3_stub.deny("HeadObject")
        with pytest.raises(AccessDenied) as failure:
            await hash_bucket(s3, max_requests_in_flight=4)
        assert failure.value.happened.count('"') == 2 * 20
        assert failure.value.happened.endswith(". There may be more.")
        assert s3_stub.counts["HeadObject"] <= 20 + 2 * 4

    async def test_of_several_kinds_are_in_one_error(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        for key in "abc":
            bucket.put(key, b"x", stored=[])
        s3_stub.deny("HeadObject", key="a")
        s3_stub.on("*Object", key="b", times=None).answer(400, "InvalidRequest")
        s3_stub.on("GetObject", key="c").answer(403, "InvalidObjectState")
        with pytest.raises((AccessDenied, ArchivedObjects, UnreadableObjects)) as failure:
            await hash_bucket(s3)
        for sentence in (
            'Access denied: "a".',
            'Encrypted with a customer-provided key: "b".',
            'Archived without a usable checksum: "c".',
        ):
            assert sentence in failure.value.happened

    @pytest.mark.parametrize("code", ["KMS.DisabledException", "KMS.KMSInvalidStateException"])
    async def test_with_an_unusable_kms_key_are_named_with_the_key(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, code: str
    ) -> None:
        key_arn = "arn:aws:kms:us-east-1:123456789012:key/1"
        for key in "abc":
            bucket.put(key, b"x")
        s3_stub.on("*Object", key="[ac]", times=None).answer(400, code, f"{key_arn} is disabled.")
        with pytest.raises(AccessDenied) as failure:
            await hash_bucket(s3)
        assert failure.value.happened == 'Access denied: "a", "c".'
        assert failure.value.why.endswith(f" {key_arn} is disabled.")
        assert failure.value.why.count(key_arn) == 1
        assert not s3_stub.requests_of("ListObjectVersions")[1:]

    @pytest.mark.parametrize(
        ("status", "code", "kind"),
        [
            (403, "AccessDenied", AccessDenied),
            (400, "ExpiredToken", CredentialsRefused),
            (503, "SlowDown", ServiceUnavailable),
            (400, "KMS.ThrottlingException", ServiceUnavailable),
            (400, "ThrottlingException", ServiceUnavailable),
            (400, "InvalidRequest", UnreadableObjects),
            (403, "InvalidObjectState", UnreadableObjects),
        ],
    )
    async def test_without_an_error_code_fail_with_the_error_of_a_get(
        self,
        s3: S3,
        s3_stub: S3Stub,
        status: int,
        code: str,
        kind: type[PackagerError],
    ) -> None:
        s3_stub.create_bucket("raw").put("k", b"x", stored=["SHA256"])
        s3_stub.on("HeadObject", times=None).answer(400, code)
        s3_stub.on("GetObject", times=None).answer(status, code)
        with pytest.raises(kind):
            await hash_bucket(s3)

    async def test_that_can_be_read_after_all_fail_the_job_for_a_retry(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", b"x", stored=["SHA256"])
        s3_stub.on("HeadObject").answer(400, "KMS.ThrottlingException")
        with pytest.raises(ServiceUnavailable, match=r"s3://raw/k.*it is readable"):
            await hash_bucket(s3)

    async def test_with_only_their_part_sizes_denied_are_read(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        version = bucket.put(
            "k", Pattern(11 * MIB), stored=["SHA256"], part_sizes=[8 * MIB, 3 * MIB]
        )
        s3_stub.deny("GetObjectAttributes")
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(version.data)]

    async def test_that_were_deleted_are_changes(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        version = bucket.put("k", b"x", stored=["SHA256"])
        bucket.put("k2", b"x")
        bucket.hides_missing_keys = True
        pause = s3_stub.on("HeadObject", key="k").pause_before()
        job = asyncio.create_task(hash_bucket(s3))
        await pause.reached()
        bucket.delete("k", version.version_id)
        pause.open()
        with pytest.raises(SourceChanged, match="s3://raw/k"):
            await job


class TestInconsistentResponses:
    async def test_a_head_of_another_object_is_a_change(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", b"hello", stored=["SHA256"])
        s3_stub.on("HeadObject").rewrite_headers({"ETag": '"of another object"'})
        with pytest.raises(SourceChanged):
            await hash_bucket(s3)

    @pytest.mark.parametrize("stored", [["SHA256"], ["CRC32"]])
    async def test_a_listing_and_a_head_that_disagree_on_an_unchanged_object_are_reported(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, stored: list[str]
    ) -> None:
        bucket.put("k", b"hello", stored=stored, etag="listed")
        s3_stub.on("*Object", times=None).rewrite_headers({"ETag": '"returned"'})
        with pytest.raises(UnsupportedEndpoint, match=r'disagree.*"listed".*"returned"'):
            await hash_bucket(s3)

    async def test_an_etag_that_is_refused_once_is_a_change(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", b"hello", stored=["SHA256"])
        s3_stub.on("HeadObject").answer(412, "PreconditionFailed")
        with pytest.raises(SourceChanged):
            await hash_bucket(s3)

    async def test_part_sizes_that_a_server_does_not_know_are_not_needed(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        version = bucket.put(
            "k", Pattern(11 * MIB), stored=["SHA256"], part_sizes=[8 * MIB, 3 * MIB]
        )
        s3_stub.on("GetObjectAttributes").answer(501, "NotImplemented")
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(version.data)]

    @pytest.mark.parametrize("stored", ["", "-", "AAAA", "not base64", "-1", "A" * 44])
    async def test_an_invalid_stored_checksum_is_ignored(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket, stored: str
    ) -> None:
        bucket.put("k", b"hello", stored={"SHA256": stored})
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(b"hello")]
        assert s3_stub.counts["GetObject"] == 1

    @pytest.mark.parametrize("checksum_type", [None, "FULL_OBJECT"])
    @pytest.mark.parametrize("part_sizes", [[5 * MIB, 2 * MIB], [7 * MIB], [8 * MIB, 3 * MIB]])
    async def test_a_composite_checksum_without_its_suffix_is_not_used(
        self,
        s3: S3,
        s3_stub: S3Stub,
        bucket: Bucket,
        part_sizes: list[int],
        checksum_type: str | None,
    ) -> None:
        version = bucket.put(
            "k", Pattern(sum(part_sizes)), stored=["SHA256"], part_sizes=part_sizes
        )
        value, _, _ = version.checksums["SHA256"].partition("-")
        headers = {"x-amz-checksum-sha256": value, "x-amz-checksum-type": checksum_type}
        s3_stub.on("*Object", times=None).rewrite_headers(headers)
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(version.data)]

    async def test_a_composite_checksum_of_other_parts_than_the_etag_is_not_used(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        version = bucket.put("k", b"hello", stored=["SHA256"], part_sizes=[5], etag="0-2")
        assert (await hash_bucket(s3)).checksums == [quilt3_checksum(version.data)]
        assert s3_stub.counts["GetObject"] == 1

    async def test_bytes_that_contradict_a_stored_crc64nvme_fail_the_job(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", b"hello", stored=["CRC64NVME"])
        s3_stub.on("GetObject").rewrite_body(lambda _: b"hallo")
        with pytest.raises(
            MalformedResponse, match="do not match the checksums that S3 has stored"
        ):
            await hash_bucket(s3)

    async def test_bytes_that_contradict_a_stored_sha256_fail_the_job(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", b"hello", stored=["SHA256"])
        s3_stub.on("GetObject").rewrite_body(lambda _: b"hallo")
        with pytest.raises(
            MalformedResponse, match="do not match the checksums that S3 has stored"
        ):
            await hash_bucket(s3, checksum_algorithms=(CRC64NVME,))

    async def test_ranges_that_contradict_a_stored_crc64nvme_fail_the_job(
        self, s3: S3, s3_stub: S3Stub, bucket: Bucket
    ) -> None:
        bucket.put("k", Pattern(11 * MIB), stored=["CRC64NVME"])
        s3_stub.on("GetObject", nth=2).rewrite_body(lambda body: body[::-1])
        with pytest.raises(
            MalformedResponse, match="do not match the checksums that S3 has stored"
        ):
            await hash_bucket(s3)
