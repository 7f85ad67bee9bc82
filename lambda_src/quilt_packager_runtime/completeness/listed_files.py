"""The files that the checksum lists of a folder name."""

from collections.abc import AsyncIterator
from functools import partial

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.completeness.listings import MAX_LISTING_BYTES, read_listing
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.errors import InvalidMetadata
from quilt_packager_runtime.formats.checksum_lists import (
    described_file,
    is_checksum_list,
    path_in_package,
    read_checksum_list,
)
from quilt_packager_runtime.formats.objects import key_of, sort_key
from quilt_packager_runtime.listing.inventory import Inventory

MAX_LISTS = 1000
"""Maximum number of lists. They are read one after another, within a minute."""

PATHS_AT_ONCE = 1000


async def find_listed_files(s3: S3, inventory: Inventory) -> AsyncIterator[list[str]]:
    """Yield the paths of the files that each list names. There may be no list.

    Raises:
        InvalidMetadata: A list is too large, or there are too many.
    """
    lists = []
    async for rows in slices(inventory.paths(), PATHS_AT_ONCE):
        lists += [key for path, _ in rows if is_checksum_list(key := key_of(path))]
    if len(lists) > MAX_LISTS:
        raise InvalidMetadata(
            f"{inventory.folder} has {len(lists):,} checksum lists; {MAX_LISTS:,} at most.",
            why="The message or its event source requires the files that they name.",
            remedy="Leave checksum_lists out of require, or use one list for several files.",
        )
    for key in lists:
        uri = inventory.uri_of(inventory.find(sort_key(key)))
        paths = await read_listing(s3, uri, partial(_parse, key=key))
        if paths is not None:
            yield paths


def _parse(document: bytes, key: str) -> list[str]:
    """Return the logical keys of the files in a list. Lines that are none are not required."""
    if len(document) > MAX_LISTING_BYTES:
        raise ValueError(f"it has more than {MAX_LISTING_BYTES:,} bytes")
    listed = [line.path for line in read_checksum_list(document, key) if line]
    file = described_file(key, listed)
    if file is not None:
        return [file]
    return [path for each in listed if each and (path := path_in_package(each, key))]
