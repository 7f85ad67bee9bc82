"""How many checksums of a folder S3 has stored, found out with few requests, or with one for each.

A listing tells of most objects what S3 has stored. Of the others some are asked, and stand for the
rest.
"""

import random
from collections.abc import Callable, Iterable
from enum import StrEnum

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import Rejected
from quilt_packager_runtime.formats.checksums import MIN_CHUNK_BYTES
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, SourceObject
from quilt_packager_runtime.hashing.hash_objects import hash_objects
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.plans.estimates import Load, ask_parts

SAMPLE_OBJECTS = 500
"""How many objects are asked that the listing does not tell enough of, and as many archived ones.

Their share is then off by at most 4.5 points in 95 of 100 folders.
"""


class Basis(StrEnum):
    """How it is known which checksums S3 has stored."""

    LISTING = "listing"
    """The listing told."""
    ASKED = "asked"
    """Each was asked that the listing told too little of."""
    SAMPLE = "sample"
    """Some of those were asked, and stand for the rest."""


class Survey(msgspec.Struct, frozen=True):
    """Which checksums of a folder there are, beside those of the previous revision.

    Attributes:
        stored: How many S3 has stored.
        computed: How many would have to be computed.
        basis: How that is known.
        asked: How many objects were asked.
        archived: How many are archived, their checksums not reusable.
        restored: How many of those would have to be read, which their restore allows.
        heads: How many objects a job asks.
        part_requests: How many requests it makes for the parts of objects.
        load: What it has to compute.
        refused: Why objects cannot be hashed.
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


class _Told:
    """What a listing tells of the objects whose checksums are not known yet.

    Args:
        settings: Algorithms and scratch buckets.
    """

    def __init__(self, settings: Settings) -> None:
        self._algorithms = settings.checksum_algorithms
        self.can_copy = bool(settings.scratch_bucket or settings.scratch_buckets)
        # The same folder is to have the same plan.
        self._random = random.Random(0)  # noqa: S311 - chooses a sample
        self.stored = self.archived = self.heads = self.part_requests = 0
        self.absent = Load()
        self.frozen = Load()
        self.unclear = Load()
        self.sample: list[SourceObject] = []
        self.archived_sample: list[SourceObject] = []

    def take(self, objects: Iterable[SourceObject]) -> None:
        """Count objects.

        Args:
            objects: As they were listed.
        """
        for found in objects:
            if found.archived:
                self.archived += 1
            if found.size_bytes == 0:
                self.stored += 1
                continue
            self.heads += 1
            is_whole = (
                found.stored is ChecksumAlgorithm.CRC64NVME or found.size_bytes <= MIN_CHUNK_BYTES
            )
            if found.stored in self._algorithms and not is_whole:
                self.part_requests += ask_parts(found)
            if found.archived:
                self.frozen.add(found, can_copy=self.can_copy)
                if len(self.archived_sample) < SAMPLE_OBJECTS:
                    self.archived_sample.append(found)
            elif found.stored in self._algorithms and is_whole:
                self.stored += 1
            elif found.stored is None or found.stored in self._algorithms:
                self._doubt(found)
            else:
                self.absent.add(found, can_copy=self.can_copy)

    def _doubt(self, found: SourceObject) -> None:
        """Take an object into the sample, each with the same chance."""
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
) -> Survey:
    """Find out which checksums S3 has stored, of those that are not known yet.

    Reads no object's bytes, and writes nothing.

    Args:
        s3: S3.
        inventory: The objects, and what is known of them; with `exact` it takes the checksums that
            S3 has stored.
        settings: Algorithms and scratch buckets.
        exact: Ask each object.
        on_progress: Told how many checksums were found among those asked for.
    """
    told = _Told(settings)
    for archived in (True, False):
        async for block in inventory.unhashed(archived=archived):
            told.take(block)
    if exact:
        return await _ask_all(s3, inventory, settings, told, on_progress)
    archived_stored, archived_refused = await _ask(s3, inventory, settings, told.archived_sample)
    stored, refused = await _ask(s3, inventory, settings, told.sample)
    asked = len(told.archived_sample) + len(told.sample)
    unclear = told.unclear.objects
    share = _share_left(told.sample, stored)
    left = round(unclear * share)
    archived_share = _share_left(told.archived_sample, archived_stored)
    archived_left = round(told.frozen.objects * archived_share)
    # One that has to be read, and is not refused, is restored.
    restored_share = 0.0 if archived_refused else archived_share
    restored = round(told.frozen.objects * restored_share)
    basis = Basis.LISTING if not asked else Basis.ASKED
    if len(told.sample) < unclear or told.archived > len(told.archived_sample) > 0:
        basis = Basis.SAMPLE
    return Survey(
        stored=told.stored + told.frozen.objects - archived_left + unclear - left,
        computed=told.absent.objects + restored + left,
        basis=basis,
        asked=asked,
        archived=told.archived,
        restored=restored,
        heads=told.heads,
        part_requests=told.part_requests,
        load=told.absent.plus(told.frozen, restored_share).plus(told.unclear, share),
        refused=(*archived_refused, *refused),
    )


async def _ask_all(
    s3: S3,
    inventory: Inventory,
    settings: Settings,
    told: _Told,
    on_progress: Callable[[int], object],
) -> Survey:
    refused: list[Rejected] = []
    before, _ = await inventory.unhashed_totals()
    try:
        await _take_stored(s3, inventory, settings, on_progress)
    except Rejected as error:
        refused.append(error)
    load = Load()
    restored = 0
    # An archived object that has to be read, and is not refused, is restored.
    for archived in (False,) if refused else (True, False):
        async for block in inventory.unhashed(archived=archived):
            restored += len(block) if archived else 0
            for found in block:
                load.add(found, can_copy=told.can_copy)
    after, _ = await inventory.unhashed_totals()
    return Survey(
        stored=before - after,
        computed=load.objects,
        basis=Basis.ASKED,
        asked=told.heads,
        archived=told.archived,
        restored=restored,
        heads=told.heads,
        part_requests=told.part_requests,
        load=load,
        refused=tuple(refused),
    )


def _share_left(asked: list[SourceObject], stored: list[str]) -> float:
    """Which share of objects has no stored checksum that serves, by those that were asked."""
    return 1 - len(stored) / len(asked) if asked else 0.0


async def _ask(
    s3: S3, inventory: Inventory, settings: Settings, objects: list[SourceObject]
) -> tuple[list[str], list[Rejected]]:
    """The keys of those that have a stored checksum that serves, and why others cannot be read."""
    refused: list[Rejected] = []
    with Inventory(inventory.folder) as asked:
        asked.add(objects)
        try:
            await _take_stored(s3, asked, settings, lambda _done: None)
        except Rejected as error:
            refused.append(error)
        return [found.key async for found, _ in asked.hashed()], refused


async def _take_stored(
    s3: S3, inventory: Inventory, settings: Settings, on_progress: Callable[[int], object]
) -> None:
    await hash_objects(
        s3,
        inventory,
        settings=settings,
        on_progress=on_progress,
        skip_changed=True,
        only_stored=True,
    )
