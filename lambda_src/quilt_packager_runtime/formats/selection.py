"""The parts of a folder that its crate lists, with the metadata of files."""

from collections.abc import Set as AbstractSet
from typing import Any

import msgspec

from quilt_packager_runtime.formats.objects import Source


class Selection(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a folder that its crate lists. Paths are relative to the folder.

    Attributes:
        crate: Name of the crate's file, which is always included.
        etag: ETag of the crate that was read.
        version_id: Version of the crate that was read; None in an unversioned bucket.
        files: Paths of files. One may turn out to be a folder.
        folders: Paths of folders, without the trailing slash: all objects below are included.
        metadata: Metadata of files, by their paths.
        sources: Parts that are outside of the folder.
        elsewhere: Ids of parts that no package can hold, and that are left out.
        may_lack_parts: Leave missing parts out.
    """

    crate: str
    etag: str
    version_id: str | None
    files: AbstractSet[str] = frozenset()
    folders: AbstractSet[str] = frozenset()
    metadata: dict[str, dict[str, Any]] = {}
    sources: tuple[Source, ...] = ()
    elsewhere: tuple[str, ...] = ()
    may_lack_parts: bool = False

    def includes(self, path: str) -> bool:
        """Return whether the crate lists an object, or a folder of it.

        Example:
            >>> crate = Selection(crate="c", etag="", version_id=None, folders=frozenset({"a/b"}))
            >>> crate.includes("a/b/c/d"), crate.includes("a/x"), crate.includes("c")
            (True, False, True)
        """
        if path == self.crate or path in self.files:
            return True
        end = path.find("/")
        while end >= 0:
            folder = path[:end]
            if folder in self.folders or folder in self.files:
                return True
            end = path.find("/", end + 1)
        return False
