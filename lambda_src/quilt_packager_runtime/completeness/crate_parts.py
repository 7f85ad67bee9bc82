"""The files of folders that their crates list."""

import re
from collections.abc import AsyncIterator, Iterable, Iterator
from urllib.parse import unquote

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.completeness.listings import normalize, read_listing
from quilt_packager_runtime.formats.objects import S3Uri, Source
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.requests.ro_crates import list_part_ids

_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|_:", re.IGNORECASE).match


async def find_crate_parts(s3: S3, inventory: Inventory) -> AsyncIterator[Iterable[str]]:
    """Yield the logical keys of the parts that the crate of each source has, if it has a crate.

    Raises:
        InvalidMetadata: A crate cannot be read as one.
    """
    for source in inventory.folders:
        crate = S3Uri(source.bucket, source.prefix + CRATE_NAME)
        ids = await read_listing(s3, crate, list_part_ids)
        if ids is not None:
            yield _paths_of(ids, source, inventory)


def _paths_of(ids: Iterable[str], source: Source, inventory: Inventory) -> Iterator[str]:
    return (path for each in ids if (path := _path_of(each, source, inventory)))


def _path_of(part_id: str, source: Source, inventory: Inventory) -> str | None:
    """Return the logical key of a part; None if it is elsewhere, or the folder itself.

    An id is a percent-encoded reference, but not all writers encode it.
    """
    reference = part_id.encode(errors="replace").decode()
    if reference.lower().startswith("s3://"):
        return _path_of_uri(reference, inventory)
    if _HAS_SCHEME(reference) or reference.startswith("/"):
        return None
    if (literal := normalize(reference)) and inventory.has(source.into + literal):
        return source.into + literal
    path = normalize(unquote(reference.partition("#")[0]))
    return path and source.into + path


def _path_of_uri(text: str, inventory: Inventory) -> str | None:
    try:
        uri = S3Uri.parse(text)
    except ValueError:
        return None
    path = next(inventory.logical_keys(uri.bucket, uri.key), None)
    return path and normalize(path)
