"""Generated objects and entries, for measurements without S3."""

from collections.abc import Iterator
from itertools import islice

from quilt_packager_runtime.formats.objects import (
    Checksum,
    Entry,
    S3Uri,
    SourceFolder,
    SourceObject,
)

from tests.s3_stub.synthetic import PREFIX, key_of

FOLDER = SourceFolder("raw", PREFIX)
PAGE_OBJECTS = 1_000
CHECKSUM = Checksum("sha2-256-chunked", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")


def objects(count: int) -> Iterator[SourceObject]:
    """Generate objects as a listing has them, in S3's order."""
    for index in range(count):
        yield SourceObject(
            key=key_of(index),
            size_bytes=64 + index,
            etag=f'"{index:032x}"',
            version_id=f"v0.{index:08d}.Nx7kQ2ZrT5wYbH9cJ4mP",
        )


def pages(count: int) -> Iterator[list[SourceObject]]:
    """Generate the same objects in pages, as S3 lists them."""
    generated = objects(count)
    while page := list(islice(generated, PAGE_OBJECTS)):
        yield page


def entries(count: int) -> Iterator[Entry]:
    """Generate their entries."""
    for found in objects(count):
        yield Entry(
            logical_key=found.key.removeprefix(PREFIX),
            physical_key=str(S3Uri(FOLDER.bucket, found.key, found.version_id)),
            size_bytes=found.size_bytes,
            checksum=CHECKSUM,
        )
