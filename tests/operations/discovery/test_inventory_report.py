"""S3 Inventory reports in CSV: their order, encoding, versions, and those that cannot be used."""

import gzip
import json
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder

from quilt_packager.operations.discovery.inventory_report import read_inventory
from quilt_packager.operations.errors import UnusableInventory
from tests.s3_stub import Bucket, S3Stub

MANIFEST = S3Uri("reports", "raw/all/2026-11-01T01-00Z/manifest.json")
SCHEMA = "Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size, StorageClass"
Found = list[tuple[str, int, bool]]


@pytest.fixture
def reports(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("reports")


def write(reports: Bucket, *files: bytes, **changes: Any) -> None:
    keys = [f"raw/all/data/{number}.csv.gz" for number in range(len(files))]
    for key, data in zip(keys, files, strict=True):
        reports.put(key, data)
    manifest = {
        "sourceBucket": "raw",
        "destinationBucket": "arn:aws:s3:::reports",
        "version": "2016-11-30",
        "creationTimestamp": "1793494800000",
        "fileFormat": "CSV",
        "fileSchema": SCHEMA,
        "files": [{"key": key, "size": 1, "MD5checksum": ""} for key in keys],
    } | changes
    reports.put(MANIFEST.key, json.dumps(manifest).encode())


def row(key: str, *, latest: str = "true", deleted: str = "false", stored: str = "") -> str:
    storage = stored or "STANDARD"
    return ",".join(f'"{each}"' for each in ("raw", key, "v", latest, deleted, "5", storage)) + "\n"


def compress(*rows: str) -> bytes:
    return gzip.compress("".join(rows).encode())


async def read(s3: S3, prefix: str = "") -> Found:
    pages = read_inventory(s3, MANIFEST, SourceFolder("raw", prefix))
    return [(each.key, each.size_bytes, each.archived) async for page in pages for each in page]


async def test_rows_of_all_files_come_in_the_order_of_their_keys(s3: S3, reports: Bucket) -> None:
    write(reports, compress(row("b"), row("a/c")), compress(row("a-b"), row("a/%C3%A4+%2B%2F")))
    assert [key for key, _, _ in await read(s3)] == ["a-b", "a/c", "a/ä +/", "b"]


async def test_only_current_objects_of_the_folder_are_read(s3: S3, reports: Bucket) -> None:
    rows = [row("a/1"), row("a/2", latest="false"), row("a/3", deleted="true"), row("b/1")]
    write(reports, compress(*rows))
    assert await read(s3, "a/") == [("a/1", 5, False)]


async def test_archived_objects_are_marked(s3: S3, reports: Bucket) -> None:
    write(reports, compress(row("a", stored="DEEP_ARCHIVE"), row("b")))
    assert await read(s3) == [("a", 5, True), ("b", 5, False)]


async def test_file_may_have_several_members(s3: S3, reports: Bucket) -> None:
    write(reports, compress(row("a")) + compress(row("b").rstrip("\n")))
    assert [key for key, _, _ in await read(s3)] == ["a", "b"]


@pytest.mark.parametrize(
    ("changes", "happened", "remedy"),
    [
        ({"fileFormat": "Parquet"}, "is a report in Parquet", "output format"),
        ({"fileFormat": "ORC"}, "is a report in ORC", "output format"),
        ({"sourceBucket": "other"}, "is a report of other, not of raw", "s3://other/"),
        ({"fileSchema": "Bucket, Key"}, "has no column Size", "with Size"),
        ({"files": None}, "is no report", "manifest.json"),
    ],
)
async def test_unusable_report_is_refused(
    s3: S3, reports: Bucket, changes: dict[str, Any], happened: str, remedy: str
) -> None:
    write(reports, **changes)
    with pytest.raises(UnusableInventory) as refused:
        await read(s3)
    assert happened in refused.value.happened
    assert remedy in refused.value.remedy


async def test_missing_report_is_refused(s3: S3, reports: Bucket) -> None:
    with pytest.raises(UnusableInventory, match="is no report"):
        await read(s3)
