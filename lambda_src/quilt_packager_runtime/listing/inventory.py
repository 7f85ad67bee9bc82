"""The objects of a job, in SQLite: more than memory holds, in the manifest's order.

The database is private and temporary. SQLite keeps it in its cache, and moves it to a file of the
temporary folder when it outgrows that: a job of ten objects touches no disk, and one of ten
million needs no more memory than one of a million.
"""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from typing import Any, Self

from quilt_packager_runtime.formats.globs import match_any
from quilt_packager_runtime.formats.manifest import key_of, sort_key
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    Entry,
    S3Uri,
    SourceFolder,
    SourceObject,
)

CACHE_BYTES = 64 * 1024 * 1024
PAGE_BYTES = 8192
"""A row with a key of 1,024 bytes fits: a row that does not fit takes a page of its own."""

BLOCK_OBJECTS = 10_000
"""Number of objects that are processed at a time; other tasks run in between."""

# The order of the primary key is that of the manifest. A path is the sort key of a logical key.
SCHEMA = """
CREATE TABLE objects (
    path BLOB PRIMARY KEY,
    size_bytes INTEGER NOT NULL,
    etag TEXT NOT NULL,
    version_id TEXT,
    archived INTEGER NOT NULL,
    stored TEXT,
    hash_type TEXT,
    hash_value TEXT,
    hashed_here INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""

OBJECT = "path, size_bytes, etag, version_id, archived, stored"


def open_database(schema: str) -> sqlite3.Connection:
    """Open a private database, which is deleted when it is closed.

    Memory: `CACHE_BYTES`; a file in the temporary folder holds the rest.

    Args:
        schema: SQL statement that creates the table.
    """
    database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
    # It is not read after a crash, so it needs no journal and waits for no disk.
    for pragma in (
        f"page_size = {PAGE_BYTES}",
        f"cache_size = -{CACHE_BYTES // 1024}",
        "journal_mode = OFF",
        "synchronous = OFF",
        "temp_store = FILE",
    ):
        database.execute(f"PRAGMA {pragma}")
    database.execute(schema)
    # One transaction, never ended: each end would go through all pages of the cache.
    database.execute("BEGIN")
    return database


class Inventory:
    """The objects of a source folder, with their checksums once these are known.

    Memory: `CACHE_BYTES` and one block of `BLOCK_OBJECTS`, whatever the number of objects. Disk,
    beyond what the cache holds: 200 bytes an object and 1.2 times those of its logical key. Its
    manifest needs 220 more, and those of its logical key and its URI. Together these are at most
    430 bytes and 3.2 times the key: of ten million objects with keys of 200 bytes 10 GiB, and the
    disk is full (`DiskFull`) beyond that.

    Args:
        folder: The source folder.
        exclude: Globs of logical keys to leave out.

    Attributes:
        excluded: Number of objects that were left out.

    Example:
        >>> with Inventory(SourceFolder("b", "f/")) as inventory:
        ...     inventory.add(
        ...         [SourceObject("f/a-b", 1, "", "v1"), SourceObject("f/a/b", 2, "", "v1")]
        ...     )
        ...     [key for key, _ in inventory.sizes()]
        ['a/b', 'a-b']
    """

    def __init__(self, folder: SourceFolder, exclude: Sequence[str] = ()) -> None:
        self.folder = folder
        self.excluded = 0
        self._is_excluded = match_any(exclude) if exclude else None
        self._objects = 0
        self._size_bytes = 0
        self._database = open_database(SCHEMA)

    def __enter__(self) -> Self:
        """Return the inventory: its database is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the database."""
        self._database.close()

    def add(self, objects: Iterable[SourceObject]) -> None:
        """Add objects of the folder in any order, each once, except for excluded ones.

        Args:
            objects: Listed objects.
        """
        prefix_length = len(self.folder.prefix)
        is_excluded = self._is_excluded
        if is_excluded is not None:
            offered = list(objects)
            objects = [found for found in offered if not is_excluded(found.key[prefix_length:])]
            self.excluded += len(offered) - len(objects)
        rows = [
            (
                sort_key(found.key[prefix_length:]),
                found.size_bytes,
                found.etag,
                found.version_id,
                # SQLite accepts int and str as they are; for subclasses it searches adapters.
                1 if found.archived else 0,
                found.stored and found.stored.value,
            )
            for found in objects
        ]
        self._database.executemany(
            "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?, NULL, NULL, 0)", rows
        )
        self._objects += len(rows)
        self._size_bytes += sum(row[1] for row in rows)

    def totals(self) -> tuple[int, int]:
        """Return the number of objects and their total size in bytes."""
        return self._objects, self._size_bytes

    async def unhashed_totals(
        self, expected: Collection[ChecksumAlgorithm] = ()
    ) -> tuple[int, int]:
        """Return the number of objects without a checksum, and the bytes to hash.

        Args:
            expected: Usable algorithms: objects whose stored checksum is one of them
                probably need no hashing.
        """
        marks = ",".join("?" * len(expected))
        query = (
            f"SELECT count(*), total(CASE WHEN stored IN ({marks}) THEN 0 ELSE size_bytes END)"  # noqa: S608
            " FROM objects WHERE hash_value IS NULL AND path > ? AND path <= ?"
        )
        objects = size_bytes = 0
        async for part in self._parts():
            count, part_bytes = self._database.execute(query, (*expected, *part)).fetchone()
            objects += count
            size_bytes += int(part_bytes)
        return objects, size_bytes

    def paths(self) -> Iterator[bytes]:
        """Return the sort key of each object's logical key, in the manifest's order."""
        rows = self._database.execute("SELECT path FROM objects ORDER BY path")
        return (path for (path,) in rows)

    def sizes(self) -> Iterator[tuple[str, int]]:
        """Return the logical key and size of each object, in the manifest's order."""
        rows = self._database.execute("SELECT path, size_bytes FROM objects ORDER BY path")
        return ((key_of(path), size_bytes) for path, size_bytes in rows)

    async def unhashed(self, *, archived: bool) -> AsyncIterator[list[SourceObject]]:
        """Yield blocks of objects without a checksum, in the manifest's order.

        A block's checksums may be recorded before the next block is read.

        Args:
            archived: Yield archived objects, or the others.
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
        """Record checksums that were found or computed by this invocation.

        Args:
            checksums: Keys of objects with their checksums.
        """
        prefix_length = len(self.folder.prefix)
        self._database.executemany(
            "UPDATE objects SET hash_type = ?, hash_value = ?, hashed_here = 1 WHERE path = ?",
            (
                (checksum.type, checksum.value, sort_key(key[prefix_length:]))
                for key, checksum in checksums
            ),
        )

    def record_versions(self, checksums: Iterable[tuple[str, str, Checksum]]) -> int:
        """Record checksums of versions, for objects that still have that version.

        Args:
            checksums: Logical keys with version ids and checksums.

        Returns:
            The number of recorded checksums.
        """
        return self._database.executemany(
            "UPDATE objects SET hash_type = ?, hash_value = ?"
            " WHERE path = ? AND version_id = ? AND hash_value IS NULL",
            (
                (checksum.type, checksum.value, sort_key(key), version_id)
                for key, version_id, checksum in checksums
            ),
        ).rowcount

    def record_known(self, checksums: Iterable[tuple[SourceObject, Checksum]]) -> None:
        """Record checksums of listed objects, for those that have not changed since.

        Args:
            checksums: Listed objects with their checksums.
        """
        prefix_length = len(self.folder.prefix)
        self._database.executemany(
            "UPDATE objects SET hash_type = ?, hash_value = ?"
            " WHERE path = ? AND version_id IS ? AND etag = ? AND size_bytes = ?"
            " AND hash_value IS NULL",
            (
                (
                    checksum.type,
                    checksum.value,
                    sort_key(found.key[prefix_length:]),
                    found.version_id,
                    found.etag,
                    found.size_bytes,
                )
                for found, checksum in checksums
            ),
        )

    async def hashed(self) -> AsyncIterator[tuple[SourceObject, Checksum]]:
        """Yield the objects that were hashed here, with their checksums, in the manifest's order.

        Objects of `record_versions` and `record_known` are not included.
        """
        async for part in self._parts():
            rows = self._database.execute(
                f"SELECT hash_type, hash_value, {OBJECT} FROM objects"  # noqa: S608
                " WHERE path > ? AND path <= ? AND hashed_here ORDER BY path",
                part,
            ).fetchall()
            for hash_type, hash_value, *row in rows:
                yield self._found(row), Checksum(hash_type, hash_value)

    def entries(self) -> Iterator[Entry]:
        """Return the entries of the manifest, in its order.

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
                raise ValueError(f"the checksum of {key!r} is missing")
            physical_key = str(S3Uri(bucket, prefix + key, version_id))
            yield Entry(key, physical_key, size_bytes, Checksum(hash_type, hash_value))

    async def _parts(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """Yield short ranges of paths, without their start."""
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
        path, size_bytes, etag, version_id, archived, stored = row
        return SourceObject(
            self.folder.prefix + key_of(path),
            size_bytes,
            etag,
            version_id,
            bool(archived),
            stored and ChecksumAlgorithm(stored),
        )
