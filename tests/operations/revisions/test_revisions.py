"""Names of revisions."""

from datetime import UTC, datetime

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.registry.publish import Package

from quilt_packager.operations.errors import (
    BrokenManifest,
    SeveralRevisions,
    UnknownPackage,
    UnknownRevision,
)
from quilt_packager.operations.revisions.revisions import Revision, RevisionLookup
from tests.s3_stub import Bucket, S3Stub

FIRST, SECOND, THIRD = "aaaaaa1" + "0" * 57, "aaaaaa2" + "0" * 57, "bbbbbb" + "0" * 58
SECONDS = {1_600_000_000: FIRST, 1_700_000_000: SECOND, 1_750_000_000: THIRD}
POINTERS = ".quilt/named_packages/runs/42/"


def at(second: int) -> Revision:
    return Revision(SECONDS[second], datetime.fromtimestamp(second, UTC))


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("packages")
    for second, top_hash in SECONDS.items():
        bucket.put(f"{POINTERS}{second}", top_hash.encode())
        bucket.put(f".quilt/packages/{top_hash}", b"{}")
    bucket.put(f"{POINTERS}latest", THIRD.encode())
    return bucket


@pytest.fixture
def lookup(s3: S3, bucket: Bucket) -> RevisionLookup:
    return RevisionLookup(s3, Package("packages", "runs/42"))


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("latest", 1_750_000_000),
        ("-1", 1_750_000_000),
        ("-3", 1_600_000_000),
        ("1700000000", 1_700_000_000),
        ("2024-01-01", 1_700_000_000),
        ("1h", 1_750_000_000),
    ],
)
async def test_revision_is_found_by_its_names(
    lookup: RevisionLookup, name: str, second: int
) -> None:
    assert await lookup.find(name) == at(second)


@pytest.mark.parametrize("name", [THIRD, "bbbbbb", "BBBBBB"])
async def test_revision_is_found_by_its_top_hash(lookup: RevisionLookup, name: str) -> None:
    assert await lookup.find(name) == Revision(THIRD)


async def test_beginning_of_several_top_hashes_is_refused(lookup: RevisionLookup) -> None:
    with pytest.raises(SeveralRevisions, match=f"{FIRST} and {SECOND}"):
        await lookup.find("aaaaaa")


@pytest.mark.parametrize("name", ["-4", "cccccc", "2001-01-01", "newest", "--json", "1600000001"])
async def test_unknown_revision_is_refused(lookup: RevisionLookup, name: str) -> None:
    with pytest.raises(UnknownRevision, match=name):
        await lookup.find(name)


async def test_unknown_package_is_refused(s3: S3, bucket: Bucket) -> None:
    with pytest.raises(UnknownPackage, match="runs/43"):
        await RevisionLookup(s3, Package("packages", "runs/43")).find("latest")


async def test_pointer_without_a_top_hash_is_refused(
    lookup: RevisionLookup, bucket: Bucket
) -> None:
    bucket.put(f"{POINTERS}1750000000", b"nonsense")
    with pytest.raises(BrokenManifest, match="1750000000"):
        await lookup.find("-1")


async def test_before_the_latest_comes_the_last_but_one(lookup: RevisionLookup) -> None:
    assert await lookup.before(at(1_750_000_000)) == at(1_700_000_000)


async def test_a_revision_published_twice_is_not_before_itself(
    lookup: RevisionLookup, bucket: Bucket
) -> None:
    bucket.put(f"{POINTERS}1760000000", THIRD.encode())
    latest = await lookup.find("latest")
    assert latest.published == datetime.fromtimestamp(1_760_000_000, UTC)
    assert await lookup.before(latest) == at(1_700_000_000)


async def test_after_going_back_the_newest_was_before(
    lookup: RevisionLookup, bucket: Bucket
) -> None:
    bucket.put(f"{POINTERS}latest", SECOND.encode())
    latest = await lookup.find("latest")
    assert latest == Revision(SECOND)
    assert await lookup.before(latest) == at(1_750_000_000)


async def test_no_revision_is_before_the_first(lookup: RevisionLookup) -> None:
    assert await lookup.before(at(1_600_000_000)) is None
