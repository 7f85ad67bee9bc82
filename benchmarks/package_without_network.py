"""Does a job's work on generated objects, with no S3: a process of its own.

Run: `python -m benchmarks.package_without_network OBJECTS`. It writes seconds of CPU by phase.
"""

import asyncio
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
from quilt_packager_runtime.inventory import Inventory
from quilt_packager_runtime.listing import check_keys
from quilt_packager_runtime.manifest import Header, write_manifest

from benchmarks import generated


class Worked(msgspec.Struct, frozen=True):
    """What the phases took of the CPU.

    Attributes:
        listing_seconds: From pages to the inventory, ordered and checked. What generating took is
            left out.
        checksums_seconds: To take each object out, and its checksum in.
        manifest_seconds: From the inventory to manifest and top hash.
        manifest_bytes: The manifest's size.
    """

    listing_seconds: float
    checksums_seconds: float
    manifest_seconds: float
    manifest_bytes: int


async def work(count: int, folder: Path) -> Worked:
    """Go through the phases of a job."""
    started = time.process_time()
    for _ in generated.pages(count):
        pass
    generated_at = time.process_time()
    path = folder / "manifest.jsonl"
    with Inventory(generated.FOLDER) as inventory:
        for page in generated.pages(count):
            inventory.add(page)
        prefix = generated.FOLDER.prefix
        check_keys((key for key, _ in inventory.sizes()), prefix=prefix)
        listed_at = time.process_time()
        async for block in inventory.unhashed(archived=False):
            inventory.record((found.key, generated.CHECKSUM) for found in block)
        hashed_at = time.process_time()
        with path.open("wb") as file:
            write_manifest(Header(None, "Benchmark"), inventory.entries(), file.write)
        written_at = time.process_time()
    return Worked(
        listing_seconds=listed_at - generated_at - (generated_at - started),
        checksums_seconds=hashed_at - listed_at,
        manifest_seconds=written_at - hashed_at,
        manifest_bytes=path.stat().st_size,
    )


def main() -> None:
    """Work, and tell."""
    with TemporaryDirectory() as folder:
        worked = asyncio.run(work(int(sys.argv[1]), Path(folder)))
    sys.stdout.buffer.write(msgspec.json.encode(worked))


if __name__ == "__main__":
    main()
