"""Differences between two revisions with manifests of any program."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import quilt3
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quilt3.packages import PackageEntry
from quilt3.util import PhysicalKey
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US, Header, write_manifest
from quilt_packager_runtime.formats.objects import Checksum, Entry, S3Uri, sort_key
from quilt_packager_runtime.hashing import reuse
from quilt_packager_runtime.registry.publish import Package

from quilt_packager.operations.errors import BrokenManifest
from quilt_packager.operations.revisions.diff import (
    Added,
    Changed,
    MetadataFields,
    Removed,
    Summary,
    compare,
    summarize,
)
from quilt_packager.operations.revisions.revisions import Revision
from tests.s3_stub import Bucket, S3Stub

PACKAGE = Package("packages", "runs/42")
BEFORE, AFTER = Revision("a" * 64), Revision("b" * 64)
CHUNKED, LEGACY = "sha2-256-chunked", "SHA256"

Change: TypeAlias = Added | Removed | Changed | Summary


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


def entry(
    key: str, value: str = "x", *, size: int = 1, kind: str = CHUNKED, version: str = "v1"
) -> Entry:
    return Entry(key, str(S3Uri("raw", f"runs/{key}", version)), size, Checksum(kind, value))


async def put(
    s3: S3,
    folder: Path,
    revision: Revision,
    entries: Iterable[Entry],
    user_meta: dict[str, Any] | None = None,
) -> None:
    """Write a manifest as the packager does."""
    path = folder / "manifest"
    with path.open("wb") as file:
        ordered = sorted(entries, key=lambda each: sort_key(each.logical_key))
        write_manifest(Header(user_meta, "message"), ordered, file.write)
    await s3.put_file(PACKAGE.manifest(revision.top_hash), path, metadata=WRITTEN_BY_US)


def put_lines(bucket: Bucket, revision: Revision, lines: Sequence[dict[str, Any]]) -> None:
    """Write a manifest as another program may."""
    document = "\n".join(map(json.dumps, [{"version": "v0", "user_meta": None}, *lines]))
    bucket.put(f".quilt/packages/{revision.top_hash}", document.encode())


def line_of(each: Entry, **fields: Any) -> dict[str, Any]:
    checksum = {"type": each.checksum.type, "value": each.checksum.value}
    line = {
        "logical_key": each.logical_key,
        "physical_keys": [each.physical_key],
        "size": each.size_bytes,
        "hash": checksum,
        "meta": {},
    }
    return line | fields


async def differences(s3: S3) -> list[Change]:
    return [found async for found in compare(s3, PACKAGE, BEFORE, AFTER)]


def summary(*, same: int = 0, **counts: Any) -> Summary:
    none = {"added": 0, "removed": 0, "changed": 0, "metadata_changed": False}
    return Summary(**(none | counts), same=same)


@pytest.mark.usefixtures("bucket")
class TestOurs:
    async def test_added_removed_and_changed_entries_are_in_order(
        self, s3: S3, tmp_path: Path
    ) -> None:
        await put(
            s3, tmp_path, BEFORE, [entry("a-b"), entry("a/b"), entry("c", size=3), entry("d")]
        )
        await put(
            s3, tmp_path, AFTER, [entry("a/b"), entry("a/c", size=7), entry("c", "y"), entry("d")]
        )
        assert await differences(s3) == [
            Added("a/c", 7),
            Removed("a-b", 1),
            Changed("c", 3, 1, only_metadata=False),
            summary(added=1, removed=1, changed=1, same=2),
        ]

    async def test_equal_revisions_have_no_differences(self, s3: S3, tmp_path: Path) -> None:
        for revision in (BEFORE, AFTER):
            await put(s3, tmp_path, revision, [entry("a"), entry("b")])
        assert await differences(s3) == [summary(same=2)]

    async def test_changed_metadata_of_the_package_is_in_the_summary(
        self, s3: S3, tmp_path: Path
    ) -> None:
        await put(s3, tmp_path, BEFORE, [entry("a")], {"run": 1, "tools": ["bwa"], "same": 0})
        await put(s3, tmp_path, AFTER, [entry("a")], {"run": 2, "project": "x", "same": 0})
        fields = MetadataFields(added=("project",), removed=("tools",), changed=("run",))
        assert await differences(s3) == [
            summary(same=1, metadata_changed=True, metadata_fields=fields)
        ]

    async def test_no_entry_is_missed_between_ranges(
        self, s3: S3, s3_stub: S3Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reuse, "STEP_BYTES", 500)
        await put(s3, tmp_path, BEFORE, [entry(f"{n:03}") for n in range(50)])
        await put(s3, tmp_path, AFTER, [entry(f"{n:03}") for n in range(1, 51)])
        s3_stub.forget_requests()
        assert await differences(s3) == [
            Removed("000", 1),
            Added("050", 1),
            summary(added=1, removed=1, same=49),
        ]
        assert s3_stub.counts["GetObject"] > 20

    async def test_a_manifest_that_is_out_of_order_is_refused(
        self, s3: S3, tmp_path: Path, bucket: Bucket
    ) -> None:
        await put(s3, tmp_path, BEFORE, [entry("a"), entry("b")])
        header, first, second = tmp_path.joinpath("manifest").read_bytes().splitlines()
        tmp_path.joinpath("manifest").write_bytes(b"\n".join([header, second, first]))
        uri = PACKAGE.manifest(AFTER.top_hash)
        await s3.put_file(uri, tmp_path / "manifest", metadata=WRITTEN_BY_US)
        with pytest.raises(BrokenManifest, match='"a" is out of order'):
            await differences(s3)


class TestOthers:
    async def test_entries_in_any_order_are_sorted(self, s3: S3, bucket: Bucket) -> None:
        put_lines(bucket, BEFORE, [line_of(entry(key)) for key in ("b", "a-b", "a/b")])
        put_lines(bucket, AFTER, [line_of(entry(key)) for key in ("a/b", "c", "b")])
        assert await differences(s3) == [
            Removed("a-b", 1),
            Added("c", 1),
            summary(added=1, removed=1, same=2),
        ]

    async def test_metadata_of_folders_is_skipped(self, s3: S3, bucket: Bucket) -> None:
        put_lines(bucket, BEFORE, [{"logical_key": "a/", "meta": {"x": 1}}, line_of(entry("a/b"))])
        put_lines(bucket, AFTER, [line_of(entry("a/b"))])
        assert await differences(s3) == [summary(same=1)]

    async def test_changed_metadata_alone_is_marked(self, s3: S3, bucket: Bucket) -> None:
        put_lines(bucket, BEFORE, [line_of(entry("a")), line_of(entry("b"), meta=None)])
        put_lines(bucket, AFTER, [line_of(entry("a"), meta={"x": 1}), line_of(entry("b"))])
        assert await differences(s3) == [
            Changed("a", 1, 1, only_metadata=True),
            summary(changed=1, same=1),
        ]

    async def test_the_same_version_with_another_hash_is_the_same(
        self, s3: S3, bucket: Bucket
    ) -> None:
        put_lines(bucket, BEFORE, [line_of(entry("a", "x", kind=LEGACY))])
        put_lines(bucket, AFTER, [line_of(entry("a", "y", kind=CHUNKED))])
        assert await differences(s3) == [summary(same=1)]

    async def test_another_version_with_another_hash_is_different(
        self, s3: S3, bucket: Bucket
    ) -> None:
        put_lines(bucket, BEFORE, [line_of(entry("a", "x", kind=LEGACY))])
        put_lines(bucket, AFTER, [line_of(entry("a", "y", kind=CHUNKED, version="v2"))])
        assert await differences(s3) == [
            Changed("a", 1, 1, only_metadata=False),
            summary(changed=1),
        ]

    async def test_the_null_version_may_be_overwritten(self, s3: S3, bucket: Bucket) -> None:
        put_lines(bucket, BEFORE, [line_of(entry("a", version="null"), hash=None)])
        put_lines(bucket, AFTER, [line_of(entry("a", version="null"), hash=None)])
        assert (await differences(s3))[-1] == summary(changed=1)

    async def test_the_same_content_in_another_object_is_the_same(
        self, s3: S3, bucket: Bucket
    ) -> None:
        put_lines(bucket, BEFORE, [line_of(entry("a"))])
        put_lines(bucket, AFTER, [line_of(entry("a"), physical_keys=["s3://other/a"])])
        assert await differences(s3) == [summary(same=1)]


class TestBroken:
    async def test_a_missing_manifest_is_refused(self, s3: S3, bucket: Bucket) -> None:
        with pytest.raises(BrokenManifest, match="it does not exist"):
            await differences(s3)

    @pytest.mark.parametrize("document", [b"", b"\n", b"no JSON", b'{}\n{"logical_key": 1}\n'])
    async def test_a_malformed_manifest_is_refused(
        self, s3: S3, bucket: Bucket, document: bytes
    ) -> None:
        for revision in (BEFORE, AFTER):
            bucket.put(f".quilt/packages/{revision.top_hash}", document)
        with pytest.raises(BrokenManifest):
            await differences(s3)


keys = st.lists(
    st.text("ab-.", min_size=1, max_size=2).filter(lambda each: each not in {".", ".."}),
    min_size=1,
    max_size=2,
).map("/".join)
packages = st.dictionaries(keys, st.sampled_from("xyz"), max_size=8).filter(
    lambda entries: (
        not any(key.startswith(f"{other}/") for key in entries for other in entries if key != other)
    )
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(before=packages, after=packages)
async def test_differences_of_quilt3_manifests_match_quilt3(
    s3: S3, s3_stub: S3Stub, before: dict[str, str], after: dict[str, str]
) -> None:
    bucket = s3_stub.create_bucket("packages")
    made = [quilt3.Package(), quilt3.Package()]
    for package, contents, revision in zip(made, (before, after), (BEFORE, AFTER), strict=True):
        for key, value in contents.items():
            uri = PhysicalKey.from_url(f"s3://raw/{key}?versionId={value}")
            checksum = {"type": CHUNKED, "value": value}
            package.set(key, PackageEntry(uri, 1, checksum, None))
        lines = "".join(json.dumps(each) + "\n" for each in package.manifest)
        bucket.put(f".quilt/packages/{revision.top_hash}", lines.encode())
    *found, told = await differences(s3)
    added, modified, deleted = made[0].diff(made[1])
    assert isinstance(told, Summary)
    assert {each.logical_key for each in found if isinstance(each, Added)} == set(added)
    assert {each.logical_key for each in found if isinstance(each, Changed)} == set(modified)
    assert {each.logical_key for each in found if isinstance(each, Removed)} == set(deleted)
    assert told.same == len(before.keys() & after.keys()) - len(modified)


async def test_manifests_above_a_size_are_not_counted(
    s3: S3, bucket: Bucket, s3_stub: S3Stub
) -> None:
    put_lines(bucket, BEFORE, [])
    put_lines(bucket, AFTER, [{"logical_key": "a", "physical_keys": ["s3://raw/a"], "size": 1}])
    found = await summarize(s3, PACKAGE, BEFORE, AFTER, max_bytes=1000)
    assert found is not None
    assert found.added == 1
    s3_stub.forget_requests()
    assert await summarize(s3, PACKAGE, BEFORE, AFTER, max_bytes=50) is None
    assert s3_stub.counts["GetObject"] == 0


async def test_a_manifest_that_is_gone_is_not_counted(s3: S3, bucket: Bucket) -> None:
    put_lines(bucket, BEFORE, [])
    with pytest.raises(BrokenManifest, match="does not exist"):
        await summarize(s3, PACKAGE, BEFORE, AFTER, max_bytes=1000)
