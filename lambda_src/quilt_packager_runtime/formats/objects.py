"""The nouns of S3 and of Quilt that every room shares: where an object is, which, and its hash.

All are immutable, and small: a job holds one or two of them for each of a million objects.
"""

import re
from enum import StrEnum
from typing import Self
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import msgspec

REGISTRY_PREFIX = ".quilt/"
"""Where a bucket keeps its packages. Never a package's content."""

SCRATCH_PREFIX = "hash/"
"""Where the scratch bucket takes the uploads that are only made to be hashed."""

JOBS_PREFIX = "jobs/"
"""Where the scratch bucket keeps the files of large jobs."""

MAX_KEY_BYTES = 1024
"""S3's limit for a key, in UTF-8."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""The most that SQS takes, a message's attributes included."""

_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch


class S3Uri(msgspec.Struct, frozen=True, gc=False, order=True):
    """An object in S3, or one version of it.

    Attributes:
        bucket: The bucket's name.
        key: The object's key, as S3 has it: never percent-encoded. Empty for the bucket itself.
        version_id: The version, or None for the newest or in an unversioned bucket.
    """

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        """Percent-encoded as quilt3 writes a physical key.

        Example:
            >>> print(S3Uri("b", "run#1/ä b.txt", "v1"))
            s3://b/run%231/%C3%A4%20b.txt?versionId=v1
        """
        version = "" if self.version_id is None else f"?versionId={_encode_value(self.version_id)}"
        return f"s3://{self.bucket}/{percent_encode(self.key)}{version}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a percent-encoded `s3://bucket/key[?versionId=…]`.

        `#` is an ordinary character of keys. `?` begins a query only when what follows is
        `versionId=`.

        Args:
            text: The URI.

        Raises:
            ValueError: It is not an S3 URI, or its escapes are not UTF-8.

        Example:
            >>> S3Uri.parse("s3://b/run%231/a?b.txt?versionId=v1")
            S3Uri(bucket='b', key='run#1/a?b.txt', version_id='v1')
        """
        scheme, separator, rest = text.partition("://")
        if scheme.lower() != "s3" or not separator:
            raise ValueError("an S3 URI begins with s3://")
        path, question, version = rest.rpartition("?versionId=")
        if not question:
            path, version = version, ""
        bucket, _, key = path.partition("/")
        if not bucket:
            raise ValueError("an S3 URI names a bucket after s3://")
        return cls(
            bucket, unquote(key, errors="strict"), unquote_plus(version, errors="strict") or None
        )


def percent_encode(key: str) -> str:
    """Percent-encode a key for the path of a URI, as quilt3, S3 and its signatures do.

    Most keys need nothing, and asking that first is five times as fast.

    Example:
        >>> percent_encode("run#1/a b.txt")
        'run%231/a%20b.txt'
    """
    return key if _PLAIN(key) else quote(key)


def _encode_value(text: str) -> str:
    return text if _PLAIN(text) and "/" not in text else quote_plus(text)


class SourceFolder(msgspec.Struct, frozen=True):
    """The folder that becomes a package.

    Attributes:
        bucket: The bucket's name.
        prefix: Empty for the whole bucket, otherwise a key prefix that ends in `/`.
    """

    bucket: str
    prefix: str

    def __str__(self) -> str:
        """The folder as a percent-encoded URI that ends in `/`."""
        return str(S3Uri(self.bucket, self.prefix))


class ChecksumAlgorithm(StrEnum):
    """The checksums that a manifest may be written with."""

    SHA256_CHUNKED = "SHA256_CHUNKED"
    CRC64NVME = "CRC64NVME"


class SourceObject(msgspec.Struct, frozen=True, gc=False):
    """The newest version of an object, as the listing gave it.

    Attributes:
        key: The whole key.
        size_bytes: The object's size.
        etag: The ETag with its quotes, as S3 sends and expects it.
        version_id: None in an unversioned bucket, and where versioning was suspended (S3's "null").
        archived: The storage class needs a restore before the bytes can be read.
        stored: The checksum that S3 should have in store, as far as a listing tells.
    """

    key: str
    size_bytes: int
    etag: str
    version_id: str | None
    archived: bool = False
    stored: ChecksumAlgorithm | None = None


class Checksum(msgspec.Struct, frozen=True, gc=False):
    """A hash as a manifest records it.

    Attributes:
        type: `sha2-256-chunked`, `CRC64NVME`, or, only ever read, `SHA256`.
        value: Base64 of the digest (hex for the legacy `SHA256`).
    """

    type: str
    value: str


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One file of a package.

    Attributes:
        logical_key: The path inside the package.
        physical_key: The percent-encoded URI of the object's version.
        size_bytes: The object's size.
        checksum: The object's hash.
    """

    logical_key: str
    physical_key: str
    size_bytes: int
    checksum: Checksum
