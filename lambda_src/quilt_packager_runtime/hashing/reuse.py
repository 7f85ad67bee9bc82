"""Checksums that the previous revision has of the very versions that are packaged again.

An unchanged folder then costs its listing and one manifest to read, and no request for an object.
"""

import logging
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.errors import (
    AccessDenied,
    BadRequest,
    InvalidObjectState,
    InvalidRange,
    NoSuchKey,
    PreconditionFailed,
)
from quilt_packager_runtime.formats.checksums import MANIFEST_TYPES
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US, read_entries
from quilt_packager_runtime.formats.objects import Checksum, Entry, S3Uri
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings

STEP_BYTES = 8 * 1024 * 1024
"""How much of the previous manifest is in memory."""

# A job can do without it: then it asks for each object, as the first time.
UNREADABLE = (
    AccessDenied,
    BadRequest,
    InvalidObjectState,
    InvalidRange,
    NoSuchKey,
    PreconditionFailed,
)

logger = logging.getLogger(__name__)


async def reuse_checksums(
    s3: S3, manifest: S3Uri, inventory: Inventory, *, settings: Settings
) -> int:
    """Record what the previous revision knows of objects that are at the same version still.

    Only versions that have an id are the same for sure. Only a manifest that this engine wrote is
    trusted: others have written single hashes under the name of chunked ones.

    Args:
        s3: S3.
        manifest: The previous revision's.
        inventory: The listed objects; takes the checksums.
        settings: Which algorithms are acceptable.

    Returns:
        How many checksums were reused.
    """
    acceptable = {MANIFEST_TYPES[algorithm] for algorithm in settings.checksum_algorithms}
    reused = 0
    try:
        header_lines = 1
        async for lines in read_lines(s3, manifest, is_wanted=is_ours):
            entries = read_entries(lines[header_lines:])
            header_lines = 0
            reused += inventory.record_versions(_versions(entries, inventory, acceptable))
    except UNREADABLE as error:
        logger.warning(
            "previous manifest not readable",
            extra={"manifest": str(manifest), "code": error.code},
        )
    except ValueError:
        logger.warning("invalid previous manifest", extra={"manifest": str(manifest)})
    return reused


async def read_lines(
    s3: S3, manifest: S3Uri, *, is_wanted: Callable[[ObjectBody], bool] = lambda _body: True
) -> AsyncIterator[list[bytes]]:
    """The lines of a manifest, its header first, as many at a time as come with a range.

    Args:
        s3: S3.
        manifest: The manifest.
        is_wanted: Asked with each range whether to go on.
    """
    cut_line = b""
    async for body in s3.stream_object(manifest, step_bytes=STEP_BYTES):
        if not is_wanted(body):
            return
        *lines, cut_line = (cut_line + body.data).split(b"\n")
        if lines:
            yield lines
    if cut_line:
        yield [cut_line]


def is_ours(manifest: ObjectBody) -> bool:
    """Whether a manifest was written by this engine.

    Args:
        manifest: Any range of it.
    """
    return manifest.metadata.items() >= WRITTEN_BY_US.items()


def _versions(
    entries: Iterable[Entry], inventory: Inventory, acceptable: set[str]
) -> Iterator[tuple[str, str, Checksum]]:
    """Those entries that are versions of the folder's objects, under their present names."""
    folder = inventory.folder
    for entry in entries:
        uri = S3Uri.parse(entry.physical_key)
        if (
            uri.version_id is not None
            and entry.checksum.type in acceptable
            and (uri.bucket, uri.key) == (folder.bucket, folder.prefix + entry.logical_key)
        ):
            yield entry.logical_key, uri.version_id, entry.checksum
