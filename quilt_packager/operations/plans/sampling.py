"""Counts the checksums that S3 has stored, with few requests or with one for each object.

For most objects, the listing shows which checksum S3 has stored. The others are sampled.
"""

import random
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import Rejected
from quilt_packager_runtime.formats import checksums
from quilt_packager_runtime.formats.checksums import MIN_CHUNK_BYTES
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, SourceObject
from quilt_packager_runtime.hashing.hash_objects import hash_objects
from quilt_packager_runtime.hashing.range_reader import RANGE_BYTES
from quilt_packager_runtime.large_jobs.batch_checksums import find_computable
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.plans.estimates import Load, count_part_requests

SAMPLE_OBJECTS = 500
"""Sample size for objects that the listing leaves unclear, and again for archived objects.

The error of their share is at most 4.5 percentage points with a confidence of 95 %.
"""


class Basis(StrEnum):
    """Source of the numbers of stored checksums."""

    LISTING = "listing"
    """The listing shows all of them."""
    ASKED = "asked"
    """Each object that the listing leaves unclear was queried."""
    SAMPLE = "sample"
    """A sample of those objects was queried."""


class SampledChecksums(msgspec.Struct, frozen=True):
    """Checksums of a folder that are not in the previous revision.

    Attributes:
        stored: Number of checksums that S3 has stored.
        computed: Number of checksums to compute.
        basis: Source of these numbers.
        asked: Number of objects that were queried.
        archived: Number of archived objects.
        restored: Number of archived objects that are restored and have to be read.
        heads: Number of objects that the job queries.
        part_requests: Number of requests for the parts of objects.
        load: Checksums to compute.
        refused: Reasons for which objects cannot be hashed.
        batched: Number of archived objects that S3 Batch Operations hashes.
    """

    stored: int
    computed: int
    basis: Basis
    asked: int
    archived: int
    restored: int
    heads: int
    part_requests: int
    load: Load
    refused: tuple[Rejected, ...]
    batched: int = 0


class _Listed:
    """Objects without a reusable checksum, sorted by the stored checksum in the listing."""

    def __init__(self, settings: Settings, *, names_checksums: bool) -> None:
        self._algorithms = settings.checksum_algorithms
        self._names_checksums = names_checksums
        self.can_copy = bool(settings.scratch_bucket or settings.scratch_buckets)
        # The same folder gets the same plan.
        self._random = random.Random(0)  # noqa: S311 - chooses a sample
        self.stored = self.archived = self.nonempty = self.heads = self.part_requests = 0
        self.absent = Load()
        self.frozen = Load()
        self.unclear = Load()
        self.sample: list[SourceObject] = []
        self.archived_sample: list[SourceObject] = []

    def add(self, objects: Iterable[SourceObject]) -> None:
        for found in objects:
            if found.archived:
                self.archived += 1
            if found.size_bytes == 0:
                self.stored += 1
                continue
            if found.digests and not found.archived:
                self.absent.add(found, can_copy=False)
                continue
            self.nonempty += 1
            may_be_stored = checksums.may_be_stored(
                found, self._algorithms, names_checksums=self._names_checksums
            )
            is_read_in_ranges = found.size_bytes > RANGE_BYTES and not self.can_copy
            self.heads += may_be_stored or is_read_in_ranges
            is_whole = (
                found.stored is ChecksumAlgorithm.CRC64NVME or found.size_bytes <= MIN_CHUNK_BYTES
            )
            if found.stored in self._algorithms and not is_whole:
                self.part_requests += count_part_requests(found)
            if found.archived:
                self.frozen.add(found, can_copy=self.can_copy)
                if len(self.archived_sample) < SAMPLE_OBJECTS:
                    self.archived_sample.append(found)
            elif not may_be_stored:
                self.absent.add(found, can_copy=self.can_copy)
            elif found.stored is not None and is_whole:
                self.stored += 1
            else:
                self._add_unclear(found)

    def _add_unclear(self, found: SourceObject) -> None:
        """Add an object to the sample: each has the same chance."""
        self.unclear.add(found, can_copy=self.can_copy)
        if len(self.sample) < SAMPLE_OBJECTS:
            self.sample.append(found)
            return
        place = self._random.randrange(self.unclear.objects)
        if place < SAMPLE_OBJECTS:
            self.sample[place] = found


async def sample_checksums(
    s3: S3,
    inventory: Inventory,
    settings: Settings,
    *,
    exact: bool,
    on_progress: Callable[[int], object] = lambda _done: None,
) -> SampledChecksums:
    """Count the stored checksums of objects whose checksums are not reusable.

    This reads no bytes of objects, and writes nothing.

    Args:
        s3: Client of S3.
        inventory: Objects and their reusable checksums; with `exact`, the stored checksums are
            added.
        settings: Checksum algorithms and scratch buckets.
        exact: Query each object.
        on_progress: Called with the number of checksums found by queries.
    """
    listed = _Listed(settings, names_checksums=inventory.names_checksums or s3.is_aws)
    for archived in (True, False):
        async for block in inventory.unhashed(archived=archived):
            listed.add(block)
    if exact:
        return await _ask_all(s3, inventory, settings, listed, on_progress)
    archived_stored, archived_refused, batched_sample = await _ask(
        s3, inventory, settings, listed.archived_sample
    )
    stored, refused, _ = await _ask(s3, inventory, settings, listed.sample)
    asked = len(listed.archived_sample) + len(listed.sample)
    unclear = listed.unclear.objects
    share = _share_left(listed.sample, stored)
    left = round(unclear * share)
    archived_share = _share_left(listed.archived_sample, archived_stored)
    archived_left = round(listed.frozen.objects * archived_share)
    batched_share = batched_sample / max(1, len(listed.archived_sample))
    batched = round(listed.frozen.objects * batched_share)
    # Archived objects that have to be read, and are not refused, are restored.
    restored_share = 0.0 if archived_refused else archived_share - batched_share
    restored = round(listed.frozen.objects * restored_share)
    basis = Basis.LISTING if not asked else Basis.ASKED
    if len(listed.sample) < unclear or listed.archived > len(listed.archived_sample) > 0:
        basis = Basis.SAMPLE
    load = listed.absent.plus_share(listed.frozen, restored_share)
    return SampledChecksums(
        stored=listed.stored + listed.frozen.objects - archived_left + unclear - left,
        computed=listed.absent.objects + restored + batched + left,
        basis=basis,
        asked=asked,
        archived=listed.archived,
        restored=restored,
        heads=listed.heads,
        part_requests=listed.part_requests,
        load=load.plus_share(listed.unclear, share),
        refused=(*archived_refused, *refused),
        batched=batched,
    )


async def _ask_all(
    s3: S3,
    inventory: Inventory,
    settings: Settings,
    listed: _Listed,
    on_progress: Callable[[int], object],
) -> SampledChecksums:
    refused: list[Rejected] = []
    before, _ = await inventory.unhashed_totals()
    batched: set[SourceObject] = set()
    try:
        await _read_stored(s3, inventory, settings, on_progress, batched)
    except Rejected as error:
        refused.append(error)
    load = Load()
    restored = 0
    # Archived objects that have to be read, and are not refused, are restored.
    for archived in (False,) if refused else (True, False):
        async for block in inventory.unhashed(archived=archived):
            to_read = [found for found in block if found not in batched]
            restored += len(to_read) if archived else 0
            for found in to_read:
                load.add(found, can_copy=listed.can_copy and not found.digests)
    after, _ = await inventory.unhashed_totals()
    return SampledChecksums(
        stored=before - after,
        computed=load.objects + len(batched),
        basis=Basis.ASKED,
        asked=listed.nonempty,
        archived=listed.archived,
        restored=restored,
        heads=listed.heads,
        part_requests=listed.part_requests,
        load=load,
        refused=tuple(refused),
        batched=len(batched),
    )


def _share_left(asked: list[SourceObject], stored: list[str]) -> float:
    """Compute the share of queried objects without a usable stored checksum."""
    return 1 - len(stored) / len(asked) if asked else 0.0


async def _ask(
    s3: S3, inventory: Inventory, settings: Settings, objects: list[SourceObject]
) -> tuple[list[str], list[Rejected], int]:
    """Query objects for stored checksums.

    Returns:
        Keys of objects with a usable one, the errors of others, and the number of those that S3
        Batch Operations hashes.
    """
    refused: list[Rejected] = []
    batched: set[SourceObject] = set()
    with Inventory(inventory.folder, sources=inventory.sources) as asked:
        asked.add_again(objects)
        try:
            await _read_stored(s3, asked, settings, lambda _done: None, batched)
        except Rejected as error:
            refused.append(error)
        return [found.key async for found, _ in asked.hashed()], refused, len(batched)


async def _read_stored(
    s3: S3,
    inventory: Inventory,
    settings: Settings,
    on_progress: Callable[[int], object],
    batched: set[SourceObject],
) -> None:
    """Record stored checksums; add the objects that S3 Batch Operations hashes to `batched`."""
    is_computable = find_computable(s3, inventory.buckets, settings)

    def can_wait(found: SourceObject) -> bool:
        can = is_computable(found)
        if can:
            batched.add(found)
        return can

    await hash_objects(
        s3,
        inventory,
        settings=settings,
        on_progress=on_progress,
        skip_changed=True,
        only_stored=True,
        can_wait=can_wait,
    )
