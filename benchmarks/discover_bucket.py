"""Discover the roots of the stub's generated bucket: `python -m benchmarks.discover_bucket BUCKET`.

A thousand of its folders have the files of an Illumina run, every second one all of them. It prints
the number of objects and of proposals.
"""

import asyncio
import sys
from collections.abc import Sequence

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.discovery.packaged import PackagedFolders
from quilt_packager.operations.discovery.proposals import find_roots, propose
from quilt_packager.operations.discovery.roots import Roots
from tests.s3_stub.synthetic import PREFIX

WRITES_AT_ONCE = 32


class Discovered(msgspec.Struct, frozen=True):
    """The result of a discovery.

    Attributes:
        objects: Number of objects.
        ready: Number of folders with all files of a run.
        incomplete: Number of folders without the last one.
    """

    objects: int
    ready: int
    incomplete: int


async def write_markers(s3: S3, bucket: str, folders: int) -> None:
    """Write the files of runs into the generated folders."""

    async def write(key: str) -> None:
        await s3.put_object(S3Uri(bucket, key), b"x")

    names = [f"{PREFIX}d{number:05}/RunInfo.xml" for number in range(folders)]
    names += [f"{PREFIX}d{number:05}/CopyComplete.txt" for number in range(0, folders, 2)]
    await for_each(names, write, at_once=WRITES_AT_ONCE)


async def discover(s3: S3, bucket: str) -> Discovered:
    """Discover all folders of a bucket."""
    with Roots() as roots:
        folder = SourceFolder(bucket, "")
        objects = await find_roots(s3.list_objects(bucket, ""), folder, roots, Settings())
        packaged = PackagedFolders(s3, bucket)
        await packaged.read()
        missing = [
            bool(each.missing)
            async for each in propose(bucket, roots, Settings(), packaged, memory_mib=2048)
        ]
    return Discovered(objects, missing.count(False), missing.count(True))


def main(arguments: Sequence[str]) -> None:
    """Discover a bucket, and print the result."""
    (bucket,) = arguments
    discovered = asyncio.run(discover(S3.from_environment(), bucket))
    sys.stdout.buffer.write(msgspec.json.encode(discovered))


if __name__ == "__main__":
    main(sys.argv[1:])
