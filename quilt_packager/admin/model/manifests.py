"""The beginning of a revision's manifest: the package's metadata, and its first entries."""

import contextlib
import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX

from quilt_packager.operations.errors import BrokenManifest

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

TOP_HASH = re.compile(r"[0-9a-f]{64}")


class RevisionEntry(msgspec.Struct, frozen=True, rename={"size_bytes": "size"}):
    """A file of a package.

    Attributes:
        logical_key: The path inside the package.
        size_bytes: The object's size; None if the manifest does not tell.
    """

    logical_key: str
    size_bytes: int | None = None


class Revision(msgspec.Struct, frozen=True):
    """What a page shows of a revision.

    Attributes:
        metadata: The package's metadata.
        message: The commit message.
        workflow: The id of the workflow that the package passed; None without workflows.
        entries: The first entries.
        has_more: There are more entries than these.
    """

    metadata: dict[str, Any]
    message: str | None
    workflow: str | None
    entries: tuple[RevisionEntry, ...]
    has_more: bool


class _Header(msgspec.Struct):
    user_meta: dict[str, Any] | None = None
    message: str | None = None
    workflow: dict[str, Any] | None = None


def read_revision(s3: "S3Client", registry: str, top_hash: str, *, limit: int) -> Revision:
    """Read the beginning of a manifest; the rest of it is not fetched.

    Args:
        s3: S3.
        registry: The bucket.
        top_hash: The revision.
        limit: How many entries to read.

    Raises:
        BrokenManifest: It is none.
    """
    if not TOP_HASH.fullmatch(top_hash):
        raise _broken(registry, top_hash)
    body = s3.get_object(Bucket=registry, Key=f"{REGISTRY_PREFIX}packages/{top_hash}")["Body"]
    with contextlib.closing(body):
        lines = body.iter_lines(chunk_size=64 * 1024)
        try:
            header = msgspec.json.decode(next(lines), type=_Header)
            decode = msgspec.json.Decoder(RevisionEntry).decode
            entries = tuple(decode(line) for line in islice(lines, limit + 1))
        except (msgspec.DecodeError, StopIteration) as error:
            raise _broken(registry, top_hash) from error
    return Revision(
        header.user_meta or {},
        header.message,
        (header.workflow or {}).get("id"),
        entries[:limit],
        len(entries) > limit,
    )


def _broken(registry: str, top_hash: str) -> BrokenManifest:
    return BrokenManifest(
        f"The manifest {top_hash[:12]}… of {registry} cannot be read.",
        why="It is not one of Quilt's manifests.",
        remedy="Package the folder again.",
    )
