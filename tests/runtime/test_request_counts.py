"""What a job asks of S3. Unlike seconds, requests do not drift, so each is accounted for."""

import pytest
from quilt_packager_runtime.aws.s3 import S3

from tests.package_requests import package_request, request_of
from tests.s3_stub import S3Stub, SyntheticBucket

OBJECTS = 1_900
PAGES = 2  # a listing of more is split, and how many it takes depends on which comes first
CONFIRMED = 2  # a job that has published lists the folder and the pointers again
MESSAGE = '{"source_prefix": "s3://raw/data/", "registry": "packages", "package_name": "a/b"}'

# GetObject
LATEST = 1
WORKFLOW_CONFIG = 1
PREVIOUS_MANIFEST = 1
NEWEST_POINTER = 1

MAX_REPEATED = 19
"""One in a hundred: connections fail on a loaded machine."""

POINTERS = 1  # ListObjectsV2
REVISION = 4  # PutObject: manifest, permission to write latest, pointer, latest


async def run(s3: S3, stub: S3Stub) -> dict[str, int]:
    """Do one job, and count its requests alone, without the few that awscrt repeats by itself."""
    stub.forget_requests()
    await package_request(s3, request_of(MESSAGE))
    distinct = {name: stub.distinct_counts[name] for name in ("HeadObject", "GetObject")}
    counts = stub.counts
    assert sum(counts[name] - count for name, count in distinct.items()) <= MAX_REPEATED
    return {name: distinct.get(name, count) for name, count in counts.items()}


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
        "ListObjectVersions": CONFIRMED * PAGES,
        "HeadObject": OBJECTS,
        "GetObject": LATEST + WORKFLOW_CONFIG,
        "ListObjectsV2": CONFIRMED * POINTERS,
        "PutObject": REVISION,
    }


async def test_an_unusable_checksum_costs_a_read(s3: S3, s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("packages")
    s3_stub.store.add(SyntheticBucket("raw", OBJECTS, stored=["CRC64NVME"]))
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": CONFIRMED * PAGES,
        "GetObject": OBJECTS + LATEST + WORKFLOW_CONFIG,
        "ListObjectsV2": CONFIRMED * POINTERS,
        "PutObject": REVISION,
    }


async def test_an_absent_checksum_costs_a_head_and_a_read_where_no_listing_names_any(
    s3: S3, s3_stub: S3Stub
) -> None:
    s3_stub.create_bucket("packages")
    s3_stub.store.add(SyntheticBucket("raw", OBJECTS, stored=[]))
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": CONFIRMED * PAGES,
        "HeadObject": OBJECTS,
        "GetObject": OBJECTS + LATEST + WORKFLOW_CONFIG,
        "ListObjectsV2": CONFIRMED * POINTERS,
        "PutObject": REVISION,
    }


async def test_an_unchanged_folder_costs_its_listing(
    s3: S3, s3_stub: S3Stub, raw: SyntheticBucket
) -> None:
    await run(s3, s3_stub)
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": PAGES,
        "GetObject": LATEST + WORKFLOW_CONFIG + PREVIOUS_MANIFEST + NEWEST_POINTER,
        "ListObjectsV2": POINTERS,
    }


async def test_what_changed_costs_a_head(s3: S3, s3_stub: S3Stub, raw: SyntheticBucket) -> None:
    await run(s3, s3_stub)
    changed = raw.keys()[::100]
    for key in changed:
        raw.put(key, "changed", stored=["SHA256"])
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": CONFIRMED * PAGES,
        "HeadObject": len(changed),
        "GetObject": LATEST + WORKFLOW_CONFIG + PREVIOUS_MANIFEST + NEWEST_POINTER,
        "ListObjectsV2": CONFIRMED * POINTERS,
        "PutObject": REVISION,
    }


async def test_equal_bytes_under_new_versions_cost_one_write(
    s3: S3, s3_stub: S3Stub, raw: SyntheticBucket
) -> None:
    raw.put(raw.keys()[0], "x", stored=["SHA256"])
    await run(s3, s3_stub)
    raw.put(raw.keys()[0], "x", stored=["SHA256"])
    assert await run(s3, s3_stub) == {
        "ListObjectVersions": CONFIRMED * PAGES,
        "HeadObject": 1,
        "GetObject": LATEST + WORKFLOW_CONFIG + PREVIOUS_MANIFEST + NEWEST_POINTER,
        "ListObjectsV2": CONFIRMED * POINTERS,
        "PutObject": 1,
    }
