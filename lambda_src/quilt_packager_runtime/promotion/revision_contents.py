"""The contents of a revision to promote: any program's manifest, in a temporary database."""

import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from hashlib import sha256
from typing import Any, Self

import msgspec

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.errors import UNREADABLE, InvalidManifest
from quilt_packager_runtime.formats.manifest import is_ours
from quilt_packager_runtime.formats.manifest_lines import (
    NO_METADATA,
    ManifestLine,
    TopHasher,
    decode_line,
    encode_header,
    to_entry,
    with_physical_key,
)
from quilt_packager_runtime.formats.objects import Entry, S3Uri, SourceObject, key_of, sort_key
from quilt_packager_runtime.hashing.reuse import read_lines
from quilt_packager_runtime.listing.inventory import open_database

BLOCK_ENTRIES = 1000

# `present` is the object at the key of the copy, and `copy` the physical key in the new manifest.
SCHEMA = """
CREATE TABLE entries (
    path BLOB PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    line BLOB NOT NULL,
    present TEXT,
    copy TEXT
) WITHOUT ROWID
"""

_decode_object = msgspec.json.Decoder(SourceObject).decode


class RevisionContents:
    """The header and the entries of a manifest. Memory does not grow with their number.

    Use it as a context manager.

    Attributes:
        header: First line.
        is_ours: This engine wrote the manifest, or copied one that it wrote.
    """

    def __init__(self) -> None:
        self.header: dict[str, Any] = {}
        self.is_ours = False
        self._header_line = b""
        self._folders: list[bytes] = []
        self._database = open_database(SCHEMA)

    def __enter__(self) -> Self:
        """Return the contents: the database is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the database."""
        self._database.close()

    async def load(self, s3: S3, manifest: S3Uri, top_hash: str) -> None:
        """Read a manifest, in which later lines override earlier ones, as in quilt3.

        Raises:
            InvalidManifest: It does not exist, is malformed, or has another top hash.
        """
        try:
            async for lines in read_lines(s3, manifest, is_wanted=self._note_writer):
                self._add(lines)
        except UNREADABLE as error:
            raise _invalid(manifest, f"it cannot be read ({error.code})") from error
        except (ValueError, RecursionError) as error:
            raise _invalid(manifest, f"a line is malformed ({error})") from error
        if not self.header:
            raise _invalid(manifest, "it is empty")
        if await self.top_hash(self.header) != top_hash:
            raise _invalid(manifest, "its contents have another top hash")

    def _note_writer(self, body: ObjectBody) -> bool:
        self.is_ours = is_ours(body.metadata)
        return True

    def _add(self, lines: list[bytes]) -> None:
        if not self.header:
            self._header_line = lines[0]
            self.header = msgspec.convert(json.loads(lines[0]), dict[str, Any])
            lines = lines[1:]
        rows = []
        for line in filter(bytes.strip, lines):
            decoded = decode_line(line)
            if decoded.physical_keys:
                entry = to_entry(decoded)
                rows.append((sort_key(entry.logical_key), entry.size_bytes, line))
            else:
                self._folders.append(line)
        self._database.executemany(
            "INSERT OR REPLACE INTO entries (path, size_bytes, line) VALUES (?, ?, ?)", rows
        )

    def totals(self) -> tuple[int, int]:
        """Return the number of entries, and the sum of their sizes."""
        query = "SELECT count(*), coalesce(sum(size_bytes), 0) FROM entries"
        objects, size_bytes = self._database.execute(query).fetchone()
        return objects, size_bytes

    def _lines(self) -> Iterator[ManifestLine]:
        for (line,) in self._database.execute("SELECT line FROM entries ORDER BY path"):
            yield decode_line(line)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Yield logical key and size of each entry, in the manifest's order."""
        query = "SELECT path, size_bytes FROM entries ORDER BY path"
        for path, size_bytes in self._database.execute(query):
            yield key_of(path), size_bytes

    def metadata(self) -> dict[str, dict[str, Any]]:
        """Return the metadata of files, by their logical keys."""
        found = {}
        for line in self._lines():
            raw = bytes(line.meta)
            metadata = {} if raw in NO_METADATA else msgspec.json.decode(raw).get("user_meta")
            if metadata:
                found[line.logical_key] = metadata
        return found

    def add_present(self, present: Iterable[tuple[str, SourceObject]]) -> None:
        """Record objects that exist at the keys of copies, by logical keys."""
        rows = (
            (msgspec.json.encode(found).decode(), sort_key(logical_key))
            for logical_key, found in present
        )
        self._database.executemany("UPDATE entries SET present = ? WHERE path = ?", rows)

    def record_copy(self, entry: Entry, copy: S3Uri) -> None:
        """Set the physical key of an entry in the new manifest."""
        self._database.execute(
            "UPDATE entries SET copy = ? WHERE path = ?", (str(copy), sort_key(entry.logical_key))
        )

    async def uncopied(
        self, *, only_present: bool = False
    ) -> AsyncIterator[tuple[Entry, SourceObject | None]]:
        """Yield the entries without a copy, each with the object at the key of its copy.

        Args:
            only_present: Skip entries without such an object.
        """
        query = (
            "SELECT path, line, present FROM entries WHERE path > ? AND copy IS NULL "
            "AND (present IS NOT NULL OR NOT ?) ORDER BY path LIMIT ?"
        )
        last = b""
        while rows := self._database.execute(query, (last, only_present, BLOCK_ENTRIES)).fetchall():
            for _, line, present in rows:
                found = None if present is None else _decode_object(present)
                yield to_entry(decode_line(line)), found
            last = rows[-1][0]

    async def top_hash(self, header: dict[str, Any]) -> str:
        """Return the top hash that the entries have with a header."""
        hasher = TopHasher(self._encode(header))
        async for lines in slices(self._lines(), BLOCK_ENTRIES):
            for line in lines:
                hasher.add(line)
        return hasher.top_hash()

    def _encode(self, header: dict[str, Any]) -> bytes:
        return self._header_line if header == self.header else encode_header(header)

    async def write(self, header: dict[str, Any], write: Callable[[bytes], object]) -> str:
        """Write the new manifest, and return the SHA-256 of its bytes in hex.

        Lines that do not change are written as they were read.
        """
        digest = sha256()

        def put(data: bytes) -> None:
            digest.update(data)
            write(data)

        put(self._encode(header) + b"\n")
        for line in self._folders:
            put(line + b"\n")
        rows = self._database.execute("SELECT line, copy FROM entries ORDER BY path")
        async for block in slices(rows, BLOCK_ENTRIES):
            put(b"".join(_new_line(line, copy) for line, copy in block))
        return digest.hexdigest()


def _new_line(line: bytes, copy: str | None) -> bytes:
    return (line if copy is None else with_physical_key(line, copy)) + b"\n"


def _invalid(manifest: S3Uri, problem: str) -> InvalidManifest:
    return InvalidManifest(
        f"The manifest {manifest} cannot be promoted: {problem}.",
        why="A promotion publishes a revision as it is, so its manifest must be valid.",
        remedy="Promote another revision, or package the folder again.",
    )
