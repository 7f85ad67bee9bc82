"""The checksum of each object of a package, by the cheapest route that gives the right one.

What S3 has stored costs one HEAD. Small objects are read and hashed here; large ones are copied
inside S3, which hashes the parts, or else read in ranges. Each route gives the same value, and
each request is bound to the version or ETag that was listed.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from uuid import uuid4

import msgspec

from quilt_packager_runtime.checksums import (
    MIN_CHUNK_BYTES,
    StoredChecksums,
    chunk_hasher,
    chunk_ranges,
    decode_digest,
    from_chunk_digests,
    from_stored,
    needs_part_sizes,
)
from quilt_packager_runtime.concurrency import ByteBudget, for_each
from quilt_packager_runtime.errors import (
    MAX_NAMED,
    AccessDenied,
    ArchivedObjects,
    BadRequest,
    InvalidObjectState,
    NoSuchKey,
    PackagerError,
    PreconditionFailed,
    SourceChanged,
    UnreadableObjects,
    name_some,
)
from quilt_packager_runtime.objects import (
    Checksum,
    ChecksumAlgorithm,
    S3Uri,
    SourceFolder,
    SourceObject,
)
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.settings import Settings

RANGE_BYTES = MIN_CHUNK_BYTES
"""How much of a large object one GET reads."""

READ_BUDGET_BYTES = 128 * 1024 * 1024
"""How many bytes all GETs together hold in memory; awscrt holds as many again while they come."""

PARTS_IN_FLIGHT = 32
"""How many chunks of one object are hashed at once."""

MAX_COPY_PART_BYTES = 5 * 1024**3
SCRATCH_PREFIX = "hash/"

logger = logging.getLogger(__name__)


class Hashed(msgspec.Struct, frozen=True):
    """The checksums of a listing.

    Attributes:
        checksums: One for each object, in the listing's order.
        stored: How many of them S3 had stored.
        computed: How many had to be computed.
    """

    checksums: list[Checksum]
    stored: int
    computed: int


class _Unreadable(Exception):
    """An object that cannot be hashed, whoever tries how often."""

    def __init__(self, kind: type[PackagerError]) -> None:
        super().__init__()
        self.kind = kind


async def hash_objects(
    s3: S3,
    folder: SourceFolder,
    objects: Collection[SourceObject],
    *,
    settings: Settings,
    on_progress: Callable[[int], object],
) -> Hashed:
    """Find or compute the checksum of every object. The first failure cancels the rest.

    At most `READ_BUDGET_BYTES` of objects are in memory at a time, and
    `settings.max_requests_in_flight` objects in work.

    Args:
        s3: S3.
        folder: Where the objects are.
        objects: The listing.
        settings: Algorithms, scratch bucket, concurrency.
        on_progress: Told after each object how many are done.

    Raises:
        SourceChanged: An object is not what was listed any more.
        ArchivedObjects: Objects whose bytes cannot be read, without a stored checksum.
        UnreadableObjects: Objects encrypted with their owner's own key.
        AccessDenied: Objects that may not be read.
    """
    hasher = _ObjectHasher(s3, folder.bucket, settings)
    checksums: dict[int, Checksum] = {}
    unreadable: dict[type[PackagerError], list[str]] = {}

    async def hash_one(indexed: tuple[int, SourceObject]) -> None:
        index, found = indexed
        try:
            checksums[index] = await hasher.checksum_of(found)
        except _Unreadable as finding:
            keys = unreadable.setdefault(finding.kind, [])
            keys.append(found.key)
            if len(keys) >= MAX_NAMED:
                raise _unreadable_error(finding.kind, keys) from None
        on_progress(len(checksums))

    await for_each(enumerate(objects), hash_one, at_once=settings.max_requests_in_flight)
    for kind, keys in unreadable.items():
        raise _unreadable_error(kind, keys)
    return Hashed(
        checksums=[checksums[index] for index in range(len(objects))],
        stored=len(objects) - hasher.computed,
        computed=hasher.computed,
    )


class _ObjectHasher:
    """Hashes one object after another, or many at once."""

    def __init__(self, s3: S3, bucket: str, settings: Settings) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._scratch_bucket = settings.scratch_bucket
        self._algorithms = settings.checksum_algorithms
        self._budget = ByteBudget(READ_BUDGET_BYTES)
        self.computed = 0

    async def checksum_of(self, found: SourceObject) -> Checksum:
        uri = S3Uri(self._bucket, found.key, found.version_id)
        try:
            return await self._stored(uri, found) or await self._computed(uri, found)
        except InvalidObjectState:
            raise _Unreadable(ArchivedObjects) from None
        except AccessDenied:
            raise _Unreadable(AccessDenied) from None
        except BadRequest:
            raise _Unreadable(UnreadableObjects) from None
        except (NoSuchKey, PreconditionFailed) as error:
            raise _changed(uri) from error

    async def _stored(self, uri: S3Uri, found: SourceObject) -> Checksum | None:
        if found.size_bytes == 0:
            return from_stored(self._algorithms[0], 0, StoredChecksums())
        head = await self._s3.head_object(uri, if_match=found.etag)
        if head.size_bytes != found.size_bytes:
            raise _changed(uri)
        for algorithm in self._algorithms:
            part_sizes = None
            if needs_part_sizes(algorithm, found.size_bytes, head.stored):
                part_sizes = await self._part_sizes(uri, found)
            checksum = from_stored(algorithm, found.size_bytes, head.stored, part_sizes)
            if checksum is not None:
                return checksum
        return None

    async def _part_sizes(self, uri: S3Uri, found: SourceObject) -> list[int] | None:
        try:
            return await self._s3.get_part_sizes_bytes(uri, if_match=found.etag)
        except AccessDenied:
            return None  # the bytes may be readable all the same

    async def _computed(self, uri: S3Uri, found: SourceObject) -> Checksum:
        if found.archived:
            raise _Unreadable(ArchivedObjects)
        self.computed += 1
        algorithm = self._algorithms[0]
        digests = None
        if found.size_bytes >= MIN_CHUNK_BYTES and self._scratch_bucket is not None:
            try:
                digests = await self._copied(uri, found, algorithm, self._scratch_bucket)
            except (AccessDenied, BadRequest) as error:
                # Reading tells whether it is the object that is refused, or only the copy of it.
                logger.warning("could not copy", extra={"code": error.code})
        if digests is None:
            digests = await self._read(uri, found, algorithm)
        return from_chunk_digests(algorithm, found.size_bytes, digests)

    async def _copied(
        self, uri: S3Uri, found: SourceObject, algorithm: ChecksumAlgorithm, scratch_bucket: str
    ) -> list[bytes] | None:
        """Digests of the chunks from S3 itself; None where the bytes have to be read."""
        chunks = list(chunk_ranges(found.size_bytes))
        too_large = chunks[0][1] >= MAX_COPY_PART_BYTES
        if too_large or not self._s3.same_region(uri.bucket, scratch_bucket):
            return None
        digests: dict[int, bytes] = {}
        async with self._upload(scratch_bucket, algorithm) as (scratch, upload_id):

            async def copy(part: tuple[int, tuple[int, int]]) -> None:
                number, (first_byte, last_byte) = part
                text = await self._s3.upload_part_copy(
                    scratch,
                    upload_id,
                    number,
                    source=uri,
                    first_byte=first_byte,
                    last_byte=last_byte,
                    if_match=found.etag,
                    algorithm=algorithm,
                )
                digest = decode_digest(algorithm, text or "")
                if digest is not None:
                    digests[number] = digest

            numbered = enumerate(chunks, start=1)
            await copy(next(numbered))  # whether S3 gives a checksum shows at the first
            if digests:
                await for_each(numbered, copy, at_once=PARTS_IN_FLIGHT)
        if len(digests) < len(chunks):
            return None
        return [digests[number] for number in sorted(digests)]

    @asynccontextmanager
    async def _upload(
        self, scratch_bucket: str, algorithm: ChecksumAlgorithm
    ) -> AsyncIterator[tuple[S3Uri, str]]:
        """An upload that is always aborted: only its parts' checksums are wanted."""
        scratch = S3Uri(scratch_bucket, f"{SCRATCH_PREFIX}{uuid4()}")
        upload_id = await self._s3.create_multipart_upload(scratch, algorithm)
        try:
            yield scratch, upload_id
        finally:
            try:
                await self._s3.abort_multipart_upload(scratch, upload_id)
            except PackagerError as error:  # the bucket's lifecycle rule will abort it
                logger.warning("could not abort an upload", extra={"code": error.code})

    async def _read(
        self, uri: S3Uri, found: SourceObject, algorithm: ChecksumAlgorithm
    ) -> list[bytes]:
        digests: dict[int, bytes] = {}

        async def read_chunk(chunk: tuple[int, int]) -> None:
            hasher = chunk_hasher(algorithm)
            first_byte, end = chunk[0], chunk[1] + 1
            for start in range(first_byte, end, RANGE_BYTES):
                last_byte = min(start + RANGE_BYTES, end) - 1
                size_bytes = last_byte - start + 1
                async with self._budget.hold(size_bytes):
                    body = await self._s3.get_object(
                        uri, first_byte=start, last_byte=last_byte, if_match=found.etag
                    )
                    if len(body.data) != size_bytes or body.size_bytes != found.size_bytes:
                        raise _changed(uri)
                    # Hashing releases the GIL, but a thread costs more than a small object.
                    if size_bytes < RANGE_BYTES:
                        hasher.update(body.data)
                    else:
                        await asyncio.to_thread(hasher.update, body.data)
            digests[first_byte] = hasher.digest()

        await for_each(chunk_ranges(found.size_bytes), read_chunk, at_once=PARTS_IN_FLIGHT)
        return [digests[first_byte] for first_byte in sorted(digests)]


def _changed(uri: S3Uri) -> SourceChanged:
    return SourceChanged(
        f"{uri} changed while the package was made.",
        why="Something still writes there.",
        remedy="The job is retried by itself; write the folder first, then send the message.",
    )


def _unreadable_error(kind: type[PackagerError], keys: list[str]) -> PackagerError:
    named = name_some(sorted(keys))
    at_least = "at least " if len(keys) >= MAX_NAMED else ""
    if kind is ArchivedObjects:
        return kind(
            f"{at_least}{len(keys)} archived objects have no usable checksum: {named}.",
            why="Their bytes cannot be read to compute one.",
            remedy="Restore them, or copy them with a SHA-256 checksum, and send again.",
        )
    if kind is UnreadableObjects:
        return kind(
            f"S3 does not show {at_least}{len(keys)} objects: {named}.",
            why="They are encrypted with a key of their owner's (SSE-C).",
            remedy="Copy them with encryption by S3 or KMS, and send again.",
        )
    return kind(
        f"The packager may not read {at_least}{len(keys)} objects: {named}.",
        why="A policy of its role, of the bucket, or of a KMS key does not allow it, "
        "or the requester would have to pay.",
        remedy="Allow s3:GetObject and s3:GetObjectVersion (and kms:Decrypt), and send again.",
    )
