"""List the stub's generated objects in one of several ways.

Run: `python -m benchmarks.list_folder WAY BUCKET`. It prints CPU seconds and the number of keys.
"""

import asyncio
import sys
import time
from collections.abc import Callable
from enum import StrEnum

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import list_source

from tests.s3_stub.synthetic import PREFIX


class Way(StrEnum):
    """A way to list a folder."""

    PAGES = "this engine: pages, read and parsed"
    INVENTORY = "this engine: the same, checked, and put in the manifest's order"
    QUILT3 = "quilt3: list_object_versions"


class Listed(msgspec.Struct, frozen=True):
    """The cost of a listing.

    Attributes:
        cpu_seconds: CPU time of all threads.
        keys: Number of keys.
    """

    cpu_seconds: float
    keys: int


def list_pages(bucket: str) -> Callable[[], int]:
    """Prepare to read only the pages."""
    s3 = S3.from_environment()

    async def count() -> int:
        return sum([len(page) async for page in s3.list_latest_versions(bucket, PREFIX)])

    return lambda: asyncio.run(count())


def list_into_inventory(bucket: str) -> Callable[[], int]:
    """Prepare to list as a job does."""
    s3 = S3.from_environment()

    def count() -> int:
        with Inventory(SourceFolder(bucket, PREFIX)) as inventory:
            asyncio.run(list_source(s3, inventory))
            return inventory.totals()[0]

    return count


def list_with_quilt3(bucket: str) -> Callable[[], int]:
    """Prepare to list as `set_dir` does."""
    from quilt3.data_transfer import list_object_versions  # noqa: PLC0415 - one side's library

    def count() -> int:
        versions, _ = list_object_versions(bucket, PREFIX)
        return sum(1 for version in versions if version["IsLatest"])

    return count


PREPARE: dict[Way, Callable[[str], Callable[[], int]]] = {
    Way.PAGES: list_pages,
    Way.INVENTORY: list_into_inventory,
    Way.QUILT3: list_with_quilt3,
}


def main() -> None:
    """List a folder, and print the cost."""
    way, bucket = sys.argv[1:]
    count = PREPARE[Way(way)](bucket)
    started = time.process_time()
    keys = count()
    listed = Listed(time.process_time() - started, keys)
    sys.stdout.buffer.write(msgspec.json.encode(listed))


if __name__ == "__main__":
    main()
