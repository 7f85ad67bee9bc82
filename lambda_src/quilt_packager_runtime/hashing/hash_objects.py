"""The checksums of all objects of a package, many at a time, and of shares of very large ones."""

import asyncio
from collections.abc import AsyncIterator, Callable

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import MAX_NAMED, SourceChanged
from quilt_packager_runtime.formats.objects import Checksum, SourceObject
from quilt_packager_runtime.hashing.object_hasher import NotStored, ObjectHasher
from quilt_packager_runtime.hashing.unhashable import Unreadable, UnreadableKeys
from quilt_packager_runtime.listing.inventory import Inventory
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
    most cost a HEAD each, or the whole job, and only restored ones are read. What was found before
    a failure is in the inventory.

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
    unreadable = UnreadableKeys()
    tolerated = (SourceChanged, NotStored) if skip_changed else (NotStored,)

    def record() -> None:
        inventory.record(unrecorded)
        unrecorded.clear()

    async def hash_one(found: SourceObject) -> None:
        nonlocal done
        try:
            # Of a job that fails, nothing more is computed while its archived objects are named.
            is_lost = found.archived and bool(unreadable)
            checksum = await hasher.checksum_of(found, only_stored=only_stored or is_lost)
        except tolerated:
            return
        except Unreadable as finding:
            count = unreadable.add(finding, found.key)
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
    hasher: ObjectHasher, found: SourceObject, chunks: tuple[int, int]
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
    except Unreadable as finding:
        unreadable = UnreadableKeys()
        unreadable.add(finding, found.key)
        raise unreadable.error() from None
