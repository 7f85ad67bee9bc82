"""An object's bytes, read in ranges and hashed here, within a budget of memory."""

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
"""How much one GET reads at most."""

READ_BUDGET_BYTES = 128 * 1024 * 1024
"""How many bytes all GETs together hold in memory; awscrt holds as many again while they come."""

RANGES_IN_FLIGHT = 32
"""How many chunks of one object are read at once."""

RANGE_ATTEMPTS = 3

MIN_THREAD_BYTES = 1024 * 1024
"""What takes longer to hash than a thread to begin. Hashing releases the GIL."""


class RangeReader:
    """Reads objects to hash them.

    Args:
        s3: S3.
    """

    def __init__(self, s3: S3) -> None:
        """Make no request yet."""
        self._s3 = s3
        self._budget = ByteBudget(READ_BUDGET_BYTES)

    async def checksums_of(
        self, uri: S3Uri, found: SourceObject, algorithms: Sequence[ChecksumAlgorithm]
    ) -> list[Checksum]:
        """Read an object once, and hash it by several algorithms.

        Args:
            uri: The object, or its version.
            found: What it must still be; not empty.
            algorithms: What to compute.

        Returns:
            One for each algorithm.

        Raises:
            MalformedResponse: S3 keeps sending other bytes than it was asked for.
        """
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
        """Read some chunks of an object once, and hash them by several algorithms.

        Args:
            uri: The object, or its version.
            found: What it must still be; not empty.
            algorithms: What to compute.
            chunks: The first chunk, and the one to stop before.

        Returns:
            For each algorithm the digests of the chunks, in order.

        Raises:
            MalformedResponse: S3 keeps sending other bytes than it was asked for.
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
            f"Asked for {size_bytes} bytes of {uri} ({found.etag}), "
            f"S3 sent {len(body.data)} ({body.etag}).",
            why="Its answer was cut on its way, or the endpoint is not quite S3.",
            remedy="The job is retried by itself; look into it if this returns.",
        )


def _update(hashers: Sequence[ChunkHasher], data: bytes) -> None:
    for hasher in hashers:
        hasher.update(data)
