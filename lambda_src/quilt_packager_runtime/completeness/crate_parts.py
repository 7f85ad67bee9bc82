"""The files of a folder that its crate lists."""

import re
from collections.abc import AsyncIterator, Iterable
from urllib.parse import unquote

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.completeness.listings import normalize, read_listing
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.requests.ro_crates import list_part_ids

_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|_:", re.IGNORECASE).match


async def find_crate_parts(s3: S3, inventory: Inventory) -> AsyncIterator[Iterable[str]]:
    """Yield the paths of the parts that a folder's crate has in the folder, if there is a crate.

    Raises:
        InvalidMetadata: The crate cannot be read as one.
    """
    ids = await read_listing(s3, inventory.folder, CRATE_NAME, list_part_ids)
    if ids is not None:
        yield (path for each in ids if (path := _path_of(each, inventory)))


def _path_of(part_id: str, inventory: Inventory) -> str | None:
    """Return the path of a part below the folder; None if it is elsewhere, or the folder itself.

    An id is a percent-encoded reference, but not all writers encode it.
    """
    reference = part_id.encode(errors="replace").decode()
    if reference.lower().startswith("s3://"):
        return _path_of_uri(reference, inventory.folder)
    if _HAS_SCHEME(reference) or reference.startswith("/"):
        return None
    if (literal := normalize(reference)) and inventory.has(literal):
        return literal
    return normalize(unquote(reference.partition("#")[0]))


def _path_of_uri(text: str, folder: SourceFolder) -> str | None:
    try:
        uri = S3Uri.parse(text)
    except ValueError:
        return None
    if uri.bucket != folder.bucket or not uri.key.startswith(folder.prefix):
        return None
    return normalize(uri.key.removeprefix(folder.prefix))
