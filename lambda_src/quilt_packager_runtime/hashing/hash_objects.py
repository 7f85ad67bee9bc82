"""Checksums of all objects of a package, concurrently, and of shares of very large objects."""

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
"""Number of checksums that are recorded at a time."""


class Hashed(msgspec.Struct, frozen=True):
    """The number of checksums by origin.

    Attributes:
        stored: Checksums that S3 had stored.
        computed: Checksums that were computed.
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
    """Find or compute the missing checksums of an inventory. The first failure cancels the rest.

    `settings.max_requests_in_flight` objects are processed concurrently, archived ones first:
    most of them cost a HEAD, or fail the job, and only restored ones are read. The inventory keeps
    checksums that were found before a failure.

    Args:
        s3: S3.
        inventory: The objects; checksums are recorded in it.
        settings: Algorithms, scratch bucket and concurrency.
        on_progress: Called after each object with the number of objects done.
        deadline: Time to stop, in seconds of the event loop's clock; the inventory has the
            objects that are left.
        skip_changed: Skip objects that have changed since they were listed.
        only_stored: Compute nothing: skip objects without a usable stored checksum.

    Raises:
        SourceChanged: An object has changed since it was listed.
        ArchivedObjects: Archived objects without a usable stored checksum.
        UnreadableObjects: Objects that are encrypted with a customer-provided key.
        AccessDenied: Objects that the role may not read.
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
            # A job that is going to fail computes nothing while it collects its archived objects.
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
    """Compute the digests of some chunks of an object, to be combined with the others later.

    Args:
        hasher: The hasher of the bucket, which remembers unusable scratch buckets.
        found: The listed object.
        chunks: Range of chunks, without the end.

    Returns:
        The digests in order, by the first algorithm of the settings; or the checksum of the whole
        object if S3 has stored it.

    Raises:
        SourceChanged: The object has changed since it was listed.
        ArchivedObjects: It is archived, without a usable stored checksum.
        UnreadableObjects: It is encrypted with a customer-provided key.
        AccessDenied: The role may not read it.
    """
    try:
        return await hasher.digests_of(found, chunks)
    except Unreadable as finding:
        unreadable = UnreadableKeys()
        unreadable.add(finding, found.key)
        raise unreadable.error() from None
