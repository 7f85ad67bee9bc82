"""The folders that were recognised, on disk: a bucket may have millions."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import msgspec
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.formats.names import infer_package_name
from quilt_packager_runtime.listing.inventory import open_database

from quilt_packager.operations.plans.estimates import Load

_SCHEMA = "CREATE TABLE roots (id INTEGER PRIMARY KEY, name TEXT, root BLOB)"
_WITH_NAMESAKES = "SELECT root, COUNT(*) OVER (PARTITION BY name) FROM roots ORDER BY id"


class Root(msgspec.Struct, frozen=True, kw_only=True):
    """A folder that a recogniser matches.

    Attributes:
        prefix: Key prefix that ends in `/`.
        kind: Kind of the recogniser.
        objects: Number of objects, without those that are left out.
        size_bytes: Their total size.
        archived: Number of archived objects.
        heads: Number of objects with a stored checksum.
        load: Checksums to compute.
        completion: Glob of the completion marker that was found; None if there is none.
        left_out: Globs of intermediate files that it has.
    """

    prefix: str
    kind: str
    objects: int
    size_bytes: int
    archived: int
    heads: int
    load: Load
    completion: str | None
    left_out: tuple[str, ...]


class Roots:
    """The roots in the order of their keys. Use it as a context manager."""

    def __init__(self) -> None:
        self._database = open_database(_SCHEMA)
        self.next_id = 0

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        """Delete the roots."""
        self._database.close()

    def add(self, root: Root) -> None:
        """Add a root."""
        row = (self.next_id, infer_package_name(root.prefix), msgspec.msgpack.encode(root))
        with translate_disk_full():
            self._database.execute("INSERT INTO roots VALUES (?, ?, ?)", row)
        self.next_id += 1

    def discard_since(self, first_id: int) -> None:
        """Discard the roots from an id on: they are inside of another root."""
        if first_id < self.next_id:
            self._database.execute("DELETE FROM roots WHERE id >= ?", (first_id,))
            self.next_id = first_id

    def __iter__(self) -> Iterator[tuple[Root, int]]:
        """Yield each root with the number of roots that would have the same package name."""
        for row, namesakes in self._database.execute(_WITH_NAMESAKES):
            yield msgspec.msgpack.decode(row, type=Root), namesakes
