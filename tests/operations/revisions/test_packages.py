"""Pages of packages, revisions and entries."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.registry.publish import Message, Package, Pointer, Provenance

from quilt_packager.operations.errors import BrokenManifest, UnknownPackage
from quilt_packager.operations.revisions.packages import (
    list_packages,
    list_revisions,
    read_entries,
)
from tests.s3_stub import Bucket, S3Stub

PACKAGE = Package("packages", "runs/42")
FIRST, SECOND = "a" * 64, "b" * 64
ENGINE = Pointer(message=Message(1, "job-1"))
PROMOTED = Pointer(
    message=Message(1, "job-2"), provenance=Provenance(Package("dev", "runs/42").link(FIRST), "ana")
)


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


async def point(s3: S3, name: str, pointer: str, top_hash: str, writer: Pointer) -> None:
    uri = Package("packages", name).pointer(pointer)
    await s3.put_object(uri, top_hash.encode(), metadata=writer.to_metadata())


async def test_pages_of_packages_meet_without_a_gap(s3: S3, bucket: Bucket) -> None:
    names = ["a-b/c", "a/b-c", "a/b", "b/a"]  # as S3 sorts them
    for name in names:
        bucket.put(f".quilt/named_packages/{name}/latest", FIRST.encode())
    seen, after = [], ""
    for _ in names:
        page = await list_packages(s3, "packages", after=after, limit=1)
        seen += [each.package_name for each in page.packages]
        after = page.following or ""
    assert (seen, after) == (names, "")


@pytest.mark.parametrize(
    ("prefix", "names"),
    [("a", ["a-b/c", "a/b"]), ("a/", ["a/b"]), ("b/a", ["b/a"]), ("b/a/x", []), ("c", [])],
)
async def test_names_have_the_prefix(s3: S3, bucket: Bucket, prefix: str, names: list[str]) -> None:
    for name in ("a-b/c", "a/b", "b/a"):
        bucket.put(f".quilt/named_packages/{name}/latest", FIRST.encode())
    page = await list_packages(s3, "packages", prefix=prefix)
    assert [each.package_name for each in page.packages] == names


async def test_newest_revision_is_that_of_latest_with_its_writer(s3: S3, bucket: Bucket) -> None:
    await point(s3, "runs/1", "1700000000", FIRST, ENGINE)
    await point(s3, "runs/1", "latest", FIRST, ENGINE)
    await point(s3, "runs/2", "1700000000", SECOND, Pointer())
    await point(s3, "runs/2", "latest", FIRST, PROMOTED)
    one, two = (await list_packages(s3, "packages")).packages
    assert (one.newest.made_by, one.newest.message_id, one.revisions) == ("engine", "job-1", 1)
    assert one.newest.published is not None
    assert (two.newest.top_hash, two.newest.made_by) == (FIRST, "promoted")
    assert two.newest.published is None


async def test_revisions_are_listed_with_their_writers_the_newest_first(
    s3: S3, bucket: Bucket
) -> None:
    for second, writer in enumerate([ENGINE, PROMOTED, Pointer()], 1_700_000_000):
        await point(s3, "runs/42", str(second), FIRST, writer)
    await point(s3, "runs/42", "latest", FIRST, Pointer())
    page = await list_revisions(s3, PACKAGE, limit=2)
    assert (page.total, page.latest) == (3, FIRST)
    assert [each.made_by for each in page.revisions] == ["person", "promoted"]


async def test_pages_of_revisions_meet_without_a_gap(s3: S3, bucket: Bucket) -> None:
    for second in range(1_700_000_000, 1_700_000_005):
        await point(s3, "runs/42", str(second), f"{second}{'a' * 54}", ENGINE)
    newest = await list_revisions(s3, PACKAGE, limit=2)
    older = await list_revisions(s3, PACKAGE, limit=9, before=1_700_000_003)
    assert (newest.first, older.first, older.total) == (5, 3, 5)
    hashes = [each.top_hash for each in (*newest.revisions, *older.revisions)]
    assert [hash_ and hash_[9] for hash_ in hashes] == ["4", "3", "2", "1", "0"]


async def test_unknown_package_is_an_error(s3: S3, bucket: Bucket) -> None:
    with pytest.raises(UnknownPackage, match="runs/42"):
        await list_revisions(s3, PACKAGE)


def put_manifest(bucket: Bucket, *keys: str) -> None:
    lines: list[dict[str, Any]] = [{"version": "v0", "user_meta": {"run": 1}}]
    lines += [{"logical_key": key, "physical_keys": [f"s3://raw/{key}"], "size": 1} for key in keys]
    bucket.put(f".quilt/packages/{FIRST}", "\n".join(map(json.dumps, lines)).encode())


async def test_pages_of_entries_meet_without_a_gap(s3: S3, bucket: Bucket) -> None:
    put_manifest(bucket, "a", "b/1.vcf", "b/2.vcf", "b/3.txt")
    page = await read_entries(s3, PACKAGE, FIRST, glob="b/*.vcf", limit=1)
    assert [each.logical_key for each in page.entries] == ["b/1.vcf"]
    assert page.header.user_meta == {"run": 1}
    assert page.following == "b/1.vcf"
    page = await read_entries(s3, PACKAGE, FIRST, glob="b/*.vcf", after=page.following)
    assert [each.logical_key for each in page.entries] == ["b/2.vcf"]
    assert page.following is None


async def test_entries_are_chosen_by_their_keys(s3: S3, bucket: Bucket) -> None:
    put_manifest(bucket, "a", "b/1.vcf", "b/2.vcf")
    page = await read_entries(s3, PACKAGE, FIRST, keys={"b/2.vcf", "gone"})
    assert [each.logical_key for each in page.entries] == ["b/2.vcf"]
    assert page.following is None


async def test_missing_manifest_is_an_error(s3: S3, bucket: Bucket) -> None:
    with pytest.raises(BrokenManifest, match="does not exist"):
        await read_entries(s3, PACKAGE, FIRST)
