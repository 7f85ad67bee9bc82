"""The beginning of a revision's manifest: the package's metadata and its first entries."""

import contextlib
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from quilt_packager_runtime.formats.manifest_lines import (
    ManifestLine,
    decode_entries,
    decode_header,
)
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX

from quilt_packager.operations.errors import BrokenManifest

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

TOP_HASH = re.compile(r"[0-9a-f]{64}")


class RevisionContents(NamedTuple):
    """The contents of a revision.

    Attributes:
        metadata: Metadata of the package.
        message: Commit message.
        workflow: Id of the workflow that the package passed; None without workflows.
        entries: First entries.
        has_more: The package has more entries.
    """

    metadata: dict[str, Any]
    message: str | None
    workflow: str | None
    entries: tuple[ManifestLine, ...]
    has_more: bool


def read_contents(s3: "S3Client", registry: str, top_hash: str, *, limit: int) -> RevisionContents:
    """Read the beginning of a manifest, up to `limit` entries; the rest is not fetched.

    Raises:
        BrokenManifest: The object is not a manifest.
    """
    if not TOP_HASH.fullmatch(top_hash):
        raise _broken(registry, top_hash)
    body = s3.get_object(Bucket=registry, Key=f"{REGISTRY_PREFIX}packages/{top_hash}")["Body"]
    with contextlib.closing(body):
        lines = body.iter_lines(chunk_size=64 * 1024)
        try:
            header = decode_header(next(lines))
            entries = tuple(entry for _, entry, _ in islice(decode_entries(lines), limit + 1))
        except (msgspec.DecodeError, StopIteration) as error:
            raise _broken(registry, top_hash) from error
    return RevisionContents(
        header.user_meta or {},
        header.message,
        (header.workflow or {}).get("id"),
        entries[:limit],
        len(entries) > limit,
    )


def _broken(registry: str, top_hash: str) -> BrokenManifest:
    return BrokenManifest(
        f"The manifest {top_hash[:12]}… in {registry} cannot be read.",
        why="It is not a Quilt manifest.",
        remedy="Package the folder again.",
    )
