"""Do a job's work on generated objects, without S3.

Run: `python -m benchmarks.package_without_network ROUTE OBJECTS`. It prints CPU seconds by phase.
"""

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from enum import StrEnum
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import msgspec
from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.formats.manifest import Header, write_manifest
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.large_jobs import hand_off
from quilt_packager_runtime.large_jobs.shards import (
    ChecksumCounts,
    JobFiles,
    ObjectChecksum,
    encode_lines,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import KeyCheck
from quilt_packager_runtime.settings import Settings

from benchmarks import generated

SHARD_OBJECTS = Settings().max_shard_objects


class Route(StrEnum):
    """The origin of the checksums."""

    INLINE = "inline"
    LARGE = "large"


class Worked(msgspec.Struct, frozen=True):
    """CPU time of the phases, without the generation of the objects.

    Attributes:
        listing_seconds: Time from pages to an ordered, checked inventory.
        checksums_seconds: Time to read each object from the inventory and record its checksum, or
            to load the results of a large job's workers.
        manifest_seconds: Time from the inventory to manifest and top hash.
        manifest_bytes: Size of the manifest.
    """

    listing_seconds: float
    checksums_seconds: float
    manifest_seconds: float
    manifest_bytes: int


class Results:
    """The results of the workers of a large job.

    Args:
        count: Number of objects.

    Attributes:
        seconds: CPU time to generate them.
    """

    def __init__(self, count: int) -> None:
        self.seconds = 0.0
        self._objects = generated.objects(count)
        self._count = count

    async def list_keys(self, *_: object) -> AsyncIterator[list[str]]:
        """Yield the keys of the results, one per shard."""
        yield [str(shard) for shard in range(-(-self._count // SHARD_OBJECTS))]

    async def get_object(self, _: S3Uri) -> ObjectBody:
        """Return the next result."""
        started = time.process_time()
        shard = islice(self._objects, SHARD_OBJECTS)
        lines: list[Any] = [ObjectChecksum(found, generated.CHECKSUM) for found in shard]
        data = encode_lines([ChecksumCounts(len(lines), 0), *lines])
        self.seconds += time.process_time() - started
        return ObjectBody(data, len(data), '"etag"', None)


async def work(route: Route, count: int, folder: Path) -> Worked:
    """Run the phases of a job."""
    started = time.process_time()
    for _ in generated.pages(count):
        pass
    generated_at = time.process_time()
    path = folder / "manifest.jsonl"
    results = Results(count)
    with Inventory(generated.FOLDER) as inventory:
        for page in generated.pages(count):
            inventory.add(page)
        check = KeyCheck(generated.FOLDER.prefix)
        check.take(inventory.paths())
        check.end()
        listed_at = time.process_time()
        if route is Route.LARGE:
            await hand_off.load_results(
                cast("S3", results), JobFiles("scratch", "job", 1), inventory
            )
        async for block in inventory.unhashed(archived=False):
            inventory.record((found, generated.CHECKSUM) for found in block)
        hashed_at = time.process_time()
        with path.open("wb") as file:
            write_manifest(Header(None, "Benchmark"), inventory.entries(), file.write)
        written_at = time.process_time()
    return Worked(
        listing_seconds=listed_at - generated_at - (generated_at - started),
        checksums_seconds=hashed_at - listed_at - results.seconds,
        manifest_seconds=written_at - hashed_at,
        manifest_bytes=path.stat().st_size,
    )


def main() -> None:
    """Package generated objects, and print the cost."""
    route, count = sys.argv[1:]
    with TemporaryDirectory() as folder:
        worked = asyncio.run(work(Route(route), int(count), Path(folder)))
    sys.stdout.buffer.write(msgspec.json.encode(worked))


if __name__ == "__main__":
    main()
