"""Packages that are compared with the checksum lists of their sender."""

import hashlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    ArchivedObjects,
    ChecksumMismatch,
    Incomplete,
    InvalidChecksumList,
)
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.hashing import sender_lists, verification
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.dead_letters.mismatches import find_mismatches
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

MIB = 1024 * 1024
LARGE = b"large" * 2 * MIB
NOT_MD5 = hashlib.md5(b"encrypted", usedforsecurity=False).hexdigest()


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    s3_stub.create_bucket("packages")
    return s3_stub.create_bucket("raw")


def hashed(algorithm: str, data: bytes | str) -> str:
    return hashlib.new(algorithm, data.encode() if isinstance(data, str) else data).hexdigest()


def put(bucket: Bucket, files: Mapping[str, str], **options: Any) -> None:
    for key, data in files.items():
        bucket.put(f"run/{key}", data, **options)


def listed(files: Mapping[str, str], algorithm: str = "md5") -> str:
    return "".join(f"{hashed(algorithm, data)}  {key}\n" for key, data in files.items())


def read_keys(stub: S3Stub) -> list[str]:
    """The keys of all GETs."""
    return [each.key for each in stub.requests_of("GetObject")]


async def run(s3: S3, settings: Settings | None = None, **fields: Any) -> Outcome:
    message = {"source_prefix": "s3://raw/run/", "registry": "packages", "package_name": "a/b"}
    return await package_request(s3, request_of({**message, **fields}), settings)


class TestUsualLists:
    async def test_md5s_are_compared_with_etags(self, s3: S3, raw: Bucket) -> None:
        files = {"a.txt": "a", "b/c.txt": "c"}
        put(raw, files)
        put(raw, {"md5sum.txt": listed(files)})
        outcome = await run(s3)
        assert (outcome.verified, outcome.checksum_lists) == (2, '"md5sum.txt"')
        assert outcome.remark is None

    async def test_a_list_costs_one_request(self, s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
        files = {"a.txt": "a"}
        put(raw, {**files, "md5sum.txt": listed(files)})
        s3_stub.forget_requests()
        await run(s3, verify_checksums=False)
        without = s3_stub.distinct_counts["GetObject"], s3_stub.distinct_counts["HeadObject"]
        s3_stub.forget_requests()
        await run(s3, package_name="c/d")
        assert s3_stub.distinct_counts["GetObject"] == without[0] + 1
        assert s3_stub.distinct_counts["HeadObject"] == without[1]

    @pytest.mark.parametrize("stored", [[], ["SHA256"], ["CRC64NVME"]])
    async def test_sha256s_of_small_objects_are_compared_with_the_manifest(
        self, s3: S3, raw: Bucket, stored: list[str]
    ) -> None:
        files = {"a.txt": "a", "empty": ""}
        put(raw, files, stored=stored)
        put(raw, {"SHA256SUMS": listed(files, "sha256")})
        assert (await run(s3)).verified == 2

    async def test_sha256s_are_compared_with_reused_checksums(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a.txt": "a", "SHA256SUMS": listed({"a.txt": "a"}, "sha256")})
        await run(s3)
        outcome = await run(s3)
        assert (outcome.verified, outcome.reused) == (1, 2)

    async def test_a_sha256_of_a_large_object_is_compared_with_the_stored_one(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("run/large", LARGE, stored=["SHA256"])
        put(raw, {"SHA256SUMS": f"{hashed('sha256', LARGE)}  large\n"})
        assert (await run(s3)).verified == 1

    async def test_a_difference_is_a_warning_with_both_values(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a.txt": "a", "b.txt": "b"})
        put(raw, {"md5sum.txt": listed({"a.txt": "old", "b.txt": "b"})})
        outcome = await run(s3)
        assert outcome.verified == 1
        assert outcome.remark == (
            f'Files differ from their checksum lists: "a.txt" (md5: {hashed("md5", "old")} in '
            f'"md5sum.txt", {hashed("md5", "a")} in S3).'
        )

    async def test_a_different_sha256_is_a_warning(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a.txt": "a", "a.txt.sha256": hashed("sha256", "old")})
        outcome = await run(s3)
        wanted = b64encode(hashlib.sha256(hashlib.sha256(b"old").digest()).digest()).decode()
        assert outcome.verified == 0
        assert f'sha2-256-chunked of sha256: {wanted} in "a.txt.sha256"' in str(outcome.remark)

    async def test_a_different_sha256_of_a_large_object_is_a_warning(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("run/large", LARGE, stored=["SHA256"])
        put(raw, {"SHA256SUMS": f"{hashed('sha256', 'other')}  large\n"})
        outcome = await run(s3)
        assert f"{hashed('sha256', LARGE)} in S3" in str(outcome.remark)

    @pytest.mark.parametrize("etag", [f"{NOT_MD5}-2", "not hexadecimal"])
    async def test_other_etags_are_not_compared(self, s3: S3, raw: Bucket, etag: str) -> None:
        raw.put("run/a.txt", b"a", etag=etag)
        put(raw, {"md5sum.txt": listed({"a.txt": "a"})})
        outcome = await run(s3)
        assert (outcome.verified, outcome.remark) == (0, None)

    async def test_etags_of_objects_with_a_kms_key_are_not_compared(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("run/a.txt", b"a", etag=NOT_MD5, encryption="aws:kms")
        put(raw, {"md5sum.txt": listed({"a.txt": "a"})})
        outcome = await run(s3)
        assert (outcome.verified, outcome.remark) == (0, None)

    async def test_a_missing_file_is_a_warning(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a.txt": "a", "md5sum.txt": listed({"a.txt": "a", "gone.txt": ""})})
        outcome = await run(s3)
        assert outcome.verified == 1
        assert outcome.remark == 'Files in checksum lists are missing: "gone.txt" ("md5sum.txt").'

    async def test_excluded_files_are_not_missing(self, s3: S3, raw: Bucket) -> None:
        files = {"a.txt": "a", "work/b.txt": "b"}
        put(raw, {**files, "md5sum.txt": listed(files)})
        outcome = await run(s3, exclude=["work/**"])
        assert (outcome.verified, outcome.remark) == (1, None)

    async def test_files_that_are_no_parts_of_the_crate_are_not_missing(
        self, s3: S3, raw: Bucket
    ) -> None:
        files = {"a.txt": "a", "b.txt": "b"}
        put(raw, {**files, "md5sum.txt": listed(files)})
        parts = '{"@graph": [{"@id": "./", "@type": "Dataset", "hasPart": [%s, %s]}]}'
        parts %= '{"@id": "a.txt"}', '{"@id": "md5sum.txt"}'
        put(raw, {"ro-crate-metadata.json": parts})
        uri = "s3://raw/run/ro-crate-metadata.json"
        outcome = await run(s3, source_prefix=uri, contents="crate")
        assert (outcome.verified, outcome.objects, outcome.remark) == (1, 3, None)

    async def test_a_list_that_lists_itself_is_not_compared_with_itself(
        self, s3: S3, raw: Bucket
    ) -> None:
        put(raw, {"a.txt": "a", "md5sum.txt": listed({"a.txt": "a", "md5sum.txt": ""})})
        outcome = await run(s3)
        assert (outcome.verified, outcome.remark) == (1, None)

    async def test_a_crate_is_a_list(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a b.txt": "a", "c.txt": "c"})
        crate = (
            '{"@graph": [{"@id": "a%%20b.txt", "sha256": "%s"}, '
            '{"@id": "https://host/c.txt", "sha256": "%s"}, {"@id": "c.txt", "sha256": 1}]}'
        )
        values = hashed("sha256", "a"), hashed("sha256", "other")
        put(raw, {"ro-crate-metadata.json": crate % values})
        outcome = await run(s3, source_prefix="s3://raw/run/ro-crate-metadata.json")
        assert (outcome.verified, outcome.remark) == (1, None)
        assert outcome.checksum_lists == '"ro-crate-metadata.json"'

    async def test_a_crate_without_checksums_is_not_read_again(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        crate = '{"@graph": [{"@id": "./"}]}'
        put(raw, {"a.txt": "a", "ro-crate-metadata.json": crate}, stored=["SHA256"])
        outcome = await run(s3, source_prefix="s3://raw/run/ro-crate-metadata.json")
        assert (outcome.verified, outcome.checksum_lists) == (None, None)
        assert read_keys(s3_stub).count("run/ro-crate-metadata.json") == 1

    async def test_files_with_other_lines_are_a_warning(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a.txt": "a", "checksums.txt": f"hello\n{listed({'a.txt': 'a'})}"})
        outcome = await run(s3)
        assert outcome.verified == 1
        assert outcome.remark == 'Lines not understood in checksum lists: "checksums.txt".'

    async def test_no_more_lists_are_read_than_the_limit(
        self, s3: S3, raw: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sender_lists, "MAX_AUTO_LISTS", 1)
        put(raw, {"a": "a", "a.md5": hashed("md5", "a"), "b": "b", "b.md5": hashed("md5", "b")})
        outcome = await run(s3)
        assert (outcome.verified, outcome.checksum_lists) == (1, '"a.md5"')
        assert outcome.remark == 'Checksum lists not read: "b.md5".'

    async def test_large_lists_are_not_read(
        self, s3: S3, raw: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sender_lists, "MAX_AUTO_BYTES", 10)
        put(raw, {"a": "a", "a.md5": hashed("md5", "a")})
        outcome = await run(s3)
        assert (outcome.verified, outcome.remark) == (None, 'Checksum lists not read: "a.md5".')

    async def test_an_archived_list_is_not_read(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a": "a"})
        raw.put("run/a.md5", hashed("md5", "a"), storage_class="GLACIER", stored=["SHA256"])
        outcome = await run(s3)
        assert outcome.remark == 'Checksum lists not read: "a.md5".'

    async def test_no_more_heads_are_sent_than_the_limit(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(verification, "MAX_AUTO_HEADS", 2)
        files = {f"{number}.txt": "a" for number in range(5)}
        put(raw, files, stored=["CRC64NVME"])
        put(raw, {"md5sum.txt": listed(dict.fromkeys(files, "old"))}, stored=["CRC64NVME"])
        outcome = await run(s3)
        assert s3_stub.distinct_counts["HeadObject"] == 2
        assert str(outcome.remark).count("in S3") == 2


async def test_no_list_is_read_if_the_sender_wants_none(s3: S3, raw: Bucket) -> None:
    put(raw, {"a.txt": "a", "md5sum.txt": listed({"a.txt": "old"})})
    outcome = await run(s3, verify_checksums=False)
    assert (outcome.verified, outcome.remark) == (None, None)


class TestRequiredLists:
    async def test_objects_with_stored_checksums_are_read_as_without_lists(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        put(raw, {"a.txt": "a"})
        raw.put("run/large", LARGE, stored=["SHA256"])
        put(raw, {"md5sum.txt": listed({"a.txt": "a"})})
        put(raw, {"SHA256SUMS": f"{hashed('sha256', LARGE)}  large\n"})
        s3_stub.forget_requests()
        await run(s3, verify_checksums=False)
        without = read_keys(s3_stub).count("run/large")
        s3_stub.forget_requests()
        lists = ["md5sum.txt", "SHA256SUMS"]
        outcome = await run(s3, verify_checksums=lists, package_name="c/d")
        assert (outcome.verified, outcome.verified_by_reading) == (2, 0)
        assert read_keys(s3_stub).count("run/large") == without

    @pytest.mark.parametrize("algorithm", ["md5", "sha1", "sha256", "sha512"])
    @pytest.mark.parametrize("size_bytes", [1, 8 * MIB, 8 * MIB + 1, 35 * MIB])
    async def test_other_objects_are_read_once(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket, algorithm: str, size_bytes: int
    ) -> None:
        data = (b"0123456789" * 4 * MIB)[:size_bytes]
        raw.put("run/data", data, stored=["CRC64NVME"], part_sizes=[size_bytes])
        put(raw, {"list": f"{hashed(algorithm, data)}  data\n"}, stored=["CRC64NVME"])
        s3_stub.forget_requests()
        outcome = await run(s3, verify_checksums=["list"])
        assert outcome.verified == 1
        assert read_keys(s3_stub).count("run/data") == -(-size_bytes // (8 * MIB))
        assert s3_stub.distinct_counts["HeadObject"] == 0
        plain = await run(s3, verify_checksums=False)
        assert plain.top_hash == outcome.top_hash

    async def test_all_digests_of_an_object_are_computed_in_one_pass(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        raw.put("run/data", b"data", stored=["CRC64NVME"], etag=NOT_MD5)
        put(raw, {f"data.{name}": hashed(name, "data") for name in ("md5", "sha512")})
        outcome = await run(s3, verify_checksums=["*.md5", "*.sha512"])
        assert (outcome.verified, outcome.verified_by_reading) == (1, 1)
        assert read_keys(s3_stub).count("run/data") == 1

    async def test_every_difference_is_a_reason_to_reject(self, s3: S3, raw: Bucket) -> None:
        raw.put("run/a.bam", b"a", part_sizes=[1])
        put(raw, {"b.txt": "b", "c.txt": "c", "d.txt": "d"})
        put(raw, {"md5sum.txt": listed({"a.bam": "old", "b.txt": "old", "c.txt": "c"})})
        put(raw, {"SHA256SUMS": listed({"d.txt": "old"}, "sha256")})
        with pytest.raises(ChecksumMismatch) as caught:
            await run(s3, verify_checksums=["md5sum.txt", "SHA256SUMS"])
        happened = caught.value.happened
        assert happened.startswith("3 files differ from the checksum lists: ")
        for key, data in (("a.bam", "a"), ("b.txt", "b")):
            values = f'{hashed("md5", "old")} in "md5sum.txt", {hashed("md5", data)} in S3'
            assert f'"{key}" (md5: {values})' in happened
        assert '"d.txt" (sha2-256-chunked of sha256: ' in happened
        # The page shows both values.
        assert {each.path for each in find_mismatches(happened)} == {"a.bam", "b.txt", "d.txt"}

    async def test_a_different_etag_is_no_reason_if_the_bytes_match(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("run/a.txt", b"a", etag=NOT_MD5)
        put(raw, {"md5sum.txt": listed({"a.txt": "a"})})
        assert (await run(s3, verify_checksums=["md5sum.txt"])).verified == 1

    async def test_bytes_are_read_again_of_an_object_whose_checksum_could_be_reused(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("run/a.bam", b"a", part_sizes=[1])
        put(raw, {"md5sum.txt": listed({"a.bam": "old"})})
        await run(s3)
        with pytest.raises(ChecksumMismatch):
            await run(s3, verify_checksums=["md5sum.txt"])

    async def test_a_missing_file_is_a_reason_to_reject_before_any_is_hashed(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        put(raw, {"a.txt": "a", "md5sum.txt": listed({"a.txt": "a", "gone": "", "lost": ""})})
        with pytest.raises(Incomplete, match=r'"gone" \("md5sum\.txt"\), "lost"'):
            await run(s3, verify_checksums=["*sum.txt"], exclude=["a.txt"])
        assert s3_stub.distinct_counts["HeadObject"] == 0

    async def test_a_missing_list_is_a_reason_to_reject(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a.txt": "a"})
        with pytest.raises(Incomplete, match=r"No object of s3://raw/run/ matches .*: \"\*.md5\""):
            await run(s3, verify_checksums=["*.md5"])

    async def test_lines_that_are_no_checksums_are_a_reason_to_reject(
        self, s3: S3, raw: Bucket
    ) -> None:
        put(raw, {"a.txt": "a", "sums": listed({"/data/a.txt": "a"})})
        with pytest.raises(InvalidChecksumList, match='Lines of "sums" are not'):
            await run(s3, verify_checksums=["sums"])

    @pytest.mark.parametrize(("limit", "value"), [("MAX_LIST_BYTES", 10), ("MAX_LINES", 1)])
    async def test_lists_that_are_too_large_are_a_reason_to_reject(
        self, s3: S3, raw: Bucket, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
    ) -> None:
        monkeypatch.setattr(sender_lists, limit, value)
        files = {"a.txt": "a", "b.txt": "b"}
        put(raw, {**files, "sums": listed(files)})
        with pytest.raises(InvalidChecksumList, match=f"more than {value} "):
            await run(s3, verify_checksums=["sums"])

    async def test_an_archived_list_is_a_reason_to_reject(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a": "a"})
        raw.put("run/a.md5", hashed("md5", "a"), storage_class="GLACIER", stored=["SHA256"])
        with pytest.raises(InvalidChecksumList, match=r"a\.md5.* cannot be read"):
            await run(s3, verify_checksums=["a.md5"])

    async def test_an_object_that_no_worker_can_read_is_a_reason_to_reject(
        self, s3: S3, raw: Bucket
    ) -> None:
        raw.put("run/a.bam", b"large", part_sizes=[5])
        put(raw, {"sums": listed({"a.bam": "large"})})
        with pytest.raises(InvalidChecksumList, match=r'too large .*"a\.bam"'):
            await run(s3, settings=Settings(max_shard_bytes=4), verify_checksums=["sums"])

    async def test_an_archived_object_is_a_reason_to_reject(self, s3: S3, raw: Bucket) -> None:
        raw.put("run/a", b"a", part_sizes=[1], storage_class="GLACIER", stored=["SHA256"])
        put(raw, {"a.md5": hashed("md5", "a")})
        with pytest.raises(ArchivedObjects):
            await run(s3, verify_checksums=["a.md5"])

    async def test_other_algorithms_of_manifests_read_the_bytes(self, s3: S3, raw: Bucket) -> None:
        put(raw, {"a": "a", "a.sha256": hashed("sha256", "a")}, stored=["CRC64NVME"])
        settings = Settings(checksum_algorithms=(ChecksumAlgorithm.CRC64NVME,))
        assert (await run(s3, settings=settings, verify_checksums=["a.sha256"])).verified == 1
