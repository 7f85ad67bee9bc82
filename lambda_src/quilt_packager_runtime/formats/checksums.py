"""The checksums of Quilt's manifests: from bytes, from hashed chunks, or from S3's checksums.

An object is hashed in chunks, whose ordered digests give its checksum. So every route to it,
streamed, in parallel ranges, or copied by S3 part by part, ends in `from_chunk_digests`.
"""

import hashlib
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import cache
from typing import Protocol, TypeAlias

from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    SourceObject,
    StoredChecksums,
)

BytesLike: TypeAlias = bytes | bytearray | memoryview

MIN_CHUNK_BYTES = 8 * 1024 * 1024
MAX_CHUNKS = 10_000

DIGEST_BYTES = {ChecksumAlgorithm.SHA256_CHUNKED: 32, ChecksumAlgorithm.CRC64NVME: 8}
MANIFEST_TYPES = {
    ChecksumAlgorithm.SHA256_CHUNKED: "sha2-256-chunked",
    ChecksumAlgorithm.CRC64NVME: "CRC64NVME",
}
LEGACY_TYPE = "SHA256"
"""Type of checksums of whole objects, which quilt3 wrote before it hashed chunks."""

_HEX_SHA256 = re.compile(r"[0-9a-f]{64}").fullmatch
_STORED = re.compile(r"(?P<digest>[^-]+)(?:-(?P<parts>[1-9][0-9]{0,4}))?")


class ChunkHasher(Protocol):
    """Hashes the bytes of one chunk, in order."""

    def update(self, data: BytesLike, /) -> None:
        """Hash the next bytes."""

    def digest(self) -> bytes:
        """Return the digest of all bytes so far."""


@cache
def _crc64nvme() -> Callable[[BytesLike, int], int]:
    from awscrt import checksums  # noqa: PLC0415 - only where this algorithm is used

    advance: Callable[[BytesLike, int], int] = checksums.crc64nvme
    return advance


class _Crc64Nvme:
    def __init__(self) -> None:
        self._advance = _crc64nvme()
        self._crc = 0

    def update(self, data: BytesLike, /) -> None:
        self._crc = self._advance(data, self._crc)

    def digest(self) -> bytes:
        return self._crc.to_bytes(DIGEST_BYTES[ChecksumAlgorithm.CRC64NVME], "big")


def chunk_hasher(algorithm: ChecksumAlgorithm) -> ChunkHasher:
    """Return a hasher for one chunk of an object."""
    if algorithm is ChecksumAlgorithm.CRC64NVME:
        return _Crc64Nvme()
    return hashlib.sha256()


def chunk_size_bytes(size_bytes: int) -> int:
    """Return the size of Quilt's chunks of an object: 8 MiB, doubled until 10,000 are enough.

    Example:
        >>> chunk_size_bytes(1)
        8388608
        >>> chunk_size_bytes(10_000 * 8388608 + 1)
        16777216
    """
    chunk_bytes = MIN_CHUNK_BYTES
    while size_bytes > chunk_bytes * MAX_CHUNKS:
        chunk_bytes *= 2
    return chunk_bytes


def chunk_ranges(size_bytes: int) -> Iterator[tuple[int, int]]:
    """Yield the first and the last byte of each of Quilt's chunks of an object, in order.

    Above 39.06 TiB a chunk is larger than the 5 GiB that S3 copies in one part.

    Example:
        >>> list(chunk_ranges(8388608 + 1))
        [(0, 8388607), (8388608, 8388608)]
    """
    chunk_bytes = chunk_size_bytes(size_bytes)
    for first_byte in range(0, size_bytes, chunk_bytes):
        yield first_byte, min(first_byte + chunk_bytes, size_bytes) - 1


def from_chunk_digests(
    algorithm: ChecksumAlgorithm, size_bytes: int, digests: Sequence[bytes]
) -> Checksum:
    """Combine the digests of an object's chunks.

    Args:
        algorithm: Algorithm of the digests.
        size_bytes: Size of the object.
        digests: Digest of each of `chunk_ranges(size_bytes)`, in order; none for an empty object.

    Raises:
        ValueError: The number of digests is not the number of chunks.

    Example:
        >>> from_chunk_digests(ChecksumAlgorithm.SHA256_CHUNKED, 0, []).value
        '47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='
    """
    chunks = count_chunks(size_bytes)
    if len(digests) != chunks:
        raise ValueError(f"{len(digests)} digests for {chunks} chunks")
    if algorithm is ChecksumAlgorithm.CRC64NVME:
        return _checksum(algorithm, _combine_crcs(size_bytes, digests))
    return _checksum(algorithm, hashlib.sha256(b"".join(digests)).digest())


def decode_digest(algorithm: ChecksumAlgorithm, text: str) -> bytes | None:
    r"""Decode canonical base64; None if it is not a digest of the algorithm.

    Example:
        >>> decode_digest(ChecksumAlgorithm.CRC64NVME, "AAAAAAAAAAE=")
        b'\x00\x00\x00\x00\x00\x00\x00\x01'
        >>> decode_digest(ChecksumAlgorithm.CRC64NVME, "AAAAAAE=") is None
        True
    """
    try:
        digest = a2b_base64(text, strict_mode=True)
    except ValueError:
        return None
    is_canonical = _encode(digest) == text
    return digest if is_canonical and len(digest) == DIGEST_BYTES[algorithm] else None


def is_valid(checksum: Checksum) -> bool:
    """Return whether the value of a manifest's checksum is one of its type, which quilt3 verifies.

    Example:
        >>> is_valid(Checksum("SHA256", "ab" * 32)), is_valid(Checksum("SHA256", "ab"))
        (True, False)
    """
    if checksum.type == LEGACY_TYPE:
        return _HEX_SHA256(checksum.value) is not None
    algorithm = next((each for each, name in MANIFEST_TYPES.items() if name == checksum.type), None)
    return algorithm is not None and decode_digest(algorithm, checksum.value) is not None


def may_be_stored(
    found: SourceObject, algorithms: Sequence[ChecksumAlgorithm], *, names_checksums: bool
) -> bool:
    """Return whether HEAD has to show if S3 has a usable checksum, or a restored copy.

    Args:
        found: An object that is not empty.
        algorithms: Acceptable algorithms.
        names_checksums: The listing names the algorithms of stored checksums, so that a row
            without one means that there is none.
    """
    return found.archived or not names_checksums or found.stored in algorithms


def needs_part_sizes(
    algorithm: ChecksumAlgorithm, size_bytes: int, stored: StoredChecksums
) -> bool:
    """Return whether only the sizes of the parts can show that a stored checksum is usable.

    GetObjectAttributes returns them. They matter if the number of parts is the number of chunks.

    Example:
        >>> composite = StoredChecksums(sha256=f"{'A' * 43}=-2", type="COMPOSITE")
        >>> needs_part_sizes(ChecksumAlgorithm.SHA256_CHUNKED, 9 * 1024 * 1024, composite)
        True
    """
    digest, parts = _parse_stored(algorithm, stored)
    return digest is not None and parts > 1 and parts == count_chunks(size_bytes)


def from_stored(
    algorithm: ChecksumAlgorithm,
    size_bytes: int,
    stored: StoredChecksums,
    part_sizes_bytes: list[int] | None = None,
) -> Checksum | None:
    """Derive the manifest's checksum from S3's; None if the object has to be hashed.

    Args:
        algorithm: Algorithm of the manifest's checksum.
        size_bytes: Size of the object; an empty one is never hashed.
        stored: Checksums in the response to HeadObject.
        part_sizes_bytes: Size of each part, in order; required if `needs_part_sizes`.

    Example:
        >>> sha256_of_hello = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
        >>> stored = StoredChecksums(sha256=sha256_of_hello, type="FULL_OBJECT")
        >>> from_stored(ChecksumAlgorithm.SHA256_CHUNKED, 5, stored).value
        'lZXJ35AHUUjrBoYDZd8zWEt1v/eCpRDGzUiDpBmDPVA='
    """
    if size_bytes == 0:
        return from_chunk_digests(algorithm, 0, [])
    digest, parts = _parse_stored(algorithm, stored)
    if digest is None:
        return None
    chunks = count_chunks(size_bytes)
    if parts == 0:
        if algorithm is ChecksumAlgorithm.CRC64NVME:
            return _checksum(algorithm, digest)
        return from_chunk_digests(algorithm, size_bytes, [digest]) if chunks == 1 else None
    # A single part is the whole object; several parts may have any sizes.
    parts_are_chunks = parts == chunks and (
        parts == 1 or part_sizes_bytes == _chunk_sizes_bytes(size_bytes)
    )
    return _checksum(algorithm, digest) if parts_are_chunks else None


def whole_object_algorithm(
    size_bytes: int, algorithms: Collection[ChecksumAlgorithm]
) -> ChecksumAlgorithm | None:
    """Return the algorithm by which a hash of all bytes gives the manifest's checksum, if any.

    A SHA-256 does for an object of one chunk, and a CRC64NVME for any.

    Args:
        size_bytes: Size of the object.
        algorithms: Acceptable algorithms.

    Example:
        >>> whole_object_algorithm(8388608, tuple(ChecksumAlgorithm))
        <ChecksumAlgorithm.SHA256_CHUNKED: 'SHA256_CHUNKED'>
        >>> whole_object_algorithm(8388608 + 1, tuple(ChecksumAlgorithm))
        <ChecksumAlgorithm.CRC64NVME: 'CRC64NVME'>
        >>> whole_object_algorithm(8388608 + 1, [ChecksumAlgorithm.SHA256_CHUNKED]) is None
        True
    """
    sha256 = ChecksumAlgorithm.SHA256_CHUNKED
    if sha256 in algorithms and count_chunks(size_bytes) == 1:
        return sha256
    crc64nvme = ChecksumAlgorithm.CRC64NVME
    return crc64nvme if crc64nvme in algorithms else None


def stored_algorithm(size_bytes: int, stored: StoredChecksums) -> ChecksumAlgorithm | None:
    """Return the algorithm of the checksum in a HEAD's response that may be usable, as a listing.

    Example:
        >>> stored_algorithm(5, StoredChecksums(crc64nvme="AAAAAAAAAAA="))
        <ChecksumAlgorithm.CRC64NVME: 'CRC64NVME'>
    """
    if stored.crc64nvme is not None:
        return ChecksumAlgorithm.CRC64NVME
    sha256 = stored.sha256
    if sha256 is not None and (size_bytes <= MIN_CHUNK_BYTES or "-" in sha256):
        return ChecksumAlgorithm.SHA256_CHUNKED
    return None


def _chunk_sizes_bytes(size_bytes: int) -> list[int]:
    return [last_byte - first_byte + 1 for first_byte, last_byte in chunk_ranges(size_bytes)]


def _parse_stored(
    algorithm: ChecksumAlgorithm, stored: StoredChecksums
) -> tuple[bytes | None, int]:
    """Return the digest, and the number of parts that it is a hash of: 0 for a hash of bytes."""
    is_crc = algorithm is ChecksumAlgorithm.CRC64NVME
    text = stored.crc64nvme if is_crc else stored.sha256
    match = _STORED.fullmatch(text) if text is not None else None
    if match is None:
        return None, 0
    parts = int(match["parts"] or 0)
    # S3 has no composite CRC64NVME, and a composite value has its number of parts.
    is_plausible = stored.type in {None, "COMPOSITE" if parts else "FULL_OBJECT"}
    usable = is_plausible and not (is_crc and parts)
    return decode_digest(algorithm, match["digest"]) if usable else None, parts


def count_chunks(size_bytes: int) -> int:
    """Return the number of Quilt's chunks of an object: 0 for an empty one.

    Example:
        >>> count_chunks(8388608 + 1)
        2
    """
    return -(-size_bytes // chunk_size_bytes(size_bytes))


def _combine_crcs(size_bytes: int, digests: Sequence[bytes]) -> bytes:
    if len(digests) == 1:
        return digests[0]
    from awscrt.checksums import combine_crc64nvme  # noqa: PLC0415 - only where it is used

    crc = 0
    for digest, chunk_bytes in zip(digests, _chunk_sizes_bytes(size_bytes), strict=True):
        crc = combine_crc64nvme(crc, int.from_bytes(digest, "big"), chunk_bytes)
    return crc.to_bytes(DIGEST_BYTES[ChecksumAlgorithm.CRC64NVME], "big")


def _checksum(algorithm: ChecksumAlgorithm, digest: bytes) -> Checksum:
    return Checksum(MANIFEST_TYPES[algorithm], _encode(digest))


def _encode(digest: bytes) -> str:
    return b2a_base64(digest, newline=False).decode("ascii")
