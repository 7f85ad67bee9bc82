"""Inventory of a job's objects and their checksums, in a temporary SQLite database.

SQLite keeps the database in its cache, and moves it to a file in the temporary folder when it
outgrows the cache: ten objects use no disk, and ten million need no more memory than one million.
"""

import asyncio
import re
import sqlite3
from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, Self, TypeAlias

import msgspec

from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.errors import Samples, quote
from quilt_packager_runtime.formats.globs import match_any
from quilt_packager_runtime.formats.objects import (
    SEPARATOR,
    Checksum,
    ChecksumAlgorithm,
    Entry,
    S3Uri,
    Source,
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
    hashed_here INTEGER NOT NULL DEFAULT 0,
    source INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID
"""

OBJECT = "path, size_bytes, etag, version_id, archived, stored, digests, source"
CHECKSUM = "hash_type, hash_value, digest_values"


Row: TypeAlias = tuple[bytes, int, str, str | None, int, str | None, str | None]


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


def fingerprint_of(objects: Iterable[SourceObject], source: int) -> int:
    """Return a number that differs for other keys, versions, ETags, sizes and sources.

    The order does not matter: the sum of several is that of all their objects. It is equal in one
    process only.
    """
    return sum(
        hash((found.key, found.version_id, found.etag, found.size_bytes, source))
        for found in objects
    )


class Inventory:
    """The objects of one or more sources, with their checksums once these are known.

    Memory: `CACHE_BYTES` and one block of `BLOCK_OBJECTS`, for any number of objects. Disk, per
    object beyond the cache: 200 bytes and 1.2 times the logical key. The manifest takes 220 bytes,
    the logical key and its URI. Together that is at most 430 bytes and 3.2 times the key: 10 GiB
    for ten million objects with keys of 200 bytes. A full disk raises `DiskFull`.

    Args:
        folder: The source folder: the first one, if there are several.
        exclude: Globs of the logical keys to leave out.
        selection: The parts of that folder that become entries; None for the whole folder.
        sources: All sources by their numbers. Default: the folder, as number 0.

    Attributes:
        buckets: Buckets of the sources, by their numbers.
        overlaps: Logical keys that two sources have, with both objects.
        excluded: Number of objects left out because of `exclude` or `selection`.
        fingerprint: Sum of the `fingerprint_of` all objects that were added.
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
        sources: Mapping[int, Source] | None = None,
    ) -> None:
        self.folder = folder
        self.sources = sources if sources is not None else {0: Source.whole(folder)}
        self.buckets = {number: each.bucket for number, each in self.sources.items()}
        self.overlaps = Samples()
        self.selection = selection
        self.metadata = selection.metadata if selection is not None else {}
        self.excluded = 0
        self.names_checksums = False
        self.fingerprint = 0
        self._is_excluded = match_any(exclude) if exclude else None
        self._objects = 0
        self._size_bytes = 0
        self._offered: Counter[int] = Counter()
        # The length of the prefix, and the sort key of `into`.
        self._places = {
            number: (len(each.prefix), sort_key(each.into)) for number, each in self.sources.items()
        }
        self._locations = {
            number: (each.bucket, each.prefix, len(each.into))
            for number, each in self.sources.items()
        }
        self._by_prefix: dict[tuple[str, str], list[Source]] = {}
        for each in self.sources.values():
            self._by_prefix.setdefault((each.bucket, each.prefix), []).append(each)
        self._database = open_database(SCHEMA)

    def __enter__(self) -> Self:
        """Return the inventory: its database is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the database."""
        self._database.close()

    def add(self, objects: Iterable[SourceObject], source: int = 0) -> None:
        """Add listed objects of a source, in any order, each once, except those excluded.

        Those of several sources at once may overlap: see `overlaps`.
        """
        prefix_length, into = self._places[source]
        offered = list(objects)
        self._offered[source] += len(offered)
        objects = self.included(offered, source)
        self.excluded += len(offered) - len(objects)
        self.fingerprint += fingerprint_of(objects, source)
        rows = [
            (
                into + sort_key(found.key[prefix_length:]),
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
        insert = "INSERT" if len(self.sources) == 1 else "INSERT OR IGNORE"
        values = f"?, ?, ?, ?, ?, ?, ?, NULL, NULL, NULL, 0, {source:d}"
        statement = f"{insert} INTO objects VALUES ({values})"
        added = self._database.executemany(statement, rows).rowcount
        if added < len(rows):
            rows = self._note_overlaps(objects, rows, source)
        self._objects += len(rows)
        self._size_bytes += sum(row[1] for row in rows)

    def add_again(self, objects: Iterable[SourceObject]) -> None:
        """Add objects of an inventory, which know their sources."""
        by_source = sorted(objects, key=_source_of)
        for source, some in groupby(by_source, key=_source_of):
            self.add(some, source)

    def _note_overlaps(
        self, objects: list[SourceObject], rows: list[Row], source: int
    ) -> list[Row]:
        """Record the objects whose logical keys another source has; return the rows of others.

        An object that is listed twice, in two sources, is one entry.
        """
        added = []
        for found, row in zip(objects, rows, strict=True):
            other, offered = self.find(row[0]), msgspec.structs.replace(found, source=source)
            if other.source == source:
                added.append(row)
            elif self.uri_of(other) != self.uri_of(offered):
                both = (S3Uri(self.buckets[each.source], each.key) for each in (other, offered))
                uris = " and ".join(map(str, sorted(both)))
                self.overlaps.add(f"{quote(key_of(row[0]))} ({uris})")
        return added

    def included(self, objects: list[SourceObject], source: int = 0) -> list[SourceObject]:
        """Return the objects of a source that are not excluded."""
        is_excluded = self._is_excluded
        selection = self.selection if source == 0 else None
        if selection is not None:
            prefix_length, _ = self._places[source]
            objects = [each for each in objects if selection.includes(each.key[prefix_length:])]
        if is_excluded is None:
            return objects
        logical_key = self.sources[source].logical_key
        return [
            each
            for each in objects
            if not is_excluded(path := logical_key(each.key))
            or (selection is not None and path == selection.crate)
        ]

    @property
    def folders(self) -> list[Source]:
        """The folders that the message names; the other sources are parts of the first."""
        named = [self.sources[0]] if self.selection else self.sources.values()
        return [each for each in named if not each.is_object]

    def empty_sources(self) -> list[Source]:
        """Return the sources without any object, also none that is excluded."""
        return [each for number, each in self.sources.items() if not self._offered[number]]

    async def missing_parts(self) -> list[str]:
        """Return the parts of the selection that no object is in, unless `exclude` matches them."""
        missing: list[str] = []
        if self.selection is None:
            return missing
        parts = sorted(self.selection.files | self.selection.folders)
        async for some in slices(parts, BLOCK_OBJECTS):
            missing += [part for part in some if not self.has(part) and not self.excludes(part)]
        for each in self.empty_sources():
            if each != self.sources[0] and not self.excludes(each.into.rstrip("/")):
                missing.append(str(each))
        return missing

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

    def uri_of(self, found: SourceObject) -> S3Uri:
        """Return the version of an object."""
        return S3Uri(self.buckets[found.source], found.key, found.version_id)

    def logical_keys(self, bucket: str, key: str) -> Iterator[str]:
        """Return the logical keys of an object, one for each source that it is in."""
        slashes = [match.start() for match in re.finditer("/", key)]
        for end in {0, *slashes, *(at + 1 for at in slashes), len(key)}:
            for source in self._by_prefix.get((bucket, key[:end]), ()):
                yield source.logical_key(key)

    @property
    def is_one_folder(self) -> bool:
        """There is one source, and it is at the root of the package."""
        return len(self.sources) == 1 and self.sources.get(0) == Source.whole(self.folder)

    def name_of(self, found: SourceObject) -> str:
        """Return the name of an object for people: its key, or its URI among several sources."""
        is_only = len(self.sources) == 1 and not found.source
        return found.key if is_only else str(self.uri_of(found))

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

    def record(self, checksums: Iterable[tuple[SourceObject, Checksum]]) -> None:
        """Record the checksums that this job obtained."""
        places = self._places
        self._database.executemany(
            "UPDATE objects SET hash_type = ?, hash_value = ?, digest_values = ?, hashed_here = 1"
            " WHERE path = ?",
            (
                (
                    checksum.type,
                    checksum.value,
                    _join(checksum.digests),
                    (place := places[found.source])[1] + sort_key(found.key[place[0] :]),
                )
                for found, checksum in checksums
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
        places = self._places
        self._database.executemany(
            "UPDATE objects SET hash_type = ?, hash_value = ?, digest_values = ?"
            " WHERE path = ? AND version_id IS ? AND etag = ? AND size_bytes = ? AND digests IS ?"
            " AND hash_value IS NULL",
            (
                (
                    checksum.type,
                    checksum.value,
                    _join(checksum.digests),
                    (place := places[found.source])[1] + sort_key(found.key[place[0] :]),
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
            "SELECT path, size_bytes, version_id, hash_type, hash_value, source FROM objects"
            " ORDER BY path"
        )
        locations = self._locations
        for path, size_bytes, version_id, hash_type, hash_value, source in rows:
            key = key_of(path)
            if hash_value is None:
                raise ValueError(f"Checksum of {key!r} is missing")
            bucket, prefix, skipped = locations[source]
            physical_key = str(S3Uri(bucket, prefix + key[skipped:], version_id))
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
        path, size_bytes, etag, version_id, archived, stored, digests, number = row
        _, prefix, skipped = self._locations[number]
        return SourceObject(
            prefix + key_of(path)[skipped:],
            size_bytes,
            etag,
            version_id,
            bool(archived),
            stored and ChecksumAlgorithm(stored),
            _split(digests),
            number,
        )


def _source_of(found: SourceObject) -> int:
    return found.source


def _checksum(row: Sequence[Any]) -> Checksum:
    hash_type, hash_value, digest_values, *_ = row
    return Checksum(hash_type, hash_value, _split(digest_values))


def _join(names: Sequence[str]) -> str | None:
    return " ".join(names) if names else None


def _split(text: str | None) -> tuple[str, ...]:
    return tuple(text.split()) if text else ()
