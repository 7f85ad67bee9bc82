"""The files of a folder that its crate lists."""

import re
from collections.abc import Iterator
from urllib.parse import unquote

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.cpu_limits import CpuLimitExceeded, cpu_limit
from quilt_packager_runtime.errors import InvalidMetadata, quote
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.requests.ro_crates import MAX_CRATE_BYTES, list_part_ids

MAX_CRATE_CPU_SECONDS = 10
"""Maximum CPU time to read a crate. One of `MAX_CRATE_BYTES` takes about a second."""

_HAS_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:|_:", re.IGNORECASE).match


async def find_crate_parts(s3: S3, inventory: Inventory) -> Iterator[str]:
    """Read the crate of a folder, and yield the paths of the parts that it has in the folder.

    If there is no crate, its own path is the only one.

    Raises:
        InvalidMetadata: The crate cannot be read as one.
    """
    uri = S3Uri(inventory.folder.bucket, inventory.folder.prefix + CRATE_NAME)
    body = await s3.read_if_exists(uri, max_bytes=MAX_CRATE_BYTES + 1)
    if body is None:
        return iter([CRATE_NAME])
    try:
        with cpu_limit(MAX_CRATE_CPU_SECONDS):
            ids = list_part_ids(body.data)
    except CpuLimitExceeded:
        raise _unusable(uri, f"it takes more than {MAX_CRATE_CPU_SECONDS} s to read") from None
    except ValueError as error:
        raise _unusable(uri, str(error)) from error
    return (path for each in ids if (path := _path_of(each, inventory)))


def _path_of(part_id: str, inventory: Inventory) -> str | None:
    """Return the path of a part below the folder; None if it is elsewhere, or the folder itself.

    An id is a percent-encoded reference, but not all writers encode it.
    """
    reference = part_id.encode(errors="replace").decode()
    if reference.lower().startswith("s3://"):
        return _path_of_uri(reference, inventory.folder)
    if _HAS_SCHEME(reference) or reference.startswith("/"):
        return None
    if (literal := _normalize(reference)) and inventory.has(literal):
        return literal
    return _normalize(unquote(reference.partition("#")[0]))


def _path_of_uri(text: str, folder: SourceFolder) -> str | None:
    try:
        uri = S3Uri.parse(text)
    except ValueError:
        return None
    if uri.bucket != folder.bucket or not uri.key.startswith(folder.prefix):
        return None
    return _normalize(uri.key.removeprefix(folder.prefix))


def _normalize(reference: str) -> str | None:
    components = [each for each in reference.split("/") if each not in {"", "."}]
    return None if ".." in components else "/".join(components)


def _unusable(uri: S3Uri, reason: str) -> InvalidMetadata:
    return InvalidMetadata(
        f"The crate {quote(str(uri))} cannot be used: {reason}.",
        why="The message or its event source requires the files that it lists.",
        remedy="Correct it, or leave crate out of require.",
    )
