"""What a job asks of S3. Unlike seconds, requests do not drift, so each is accounted for."""

import pytest
from quilt_packager_runtime.aws.s3 import S3

from tests.package_requests import package_request, request_of
from tests.s3_stub import S3Stub, SyntheticBucket

OBJECTS = 1_900
PAGES = 2  # a listing of more is split, and how many it takes depends on which comes first
MESSAGE = '{"source_prefix": "s3://raw/data/", "registry": "packages", "package_name": "a/b"}'

# GetObject
LATEST = 1
WORKFLOW_CONFIG = 1
PREVIOUS_MANIFEST = 1
NEWEST_POINTER = 1
IS_MANIFEST_THERE = 1

MAX_REPEATED = 19
"""One in a hundred: connections fail on a loaded machine."""

POINTERS = 1  # ListObjectsV2
REVISION = 3  # PutObject: manifest, pointer, latest


async def run(s3: S3, stub: S3Stub) -> dict[str, int]:
    """Do one job, and count its requests alone, without the few that awscrt repeats by itself."""
    stub.forget_requests()
    await package_request(s3, request_of(MESSAGE))
    distinct = stub.distinct_counts
    assert (stub.counts - distinct).total() <= MAX_REPEATED
    return dict(distinct)


@pytest.fixture
def raw(s3_stub: S3Stub) -> SyntheticBucket:
    """A bucket of objects with stored checksums; and a registry."""
    s3_stub.create_bucket("packages")
    bucket = SyntheticBucket("raw", OBJECTS, stored=["SHA256"])
    s3_stub.store.add(bucket)
    return bucket


async def test_a_stored_checksum_costs_a_head(
    s3: S3, s3_stub: S3Stub, raw: SyntheticBucket
) -> None:
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": PAGES,
        "HeadObject": OBJECTS,
        "GetObject": LATEST + WORKFLOW_CONFIG,
        "ListObjectsV2": POINTERS,
        "PutObject": REVISION,
    }


async def test_an_unusable_checksum_costs_a_read(s3: S3, s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("packages")
    s3_stub.store.add(SyntheticBucket("raw", OBJECTS, stored=["CRC64NVME"]))
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": PAGES,
        "GetObject": OBJECTS + LATEST + WORKFLOW_CONFIG,
        "ListObjectsV2": POINTERS,
        "PutObject": REVISION,
    }


async def test_an_absent_checksum_costs_a_head_and_a_read_where_no_listing_names_any(
    s3: S3, s3_stub: S3Stub
) -> None:
    s3_stub.create_bucket("packages")
    s3_stub.store.add(SyntheticBucket("raw", OBJECTS, stored=[]))
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": PAGES,
        "HeadObject": OBJECTS,
        "GetObject": OBJECTS + LATEST + WORKFLOW_CONFIG,
        "ListObjectsV2": POINTERS,
        "PutObject": REVISION,
    }


async def test_an_unchanged_folder_costs_its_listing(
    s3: S3, s3_stub: S3Stub, raw: SyntheticBucket
) -> None:
    await run(s3, s3_stub)
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": PAGES,
        "GetObject": LATEST
        + WORKFLOW_CONFIG
        + PREVIOUS_MANIFEST
        + NEWEST_POINTER
        + IS_MANIFEST_THERE,
        "ListObjectsV2": POINTERS,
    }


async def test_what_changed_costs_a_head(s3: S3, s3_stub: S3Stub, raw: SyntheticBucket) -> None:
    await run(s3, s3_stub)
    changed = raw.keys()[::100]
    for key in changed:
        raw.put(key, "changed", stored=["SHA256"])
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": PAGES,
        "HeadObject": len(changed),
        "GetObject": LATEST + WORKFLOW_CONFIG + PREVIOUS_MANIFEST + NEWEST_POINTER,
        "ListObjectsV2": POINTERS,
        "PutObject": REVISION,
    }
