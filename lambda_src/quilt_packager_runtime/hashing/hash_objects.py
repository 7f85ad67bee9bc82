"""Hash all objects of a package concurrently, or some chunks of a very large object."""

import asyncio
from collections.abc import Callable

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each_in_blocks
from quilt_packager_runtime.errors import MAX_NAMED, SourceChanged
from quilt_packager_runtime.formats.objects import Checksum, SourceObject
from quilt_packager_runtime.hashing.object_hasher import NotStored, ObjectHasher, never
from quilt_packager_runtime.hashing.unhashable import Unreadable, UnreadableKeys
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings

RECORD_OBJECTS = 1000
"""Number of checksums recorded at a time."""


class Hashed(msgspec.Struct, frozen=True):
    """The number of checksums by origin.

    Attributes:
        stored: Number that S3 had stored.
        computed: Number that this job computed.
    """

    stored: int
    computed: int


async def hash_objects(  # noqa: PLR0913 - large jobs and plans use the last four
    s3: S3,
    inventory: Inventory,
    *,
    settings: Settings,
    on_progress: Callable[[int], object],
    deadline: float | None = None,
    skip_changed: bool = False,
    only_stored: bool = False,
    can_wait: Callable[[SourceObject], bool] = never,
) -> Hashed:
    """Find or compute the missing checksums of an inventory. The first failure cancels the rest.

    Archived objects come first: most of them need only a HEAD or fail the job, and only restored
    ones are read. The inventory keeps the checksums found before a failure.

    Args:
        s3: S3.
        inventory: The objects; checksums are recorded in it.
        settings: Algorithms, scratch bucket and concurrency.
        on_progress: Called after each object with the number of objects done.
        deadline: Time to stop, on the event loop's clock; the other objects remain unhashed in
            the inventory.
        skip_changed: Skip objects that have changed since they were listed.
        only_stored: Compute nothing: query each object, and skip those without a usable stored
            checksum.
        can_wait: Called with an archived object that has no usable stored checksum. If it returns
            True, the object remains unhashed in the inventory, and is no error.

    Raises:
        SourceChanged: An object has changed since it was listed.
        ArchivedObjects: Archived objects without a usable stored checksum.
        UnreadableObjects: Objects that are encrypted with a customer-provided key.
        AccessDenied: Objects that the role has no permission to read.
    """
    hasher = ObjectHasher(
        s3,
        inventory.buckets,
        settings,
        names_checksums=inventory.names_checksums,
        can_wait=can_wait,
    )
    unrecorded: list[tuple[SourceObject, Checksum]] = []
    done = 0
    unreadable = UnreadableKeys()
    tolerated = (SourceChanged, NotStored) if skip_changed else (NotStored,)

    def record() -> None:
        inventory.record(unrecorded)
        unrecorded.clear()

    async def hash_one(found: SourceObject) -> None:
        nonlocal done
        try:
            # A job that is certain to fail computes nothing while it counts its archived objects.
            is_lost = found.archived and bool(unreadable)
            checksum = await hasher.checksum_of(found, only_stored=only_stored or is_lost)
        except tolerated:
            return
        except Unreadable as finding:
            count = unreadable.add(finding, inventory.name_of(found))
            if count >= MAX_NAMED and not found.archived:
                raise unreadable.error(more=True) from None
            return
        unrecorded.append((found, checksum))
        if len(unrecorded) >= RECORD_OBJECTS:
            record()
        done += 1
        on_progress(done)

    for archived in (True, False):
        blocks = inventory.unhashed(archived=archived)
        try:
            async with asyncio.timeout_at(deadline):
                await for_each_in_blocks(blocks, hash_one, at_once=settings.max_requests_in_flight)
        except TimeoutError:
            break
        finally:
            record()
        if unreadable:
            raise unreadable.error()
    return Hashed(stored=done - hasher.computed, computed=hasher.computed)


async def hash_chunks(
    hasher: ObjectHasher, found: SourceObject, chunks: tuple[int, int]
) -> Checksum | list[bytes]:
    """Return the stored checksum of an object, or compute the digests of a range of its chunks.

    Failures are those of `hash_objects`, for the one object.
    """
    try:
        return await hasher.digests_of(found, chunks)
    except Unreadable as finding:
        unreadable = UnreadableKeys()
        unreadable.add(finding, str(hasher.uri_of(found)) if found.source else found.key)
        raise unreadable.error() from None
