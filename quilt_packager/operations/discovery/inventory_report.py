"""S3 Inventory reports: the objects of a bucket without a listing.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

import csv
import sqlite3
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import closing
from typing import Annotated
from urllib.parse import unquote_plus

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import ARCHIVED_CLASSES
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.errors import NoSuchKey, quote
from quilt_packager_runtime.formats.json_errors import describe_decode_error
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder, SourceObject
from quilt_packager_runtime.listing.inventory import open_database

from quilt_packager.operations.errors import UnusableInventory

STEP_BYTES = 8 * 1024 * 1024
PAGE_OBJECTS = 1000
GZIP = 31
"""`wbits` of zlib for gzip."""

ARCHIVE_TIERS = frozenset({"ARCHIVE", "DEEP_ARCHIVE"})
"""Access tiers of Intelligent-Tiering whose objects must be restored."""

_SCHEMA = "CREATE TABLE objects (key BLOB, size INTEGER, archived INTEGER)"
_IN_ORDER = "SELECT key, size, archived FROM objects ORDER BY key"
_Row = tuple[bytes, int, bool]


class _File(msgspec.Struct):
    key: str


class _Manifest(msgspec.Struct, rename="camel"):
    source_bucket: str
    destination_bucket: str
    file_format: str
    file_schema: str
    files: list[_File]
    creation_timestamp: Annotated[str, msgspec.Meta(description="Milliseconds since 1970.")] = ""

    @property
    def columns(self) -> list[str]:
        return [name.strip() for name in self.file_schema.split(",")]


async def read_inventory(
    s3: S3, manifest: S3Uri, folder: SourceFolder
) -> AsyncIterator[list[SourceObject]]:
    """Yield the objects of a folder in the order of their keys, from an inventory report in CSV.

    The report has no order, so a temporary file holds its rows.

    Args:
        s3: Client of S3.
        manifest: The `manifest.json` of the report.
        folder: The folder.

    Raises:
        UnusableInventory: The report is of another bucket or in another format, or lacks columns.
    """
    report = await _read_manifest(s3, manifest, folder)
    bucket = report.destination_bucket.rpartition(":")[2]
    with closing(open_database(_SCHEMA)) as database, translate_disk_full():
        for file in report.files:
            async for lines in _read_lines(s3, S3Uri(bucket, file.key)):
                rows = _read_rows(lines, report.columns, folder.prefix)
                database.executemany("INSERT INTO objects VALUES (?, ?, ?)", rows)
        for page in _in_order(database):
            yield page


def _in_order(database: sqlite3.Connection) -> Iterator[list[SourceObject]]:
    rows = database.execute(_IN_ORDER)
    while page := rows.fetchmany(PAGE_OBJECTS):
        yield [
            SourceObject(key.decode(), size_bytes, "", None, archived=bool(archived))
            for key, size_bytes, archived in page
        ]


async def _read_manifest(s3: S3, uri: S3Uri, folder: SourceFolder) -> _Manifest:
    remedy = "Give the manifest.json of an S3 Inventory report in CSV, with Size."
    try:
        report = msgspec.json.decode((await s3.get_object(uri)).data, type=_Manifest)
    except NoSuchKey as error:
        raise UnusableInventory(
            f"{uri} is no report: it does not exist.", why="", remedy=remedy
        ) from error
    except msgspec.DecodeError as error:
        raise UnusableInventory(
            f"{uri} is no report: {describe_decode_error(error)}.", why="", remedy=remedy
        ) from error
    if report.file_format.upper() != "CSV":
        raise UnusableInventory(
            f"{uri} is a report in {report.file_format}.",
            why="This command reads reports in CSV only.",
            remedy="Set the output format of the inventory configuration to CSV, or omit "
            "--inventory, to list the bucket.",
        )
    if report.source_bucket != folder.bucket:
        raise UnusableInventory(
            f"{uri} is a report of {report.source_bucket}, not of {folder.bucket}.",
            why="Its keys are those of another bucket.",
            remedy=f"Discover s3://{report.source_bucket}/, or give another report.",
        )
    lacking = {"Key", "Size"} - set(report.columns)
    if lacking:
        raise UnusableInventory(
            f"{uri} has no column {' and '.join(sorted(lacking))}.",
            why=f"It has {quote(report.file_schema)}.",
            remedy=remedy,
        )
    return report


async def _read_lines(s3: S3, uri: S3Uri) -> AsyncIterator[list[str]]:
    """Yield the lines of a compressed file, in lists."""
    rest = b""
    decompress = zlib.decompressobj(GZIP)
    async for body in s3.stream_object(uri, step_bytes=STEP_BYTES):
        data = body.data
        while data:
            *lines, rest = (rest + decompress.decompress(data, STEP_BYTES)).split(b"\n")
            yield [line.decode() for line in lines]
            data = decompress.unconsumed_tail
            if decompress.eof:  # a file may have several members
                data, decompress = decompress.unused_data, zlib.decompressobj(GZIP)
    if rest:
        yield [rest.decode()]


def _read_rows(lines: Sequence[str], columns: Sequence[str], prefix: str) -> Iterator[_Row]:
    """Parse lines: the newest versions of the objects below a prefix. Keys are URL-encoded."""
    numbers = {name: number for number, name in enumerate(columns)}
    key_at, size_at = numbers["Key"], numbers["Size"]
    latest_at, deleted_at = numbers.get("IsLatest"), numbers.get("IsDeleteMarker")
    class_at, tier_at = numbers.get("StorageClass"), numbers.get("IntelligentTieringAccessTier")
    for row in csv.reader(lines):
        if latest_at is not None and row[latest_at] != "true":
            continue
        if deleted_at is not None and row[deleted_at] == "true":
            continue
        key = unquote_plus(row[key_at])
        if key.startswith(prefix):
            is_archived = (class_at is not None and row[class_at] in ARCHIVED_CLASSES) or (
                tier_at is not None and row[tier_at] in ARCHIVE_TIERS
            )
            yield key.encode(), int(row[size_at] or 0), is_archived
