"""The types of S3 and Quilt that all rooms share: URIs, objects, checksums, entries.

All are immutable and small: a job holds one or two of them for each of a million objects.
"""

import re
from enum import StrEnum
from typing import Any, Self
from urllib.parse import quote, quote_plus, unquote, unquote_plus

import msgspec

REGISTRY_PREFIX = ".quilt/"
"""Prefix of a registry's own files, which are never packaged."""

SCRATCH_PREFIX = "hash/"
"""Prefix of the multipart uploads that exist only to be hashed, in the scratch bucket."""

JOBS_PREFIX = "jobs/"
"""Prefix of the files of large jobs, in the scratch bucket."""

ITEMS_FILE = "items.jsonl"
"""Name of the files that the state machine reads: the items of a map."""

MAX_KEY_BYTES = 1024
"""Maximum size of a key in S3, in UTF-8."""

MAX_MESSAGE_BYTES = 1024 * 1024
"""Maximum size of a message in SQS, its attributes included."""

SEPARATOR = b"\0\0"
"""Between the components of a sort key."""

_PLAIN = re.compile(r"[A-Za-z0-9_.~/-]*").fullmatch


class S3Uri(msgspec.Struct, frozen=True, gc=False, order=True):
    """An object in S3, or one version of it.

    Attributes:
        bucket: Name of the bucket.
        key: Key of the object, never percent-encoded; empty for the bucket itself.
        version_id: Version; None for the newest or in an unversioned bucket.
    """

    bucket: str
    key: str
    version_id: str | None = None

    def __str__(self) -> str:
        """Return the URI, percent-encoded as in quilt3's physical keys.

        Example:
            >>> print(S3Uri("b", "run#1/ä b.txt", "v1"))
            s3://b/run%231/%C3%A4%20b.txt?versionId=v1
        """
        version = "" if self.version_id is None else f"?versionId={_encode_value(self.version_id)}"
        return f"s3://{self.bucket}/{percent_encode(self.key)}{version}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a percent-encoded `s3://bucket/key[?versionId=…]`.

        `#` is an ordinary character of keys. `?` begins a query only before `versionId=`.

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

    Most keys need no encoding, and checking that first is five times as fast.

    Example:
        >>> percent_encode("run#1/a b.txt")
        'run%231/a%20b.txt'
    """
    return key if _PLAIN(key) else quote(key)


def _encode_value(text: str) -> str:
    return text if _PLAIN(text) and "/" not in text else quote_plus(text)


class SourceFolder(msgspec.Struct, frozen=True):
    """The folder to package.

    Attributes:
        bucket: Name of the bucket.
        prefix: Key prefix that ends in `/`; empty for the whole bucket.
    """

    bucket: str
    prefix: str

    def __str__(self) -> str:
        """Return the percent-encoded URI."""
        return str(S3Uri(self.bucket, self.prefix))


class Source(msgspec.Struct, frozen=True, omit_defaults=True):
    """A folder, or an object, and its place in a package.

    An object's `into` is its logical key, so one rule gives the logical keys of both.

    Attributes:
        bucket: Name of the bucket.
        prefix: Key prefix that ends in `/`, or empty; the key of an object.
        into: Prefix of the logical keys that ends in `/`, or empty; the logical key of an object.
        is_object: It is an object; or a folder of that name, if there is no such object.
        version_id: Version of the object; None for the newest.
    """

    bucket: str
    prefix: str
    into: str = ""
    is_object: bool = False
    version_id: str | None = None

    def __str__(self) -> str:
        """Return the percent-encoded URI."""
        return str(S3Uri(self.bucket, self.prefix, self.version_id))

    @classmethod
    def whole(cls, folder: SourceFolder) -> Self:
        """Return a folder at the root of the package."""
        return cls(folder.bucket, folder.prefix)

    @property
    def folder(self) -> SourceFolder:
        """The folder, or that of the object's name."""
        return SourceFolder(self.bucket, self.prefix + "/" if self.is_object else self.prefix)

    def logical_key(self, key: str) -> str:
        """Return the logical key of an object of this source.

        Example:
            >>> Source("b", "f/", into="raw/").logical_key("f/x")
            'raw/x'
        """
        return self.into + key[len(self.prefix) :]


class ChecksumAlgorithm(StrEnum):
    """The algorithms of checksums in manifests."""

    SHA256_CHUNKED = "SHA256_CHUNKED"
    CRC64NVME = "CRC64NVME"


class SourceObject(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """The newest version of an object, as listed.

    Attributes:
        key: Key of the object.
        size_bytes: Size of the object.
        etag: ETag with its quotes, as S3 sends and expects it.
        version_id: Version; None in an unversioned bucket, and for S3's "null" version.
        archived: The storage class requires a restore before the bytes can be read.
        stored: Algorithm of the usable checksum that S3 has, according to the listing.
        digests: Digests of the bytes to compute with the checksum, by their names in `hashlib`.
        source: Number of its source in the request.
    """

    key: str
    size_bytes: int
    etag: str
    version_id: str | None
    archived: bool = False
    stored: ChecksumAlgorithm | None = None
    digests: tuple[str, ...] = ()
    source: int = 0


class StoredChecksums(msgspec.Struct, frozen=True, gc=False):
    """The checksums that HeadObject and GetObject return in checksum mode.

    Attributes:
        sha256: `x-amz-checksum-sha256`: base64, followed by `-N` for a hash of N parts.
        crc64nvme: `x-amz-checksum-crc64nvme`: base64.
        type: `x-amz-checksum-type`: FULL_OBJECT or COMPOSITE, if S3 returns it.
    """

    sha256: str | None = None
    crc64nvme: str | None = None
    type: str | None = None


class Checksum(msgspec.Struct, frozen=True, gc=False, omit_defaults=True):
    """A checksum in a manifest.

    Attributes:
        type: `sha2-256-chunked`, `CRC64NVME`, or the legacy `SHA256`, which is only read.
        value: Base64 of the digest; hex for `SHA256`.
        digests: The `digests` of the object in hex, in their order; never in a manifest.
    """

    type: str
    value: str
    digests: tuple[str, ...] = ()


class Entry(msgspec.Struct, frozen=True, gc=False):
    """One file of a package.

    Attributes:
        logical_key: Path inside the package.
        physical_key: Percent-encoded URI of the object's version.
        size_bytes: Size of the object.
        checksum: Checksum of the object.
        metadata: Metadata of the file, as quilt3's `PackageEntry.meta` returns it.
        other_meta: Fields beside it that another program has written.
    """

    logical_key: str
    physical_key: str
    size_bytes: int
    checksum: Checksum
    metadata: dict[str, Any] | None = None
    other_meta: dict[str, Any] | None = None

    @property
    def meta(self) -> dict[str, Any]:
        """The `meta` of the entry in a manifest."""
        user_meta = {"user_meta": self.metadata} if self.metadata else {}
        return {**(self.other_meta or {}), **user_meta}


def sort_key(logical_key: str) -> bytes:
    r"""Return a key that sorts entries as in a manifest: by `logical_key.split("/")`.

    `SEPARATOR` sorts before every character, U+0000 included, and occurs only between components.

    Example:
        >>> sorted(["a-b", "a/b", "a"], key=sort_key)
        ['a', 'a/b', 'a-b']
    """
    return logical_key.encode().replace(b"\0", b"\0\1").replace(b"/", SEPARATOR)


def key_of(sort_key: bytes) -> str:
    r"""Return the logical key of a sort key.

    Example:
        >>> key_of(sort_key("a/b"))
        'a/b'
    """
    return sort_key.replace(SEPARATOR, b"/").replace(b"\0\1", b"\0").decode()
