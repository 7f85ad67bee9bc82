"""The checksum of each object of a package, by the cheapest route that gives the right one.

What S3 has stored costs one HEAD. Small objects are read and hashed here; large ones are copied
inside S3, which hashes the parts, or else read in ranges. Each route gives the same value, and
each request is bound to the version or ETag that was listed.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import msgspec

from quilt_packager_runtime.checksums import (
    MIN_CHUNK_BYTES,
    StoredChecksums,
    from_chunk_digests,
    from_stored,
    needs_part_sizes,
)
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.copying import PartCopier
from quilt_packager_runtime.errors import (
    MAX_NAMED,
    AccessDenied,
    ArchivedObjects,
    BadRequest,
    BrokenAnswer,
    InvalidObjectState,
    NoSuchKey,
    PreconditionFailed,
    Rejected,
    SourceChanged,
    UnreadableObjects,
    name_some,
)
from quilt_packager_runtime.inventory import Inventory
from quilt_packager_runtime.objects import Checksum, ChecksumAlgorithm, S3Uri, SourceObject
from quilt_packager_runtime.reading import RangeReader
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.settings import Settings

RECORD_OBJECTS = 1000
"""How many checksums are recorded at a time."""


class Hashed(msgspec.Struct, frozen=True):
    """Where checksums came from.

    Attributes:
        stored: How many of them S3 had stored.
        computed: How many had to be computed.
    """

    stored: int
    computed: int


async def hash_objects(  # noqa: PLR0913 - the last three are for large jobs, and for plans
    s3: S3,
    inventory: Inventory,
    *,
    settings: Settings,
    on_progress: Callable[[int], object],
    deadline: float | None = None,
    skip_changed: bool = False,
    only_stored: bool = False,
) -> Hashed:
    """Find or compute every checksum that an inventory lacks. The first failure cancels the rest.

    `settings.max_requests_in_flight` objects are in work at a time. The archived ones come first:
    they cost a HEAD each, or the whole job. What was found before a failure is in the inventory.

    Args:
        s3: S3.
        inventory: The objects; takes their checksums.
        settings: Algorithms, scratch bucket, concurrency.
        on_progress: Told after each object how many are done.
        deadline: When to stop, in seconds of the event loop's clock. The inventory tells what is
            missing then.
        skip_changed: Go on without objects that are not what was listed any more.
        only_stored: Compute nothing: leave out objects whose stored checksums do not serve.

    Raises:
        SourceChanged: An object is not what was listed any more.
        ArchivedObjects: Objects whose bytes cannot be read, without a stored checksum.
        UnreadableObjects: Objects encrypted with their owner's own key.
        AccessDenied: Objects that may not be read.
    """
    hasher = ObjectHasher(s3, inventory.folder.bucket, settings)
    unrecorded: list[tuple[str, Checksum]] = []
    done = 0
    unreadable = _UnreadableKeys()
    tolerated = (SourceChanged, _NotStored) if skip_changed else (_NotStored,)

    def record() -> None:
        inventory.record(unrecorded)
        unrecorded.clear()

    async def hash_one(found: SourceObject) -> None:
        nonlocal done
        try:
            checksum = await hasher.checksum_of(found, only_stored=only_stored)
        except tolerated:
            return
        except _Unreadable as finding:
            count = unreadable.add(finding.kind, found.key)
            if count >= MAX_NAMED and not found.archived:
                raise unreadable.error(more=True) from None
            return
        unrecorded.append((found.key, checksum))
        if len(unrecorded) >= RECORD_OBJECTS:
            record()
        done += 1
        on_progress(done)

    for archived in (True, False):
        objects = _unhashed(inventory, archived=archived)
        try:
            async with asyncio.timeout_at(deadline):
                await for_each(objects, hash_one, at_once=settings.max_requests_in_flight)
        except TimeoutError:
            break
        finally:
            record()
        if unreadable:
            raise unreadable.error()
    return Hashed(stored=done - hasher.computed, computed=hasher.computed)


async def _unhashed(inventory: Inventory, *, archived: bool) -> AsyncIterator[SourceObject]:
    async for block in inventory.unhashed(archived=archived):
        for found in block:
            yield found


async def hash_chunks(
    hasher: "ObjectHasher", found: SourceObject, chunks: tuple[int, int]
) -> Checksum | list[bytes]:
    """Compute the digests of some chunks of an object, for others to combine with the rest.

    Args:
        hasher: One for all objects of a bucket: it knows which scratch buckets are useless.
        found: The object as it was listed.
        chunks: The first chunk, and the one to stop before.

    Returns:
        The digests, in order, by the first algorithm of the settings; or the checksum of the whole
        object, where S3 has stored it.

    Raises:
        SourceChanged: The object is not what was listed any more.
        ArchivedObjects: Its bytes cannot be read, and there is no stored checksum.
        UnreadableObjects: It is encrypted with its owner's own key.
        AccessDenied: It may not be read.
    """
    try:
        return await hasher.digests_of(found, chunks)
    except _Unreadable as finding:
        unreadable = _UnreadableKeys()
        unreadable.add(finding.kind, found.key)
        raise unreadable.error() from None


class _Unreadable(Exception):
    """An object that cannot be hashed, whoever tries how often."""

    def __init__(self, kind: type[Rejected]) -> None:
        super().__init__()
        self.kind = kind


class _NotStored(Exception):
    """An object whose checksum would have to be computed, and is not to be."""


class ObjectHasher:
    """Hashes one object after another, or many at once.

    Args:
        s3: S3.
        bucket: Where the objects are.
        settings: Algorithms, scratch buckets.
    """

    def __init__(self, s3: S3, bucket: str, settings: Settings) -> None:
        """Make no request yet."""
        self._s3 = s3
        self._bucket = bucket
        self._algorithms = settings.checksum_algorithms
        self._copier = PartCopier(s3, settings)
        self._reader = RangeReader(s3)
        self.computed = 0

    async def checksum_of(self, found: SourceObject, *, only_stored: bool = False) -> Checksum:
        """Take the stored checksum of an object, or compute one.

        Args:
            found: The object as it was listed.
            only_stored: Compute none, but say so.
        """
        if found.size_bytes == 0:
            return from_chunk_digests(self._algorithms[0], 0, [])
        uri = S3Uri(self._bucket, found.key, found.version_id)
        async with self._understanding(uri, found):
            stored = await self._ask_stored(uri, found)
            checksum = await self._take_stored(uri, found, stored)
            if checksum is None and found.archived:
                raise _Unreadable(ArchivedObjects)
            if checksum is None and only_stored:
                raise _NotStored
            return checksum or await self._compute(uri, found, stored)

    async def digests_of(
        self, found: SourceObject, chunks: tuple[int, int]
    ) -> Checksum | list[bytes]:
        """Take the stored checksum of an object, or compute the digests of some of its chunks.

        Args:
            found: The object as it was listed.
            chunks: The first chunk, and the one to stop before.
        """
        uri = S3Uri(self._bucket, found.key, found.version_id)
        async with self._understanding(uri, found):
            stored = await self._ask_stored(uri, found)
            checksum = await self._take_stored(uri, found, stored)
            if checksum is not None:
                return checksum
            if found.archived:
                raise _Unreadable(ArchivedObjects)
            algorithm = self._algorithms[0]
            copied = await self._copier.digests_of(uri, found, algorithm, chunks)
            if copied is not None:
                return copied
            (digests,) = await self._reader.digests_of(uri, found, [algorithm], chunks)
            return digests

    @asynccontextmanager
    async def _understanding(self, uri: S3Uri, found: SourceObject) -> AsyncIterator[None]:
        """Tell what S3's refusals mean for an object that was there when it was listed."""
        try:
            yield
        except InvalidObjectState:
            raise _Unreadable(ArchivedObjects) from None
        except AccessDenied:
            # Who may not list a bucket is told 403 of what is not there (any more).
            if await self._is_listed(found):
                raise _Unreadable(AccessDenied) from None
            raise _changed(uri) from None
        except (NoSuchKey, PreconditionFailed) as error:
            raise _changed(uri) from error

    async def _ask_stored(self, uri: S3Uri, found: SourceObject) -> StoredChecksums:
        try:
            head = await self._s3.head_object(uri, if_match=found.etag)
        except BadRequest:
            raise _Unreadable(UnreadableObjects) from None
        if (head.size_bytes, head.etag) != (found.size_bytes, found.etag):
            raise _changed(uri)
        return head.stored

    async def _take_stored(
        self, uri: S3Uri, found: SourceObject, stored: StoredChecksums
    ) -> Checksum | None:
        for algorithm in self._algorithms:
            part_sizes = None
            if needs_part_sizes(algorithm, found.size_bytes, stored):
                part_sizes = await self._ask_part_sizes(uri, found)
            checksum = from_stored(algorithm, found.size_bytes, stored, part_sizes)
            if checksum is not None:
                return checksum
        return None

    async def _ask_part_sizes(self, uri: S3Uri, found: SourceObject) -> list[int] | None:
        try:
            return await self._s3.get_part_sizes_bytes(uri, if_match=found.etag)
        except AccessDenied:
            return None  # the bytes may be readable all the same

    async def _compute(self, uri: S3Uri, found: SourceObject, stored: StoredChecksums) -> Checksum:
        algorithm = self._algorithms[0]
        checksum = None
        if found.size_bytes >= MIN_CHUNK_BYTES:
            checksum = await self._copier.checksum_of(uri, found, algorithm)
        if checksum is None:
            checksum = await self._read(uri, found, algorithm, stored)
        self.computed += 1
        return checksum

    async def _read(
        self, uri: S3Uri, found: SourceObject, algorithm: ChecksumAlgorithm, stored: StoredChecksums
    ) -> Checksum:
        """Read, and hold the bytes against what S3 has stored though it was not wanted."""
        known = {
            other: checksum
            for other in ChecksumAlgorithm
            if (checksum := from_stored(other, found.size_bytes, stored)) is not None
        }
        wanted, *others = await self._reader.checksums_of(uri, found, [algorithm, *known])
        if others != list(known.values()):
            raise BrokenAnswer(
                f"The bytes of {uri} came with other checksums than S3 has stored.",
                why="They were changed on their way, or the stored checksum is wrong.",
                remedy="The job is retried by itself; write the object again if this returns.",
            )
        return wanted

    async def _is_listed(self, found: SourceObject) -> bool:
        async for page in self._s3.list_latest_versions(self._bucket, found.key):
            return found in page
        return False


def _changed(uri: S3Uri) -> SourceChanged:
    return SourceChanged(
        f"{uri} changed while the package was made.",
        why="Something still writes there.",
        remedy="The job is retried by itself; write the folder first, then send the message.",
    )


_REASONS: dict[type[Rejected], tuple[str, str, str]] = {
    ArchivedObjects: (
        "Archived, and without a usable checksum",
        "The bytes of archived objects cannot be read to compute one.",
        "Restore them, or copy them with a SHA-256 checksum, and send again.",
    ),
    UnreadableObjects: (
        "Not shown by S3",
        "Objects encrypted with a key of their owner's (SSE-C) need it for each request.",
        "Copy them with encryption by S3 or KMS, and send again.",
    ),
    AccessDenied: (
        "Not for the packager to read",
        "A policy of its role, the bucket or a KMS key refuses it, or the requester has to pay.",
        "Allow s3:GetObject and s3:GetObjectVersion (and kms:Decrypt), and send again.",
    ),
}


class _UnreadableKeys:
    """Counts the keys of what cannot be hashed, and holds no more of them than an error names."""

    def __init__(self) -> None:
        self._counts: Counter[type[Rejected]] = Counter()
        self._first: dict[type[Rejected], list[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, kind: type[Rejected], key: str) -> int:
        """Take a key; says how many of its kind there are."""
        self._counts[kind] += 1
        self._first[kind] = sorted([*self._first.get(kind, []), key])[:MAX_NAMED]
        return self._counts[kind]

    def error(self, *, more: bool = False) -> Rejected:
        """One error for all: of the first kind, with the sentences of each."""
        reasons = [_REASONS[kind] for kind in self._counts]
        happened = [
            f"{what}: {name_some(self._first[kind], count)}."
            for (kind, count), (what, _, _) in zip(self._counts.items(), reasons, strict=True)
        ]
        if more:
            happened.append("There may be more.")
        return next(iter(self._counts))(
            " ".join(happened),
            why=" ".join(why for _, why, _ in reasons),
            remedy=" ".join(remedy for _, _, remedy in reasons),
        )
