"""Inventory of a job's objects and their checksums, in a temporary SQLite database.

SQLite keeps the database in its cache, and moves it to a file in the temporary folder when it
outgrows the cache: ten objects use no disk, and ten million need no more memory than one million.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from typing import Any, Self

from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.formats.globs import match_any
from quilt_packager_runtime.formats.objects import (
    SEPARATOR,
    Checksum,
    ChecksumAlgorithm,
    Entry,
    S3Uri,
    SourceFolder,
    SourceObject,
    key_of,
    sort_key,
)
from quilt_packager_runtime.formats.selection import Selection

CACHE_BYTES = 64 * 1024 * 1024
PAGE_BYTES = 8192
"""Large enough for a row with a key of 1,024 bytes: a larger row takes a page of its own."""

BLOCK_OBJECTS = 10_000
"""Maximum number of objects per step of a scan. Other tasks run between two steps."""

# The primary key sorts as the manifest does. A path is the sort key of a logical key.
SCHEMA = """
CREATE TABLE objects (
    path BLOB PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    version_id TEXT,
    archived INTEGER NOT NULL,
    stored TEXT,
    digests TEXT,
    hash_type TEXT,
    hash_value TEXT,
    digest_values TEXT,
    hashed_here INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""

OBJECT = "path, size_bytes, etag, version_id, archived, stored, digests"
CHECKSUM = "hash_type, hash_value, digest_values"


def open_database(schema: str) -> sqlite3.Connection:
    """Open a private database that is deleted when it is closed.

    It takes `CACHE_BYTES` of memory, and a file in the temporary folder beyond that.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    # It is not read after a crash, so it needs no journal and no wait for the disk.
    for pragma in (
        f"page_size = {PAGE_BYTES}",
        f"cache_size = -{CACHE_BYTES // 1024}",
        "journal_mode = OFF",
        "synchronous = OFF",
        "temp_store = FILE",
    ):
        database.execute(f"PRAGMA {pragma}")
    database.execute(schema)
    # One transaction that never ends: each commit would scan all pages of the cache.
    database.execute("BEGIN")
    return database


def identity(found: SourceObject) -> int:
    """Return a number that differs for other keys, versions, ETags and sizes, in this process."""
    return hash((found.key, found.version_id, found.etag, found.size_bytes))


class Inventory:
    """The objects of a source folder, with their checksums once these are known.

    Memory: `CACHE_BYTES` and one block of `BLOCK_OBJECTS`, for any number of objects. Disk, per
    object beyond the cache: 200 bytes and 1.2 times the logical key. The manifest takes 220 bytes,
    the logical key and its URI. Together that is at most 430 bytes and 3.2 times the key: 10 GiB
    for ten million objects with keys of 200 bytes. A full disk raises `DiskFull`.

    Args:
        folder: The source folder.
        exclude: Globs of the logical keys to leave out.
        selection: The parts that become entries; None for the whole folder.

    Attributes:
        excluded: Number of objects left out because of `exclude` or `selection`.
        metadata: Metadata of files, by their logical keys. It takes memory beside the above.
        names_checksums: The listing names the algorithms of stored checksums. Some servers name
            none, although they store checksums.

    Example:
        >>> with Inventory(SourceFolder("b", "f/")) as inventory:
        ...     inventory.add(
        ...         [SourceObject("f/a-b", 1, "", "v1"), SourceObject("f/a/b", 2, "", "v1")]
        ...     )
        ...     [key for key, _ in inventory.sizes()]
        ['a/b', 'a-b']
    """

    def __init__(
        self,
        folder: SourceFolder,
        exclude: Sequence[str] = (),
        selection: Selection | None = None,
    ) -> None:
        self.folder = folder
        self.selection = selection
        self.metadata = selection.metadata if selection is not None else {}
        self.excluded = 0
        self.names_checksums = False
        self._is_excluded = match_any(exclude) if exclude else None
        self._objects = 0
        self._size_bytes = 0
        self._removed = 0
        self._database = open_database(SCHEMA)

    def __enter__(self) -> Self:
        """Return the inventory: its database is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the database."""
        self._database.close()

    def add(self, objects: Iterable[SourceObject]) -> None:
        """Add listed objects, in any order, each once, except those that are excluded."""
        prefix_length = len(self.folder.prefix)
        if self._is_excluded is not None or self.selection is not None:
            offered = list(objects)
            objects = self.included(offered)
            self.excluded += len(offered) - len(objects)
        rows = [
            (
                sort_key(found.key[prefix_length:]),
                found.size_bytes,
                found.etag,
                found.version_id,
                # SQLite looks up an adapter for each subclass of int and str: see ADR 0031.
                1 if found.archived else 0,
                found.stored and found.stored.value,
                _join(found.digests),
            )
            for found in objects
        ]
        self._database.executemany(
            "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, 0)", rows
        )
        self._objects += len(rows)
        self._size_bytes += sum(row[1] for row in rows)

    def included(self, objects: list[SourceObject]) -> list[SourceObject]:
        """Return the objects that are not excluded."""
        prefix_length = len(self.folder.prefix)
        is_excluded, selection = self._is_excluded, self.selection
        if selection is not None:
            objects = [each for each in objects if selection.includes(each.key[prefix_length:])]
        if is_excluded is None:
            return objects
        return [
            each
            for each in objects
            if not is_excluded(path := each.key[prefix_length:])
            or (selection is not None and path == selection.crate)
        ]

    async def missing_parts(self) -> list[str]:
        """Return the parts of the selection that no object is in, unless `exclude` matches them."""
        missing: list[str] = []
        if self.selection is None:
            return missing
        parts = sorted(self.selection.files | self.selection.folders)
        async for some in slices(parts, BLOCK_OBJECTS):
            missing += [part for part in some if not self.has(part) and not self.excludes(part)]
        return missing

    async def fingerprint(self) -> int:
        """Return the sum of the added objects' `identity`, for a comparison with a listing."""
        total = self._removed
        async for part in self._parts():
            rows = self._database.execute(
                f"SELECT {OBJECT} FROM objects WHERE path > ? AND path <= ?",  # noqa: S608
                part,
            )
            total += sum(identity(self._found(row)) for row in rows)
        return total

    def totals(self) -> tuple[int, int]:
        """Count the objects, and sum up their bytes."""
        return self._objects, self._size_bytes

    async def unhashed_totals(
        self, expected: Collection[ChecksumAlgorithm] = ()
    ) -> tuple[int, int]:
        """Count the objects without a checksum, and sum up the bytes to hash.

        Args:
            expected: Algorithms whose stored checksums S3 is expected to return. The bytes of an
                object with such a checksum are not counted.
        """
        marks = ",".join("?" * len(expected))
        query = (
            f"SELECT count(*), total(CASE WHEN stored IN ({marks}) AND digests IS NULL"  # noqa: S608
            " THEN 0 ELSE size_bytes END)"
            " FROM objects WHERE hash_value IS NULL AND path > ? AND path <= ?"
        )
        objects = size_bytes = 0
        async for part in self._parts():
            count, part_bytes = self._database.execute(query, (*expected, *part)).fetchone()
            objects += count
            size_bytes += int(part_bytes)
        return objects, size_bytes

    def paths(self) -> Iterator[tuple[bytes, int]]:
        """Iterate over the sort keys of the logical keys and sizes, in the manifest's order."""
        return self._database.execute("SELECT path, size_bytes FROM objects ORDER BY path")

    def find(self, path: bytes) -> SourceObject:
        """Return the object of a sort key."""
        query = f"SELECT {OBJECT} FROM objects WHERE path = ?"  # noqa: S608
        return self._found(self._database.execute(query, (path,)).fetchone())

    def has(self, path: str) -> bool:
        """Return whether there is an object of a logical key, or one in a folder of that name."""
        key = sort_key(path)
        below = key + SEPARATOR
        query = (
            "SELECT 1 FROM objects WHERE path = ?"
            " UNION ALL SELECT 1 FROM objects WHERE path > ? AND path < ? LIMIT 1"
        )
        # No UTF-8 has the byte 255.
        return self._database.execute(query, (key, below, below + b"\xff")).fetchone() is not None

    def excludes(self, path: str) -> bool:
        """Return whether an object of a logical key would be left out."""
        return self._is_excluded is not None and self._is_excluded(path)

    def find_if_listed(self, path: bytes) -> SourceObject | None:
        """Return the object of a sort key; None if there is none."""
        query = f"SELECT {OBJECT} FROM objects WHERE path = ?"  # noqa: S608
        row = self._database.execute(query, (path,)).fetchone()
        return None if row is None else self._found(row)

    def look_up(self, path: bytes) -> tuple[SourceObject, Checksum | None] | None:
        """Return the object of a sort key with its checksum, if it is known; None without one."""
        row = self._database.execute(
            f"SELECT {CHECKSUM}, {OBJECT} FROM objects WHERE path = ?",  # noqa: S608
            (path,),
        ).fetchone()
        if row is None:
            return None
        return self._found(row[3:]), None if row[1] is None else _checksum(row)

    def request_digests(self, digests: Iterable[tuple[bytes, Collection[str]]]) -> None:
        """Request digests of objects, by their sort keys: only their bytes give a checksum then."""
        self._database.executemany(
            "UPDATE objects SET digests = ? WHERE path = ?",
            ((_join(sorted(names)), path) for path, names in digests),
        )

    def remove_empty(self, paths: Collection[bytes]) -> None:
        """Remove empty objects by their sort keys."""
        self._removed += sum(identity(self.find(path)) for path in paths)
        self._database.executemany("DELETE FROM objects WHERE path = ?", ((p,) for p in paths))
        self._objects -= len(paths)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Iterate over logical keys and sizes, in the manifest's order."""
        return ((key_of(path), size_bytes) for path, size_bytes in self.paths())

    async def unhashed(self, *, archived: bool) -> AsyncIterator[list[SourceObject]]:
        """Iterate over blocks of objects without a checksum, in the manifest's order.

        The caller may record a block's checksums before it requests the next block.

        Args:
            archived: Selects the archived objects, or all others.
        """
        async for part in self._parts():
            rows = self._database.execute(
                f"SELECT {OBJECT} FROM objects"  # noqa: S608
                " WHERE path > ? AND path <= ? AND archived = ? AND hash_value IS NULL"
                " ORDER BY path",
                (*part, archived),
            ).fetchall()
            if rows:
                yield [self._found(row) for row in rows]

    def record(self, checksums: Iterable[tuple[str, Checksum]]) -> None:
        """Record the checksums that this job obtained, by object key."""
        prefix_length = len(self.folder.prefix)
        self._database.executemany(
            "UPDATE objects SET hash_type = ?, hash_value = ?, digest_values = ?, hashed_here = 1"
            " WHERE path = ?",
            (
                (
                    checksum.type,
                    checksum.value,
                    _join(checksum.digests),
                    sort_key(key[prefix_length:]),
                )
                for key, checksum in checksums
            ),
        )

    def record_versions(self, checksums: Iterable[tuple[str, str, Checksum]]) -> int:
        """Record known checksums of objects whose version has not changed.

        Args:
            checksums: Logical key, version ID, and checksum of that version.

        Returns:
            Number of checksums recorded.
        """
        return self._database.executemany(
            "UPDATE objects SET hash_type = ?, hash_value = ?"
            " WHERE path = ? AND version_id = ? AND digests IS NULL AND hash_value IS NULL",
            (
                (checksum.type, checksum.value, sort_key(key), version_id)
                for key, version_id, checksum in checksums
            ),
        ).rowcount

    def record_known(self, checksums: Iterable[tuple[SourceObject, Checksum]]) -> None:
        """Record known checksums of objects that have not changed since they were listed."""
        prefix_length = len(self.folder.prefix)
        self._database.executemany(
            "UPDATE objects SET hash_type = ?, hash_value = ?, digest_values = ?"
            " WHERE path = ? AND version_id IS ? AND etag = ? AND size_bytes = ? AND digests IS ?"
            " AND hash_value IS NULL",
            (
                (
                    checksum.type,
                    checksum.value,
                    _join(checksum.digests),
                    sort_key(found.key[prefix_length:]),
                    found.version_id,
                    found.etag,
                    found.size_bytes,
                    _join(found.digests),
                )
                for found, checksum in checksums
            ),
        )

    async def hashed(self) -> AsyncIterator[tuple[SourceObject, Checksum]]:
        """Iterate over the objects passed to `record`, with checksums, in the manifest's order."""
        async for part in self._parts():
            rows = self._database.execute(
                f"SELECT {CHECKSUM}, {OBJECT} FROM objects"  # noqa: S608
                " WHERE path > ? AND path <= ? AND hashed_here ORDER BY path",
                part,
            ).fetchall()
            for row in rows:
                yield self._found(row[3:]), _checksum(row)

    def entries(self) -> Iterator[Entry]:
        """Iterate over the entries of the manifest, in its order.

        Raises:
            ValueError: A checksum is missing.
        """
        rows = self._database.execute(
            "SELECT path, size_bytes, version_id, hash_type, hash_value FROM objects ORDER BY path"
        )
        bucket, prefix = self.folder.bucket, self.folder.prefix
        for path, size_bytes, version_id, hash_type, hash_value in rows:
            key = key_of(path)
            if hash_value is None:
                raise ValueError(f"Checksum of {key!r} is missing")
            physical_key = str(S3Uri(bucket, prefix + key, version_id))
            checksum = Checksum(hash_type, hash_value)
            yield Entry(key, physical_key, size_bytes, checksum, self.metadata.get(key))

    async def _parts(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Divide the paths into intervals `after < path <= until` of `BLOCK_OBJECTS` each."""
        after: bytes = b""
        while True:
            (until,) = self._database.execute(
                "SELECT max(path) FROM"
                " (SELECT path FROM objects WHERE path > ? ORDER BY path LIMIT ?)",
                (after, BLOCK_OBJECTS),
            ).fetchone()
            if until is None:
                return
            yield after, until
            after = until
            await asyncio.sleep(0)

    def _found(self, row: Sequence[Any]) -> SourceObject:
        path, size_bytes, etag, version_id, archived, stored, digests = row
        return SourceObject(
            self.folder.prefix + key_of(path),
            size_bytes,
            etag,
            version_id,
            bool(archived),
            stored and ChecksumAlgorithm(stored),
            _split(digests),
        )


def _checksum(row: Sequence[Any]) -> Checksum:
    hash_type, hash_value, digest_values, *_ = row
    return Checksum(hash_type, hash_value, _split(digest_values))


def _join(names: Sequence[str]) -> str | None:
    return " ".join(names) if names else None


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(text.split()) if text else ()
