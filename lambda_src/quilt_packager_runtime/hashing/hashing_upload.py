"""Uploads of which nothing becomes an object: S3 copies parts into them, and says their hashes."""

from typing import Self
from urllib.parse import quote

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import parse_xml
from quilt_packager_runtime.aws.s3_transport import Request
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, S3Uri, percent_encode

# What S3 calls an algorithm, how it would combine the parts' checksums, and where it tells them.
CHECKSUMS = {
    ChecksumAlgorithm.SHA256_CHUNKED: ("SHA256", "COMPOSITE", "{*}ChecksumSHA256"),
    ChecksumAlgorithm.CRC64NVME: ("CRC64NVME", "FULL_OBJECT", "{*}ChecksumCRC64NVME"),
}


class HashingUpload:
    """A multipart upload whose parts S3 hashes.

    Args:
        s3: S3.
        uri: Where the object would be.
        upload_id: The upload's id.
        algorithm: What S3 hashes with.
    """

    def __init__(self, s3: S3, uri: S3Uri, upload_id: str, algorithm: ChecksumAlgorithm) -> None:
        """Make no request: `create` does."""
        self._s3 = s3
        self._uri = uri
        self._id = upload_id
        self._algorithm = algorithm

    @classmethod
    async def create(cls, s3: S3, uri: S3Uri, algorithm: ChecksumAlgorithm) -> Self:
        """Begin one.

        Args:
            s3: S3.
            uri: Where the object would be.
            algorithm: What S3 is to hash with.
        """
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
        """Copy a range of an object into a part, with no byte through this process.

        Args:
            number: The part's, from 1.
            source: The object to copy from, or its version.
            first_byte: Where the range begins.
            last_byte: Where it ends, this byte included.
            if_match: The ETag that the source must still have.

        Returns:
            The part's checksum in base64; None where S3's stand-in computes none.
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
        """Throw the upload and its parts away."""
        await self._s3.send(
            Request(
                operation="AbortMultipartUpload",
                method="DELETE",
                uri=self._uri,
                query={"uploadId": self._id},
            )
        )
