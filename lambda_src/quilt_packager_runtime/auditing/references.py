"""The objects that a manifest names, in S3's order: by bucket and key.

They are kept in a private SQLite database, since a manifest is sorted by logical keys and may name
any objects: see `listing.inventory` for its memory and disk.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Self

import msgspec

from quilt_packager_runtime.formats.objects import Checksum
from quilt_packager_runtime.listing.inventory import open_database

SCHEMA = """
CREATE TABLE entries (
    bucket TEXT NOT NULL,
    object_key BLOB NOT NULL,
    logical_key TEXT NOT NULL,
    version_id TEXT,
    size_bytes INTEGER NOT NULL,
    hash_type TEXT NOT NULL,
    hash_value TEXT NOT NULL,
    PRIMARY KEY (bucket, object_key, logical_key)
) WITHOUT ROWID
"""


class Reference(msgspec.Struct, frozen=True, gc=False):
    """An entry of a manifest, as a reference to an object.

    Attributes:
        logical_key: Path in the package.
        bucket: Bucket of the object.
        key: Key of the object.
        version_id: Version; None for the newest.
        size_bytes: Size of the entry.
        checksum: Checksum of the entry.
    """

    logical_key: str
    bucket: str
    key: str
    version_id: str | None
    size_bytes: int
    checksum: Checksum


class References:
    """The references of a revision.

    Attributes:
        count: Number of references.
    """

    def __init__(self) -> None:
        self.count = 0
        self._database = open_database(SCHEMA)

    def __enter__(self) -> Self:
        """Return the references: the database is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the database."""
        self._database.close()

    def add(self, references: Iterable[Reference]) -> None:
        """Add references, in any order."""
        rows = [
            (
                each.bucket,
                each.key.encode(),
                each.logical_key,
                each.version_id,
                each.size_bytes,
                each.checksum.type,
                each.checksum.value,
            )
            for each in references
        ]
        self._database.executemany("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
        self.count += len(rows)

    def buckets(self) -> list[tuple[str, int]]:
        """Return the buckets with the number of their references."""
        query = "SELECT bucket, count(*) FROM entries GROUP BY bucket ORDER BY bucket"
        return self._database.execute(query).fetchall()

    async def blocks(self, bucket: str, *, size: int) -> AsyncIterator[list[Reference]]:
        """Iterate over the references to a bucket's objects, in S3's order, in blocks."""
        after: tuple[bytes, str] = (b"", "")
        while True:
            rows = self._database.execute(
                "SELECT object_key, logical_key, version_id, size_bytes, hash_type, hash_value"
                " FROM entries WHERE bucket = ? AND (object_key, logical_key) > (?, ?)"
                " ORDER BY object_key, logical_key LIMIT ?",
                (bucket, *after, size),
            ).fetchall()
            if not rows:
                return
            yield [
                Reference(
                    logical_key,
                    bucket,
                    key.decode(),
                    version_id,
                    size_bytes,
                    Checksum(hash_type, hash_value),
                )
                for key, logical_key, version_id, size_bytes, hash_type, hash_value in rows
            ]
            after = rows[-1][0], rows[-1][1]
