"""Differences between two revisions of a package.

The manifests are merged while they are read; neither is ever in memory as a whole.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec
from quilt_packager_runtime.auditing.manifest_reader import ManifestReader, UnreadableManifest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import NoSuchKey
from quilt_packager_runtime.formats.manifest_lines import NO_METADATA, ManifestLine
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.registry import publish

from quilt_packager.operations.errors import BrokenManifest
from quilt_packager.operations.revisions.revisions import Revision

VERSION, NO_VERSION = "?versionId=", "?versionId=null"


class _Entry(msgspec.Struct, frozen=True):
    """An entry of one revision alone.

    Attributes:
        logical_key: Path in the package.
        size_bytes: Size; None if the manifest has none.
    """

    logical_key: str
    size_bytes: int | None


class Added(_Entry, frozen=True, tag_field="change", tag="added"):
    """An entry of the later revision alone."""


class Removed(_Entry, frozen=True, tag_field="change", tag="removed"):
    """An entry of the earlier revision alone."""


class Changed(msgspec.Struct, frozen=True, tag_field="change", tag="changed"):
    """An entry with different content or metadata.

    Attributes:
        logical_key: Path in the package.
        before_bytes: Size in the earlier revision.
        after_bytes: Size in the later revision.
        only_metadata: True if the content is identical.
    """

    logical_key: str
    before_bytes: int | None
    after_bytes: int | None
    only_metadata: bool


class MetadataFields(msgspec.Struct, frozen=True):
    """Names of different fields of the package's metadata.

    Attributes:
        added: Fields of the later revision alone.
        removed: Fields of the earlier revision alone.
        changed: Fields with different values.
    """

    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()


class Summary(msgspec.Struct, frozen=True, tag_field="change", tag="summary"):
    """Numbers of different entries.

    Attributes:
        added: Number of entries of the later revision alone.
        removed: Number of entries of the earlier revision alone.
        changed: Number of different entries.
        same: Number of identical entries.
        metadata_changed: True if the metadata of the package differs.
        metadata_fields: Names of the different fields.
    """

    added: int
    removed: int
    changed: int
    same: int
    metadata_changed: bool
    metadata_fields: MetadataFields = MetadataFields()


async def compare(
    s3: S3, package: publish.Package, before: Revision | None, after: Revision
) -> AsyncIterator[Added | Removed | Changed | Summary]:
    """Compare the manifests of two revisions, with 16 MiB of each in memory.

    Without a revision before it, everything in a revision is added.

    Different hashes of the same version of the same object are no difference.

    Yields:
        Differences in the order of the manifests, then the summary.

    Raises:
        BrokenManifest: A manifest is missing or malformed.
    """
    # Without a revision before it, the left manifest is never read.
    right_uri = package.manifest(after.top_hash)
    left_uri = right_uri if before is None else package.manifest(before.top_hash)
    left_manifest, right_manifest = ManifestReader(s3, left_uri), ManifestReader(s3, right_uri)
    lefts = _nothing() if before is None else _read(left_manifest, left_uri)
    rights = _read(right_manifest, right_uri)
    counts = {Added: 0, Removed: 0, Changed: 0}
    same = 0
    left, right = await anext(lefts, None), await anext(rights, None)
    while left is not None or right is not None:
        found: Added | Removed | Changed | None
        if left is not None and (right is None or left[0] < right[0]):
            found = Removed(left[1].logical_key, left[1].size)
            left = await anext(lefts, None)
        elif right is not None and (left is None or right[0] < left[0]):
            found = Added(right[1].logical_key, right[1].size)
            right = await anext(rights, None)
        elif left is not None and right is not None:
            found = _difference(left[1], right[1])
            left, right = await anext(lefts, None), await anext(rights, None)
        if found is None:
            same += 1
        else:
            counts[type(found)] += 1
            yield found
    yield Summary(
        added=counts[Added],
        removed=counts[Removed],
        changed=counts[Changed],
        same=same,
        metadata_changed=left_manifest.metadata != right_manifest.metadata,
        metadata_fields=_compare_fields(left_manifest.metadata, right_manifest.metadata),
    )


async def summarize(
    s3: S3, package: publish.Package, before: Revision | None, after: Revision, *, max_bytes: int
) -> Summary | None:
    """Count the differences of two revisions; None if a manifest is larger than `max_bytes`.

    Raises:
        BrokenManifest: A manifest is missing or malformed.
    """
    for revision in filter(None, (before, after)):
        uri = package.manifest(revision.top_hash)
        try:
            size_bytes = (await s3.head_object(uri)).size_bytes
        except NoSuchKey as error:
            raise _broken(uri, "it does not exist") from error
        if size_bytes > max_bytes:
            return None
    summary = None
    async for found in compare(s3, package, before, after):
        summary = found if isinstance(found, Summary) else None
    return summary


def _compare_fields(before: Mapping[str, Any], after: Mapping[str, Any]) -> MetadataFields:
    return MetadataFields(
        added=tuple(name for name in after if name not in before),
        removed=tuple(name for name in before if name not in after),
        changed=tuple(name for name in before if name in after and before[name] != after[name]),
    )


async def _nothing() -> AsyncIterator[tuple[bytes, ManifestLine]]:
    """Yield the entries of a revision that does not exist."""
    return
    yield


async def _read(manifest: ManifestReader, uri: S3Uri) -> AsyncIterator[tuple[bytes, ManifestLine]]:
    try:
        async for entry in manifest.entries():
            yield entry
    except UnreadableManifest as error:
        raise _broken(uri, error.defect) from error


def _broken(uri: S3Uri, defect: str) -> BrokenManifest:
    return BrokenManifest(
        f"The manifest {uri} cannot be read: {defect}.",
        why="It was deleted or overwritten, or another program than quilt3 wrote it.",
        remedy="Compare other revisions.",
    )


def _difference(before: ManifestLine, after: ManifestLine) -> Changed | None:
    same_content = _is_same_content(before, after)
    if same_content and _metadata(before) == _metadata(after):
        return None
    return Changed(before.logical_key, before.size, after.size, same_content)


def _is_same_content(before: ManifestLine, after: ManifestLine) -> bool:
    if before.size != after.size:
        return False
    if before.size == 0:
        return True
    if before.hash is not None and after.hash is not None and before.hash.type == after.hash.type:
        return before.hash.value == after.hash.value
    # Without comparable hashes, only the same version of an object is the same content.
    keys = [key for key in (before.physical_keys or []) if isinstance(key, str)]
    is_version = bool(keys) and VERSION in keys[0] and not keys[0].endswith(NO_VERSION)
    return is_version and before.physical_keys == after.physical_keys


def _metadata(line: ManifestLine) -> Any:  # noqa: ANN401 - any JSON
    """Decode the metadata of an entry; null and {} mean none."""
    raw = bytes(line.meta)
    return None if raw in NO_METADATA else msgspec.json.decode(raw)
