"""The checksums of S3, computed over the bytes of a body, and how S3 writes them."""

import base64
import hashlib
import zlib
from collections.abc import Callable, Iterable

from awscrt import checksums as crt

ALGORITHMS = ("SHA256", "SHA1", "CRC32", "CRC32C", "CRC64NVME")
DEFAULT_ALGORITHM = "CRC64NVME"
"""What S3 stores for an upload that brings no checksum."""

HEADER_PREFIX = "x-amz-checksum-"
FULL_OBJECT = "FULL_OBJECT"
COMPOSITE = "COMPOSITE"

_HASHES = {"MD5": hashlib.md5, "SHA1": hashlib.sha1, "SHA256": hashlib.sha256}
_CRCS: dict[str, tuple[Callable[[bytes, int], int], int]] = {
    "CRC32": (zlib.crc32, 4),
    "CRC32C": (crt.crc32c, 4),
    "CRC64NVME": (crt.crc64nvme, 8),
}


def digest(algorithm: str, chunks: Iterable[bytes]) -> bytes:
    """The digest of the chunks' concatenation, by one of `ALGORITHMS` or MD5."""
    if algorithm in _HASHES:
        hasher = _HASHES[algorithm](usedforsecurity=False)
        for chunk in chunks:
            hasher.update(chunk)
        return hasher.digest()
    update, size_bytes = _CRCS[algorithm]
    crc = 0
    for chunk in chunks:
        crc = update(chunk, crc)
    return crc.to_bytes(size_bytes, "big")


def encode(digest_bytes: bytes) -> str:
    """A digest as S3 writes it."""
    return base64.b64encode(digest_bytes).decode()


def compose(algorithm: str, part_digests: Iterable[bytes]) -> str:
    """The composite checksum of an upload: a hash over the parts' hashes, and their count."""
    digests = list(part_digests)
    return f"{encode(digest(algorithm, digests))}-{len(digests)}"


def header_name(algorithm: str) -> str:
    """The header that carries a checksum of this algorithm."""
    return HEADER_PREFIX + algorithm.lower()


def to_xml(values: dict[str, str], checksum_type: str | None = None) -> str:
    """Checksums by algorithm as the elements that S3 puts into its answers."""
    elements = "".join(
        f"<Checksum{name}>{value}</Checksum{name}>" for name, value in values.items()
    )
    if checksum_type and values:
        elements += f"<ChecksumType>{checksum_type}</ChecksumType>"
    return elements
