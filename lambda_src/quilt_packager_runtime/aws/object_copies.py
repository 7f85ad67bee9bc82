"""Copies of objects inside S3, with their metadata and tags."""

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import msgspec

from quilt_packager_runtime.aws.multipart import CHECKSUMS, copy_source
from quilt_packager_runtime.aws.s3 import METADATA_PREFIX, S3, metadata_headers
from quilt_packager_runtime.aws.s3_responses import parse_xml, version_id
from quilt_packager_runtime.aws.s3_transport import Request, Response
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, S3Uri, StoredChecksums

MAX_METADATA_BYTES = 2048
SYSTEM_METADATA = (
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-type",
    "expires",
    "x-amz-website-redirect-location",
)


class CopySource(msgspec.Struct, frozen=True):
    """An object to copy.

    Attributes:
        uri: The object or version.
        size_bytes: Size of the object.
        etag: ETag with its quotes.
        system_metadata: Headers such as the content type.
        metadata: User metadata, by names.
        has_hidden_metadata: S3 has metadata that no header can show.
    """

    uri: S3Uri
    size_bytes: int
    etag: str
    system_metadata: tuple[tuple[str, str], ...]
    metadata: dict[str, str]
    has_hidden_metadata: bool

    def metadata_with(self, added: Mapping[str, str]) -> dict[str, str]:
        """Return the user metadata with some added, if S3 accepts as much, otherwise without."""
        merged = {**self.metadata, **added}
        size_bytes = sum(len(name) + len(value.encode()) for name, value in merged.items())
        return merged if size_bytes <= MAX_METADATA_BYTES else self.metadata


class Copied(msgspec.Struct, frozen=True):
    """A finished copy.

    Attributes:
        etag: ETag with its quotes.
        version_id: Version; None in an unversioned bucket.
        stored: Checksum that S3 computed; empty from servers that compute none.
    """

    etag: str
    version_id: str | None
    stored: StoredChecksums = StoredChecksums()


async def describe_source(s3: S3, uri: S3Uri) -> CopySource:
    """Read the properties of an object that its copies keep."""
    head = await s3.head_object(uri)
    headers = head.headers
    return CopySource(
        uri=uri,
        size_bytes=head.size_bytes,
        etag=head.etag,
        system_metadata=tuple(
            (name, headers[name]) for name in SYSTEM_METADATA if headers.get(name)
        ),
        metadata={
            name.removeprefix(METADATA_PREFIX): value
            for name, value in headers.items()
            if name.startswith(METADATA_PREFIX)
        },
        has_hidden_metadata="x-amz-missing-meta" in headers,
    )


async def copy_object(  # noqa: PLR0913 - both ends, and what belongs to the copy
    s3: S3,
    source: CopySource,
    target: S3Uri,
    algorithm: ChecksumAlgorithm,
    *,
    added: Mapping[str, str],
    condition: tuple[str, str],
) -> Copied:
    """Copy an object of at most 5 GiB, with its metadata and tags.

    Args:
        s3: S3.
        source: The object.
        target: The copy.
        algorithm: Algorithm of the checksum that S3 computes.
        added: User metadata to add.
        condition: Header with the condition on the object that the target's key has now.

    Raises:
        PreconditionFailed: The condition does not hold, or the source has changed.
    """
    headers = [
        copy_source(source.uri),
        ("x-amz-copy-source-if-match", source.etag),
        ("x-amz-checksum-algorithm", CHECKSUMS[algorithm][0]),
        condition,
    ]
    metadata = source.metadata_with(added)
    if metadata != source.metadata and not source.has_hidden_metadata:
        headers += [
            ("x-amz-metadata-directive", "REPLACE"),
            *source.system_metadata,
            *metadata_headers(metadata),
        ]
    response = await s3.send(
        Request(operation="CopyObject", method="PUT", uri=target, headers=headers)
    )
    return read_copied(response, target)


def read_copied(response: Response, target: S3Uri) -> Copied:
    """Read the response to a copy, or to the completion of one in parts."""
    result = parse_xml(response.body, target)
    return Copied(
        etag=result.findtext("{*}ETag", ""),
        version_id=version_id(response.headers.get("x-amz-version-id")),
        stored=StoredChecksums(
            sha256=result.findtext("{*}ChecksumSHA256"),
            crc64nvme=result.findtext("{*}ChecksumCRC64NVME"),
            type=result.findtext("{*}ChecksumType"),
        ),
    )


async def upload_headers(
    s3: S3, source: CopySource, added: Mapping[str, str]
) -> Sequence[tuple[str, str]]:
    """Return the headers of a multipart upload that give its object the source's properties.

    Copies in parts keep neither metadata nor tags: they are read, and sent when the upload begins.
    """
    tags = await _read_tags(s3, source.uri)
    return [
        *source.system_metadata,
        *metadata_headers(source.metadata_with(added)),
        *([("x-amz-tagging", tags)] if tags else []),
    ]


async def _read_tags(s3: S3, uri: S3Uri) -> str:
    response = await s3.send(
        Request(operation="GetObjectTagging", method="GET", uri=uri, query={"tagging": ""})
    )
    tags = parse_xml(response.body, uri).iterfind("{*}TagSet/{*}Tag")
    pairs = ((tag.findtext("{*}Key", ""), tag.findtext("{*}Value", "")) for tag in tags)
    return "&".join(f"{quote(key, safe='')}={quote(value, safe='')}" for key, value in pairs)
