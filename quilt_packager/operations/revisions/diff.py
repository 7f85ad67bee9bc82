"""Differences between two revisions of a package.

Manifests of the packager are sorted, and are merged while they are read. Manifests of other
programs are sorted first, in a private database. Neither is ever in memory as a whole.
"""

from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import msgspec
from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.errors import InvalidRange, NoSuchKey, quote
from quilt_packager_runtime.formats.manifest import is_ours
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.hashing.reuse import read_lines
from quilt_packager_runtime.listing.inventory import open_database
from quilt_packager_runtime.registry import publish

from quilt_packager.operations.errors import BrokenManifest
from quilt_packager.operations.revisions.manifest_lines import (
    ManifestLine,
    decode_entries,
    decode_header,
)
from quilt_packager.operations.revisions.revisions import Revision

LINES = "CREATE TABLE lines (path BLOB PRIMARY KEY, line BLOB NOT NULL) WITHOUT ROWID"

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


class Summary(msgspec.Struct, frozen=True, tag_field="change", tag="summary"):
    """Numbers of different entries.

    Attributes:
        added: Number of entries of the later revision alone.
        removed: Number of entries of the earlier revision alone.
        changed: Number of different entries.
        same: Number of identical entries.
        metadata_changed: True if the metadata of the package differs.
    """

    added: int
    removed: int
    changed: int
    same: int
    metadata_changed: bool


async def compare(
    s3: S3, package: publish.Package, before: Revision, after: Revision
) -> AsyncIterator[Added | Removed | Changed | Summary]:
    """Compare the manifests of two revisions, with 16 MiB of each in memory.

    Different hashes of the same version of the same object are no difference.

    Yields:
        Differences in the order of the manifests, then the summary.

    Raises:
        BrokenManifest: A manifest is missing or malformed.
    """
    left_manifest = _Manifest(s3, package.manifest(before.top_hash))
    right_manifest = _Manifest(s3, package.manifest(after.top_hash))
    lefts, rights = left_manifest.entries(), right_manifest.entries()
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
        metadata_changed=(left_manifest.user_meta or {}) != (right_manifest.user_meta or {}),
    )


class _Manifest:
    """A manifest that is read once.

    Attributes:
        user_meta: Metadata of the package, available after the first entry.
    """

    def __init__(self, s3: S3, uri: S3Uri) -> None:
        self._s3 = s3
        self._uri = uri
        self._is_ours = False
        self.user_meta: dict[str, Any] | None = None

    async def entries(self) -> AsyncIterator[tuple[bytes, ManifestLine]]:
        """Yield the sort key of each entry and the entry, in the order of manifests."""
        try:
            blocks = self._blocks()
            if await anext(blocks, None) is None:  # no header
                raise self._broken("it is empty")
            async for entry in self._in_order(blocks) if self._is_ours else self._sorted(blocks):
                yield entry
        except NoSuchKey as error:
            raise self._broken("it does not exist") from error
        except InvalidRange as error:
            raise self._broken("it is empty") from error
        except (ValueError, RecursionError) as error:
            raise self._broken(f"a line is malformed ({error})") from error

    async def _blocks(self) -> AsyncIterator[list[bytes]]:
        """Read the header, then yield it and the other lines."""
        header_is_read = False

        def see(body: ObjectBody) -> bool:
            self._is_ours = is_ours(body.metadata)
            return True

        async for lines in read_lines(self._s3, self._uri, is_wanted=see):
            if not header_is_read:
                self.user_meta = decode_header(lines[0]).user_meta
                header_is_read = True
                yield lines[:1]
                yield lines[1:]
            else:
                yield lines

    async def _in_order(
        self, blocks: AsyncIterator[list[bytes]]
    ) -> AsyncIterator[tuple[bytes, ManifestLine]]:
        last = b""
        async for block in blocks:
            for path, entry, _ in decode_entries(block):
                if path <= last:
                    raise self._broken(f"{quote(entry.logical_key)} is out of order")
                last = path
                yield path, entry

    async def _sorted(
        self, blocks: AsyncIterator[list[bytes]]
    ) -> AsyncIterator[tuple[bytes, ManifestLine]]:
        with closing(open_database(LINES)) as database:
            async for block in blocks:
                # As in quilt3, later lines override earlier ones.
                rows = ((path, line) for path, _, line in decode_entries(block))
                database.executemany("INSERT OR REPLACE INTO lines VALUES (?, ?)", rows)
            lines = (line for (line,) in database.execute("SELECT line FROM lines ORDER BY path"))
            for path, entry, _ in decode_entries(lines):
                yield path, entry

    def _broken(self, how: str) -> BrokenManifest:
        return BrokenManifest(
            f"The manifest {self._uri} cannot be read: {how}.",
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
    return None if raw in {b"", b"null", b"{}"} else msgspec.json.decode(raw)
