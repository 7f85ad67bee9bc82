"""Read objects in ranges and hash them, within a memory budget."""

import asyncio
import hashlib
from collections.abc import Mapping, Sequence
from itertools import islice

import msgspec

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.concurrency import ByteBudget, for_each
from quilt_packager_runtime.errors import MalformedResponse, PreconditionFailed
from quilt_packager_runtime.formats.checksums import (
    MIN_CHUNK_BYTES,
    ChunkHasher,
    chunk_hasher,
    chunk_ranges,
    chunk_size_bytes,
    count_chunks,
    from_chunk_digests,
    from_stored,
)
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    S3Uri,
    SourceObject,
    StoredChecksums,
)

RANGE_BYTES = MIN_CHUNK_BYTES
"""Maximum number of bytes of a GET."""

READ_BUDGET_BYTES = 128 * 1024 * 1024
"""Memory budget of all GETs; awscrt holds as many bytes again while it receives them."""

RANGES_IN_FLIGHT = 32
"""Maximum number of concurrently read chunks of an object."""

RANGES_AHEAD = 4
"""Maximum number of concurrent GETs of an object whose bytes are hashed in order."""

RANGE_ATTEMPTS = 3

MIN_THREAD_BYTES = 1024 * 1024
"""Size from which hashing in a thread is faster. Hashing releases the GIL."""


class RangeReader:
    """Hashes objects by reading them."""

    def __init__(self, s3: S3) -> None:
        self._s3 = s3
        self._budget = ByteBudget(READ_BUDGET_BYTES)

    async def checksum_of_whole(
        self,
        uri: S3Uri,
        found: SourceObject,
        algorithm: ChecksumAlgorithm,
        stored: StoredChecksums | None,
    ) -> Checksum:
        """Read an object of at most `RANGE_BYTES` by one GET, and hash it.

        Raises:
            MalformedResponse: The bytes do not match the checksums that S3 has stored, or S3
                repeatedly sent other bytes than requested.
        """
        async with self._budget.hold(found.size_bytes):
            body = await self._read_range(uri, found, 0, found.size_bytes)
            known = _known(found, stored or body.stored)
            algorithms = [algorithm, *known]
            digests = await _hash(algorithms, body.data)
        return _verified(uri, found, algorithms, [[digest] for digest in digests], known)

    async def checksum_of_ranges(
        self,
        uri: S3Uri,
        found: SourceObject,
        algorithm: ChecksumAlgorithm,
        stored: StoredChecksums,
    ) -> Checksum:
        """Read an object once in ranges, and hash it.

        Raises:
            MalformedResponse: As `checksum_of_whole`.
        """
        known = _known(found, stored)
        algorithms = [algorithm, *known]
        chunks = (0, count_chunks(found.size_bytes))
        digests = await self.digests_of(uri, found, algorithms, chunks)
        return _verified(uri, found, algorithms, digests, known)

    async def checksum_with_digests(
        self, uri: S3Uri, found: SourceObject, algorithm: ChecksumAlgorithm
    ) -> Checksum:
        """Read an object once, in order, and compute its checksum and all of its `digests`.

        Raises:
            MalformedResponse: S3 repeatedly sent other bytes than requested.
        """
        chunk_bytes = chunk_size_bytes(found.size_bytes)
        of_chunk = chunk_hasher(algorithm)
        of_all = [hashlib.new(name) for name in found.digests]
        chunk_digests: list[bytes] = []
        position = 0
        turn = asyncio.Condition()

        async def read(start: int) -> None:
            nonlocal of_chunk, position
            size_bytes = min(RANGE_BYTES, found.size_bytes - start)
            async with self._budget.hold(size_bytes):
                data = (await self._read_range(uri, found, start, size_bytes)).data
                async with turn:
                    await turn.wait_for(lambda: position == start)
                    await asyncio.to_thread(_update, [of_chunk, *of_all], data)
                    position += size_bytes
                    if position % chunk_bytes == 0 or position == found.size_bytes:
                        chunk_digests.append(of_chunk.digest())
                        of_chunk = chunk_hasher(algorithm)
                    turn.notify_all()

        starts = range(0, found.size_bytes, RANGE_BYTES)
        await for_each(starts, read, at_once=RANGES_AHEAD)
        checksum = from_chunk_digests(algorithm, found.size_bytes, chunk_digests)
        digests = tuple(each.hexdigest() for each in of_all)
        return msgspec.structs.replace(checksum, digests=digests)

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
                    data = (await self._read_range(uri, found, start, size_bytes)).data
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
    ) -> ObjectBody:
        is_whole = size_bytes == found.size_bytes
        for _ in range(RANGE_ATTEMPTS):
            body = await self._s3.get_object(
                uri,
                first_byte=first_byte,
                last_byte=None if is_whole else first_byte + size_bytes - 1,
                if_match=found.etag,
                with_checksums=is_whole,
            )
            if len(body.data) == size_bytes and body.etag == found.etag:
                return body
        if body.etag != found.etag:
            raise PreconditionFailed(
                f"Requested {uri} with the ETag {found.etag}, received {body.etag}.",
                why="The object was overwritten, and the endpoint ignores If-Match.",
                remedy="Retry when the folder is complete.",
            )
        raise MalformedResponse(
            f"Requested {size_bytes} bytes of {uri} ({found.etag}), "
            f"received {len(body.data)} ({body.etag}).",
            why="The response was truncated in transit, or the endpoint differs from S3.",
            remedy="Retry; investigate if this recurs.",
        )


def _known(found: SourceObject, stored: StoredChecksums) -> dict[ChecksumAlgorithm, Checksum]:
    """Return the checksums of an object's bytes that S3 has stored."""
    return {
        algorithm: checksum
        for algorithm in ChecksumAlgorithm
        if (checksum := from_stored(algorithm, found.size_bytes, stored)) is not None
    }


def _verified(
    uri: S3Uri,
    found: SourceObject,
    algorithms: Sequence[ChecksumAlgorithm],
    digests: Sequence[Sequence[bytes]],
    known: Mapping[ChecksumAlgorithm, Checksum],
) -> Checksum:
    """Return the checksum of the first algorithm, if those of the others are the known ones."""
    wanted, *others = (
        from_chunk_digests(algorithm, found.size_bytes, chunks)
        for algorithm, chunks in zip(algorithms, digests, strict=True)
    )
    if others != list(known.values()):
        raise MalformedResponse(
            f"The bytes of {uri} do not match the checksums that S3 has stored.",
            why="They were corrupted in transit, or the stored checksum is wrong.",
            remedy="Retry; upload the object again if this recurs.",
        )
    return wanted


async def _hash(algorithms: Sequence[ChecksumAlgorithm], data: bytes) -> list[bytes]:
    hashers = [chunk_hasher(algorithm) for algorithm in algorithms]
    if len(data) < MIN_THREAD_BYTES:
        _update(hashers, data)
    else:
        await asyncio.to_thread(_update, hashers, data)
    return [hasher.digest() for hasher in hashers]


def _update(hashers: Sequence[ChunkHasher], data: bytes) -> None:
    for hasher in hashers:
        hasher.update(data)
