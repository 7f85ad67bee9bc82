"""Recognition of one folder by few requests."""

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import SourceFolder

from quilt_packager.operations.discovery.recognition import Recognised, recognise
from tests.operations.discovery.test_walk import TREES
from tests.s3_stub import Bucket, S3Stub

FOLDER = SourceFolder("raw", "lab/x/")


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


async def recognise_tree(s3: S3, bucket: Bucket, *paths: str) -> Recognised | None:
    for path in paths:
        bucket.put(f"{FOLDER.prefix}{path}", b"x")
    return await recognise(s3, FOLDER)


@pytest.mark.parametrize("kind", TREES)
async def test_tree_of_a_tool_is_recognised(s3: S3, bucket: Bucket, kind: str) -> None:
    found = await recognise_tree(s3, bucket, *TREES[kind])
    assert found is not None
    assert found.missing == ()


async def test_missing_file_is_named(s3: S3, bucket: Bucket) -> None:
    assert await recognise_tree(s3, bucket, "Data/1.bcl", "RunInfo.xml") == Recognised(
        "Illumina run", ("CopyComplete.txt",), {"require": [{"files": ["CopyComplete.txt"]}]}
    )


async def test_other_folder_is_of_no_kind(s3: S3, bucket: Bucket) -> None:
    assert await recognise_tree(s3, bucket, "a.csv", "run/RunInfo.xml") is None


async def test_size_of_the_folder_takes_no_requests(
    s3: S3, bucket: Bucket, s3_stub: S3Stub
) -> None:
    paths = [f"Data/{number:04}.bcl" for number in range(2500)]
    found = await recognise_tree(s3, bucket, "CopyComplete.txt", "RunInfo.xml", *paths)
    assert found is not None
    assert s3_stub.counts.total() == 1
