"""Multipart uploads, whose parts are sent or copied inside S3."""

from collections.abc import Mapping, Sequence
from typing import Self
from urllib.parse import quote
from xml.etree import ElementTree as ET

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import parse_xml
from quilt_packager_runtime.aws.s3_transport import Request, Response
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, S3Uri, percent_encode

CHECKSUMS = {
    ChecksumAlgorithm.SHA256_CHUNKED: ("SHA256", "COMPOSITE", "ChecksumSHA256"),
    ChecksumAlgorithm.CRC64NVME: ("CRC64NVME", "FULL_OBJECT", "ChecksumCRC64NVME"),
}
"""S3's name of an algorithm, its type for multipart uploads, and the element of its value."""


class Part(msgspec.Struct, frozen=True, gc=False):
    """A part of an upload.

    Attributes:
        etag: ETag with its quotes.
        checksum: Checksum in base64; None without an algorithm, and from servers that compute none.
    """

    etag: str
    checksum: str | None = None


class MultipartUpload:
    """A multipart upload. `create` starts one."""

    def __init__(
        self, s3: S3, uri: S3Uri, upload_id: str, algorithm: ChecksumAlgorithm | None = None
    ) -> None:
        self._s3 = s3
        self._uri = uri
        self._id = upload_id
        self._algorithm = algorithm

    @classmethod
    async def create(
        cls,
        s3: S3,
        uri: S3Uri,
        algorithm: ChecksumAlgorithm | None = None,
        *,
        headers: Sequence[tuple[str, str]] = (),
    ) -> Self:
        """Create an upload.

        Args:
            s3: S3.
            uri: The object.
            algorithm: Algorithm by which S3 hashes the parts.
            headers: Headers of the object, such as its metadata.
        """
        if algorithm is not None:
            name, kind, _ = CHECKSUMS[algorithm]
            headers = [
                ("x-amz-checksum-algorithm", name),
                ("x-amz-checksum-type", kind),
                *headers,
            ]
        response = await s3.send(
            Request(
                operation="CreateMultipartUpload",
                method="POST",
                uri=uri,
                query={"uploads": ""},
                headers=headers,
            )
        )
        upload_id = parse_xml(response.body, uri).findtext("{*}UploadId", "")
        return cls(s3, uri, upload_id, algorithm)

    async def copy_part(
        self, number: int, *, source: S3Uri, first_byte: int, last_byte: int, if_match: str
    ) -> Part:
        """Copy a range of an object into a part. `last_byte` is inclusive."""
        headers = [
            copy_source(source),
            ("x-amz-copy-source-range", f"bytes={first_byte}-{last_byte}"),
            ("x-amz-copy-source-if-match", if_match),
        ]
        response = await self._send("UploadPartCopy", "PUT", number=number, headers=headers)
        result = parse_xml(response.body, self._uri)
        checksum = None
        if self._algorithm is not None:
            checksum = result.findtext("{*}" + CHECKSUMS[self._algorithm][2])
        return Part(result.findtext("{*}ETag", ""), checksum)

    async def send_part(self, number: int, body: bytes) -> Part:
        """Send the bytes of a part."""
        response = await self._send("UploadPart", "PUT", number=number, body=body)
        return Part(response.headers.get("etag", ""))

    async def complete(
        self, parts: Mapping[int, Part], *, condition: tuple[str, str] | None
    ) -> Response:
        """Make the object of the parts.

        Args:
            parts: The parts by number.
            condition: Header with the condition on the object that the key has now.

        Raises:
            PreconditionFailed: The condition does not hold.
            NoSuchKey: The object that `If-Match` names was deleted.
            ConditionalRequestConflict: Another write was in progress.
        """
        return await self._send(
            "CompleteMultipartUpload",
            "POST",
            headers=[] if condition is None else [condition],
            body=self._part_list(parts),
        )

    async def abort(self) -> None:
        """Abort the upload."""
        await self._send("AbortMultipartUpload", "DELETE")

    async def _send(
        self,
        operation: str,
        method: str,
        *,
        number: int | None = None,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes | None = None,
    ) -> Response:
        part = {} if number is None else {"partNumber": str(number)}
        request = Request(
            operation=operation,
            method=method,
            uri=self._uri,
            query={**part, "uploadId": self._id},
            headers=headers,
            body=body,
        )
        return await self._s3.send(request)

    def _part_list(self, parts: Mapping[int, Part]) -> bytes:
        root = ET.Element("CompleteMultipartUpload")
        for number, part in sorted(parts.items()):
            element = ET.SubElement(root, "Part")
            ET.SubElement(element, "PartNumber").text = str(number)
            ET.SubElement(element, "ETag").text = part.etag
            if self._algorithm is not None and part.checksum is not None:
                ET.SubElement(element, CHECKSUMS[self._algorithm][2]).text = part.checksum
        return ET.tostring(root)


def copy_source(source: S3Uri) -> tuple[str, str]:
    """Return the header that names the source of a copy."""
    version = f"?versionId={quote(source.version_id, safe='')}" if source.version_id else ""
    return "x-amz-copy-source", f"{source.bucket}/{percent_encode(source.key)}{version}"
