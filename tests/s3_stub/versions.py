"""One version of an object with all that S3 remembers of it, and an upload that will become one."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence

from tests.s3_stub import checksums
from tests.s3_stub.bodies import Body, Bytes, digest_all, read_all

ARCHIVED = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class Version:
    """One version of an object, or, without a body, a delete marker.

    Attributes:
        version_id: `"null"` where the bucket had no versioning.
        body: The bytes; None for a delete marker.
        etag: Without its quotes.
        checksum_type: `FULL_OBJECT` or `COMPOSITE`.
        algorithms: Of which checksums are stored.
        part_sizes: Of a multipart upload, in order.
        storage_class: An archived one makes reads answer 403 InvalidObjectState.
        restored: Of an archived one, whether its restore is done; None: there is none.
        encryption: Such as `aws:kms`.
        metadata: User metadata, by names without `x-amz-meta-`.
        system_metadata: Headers such as `content-type`, by lower-case names.
        tags: The tags.
        last_modified: Unix seconds.
    """

    def __init__(
        self,
        version_id: str,
        body: Body | None,
        *,
        stored: Iterable[str] | Mapping[str, str] = (checksums.DEFAULT_ALGORITHM,),
        checksum_type: str | None = None,
        part_sizes: Sequence[int] = (),
        etag: str | None = None,
        storage_class: str = "STANDARD",
        restored: bool | None = None,
        encryption: str = "AES256",
        metadata: Mapping[str, str] | None = None,
        system_metadata: Mapping[str, str] | None = None,
        tags: Mapping[str, str] | None = None,
        last_modified: float = 0.0,
    ) -> None:
        self.version_id = version_id
        self.body = body
        self.algorithms = tuple(stored)
        self.part_sizes = tuple(part_sizes)
        composite = part_sizes and checksums.DEFAULT_ALGORITHM not in self.algorithms
        self.checksum_type = checksum_type or (
            checksums.COMPOSITE if composite else checksums.FULL_OBJECT
        )
        self.storage_class = storage_class
        self.restored = restored
        self.encryption = encryption
        self.metadata = dict(metadata or {})
        self.system_metadata = dict(system_metadata or {})
        self.tags = dict(tags or {})
        self.last_modified = last_modified
        self._checksums = dict(stored) if isinstance(stored, Mapping) else {}
        self._etag = etag

    @property
    def size_bytes(self) -> int:
        """The object's size; 0 for a delete marker."""
        return self.body.size_bytes if self.body else 0

    @property
    def is_delete_marker(self) -> bool:
        """Whether this version hides the ones below."""
        return self.body is None

    @property
    def is_archived(self) -> bool:
        """Whether the bytes need a restore before they can be read."""
        return self.storage_class in ARCHIVED and not self.restored

    @property
    def data(self) -> bytes:
        """The whole body as bytes."""
        if self.body is None:
            raise ValueError("a delete marker has no bytes")
        return read_all(self.body)

    @property
    def etag(self) -> str:
        """The ETag without quotes, as S3 computes it for a plain or a multipart upload."""
        if self._etag is None:
            self._etag = self._compute_etag()
        return self._etag

    @property
    def checksums(self) -> dict[str, str]:
        """The stored checksums by algorithm; what was not given is computed once."""
        for algorithm in self.algorithms:
            if algorithm not in self._checksums:
                self._checksums[algorithm] = self._compute_checksum(algorithm)
        return self._checksums

    def part_ranges(self) -> Iterator[tuple[int, int]]:
        """First byte and size of each part."""
        first = 0
        for size_bytes in self.part_sizes:
            yield first, size_bytes
            first += size_bytes

    def part_digests(self, algorithm: str) -> list[bytes]:
        """The digest of each part."""
        body = self.body or Bytes(b"")
        return [body.digest(algorithm, *part) for part in self.part_ranges()]

    def _compute_checksum(self, algorithm: str) -> str:
        if self.checksum_type == checksums.COMPOSITE:
            return checksums.compose(algorithm, self.part_digests(algorithm))
        return checksums.encode(digest_all(self.body or Bytes(b""), algorithm))

    def _compute_etag(self) -> str:
        if self.body is None:
            return ""
        if not self.part_sizes:
            return digest_all(self.body, "MD5").hex()
        return multipart_etag(self.part_digests("MD5"))


def multipart_etag(part_digests: Sequence[bytes]) -> str:
    """The ETag of a multipart upload, from its parts' MD5 digests."""
    joined = hashlib.md5(b"".join(part_digests), usedforsecurity=False).hexdigest()
    return f"{joined}-{len(part_digests)}"


class Upload:
    """An open multipart upload.

    Attributes:
        upload_id: Its id.
        key: The key it will become.
        algorithm: The checksum asked for at its creation, if any.
        checksum_type: Of the object to be.
        metadata: User metadata of the object to be.
        system_metadata: Its headers such as `content-type`.
        tags: Its tags.
        parts: Part numbers to bodies.
    """

    def __init__(
        self,
        upload_id: str,
        key: str,
        algorithm: str | None,
        checksum_type: str,
        *,
        metadata: Mapping[str, str],
        system_metadata: Mapping[str, str],
        tags: Mapping[str, str],
    ) -> None:
        self.upload_id = upload_id
        self.key = key
        self.algorithm = algorithm
        self.checksum_type = checksum_type
        self.metadata = dict(metadata)
        self.system_metadata = dict(system_metadata)
        self.tags = dict(tags)
        self.parts: dict[int, Body] = {}
