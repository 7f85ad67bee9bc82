"""Replacement of an object of any size, if it is still the one that was read.

The multipart uploads of awscrt send `If-Match` with every part, which S3 does not accept there: it
belongs to the request that completes the upload.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from xml.etree import ElementTree as ET

from quilt_packager_runtime.aws.s3 import S3, metadata_headers
from quilt_packager_runtime.aws.s3_responses import parse_xml
from quilt_packager_runtime.aws.s3_transport import Request
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
    upload_id = await _create(s3, uri, metadata)
    try:
        etags = await _send_parts(s3, uri, path, size_bytes, upload_id)
        await s3.send(
            Request(
                operation="CompleteMultipartUpload",
                method="POST",
                uri=uri,
                query={"uploadId": upload_id},
                headers=[("If-Match", if_match)],
                body=_part_list(etags),
            )
        )
    except BaseException:
        with suppress(PackagerError):  # the bucket's lifecycle rule aborts it later
            await asyncio.shield(_abort(s3, uri, upload_id))
        raise


async def _create(s3: S3, uri: S3Uri, metadata: Mapping[str, str]) -> str:
    response = await s3.send(
        Request(
            operation="CreateMultipartUpload",
            method="POST",
            uri=uri,
            query={"uploads": ""},
            headers=metadata_headers(metadata),
        )
    )
    return parse_xml(response.body, uri).findtext("{*}UploadId", "")


async def _send_parts(s3: S3, uri: S3Uri, path: Path, size_bytes: int, upload_id: str) -> list[str]:
    """Upload the parts, and return their ETags in order."""
    part_bytes = max(MIN_PART_BYTES, -(-size_bytes // MAX_PARTS))
    etags: dict[int, str] = {}

    async def send(number: int) -> None:
        body = _read(path, (number - 1) * part_bytes, part_bytes)
        response = await s3.send(
            Request(
                operation="UploadPart",
                method="PUT",
                uri=uri,
                query={"partNumber": str(number), "uploadId": upload_id},
                body=body,
            )
        )
        etags[number] = response.headers.get("etag", "")

    count = -(-size_bytes // part_bytes)
    await for_each(iter(range(1, count + 1)), send, at_once=PARTS_IN_FLIGHT)
    return [etags[number] for number in sorted(etags)]


def _size_bytes(path: Path) -> int:
    return path.stat().st_size


def _read(path: Path, first_byte: int, size_bytes: int) -> bytes:
    with path.open("rb") as file:
        file.seek(first_byte)
        return file.read(size_bytes)


def _part_list(etags: list[str]) -> bytes:
    root = ET.Element("CompleteMultipartUpload")
    for number, etag in enumerate(etags, start=1):
        part = ET.SubElement(root, "Part")
        ET.SubElement(part, "PartNumber").text = str(number)
        ET.SubElement(part, "ETag").text = etag
    return ET.tostring(root)


async def _abort(s3: S3, uri: S3Uri, upload_id: str) -> None:
    await s3.send(
        Request(
            operation="AbortMultipartUpload",
            method="DELETE",
            uri=uri,
            query={"uploadId": upload_id},
        )
    )
