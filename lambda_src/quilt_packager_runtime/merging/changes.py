"""The entries that another writer has changed, in a temporary SQLite database.

Manifests of any size and order are compared in bounded memory: the other writer's entries go into
the database, and those that equal the base leave it again.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Self

import msgspec

from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.errors import Samples, quote
from quilt_packager_runtime.formats.checksums import is_valid
from quilt_packager_runtime.formats.json_documents import read_json
from quilt_packager_runtime.formats.manifest import ENTRIES_AT_ONCE, MAX_LINE_BYTES
from quilt_packager_runtime.formats.manifest_lines import NO_METADATA, ManifestLine
from quilt_packager_runtime.formats.objects import SEPARATOR, Entry, S3Uri, key_of, sort_key
from quilt_packager_runtime.listing.inventory import open_database
from quilt_packager_runtime.listing.source_listing import HAS_INVALID_COMPONENT
from quilt_packager_runtime.merging.three_way import (
    Choice,
    choose,
    find_collisions,
    is_same_entry,
)

SCHEMA = """
CREATE TABLE changes (
    path BLOB PRIMARY KEY,
    theirs BLOB,
    base BLOB,
    is_carried INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""

ROWS_AT_ONCE = 1000

_decode = msgspec.json.Decoder(ManifestLine).decode


class _Change(NamedTuple):
    """A key at which another writer has changed the base: lines, or None where it is absent."""

    path: bytes
    theirs: bytes | None
    base: bytes | None


class Changes:
    """The entries that another writer has added, changed or removed.

    Memory: the cache of its database. Disk: the other writer's manifest, and then its changes.
    """

    def __init__(self) -> None:
        self._database = open_database(SCHEMA)

    def __enter__(self) -> Self:
        """Return the changes: their database is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the database."""
        self._database.close()

    def add_theirs(self, lines: Iterable[bytes]) -> None:
        """Add lines of the other writer's manifest, in any order. The last line of a key counts."""
        self._database.executemany(
            "INSERT OR REPLACE INTO changes (path, theirs) VALUES (?, ?)",
            ((_path_of(line), line) for line in lines if line.strip()),
        )

    def subtract_base(self, lines: Iterable[bytes]) -> None:
        """Compare lines of the base, after all of the other writer's."""
        same, different = [], []
        for line in lines:
            path = _path_of(line)
            row = self._database.execute(
                "SELECT theirs FROM changes WHERE path = ?", (path,)
            ).fetchone()
            if row is not None and (row[0] == line or is_same_entry(*map(_entry, (row[0], line)))):
                same.append((path,))
            else:
                different.append((path, line))
        self._database.executemany("DELETE FROM changes WHERE path = ?", same)
        self._database.executemany(
            "INSERT INTO changes (path, base) VALUES (?, ?)"
            " ON CONFLICT (path) DO UPDATE SET base = excluded.base",
            different,
        )

    def names(self) -> Iterator[str]:
        """Iterate over the logical keys of the changes, in their order."""
        for (path,) in self._database.execute("SELECT path FROM changes ORDER BY path"):
            yield key_of(path)

    def count(self) -> int:
        """Count the changes."""
        (count,) = self._database.execute("SELECT count(*) FROM changes").fetchone()
        return int(count)

    def count_carried(self) -> int:
        """Count the changes that the merged package has."""
        (count,) = self._database.execute("SELECT total(is_carried) FROM changes").fetchone()
        return int(count)

    async def resolve(self, ours: Iterable[Entry], *, conflicts: Samples, removed: Samples) -> None:
        """Decide which changes the merged package has, and name the others.

        Args:
            ours: Entries of the folder, in their order.
            conflicts: Collects the keys of changes that are lost.
            removed: Collects the keys of the folder that the merged package lacks.
        """
        async for changes in slices(self._matched(ours), ENTRIES_AT_ONCE):
            carried = []
            for change, entry in changes:
                choice = _choose(change, entry)
                if choice is Choice.THEIRS:
                    carried.append((change.path,))
                    if change.theirs is None:
                        removed.add(quote(key_of(change.path)))
                elif choice is Choice.CONFLICT:
                    conflicts.add(quote(key_of(change.path)))
            self._database.executemany("UPDATE changes SET is_carried = 1 WHERE path = ?", carried)

    async def drop_collisions(self, ours: Iterable[Entry], conflicts: Samples) -> None:
        """Drop the carried entries that make a file of the source a folder, or reverse."""
        is_carried = self._database.execute(
            "SELECT 1 FROM changes WHERE is_carried AND theirs IS NOT NULL LIMIT 1"
        ).fetchone()
        if is_carried is None:
            return
        collisions = [
            path async for some in slices(self._marked(ours), ENTRIES_AT_ONCE) for path in some
        ]
        for path in collisions:
            conflicts.add(quote(key_of(path)))
        self._database.executemany(
            "UPDATE changes SET is_carried = 0 WHERE path = ?", ((path,) for path in collisions)
        )

    def merge(self, ours: Iterable[Entry]) -> Iterator[Entry]:
        """Iterate over the entries of the merged package, in their order."""
        return (entry for entry, _ in self._merge(ours))

    def metadata(self, ours: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        """Return the metadata of the merged entries that have any, by their logical keys."""
        merged = dict(ours)
        for change in self._rows("is_carried"):
            key = key_of(change.path)
            merged.pop(key, None)
            entry = _entry(change.theirs)
            if entry is not None and entry.metadata:
                merged[key] = entry.metadata
        return merged

    def _marked(self, ours: Iterable[Entry]) -> Iterator[bytes]:
        return find_collisions(
            (sort_key(entry.logical_key), is_carried) for entry, is_carried in self._merge(ours)
        )

    def _merge(self, ours: Iterable[Entry]) -> Iterator[tuple[Entry, bool]]:
        rows = self._rows("is_carried")
        row = next(rows, None)
        for entry in ours:
            path = sort_key(entry.logical_key)
            while row is not None and row.path < path:
                yield from _carried(row)
                row = next(rows, None)
            if row is not None and row.path == path:
                yield from _carried(row)
                row = next(rows, None)
            else:
                yield entry, False
        while row is not None:
            yield from _carried(row)
            row = next(rows, None)

    def _matched(self, ours: Iterable[Entry]) -> Iterator[tuple[_Change, Entry | None]]:
        """Iterate over the changes with the entry that the folder has at each key."""
        entries = iter(ours)
        entry = next(entries, None)
        for change in self._rows("1"):
            while entry is not None and sort_key(entry.logical_key) < change.path:
                entry = next(entries, None)
            is_match = entry is not None and sort_key(entry.logical_key) == change.path
            yield change, entry if is_match else None

    def _rows(self, condition: str) -> Iterator[_Change]:
        """Iterate over changes in their order. They may be updated meanwhile."""
        query = (
            f"SELECT path, theirs, base FROM changes WHERE path > ? AND {condition}"  # noqa: S608
            " ORDER BY path LIMIT ?"
        )
        after: bytes | int = -1  # before all keys, the empty one included
        while rows := self._database.execute(query, (after, ROWS_AT_ONCE)).fetchall():
            yield from map(_Change._make, rows)
            after = rows[-1][0]


def _choose(change: _Change, ours: Entry | None) -> Choice:
    theirs = _entry(change.theirs)
    if change.theirs is not None and theirs is None:
        return Choice.CONFLICT
    return choose(_entry(change.base), theirs, ours)


def _carried(change: _Change) -> Iterator[tuple[Entry, bool]]:
    entry = _entry(change.theirs)
    if entry is not None:
        yield entry, True


def _path_of(line: bytes) -> bytes:
    return sort_key(_decode(line).logical_key)


def _entry(line: bytes | None) -> Entry | None:
    """Return the entry of a line; None if there is none that a manifest of this engine can have.

    That excludes entries without a size or a valid hash, keys that quilt3 rejects, and the metadata
    of folders.
    """
    if line is None:
        return None
    read = _decode(line)
    size_bytes, checksum = read.size, read.hash
    if checksum is None or not is_valid(checksum) or size_bytes is None:
        return None
    if HAS_INVALID_COMPONENT(SEPARATOR + sort_key(read.logical_key) + SEPARATOR):
        return None
    try:
        (physical_key,) = msgspec.convert(read.physical_keys, list[str])
        S3Uri.parse(physical_key)
        raw = bytes(read.meta)
        meta = {} if raw in NO_METADATA else read_json(raw, max_bytes=MAX_LINE_BYTES)
        other_meta = msgspec.convert(meta, dict[str, Any])
        user_meta = msgspec.convert(other_meta.pop("user_meta", None), dict[str, Any] | None)
    except ValueError:
        return None
    return Entry(
        read.logical_key, physical_key, size_bytes, checksum, user_meta or None, other_meta or None
    )
