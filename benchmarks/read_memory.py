"""Peak memory of reading and hashing large objects in ranges.

Run: `python -m benchmarks.read_memory`. The job runs in a process of its own.
"""

import argparse
import asyncio
import os
import sys

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.hashing.hash_objects import hash_objects
from quilt_packager_runtime.hashing.range_reader import READ_BUDGET_BYTES
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import list_source
from quilt_packager_runtime.settings import Settings

from benchmarks.processes import MIB, run_module
from benchmarks.tables import to_table
from tests.s3_stub.process import StubProcess

LIMIT_SECONDS = 600
OBJECTS = (0, 1, 4, 16)


async def hash_all(bucket: str) -> None:
    """Hash a bucket whose objects have no checksum stored."""
    s3 = S3.from_environment(os.environ)
    with Inventory(SourceFolder(bucket, "")) as inventory:
        await list_source(s3, inventory)
        await hash_objects(s3, inventory, settings=Settings(), on_progress=lambda _: None)


def compare(object_bytes: int) -> str:
    """Read ever more objects, and report the peaks beside that of a single byte."""
    buckets = [
        argument
        for count in OBJECTS
        for argument in (
            "--synthetic",
            f"objects-{count}={max(count, 1)},none,size={object_bytes if count else 1}",
        )
    ]
    rows = []
    with StubProcess(*buckets) as stub:
        for count in OBJECTS:
            cost = run_module(
                "benchmarks.read_memory",
                f"--bucket=objects-{count}",
                limit_seconds=LIMIT_SECONDS,
                environment={"AWS_ENDPOINT_URL": stub.url},
            ).cost
            size = f"{count} of {object_bytes // MIB} MiB" if count else "1 of 1 byte"
            rows.append([size, f"{cost.peak_bytes / MIB:.0f}", f"{cost.cpu_seconds:.1f}"])
    return f"Budget: {READ_BUDGET_BYTES // MIB} MiB.\n\n" + to_table(
        ["objects", "peak MiB", "CPU s"], rows
    )


def main() -> None:
    """Compare, or be one of those that are compared."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.read_memory", description=__doc__)
    parser.add_argument("--mib", type=int, default=256, help="of each object; default: 256")
    parser.add_argument("--bucket", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bucket is None:
        sys.stdout.write(compare(options.mib * MIB) + "\n")
    else:
        asyncio.run(hash_all(options.bucket))


if __name__ == "__main__":
    main()
