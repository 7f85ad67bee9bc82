"""Replacement of an object of any size, if it is still the one that was read.

The multipart uploads of awscrt send `If-Match` with every part, which S3 does not accept there: it
belongs to the request that completes the upload.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from quilt_packager_runtime.aws.multipart import MultipartUpload, Part
from quilt_packager_runtime.aws.s3 import S3, metadata_headers
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.objects import S3Uri

MIN_PART_BYTES = 8 * 1024 * 1024
MAX_PARTS = 10_000
PARTS_IN_FLIGHT = 4


async def replace_object(
    s3: S3, uri: S3Uri, path: Path, *, if_match: str, metadata: Mapping[str, str]
) -> None:
    """Write a file over an object, in parts if it is large.

    Args:
        s3: S3.
        uri: The object.
        path: The file.
        if_match: The ETag that the object must still have.
        metadata: User metadata.

    Raises:
        PreconditionFailed: The object has another ETag.
        NoSuchKey: The object was deleted.
        ConditionalRequestConflict: Another write was in progress.
    """
    size_bytes = _size_bytes(path)
    if size_bytes <= MIN_PART_BYTES:
        body = _read(path, 0, size_bytes)
        await s3.put_object(uri, body, if_match=if_match, metadata=metadata)
        return
    upload = await MultipartUpload.create(s3, uri, headers=metadata_headers(metadata))
    try:
        parts = await _send_parts(upload, path, size_bytes)
        await upload.complete(parts, condition=("If-Match", if_match))
    except BaseException:
        with suppress(PackagerError):  # the bucket's lifecycle rule aborts it later
            await asyncio.shield(upload.abort())
        raise


async def _send_parts(upload: MultipartUpload, path: Path, size_bytes: int) -> dict[int, Part]:
    """Upload the parts, and return them by number."""
    part_bytes = max(MIN_PART_BYTES, -(-size_bytes // MAX_PARTS))
    parts: dict[int, Part] = {}

    async def send(number: int) -> None:
        parts[number] = await upload.send_part(
            number, _read(path, (number - 1) * part_bytes, part_bytes)
        )

    count = -(-size_bytes // part_bytes)
    await for_each(iter(range(1, count + 1)), send, at_once=PARTS_IN_FLIGHT)
    return parts


def _size_bytes(path: Path) -> int:
    return path.stat().st_size


def _read(path: Path, first_byte: int, size_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(first_byte)
        return file.read(size_bytes)
