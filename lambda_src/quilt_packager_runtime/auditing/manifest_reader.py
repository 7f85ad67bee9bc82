"""Reads the manifest of any program, in the order of manifests and in bounded memory.

Manifests of the packager are sorted, and are read as they are. Manifests of other programs are
sorted first, in a private database.
"""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import closing
from hashlib import sha256
from typing import Any

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.errors import InvalidRange, NoSuchKey, quote
from quilt_packager_runtime.formats.manifest import is_ours
from quilt_packager_runtime.formats.manifest_lines import (
    ManifestHeader,
    ManifestLine,
    TopHasher,
    decode_entries,
    decode_header,
)
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.hashing.reuse import read_lines
from quilt_packager_runtime.listing.inventory import open_database
from quilt_packager_runtime.registry.publish import MANIFEST_SHA256

LINES = "CREATE TABLE lines (path BLOB PRIMARY KEY, line BLOB NOT NULL) WITHOUT ROWID"


class UnreadableManifest(Exception):
    """The object is not a manifest.

    Attributes:
        defect: Defect, to follow a colon.
        is_missing: The object does not exist.
    """

    def __init__(self, defect: str, *, is_missing: bool = False) -> None:
        super().__init__(defect)
        self.defect = defect
        self.is_missing = is_missing


class ManifestReader:
    """A manifest that is read once.

    Args:
        s3: S3.
        uri: The manifest.
        verify: Compute the top hash, which takes a third of the time.

    Attributes:
        header: First line, available after the first entry.
    """

    def __init__(self, s3: S3, uri: S3Uri, *, verify: bool = False) -> None:
        self.header = ManifestHeader()
        self._s3 = s3
        self._uri = uri
        self._verifies = verify
        self._is_ours = False
        self._hasher: TopHasher | None = None
        self._bytes_hash = sha256()
        self._expected_sha256: str | None = None

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata of the package, available after the first entry."""
        return self.header.user_meta or {}

    async def entries(self) -> AsyncGenerator[tuple[bytes, ManifestLine], None]:
        """Yield the sort key of each entry and the entry, in the order of manifests.

        Raises:
            UnreadableManifest: It does not exist, or is malformed.
        """
        try:
            blocks = self._blocks()
            if await anext(blocks, None) is None:  # no header
                raise UnreadableManifest("it is empty")
            async for path, entry in (
                self._in_order(blocks) if self._is_ours else self._sorted(blocks)
            ):
                if self._hasher is not None:
                    self._hasher.add(entry)
                yield path, entry
        except NoSuchKey as error:
            raise UnreadableManifest("it does not exist", is_missing=True) from error
        except InvalidRange as error:
            raise UnreadableManifest("it is empty") from error
        except (ValueError, RecursionError) as error:
            raise UnreadableManifest(f"a line is malformed ({error})") from error

    def find_change(self, top_hash: str) -> str | None:
        """Return how a manifest that was read to its end contradicts its name, or its own record.

        The top hash does not cover the physical keys; the SHA-256 that the packager recorded does.
        """
        computed = None if self._hasher is None else self._hasher.top_hash()
        if computed != top_hash:
            return f"its top hash is {computed}"
        actual = self._bytes_hash.hexdigest()
        if self._expected_sha256 not in {None, actual}:
            return f"its bytes have the SHA-256 {actual}, not {self._expected_sha256}"
        return None

    async def _blocks(self) -> AsyncIterator[list[bytes]]:
        """Read the header, then yield it and the other lines."""
        header_is_read = False

        def see(body: ObjectBody) -> bool:
            self._is_ours = is_ours(body.metadata)
            if self._verifies:
                self._expected_sha256 = body.metadata.get(MANIFEST_SHA256)
                self._bytes_hash.update(body.data)
            return True

        async for lines in read_lines(self._s3, self._uri, is_wanted=see):
            if not header_is_read:
                self.header = decode_header(lines[0])
                if self._verifies:
                    self._hasher = TopHasher(lines[0])
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
                    raise UnreadableManifest(f"{quote(entry.logical_key)} is out of order")
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
