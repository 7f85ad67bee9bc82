"""Reuse the checksums of the previous revision for objects whose version has not changed.

An unchanged folder costs only its listing and one manifest: no request per object.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.errors import UNREADABLE
from quilt_packager_runtime.formats.checksums import MANIFEST_TYPES
from quilt_packager_runtime.formats.manifest import is_ours, read_entries
from quilt_packager_runtime.formats.objects import Checksum, Entry, S3Uri
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings

STEP_BYTES = 8 * 1024 * 1024
"""Bytes of the previous manifest held in memory."""

logger = logging.getLogger(__name__)


async def reuse_checksums(
    s3: S3,
    manifest: S3Uri,
    inventory: Inventory,
    *,
    settings: Settings,
    first: ObjectBody | None = None,
) -> int:
    """Record the checksums of the previous revision for objects that still have the same version.

    Only version ids prove equality. Only manifests of this engine are trusted: other writers have
    stored single hashes under the type of chunked ones.

    Args:
        s3: S3.
        manifest: Manifest of the previous revision.
        inventory: The listed objects; checksums are recorded in it.
        settings: Acceptable algorithms.
        first: The first `STEP_BYTES` of the manifest, if they were read before.

    Returns:
        The number of reused checksums.
    """
    acceptable = {MANIFEST_TYPES[algorithm] for algorithm in settings.checksum_algorithms}
    reused = 0
    try:
        header_lines = 1
        async for lines in read_lines(s3, manifest, first=first, is_wanted=_is_ours):
            entries = read_entries(lines[header_lines:])
            header_lines = 0
            reused += inventory.record_versions(_versions(entries, inventory, acceptable))
    except UNREADABLE as error:  # without it, the job sends a request for each object
        logger.warning(
            "previous manifest not readable",
            extra={"manifest": str(manifest), "code": error.code},
        )
    except ValueError:
        logger.warning("invalid previous manifest", extra={"manifest": str(manifest)})
    return reused


async def read_lines(
    s3: S3,
    manifest: S3Uri,
    *,
    first: ObjectBody | None = None,
    is_wanted: Callable[[ObjectBody], bool] = lambda _body: True,
) -> AsyncIterator[list[bytes]]:
    """Yield the lines of a manifest in one block per range, its header first.

    Stop when `is_wanted` returns False for a range.
    """
    cut_line = b""
    async for body in s3.stream_object(manifest, step_bytes=STEP_BYTES, first=first):
        if not is_wanted(body):
            return
        *lines, cut_line = (cut_line + body.data).split(b"\n")
        if lines:
            yield lines
    if cut_line:
        yield [cut_line]


def _is_ours(manifest: ObjectBody) -> bool:
    return is_ours(manifest.metadata)


def _versions(
    entries: Iterable[Entry], inventory: Inventory, acceptable: set[str]
) -> Iterator[tuple[str, str, Checksum]]:
    """Yield logical key, version id and checksum of the entries' objects that are in a source."""
    folder = inventory.folder
    is_one_folder = inventory.is_one_folder
    for entry in entries:
        uri = S3Uri.parse(entry.physical_key)
        if uri.version_id is None or entry.checksum.type not in acceptable:
            continue
        if not is_one_folder:
            for logical_key in inventory.logical_keys(uri.bucket, uri.key):
                yield logical_key, uri.version_id, entry.checksum
        elif (uri.bucket, uri.key) == (folder.bucket, folder.prefix + entry.logical_key):
            yield entry.logical_key, uri.version_id, entry.checksum
