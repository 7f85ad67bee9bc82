"""A multipart upload for hashing: S3 hashes the parts copied into it, and it is then aborted."""

from typing import Self
from urllib.parse import quote

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import parse_xml
from quilt_packager_runtime.aws.s3_transport import Request
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, S3Uri, percent_encode

# S3's name of an algorithm, its type for multipart uploads, and the element of a part's checksum.
CHECKSUMS = {
    ChecksumAlgorithm.SHA256_CHUNKED: ("SHA256", "COMPOSITE", "{*}ChecksumSHA256"),
    ChecksumAlgorithm.CRC64NVME: ("CRC64NVME", "FULL_OBJECT", "{*}ChecksumCRC64NVME"),
}


class HashingUpload:
    """A multipart upload whose parts S3 hashes. `create` starts one."""

    def __init__(self, s3: S3, uri: S3Uri, upload_id: str, algorithm: ChecksumAlgorithm) -> None:
        self._s3 = s3
        self._uri = uri
        self._id = upload_id
        self._algorithm = algorithm

    @classmethod
    async def create(cls, s3: S3, uri: S3Uri, algorithm: ChecksumAlgorithm) -> Self:
        """Create an upload that S3 hashes by an algorithm."""
        name, kind, _ = CHECKSUMS[algorithm]
        headers = [("x-amz-checksum-algorithm", name), ("x-amz-checksum-type", kind)]
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
    ) -> str | None:
        """Copy a range of an object into a part, and return the part's checksum in base64.

        It is None from servers that compute no checksum. `last_byte` is inclusive.
        """
        version = f"?versionId={quote(source.version_id, safe='')}" if source.version_id else ""
        headers = [
            ("x-amz-copy-source", f"{source.bucket}/{percent_encode(source.key)}{version}"),
            ("x-amz-copy-source-range", f"bytes={first_byte}-{last_byte}"),
            ("x-amz-copy-source-if-match", if_match),
        ]
        response = await self._s3.send(
            Request(
                operation="UploadPartCopy",
                method="PUT",
                uri=self._uri,
                query={"partNumber": str(number), "uploadId": self._id},
                headers=headers,
            )
        )
        return parse_xml(response.body, self._uri).findtext(CHECKSUMS[self._algorithm][2])

    async def abort(self) -> None:
        """Abort the upload."""
        await self._s3.send(
            Request(
                operation="AbortMultipartUpload",
                method="DELETE",
                uri=self._uri,
                query={"uploadId": self._id},
            )
        )
