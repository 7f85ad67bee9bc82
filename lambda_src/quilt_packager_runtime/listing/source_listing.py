"""Listing of a source folder: the newest version of each object that a package takes."""

import re
from collections.abc import Callable, Iterable

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.errors import MAX_NAMED, EmptySource, InvalidKeys, name_some
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SEPARATOR, SourceObject, key_of
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.parallel_listing import list_folder

# https://github.com/quiltdata/quilt/blob/master/api/python/quilt3/packages.py (validate_key)
HAS_INVALID_COMPONENT = re.compile(rb"(?:\A|\0\0)\.{0,2}(?:\0\0|\Z)").search

PATHS_AT_ONCE = 1000
"""Number of keys checked at a time. Other tasks run in between."""


async def list_source(
    s3: S3, inventory: Inventory, on_progress: Callable[[int], object] = lambda _found: None
) -> None:
    """List the objects that become the entries of a package.

    Delete markers, the registry's `.quilt/` and empty folder markers (`key/`) are left out.

    Args:
        s3: Client to list with.
        inventory: Inventory of the source folder, which receives the objects.
        on_progress: Called after each page with the number of objects found.

    Raises:
        EmptySource: The folder holds no objects to package.
        InvalidKeys: A package cannot hold some keys. Names the first `MAX_NAMED`, and counts all.
        AccessDenied: S3 denies the listing.
        NoSuchBucket: The bucket does not exist.
    """
    folder = inventory.folder
    found = 0

    def take(page: list[SourceObject]) -> None:
        nonlocal found
        inventory.add(filter(_is_content, page))
        found += len(page)
        on_progress(found)

    inventory.names_checksums = await list_folder(s3, folder, take)
    objects, _ = inventory.totals()
    if not objects and inventory.excluded:
        count = inventory.excluded
        has = "the only object" if count == 1 else f"all {count:,} objects"
        raise EmptySource(
            f"The exclude globs match {has} of {folder}.",
            why="The exclude globs of the message or of its event source match every object.",
            remedy="Correct exclude, then send the message again.",
        )
    if not objects:
        raise EmptySource(
            f"{folder} has no objects.",
            why="The upload has not begun, the name is wrong, or it holds only folder markers.",
            remedy="Check the folder, then send the message again.",
        )
    check = KeyCheck(folder.prefix)
    async for paths in slices(inventory.paths(), PATHS_AT_ONCE):
        check.take(paths)
    check.end()


def _is_content(found: SourceObject) -> bool:
    is_marker = found.size_bytes == 0 and found.key.endswith("/")
    return not is_marker and not found.key.startswith(REGISTRY_PREFIX)


class KeyCheck:
    """Checks logical keys as quilt3 does, before objects are hashed.

    Args:
        prefix: Prefix of the folder, to report whole keys.

    Example:
        >>> from quilt_packager_runtime.formats.objects import sort_key
        >>> check = KeyCheck("f/")
        >>> check.take([sort_key("a"), sort_key("a/b")])
        >>> check.end()
        Traceback (most recent call last):
        ...
        quilt_packager_runtime.errors.InvalidKeys: 1 key is both a file and a folder: "f/a". ...
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._invalid, self._colliding = _Keys(), _Keys()
        self._previous = b""

    def take(self, paths: Iterable[bytes]) -> None:
        """Check the next sort keys of logical keys, in their order."""
        previous, below = self._previous, self._previous + SEPARATOR
        for path in paths:
            if HAS_INVALID_COMPONENT(path):
                self._invalid.add(self._prefix + key_of(path))
            # The keys in a folder directly follow a file of the same name.
            if previous and path.startswith(below):
                self._colliding.add(self._prefix + key_of(previous))
            previous, below = path, path + SEPARATOR
        self._previous = previous

    def end(self) -> None:
        """Report the invalid keys.

        Raises:
            InvalidKeys: A key was invalid.
        """
        invalid, colliding = self._invalid, self._colliding
        happened = []
        if invalid.count:
            has = "key has" if invalid.count == 1 else "keys have"
            happened.append(f'{invalid.count} {has} a component "", "." or "..": {invalid}.')
        if colliding.count:
            are = "key is" if colliding.count == 1 else "keys are"
            happened.append(f"{colliding.count} {are} both a file and a folder: {colliding}.")
        if happened:
            raise InvalidKeys(
                " ".join(happened),
                why="A package is a tree of files, and quilt3 rejects such keys.",
                remedy="Rename or delete these objects, then send the message again.",
            )


class _Keys:
    """Counts keys, and keeps the first `MAX_NAMED`."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def add(self, key: str) -> None:
        if self.count < MAX_NAMED:
            self._first.append(key)
        self.count += 1

    def __str__(self) -> str:
        return name_some(self._first, self.count)
