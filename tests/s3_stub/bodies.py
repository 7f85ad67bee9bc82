"""Bodies of objects: bytes in memory, or computed, so that a huge object costs nothing."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from tests.s3_stub import checksums

CHUNK_BYTES = 1024 * 1024


class Body(Protocol):
    """The bytes of an object or of a part, readable in any order."""

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""

    def read(self, first: int, size_bytes: int) -> bytes:
        """The bytes from `first` on, `size_bytes` of them."""

    def digest(self, algorithm: str, first: int, size_bytes: int) -> bytes:
        """The digest of a range."""


def iterate(body: Body, first: int, size_bytes: int) -> Iterator[bytes]:
    """The bytes of a range, in chunks."""
    end = first + size_bytes
    for start in range(first, end, CHUNK_BYTES):
        yield body.read(start, min(CHUNK_BYTES, end - start))


def digest_all(body: Body, algorithm: str) -> bytes:
    """The digest of a whole body."""
    return body.digest(algorithm, 0, body.size_bytes)


def read_all(body: Body) -> bytes:
    """A whole body as bytes."""
    return body.read(0, body.size_bytes)


class Bytes:
    """A body in memory."""

    __slots__ = ("_data",)

    def __init__(self, data: bytes) -> None:
        self._data = data

    @property
    def size_bytes(self) -> int:
        """How many bytes there are."""
        return len(self._data)

    def read(self, first: int, size_bytes: int) -> bytes:
        """The bytes from `first` on, `size_bytes` of them."""
        if not first and size_bytes >= len(self._data):
            return self._data
        return self._data[first : first + size_bytes]

    def digest(self, algorithm: str, first: int, size_bytes: int) -> bytes:
        """The digest of a range."""
        return checksums.digest(algorithm, (self.read(first, size_bytes),))


class Pattern:
    """A body that repeats a short text up to any size, and holds none of it.

    Digests of equal ranges of equal patterns are computed once in a process, so an object of
    many gibibytes is hashed in the time of one of its parts.

    Args:
        size_bytes: The size of the body.
        seed: What it repeats; bodies with other seeds have other bytes.
    """

    __slots__ = ("_block", "size_bytes")

    def __init__(self, size_bytes: int, seed: str = "quilt") -> None:
        self.size_bytes = size_bytes
        self._block = f"{seed}:{size_bytes}.".encode().ljust(64, b".")

    def read(self, first: int, size_bytes: int) -> bytes:
        """The bytes from `first` on, `size_bytes` of them."""
        size_bytes = max(0, min(size_bytes, self.size_bytes - first))
        phase = first % len(self._block)
        repeats = (phase + size_bytes) // len(self._block) + 1
        return (self._block * repeats)[phase : phase + size_bytes]

    def digest(self, algorithm: str, first: int, size_bytes: int) -> bytes:
        """The digest of a range."""
        if size_bytes <= CHUNK_BYTES:
            return checksums.digest(algorithm, (self.read(first, size_bytes),))
        phase = first % len(self._block)
        return _digest_pattern(self._block, algorithm, phase, size_bytes)


@lru_cache(maxsize=4096)
def _digest_pattern(block: bytes, algorithm: str, phase: int, size_bytes: int) -> bytes:
    chunk = (block * (CHUNK_BYTES // len(block) + 2))[phase:]
    chunk = chunk[: CHUNK_BYTES // len(block) * len(block)]
    whole, rest = divmod(size_bytes, len(chunk))

    def chunks() -> Iterator[bytes]:
        for _ in range(whole):
            yield chunk
        yield chunk[:rest]

    return checksums.digest(algorithm, chunks())


class Slice:
    """A range of another body: what UploadPartCopy makes of it."""

    __slots__ = ("_body", "_first", "size_bytes")

    def __init__(self, body: Body, first: int, size_bytes: int) -> None:
        self._body = body
        self._first = first
        self.size_bytes = size_bytes

    def read(self, first: int, size_bytes: int) -> bytes:
        """The bytes from `first` on, `size_bytes` of them."""
        return self._body.read(self._first + first, min(size_bytes, self.size_bytes - first))

    def digest(self, algorithm: str, first: int, size_bytes: int) -> bytes:
        """The digest of a range."""
        return self._body.digest(algorithm, self._first + first, size_bytes)


class Joined:
    """Bodies one after the other: a completed multipart upload."""

    __slots__ = ("_bodies", "_by_range", "size_bytes")

    def __init__(self, bodies: Sequence[Body]) -> None:
        self._bodies = bodies
        self.size_bytes = 0
        self._by_range: dict[tuple[int, int], Body] = {}
        for body in bodies:
            self._by_range[self.size_bytes, body.size_bytes] = body
            self.size_bytes += body.size_bytes

    def read(self, first: int, size_bytes: int) -> bytes:
        """The bytes from `first` on, `size_bytes` of them."""
        pieces = []
        end = min(first + size_bytes, self.size_bytes)
        start = 0
        for body in self._bodies:
            begin, stop = max(first, start), min(end, start + body.size_bytes)
            if begin < stop:
                pieces.append(body.read(begin - start, stop - begin))
            start += body.size_bytes
        return b"".join(pieces)

    def digest(self, algorithm: str, first: int, size_bytes: int) -> bytes:
        """The digest of a range; that of a part costs no more than it did before."""
        part = self._by_range.get((first, size_bytes))
        if part is not None:
            return part.digest(algorithm, 0, size_bytes)
        return checksums.digest(algorithm, iterate(self, first, size_bytes))
