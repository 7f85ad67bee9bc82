"""Read objects in ranges and hash them, within a memory budget."""

import asyncio
from collections.abc import Sequence
from itertools import islice

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import ByteBudget, for_each
from quilt_packager_runtime.errors import MalformedResponse
from quilt_packager_runtime.formats.checksums import (
    MIN_CHUNK_BYTES,
    ChunkHasher,
    chunk_hasher,
    chunk_ranges,
    count_chunks,
    from_chunk_digests,
)
from quilt_packager_runtime.formats.objects import Checksum, ChecksumAlgorithm, S3Uri, SourceObject

RANGE_BYTES = MIN_CHUNK_BYTES
"""Maximum number of bytes of a GET."""

READ_BUDGET_BYTES = 128 * 1024 * 1024
"""Memory budget of all GETs; awscrt holds as many bytes again while it receives them."""

RANGES_IN_FLIGHT = 32
"""Maximum number of concurrently read chunks of an object."""

RANGE_ATTEMPTS = 3

MIN_THREAD_BYTES = 1024 * 1024
"""Size from which hashing in a thread is faster. Hashing releases the GIL."""


class RangeReader:
    """Hashes objects by reading them."""

    def __init__(self, s3: S3) -> None:
        self._s3 = s3
        self._budget = ByteBudget(READ_BUDGET_BYTES)

    async def checksums_of(
        self, uri: S3Uri, found: SourceObject, algorithms: Sequence[ChecksumAlgorithm]
    ) -> list[Checksum]:
        """Read an object once, which is not empty, and return a checksum for each algorithm."""
        chunks = (0, count_chunks(found.size_bytes))
        return [
            from_chunk_digests(algorithm, found.size_bytes, digests)
            for algorithm, digests in zip(
                algorithms, await self.digests_of(uri, found, algorithms, chunks), strict=True
            )
        ]

    async def digests_of(
        self,
        uri: S3Uri,
        found: SourceObject,
        algorithms: Sequence[ChecksumAlgorithm],
        chunks: tuple[int, int],
    ) -> list[list[bytes]]:
        """Read a range of chunks once, and return their digests in order for each algorithm.

        Raises:
            MalformedResponse: S3 repeatedly sent other bytes than requested.
        """
        digests: dict[int, list[bytes]] = {}

        async def read_chunk(chunk: tuple[int, int]) -> None:
            first_byte, last_byte = chunk
            hashers = [chunk_hasher(algorithm) for algorithm in algorithms]
            for start in range(first_byte, last_byte + 1, RANGE_BYTES):
                size_bytes = min(RANGE_BYTES, last_byte + 1 - start)
                async with self._budget.hold(size_bytes):
                    data = await self._read_range(uri, found, start, size_bytes)
                    if size_bytes < MIN_THREAD_BYTES:
                        _update(hashers, data)
                    else:
                        await asyncio.to_thread(_update, hashers, data)
            digests[first_byte] = [hasher.digest() for hasher in hashers]

        wanted = islice(chunk_ranges(found.size_bytes), *chunks)
        await for_each(wanted, read_chunk, at_once=RANGES_IN_FLIGHT)
        ordered = [digests[first_byte] for first_byte in sorted(digests)]
        return [[chunk[index] for chunk in ordered] for index in range(len(algorithms))]

    async def _read_range(
        self, uri: S3Uri, found: SourceObject, first_byte: int, size_bytes: int
    ) -> bytes:
        last_byte = first_byte + size_bytes - 1
        for _ in range(RANGE_ATTEMPTS):
            body = await self._s3.get_object(
                uri, first_byte=first_byte, last_byte=last_byte, if_match=found.etag
            )
            if len(body.data) == size_bytes and body.etag == found.etag:
                return body.data
        raise MalformedResponse(
            f"Requested {size_bytes} bytes of {uri} ({found.etag}), "
            f"received {len(body.data)} ({body.etag}).",
            why="The response was truncated in transit, or the endpoint differs from S3.",
            remedy="The job is retried automatically; investigate if this recurs.",
        )


def _update(hashers: Sequence[ChunkHasher], data: bytes) -> None:
    for hasher in hashers:
        hasher.update(data)
