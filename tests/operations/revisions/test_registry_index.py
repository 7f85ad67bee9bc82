"""The packages of a registry, from a listing alone."""

import pytest
from quilt_packager_runtime.aws.s3 import S3

from quilt_packager.operations.revisions.registry_index import (
    IndexedPackage,
    index_packages,
    read_newest,
)
from tests.s3_stub import Bucket, S3Stub

HASH = b"a" * 64


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("packages")
    for key in (
        "a-b/c/latest",
        "a/b/1700000000",
        "a/b/1700000009",
        "a/b/latest",
        "a/b/0000000001",
        "a/b/c/latest",
        "stray",
    ):
        bucket.put(f".quilt/named_packages/{key}", HASH)
    return bucket


@pytest.mark.usefixtures("bucket")
async def test_packages_have_their_newest_pointer_and_their_number(s3: S3) -> None:
    index = await index_packages(s3, "packages")
    assert index.packages == (
        IndexedPackage("packages", "a-b/c", 0, None),
        IndexedPackage("packages", "a/b", 2, 1_700_000_009),
    )
    assert index.is_complete
    prefixed = await index_packages(s3, "packages", prefix="a/")
    assert [each.package_name for each in prefixed.packages] == ["a/b"]


async def test_a_listing_ends_at_its_limit(s3: S3, bucket: Bucket) -> None:
    for number in range(1000):
        bucket.put(f".quilt/named_packages/z/{number:04}/latest", HASH)
    index = await index_packages(s3, "packages", max_keys=1000)
    assert not index.is_complete
    assert index.packages[0].package_name == "a-b/c"


@pytest.mark.usefixtures("bucket")
async def test_newest_revisions_are_read_with_a_request_each(s3: S3, s3_stub: S3Stub) -> None:
    packages = (await index_packages(s3, "packages")).packages
    s3_stub.requests.clear()
    newest = await read_newest(s3, packages)
    assert {each.top_hash for each in newest.values()} == {HASH.decode()}
    assert len(s3_stub.requests) == 2
