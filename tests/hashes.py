"""What tests of listing and hashing share: both as a job does them, and quilt3's opinion."""

from typing import Any

import msgspec
from quilt3.checksums import calculate_multipart_checksum_bytes
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.checksums import MANIFEST_TYPES
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    SourceFolder,
    SourceObject,
)
from quilt_packager_runtime.hashing.hash_objects import hash_objects
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import list_source
from quilt_packager_runtime.settings import Settings

MIB = 2**20
SHA256, CRC64NVME = ChecksumAlgorithm.SHA256_CHUNKED, ChecksumAlgorithm.CRC64NVME
BUCKET = SourceFolder("raw", "")


class Hashes(msgspec.Struct, frozen=True):
    """What hashing found, and what it told meanwhile.

    Attributes:
        checksums: In the manifest's order.
        stored: How many of them S3 had stored.
        computed: How many had to be computed.
        progress: How many were done, each time that it was told.
    """

    checksums: list[Checksum]
    stored: int
    computed: int
    progress: list[int]


async def list_folder(s3: S3, folder: SourceFolder = BUCKET) -> list[SourceObject]:
    """List a folder, in the manifest's order."""
    with Inventory(folder) as inventory:
        await list_source(s3, inventory)
        found = {
            found.key: found
            for archived in (True, False)
            async for block in inventory.unhashed(archived=archived)
            for found in block
        }
        return [found[folder.prefix + logical_key] for logical_key, _ in inventory.sizes()]


async def hash_listed(
    s3: S3, listed: list[SourceObject], *, names_checksums: bool = False, **settings: Any
) -> Hashes:
    """Hash objects of the bucket `raw` with such settings."""
    with Inventory(BUCKET) as inventory:
        inventory.add(listed)
        inventory.names_checksums = names_checksums
        return await _hash(s3, inventory, Settings(**settings))


async def hash_bucket(s3: S3, **settings: Any) -> Hashes:
    """List and hash the bucket `raw`."""
    with Inventory(BUCKET) as inventory:
        await list_source(s3, inventory)
        return await _hash(s3, inventory, Settings(**settings))


async def _hash(s3: S3, inventory: Inventory, settings: Settings) -> Hashes:
    progress: list[int] = []
    hashed = await hash_objects(s3, inventory, settings=settings, on_progress=progress.append)
    checksums = [entry.checksum for entry in inventory.entries()]
    return Hashes(checksums, hashed.stored, hashed.computed, progress)


def quilt3_checksum(data: bytes, algorithm: ChecksumAlgorithm = SHA256) -> Checksum:
    """What quilt3 computes of these bytes."""
    name = MANIFEST_TYPES[algorithm]
    return Checksum(name, calculate_multipart_checksum_bytes(data, checksum_type=name))
