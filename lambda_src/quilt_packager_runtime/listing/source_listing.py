"""What a source folder holds: the newest version of each object, as the files of a package."""

import re
from collections.abc import Callable, Iterable

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.errors import MAX_NAMED, EmptySource, InvalidKeys, name_some
from quilt_packager_runtime.formats.manifest import SEPARATOR, key_of
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SourceObject
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.parallel_listing import list_folder

# https://github.com/quiltdata/quilt/blob/master/api/python/quilt3/packages.py (validate_key)
HAS_REFUSED_COMPONENT = re.compile(rb"(?:\A|\0\0)\.{0,2}(?:\0\0|\Z)").search

PATHS_AT_ONCE = 1000
"""How many keys are checked at a time; in between others run."""


async def list_source(
    s3: S3, inventory: Inventory, on_progress: Callable[[int], object] = lambda _found: None
) -> None:
    """List the objects that become the entries of a package.

    Delete markers, the bucket's own `.quilt/` and empty folder markers (`key/`) are left out.

    Args:
        s3: S3.
        inventory: Of the source folder; takes its objects.
        on_progress: Told after each page how many objects were found.

    Raises:
        EmptySource: There is nothing to package.
        InvalidKeys: Keys that no package can hold: the first `MAX_NAMED` named, and their count.
        AccessDenied: The folder may not be listed.
        NoSuchBucket: There is no such bucket.
    """
    folder = inventory.folder
    found = 0

    def take(page: list[SourceObject]) -> None:
        nonlocal found
        inventory.add(filter(_is_content, page))
        found += len(page)
        on_progress(found)

    await list_folder(s3, folder, take)
    objects, _ = inventory.totals()
    if not objects and inventory.excluded:
        count = inventory.excluded
        has = "the only object" if count == 1 else f"all {count:,} objects"
        raise EmptySource(
            f"Globs exclude {has} of {folder}.",
            why="The exclude of the message, or of its event source, leaves nothing to package.",
            remedy="Correct exclude, then send the message again.",
        )
    if not objects:
        raise EmptySource(
            f"{folder} holds no objects.",
            why="The upload has not begun, the name is wrong, or all there is are folder markers.",
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
    """Refuses keys that quilt3 would refuse, before any work is done on them.

    Args:
        prefix: Of the folder, to name them whole.

    Example:
        >>> from quilt_packager_runtime.formats.manifest import sort_key
        >>> check = KeyCheck("f/")
        >>> check.take([sort_key("a"), sort_key("a/b")])
        >>> check.end()
        Traceback (most recent call last):
        ...
        quilt_packager_runtime.errors.InvalidKeys: 1 key is both a file and a folder: "f/a". ...
    """

    def __init__(self, prefix: str) -> None:
        """Nothing is wrong yet."""
        self._prefix = prefix
        self._illegal, self._colliding = _Keys(), _Keys()
        self._previous = b""

    def take(self, paths: Iterable[bytes]) -> None:
        """Check the next keys.

        Args:
            paths: The logical keys as `sort_key` makes them, in their order; not kept.
        """
        previous, below = self._previous, self._previous + SEPARATOR
        for path in paths:
            if HAS_REFUSED_COMPONENT(path):
                self._illegal.add(self._prefix + key_of(path))
            # What is below a folder follows right after a file of its name.
            if previous and path.startswith(below):
                self._colliding.add(self._prefix + key_of(previous))
            previous, below = path, path + SEPARATOR
        self._previous = previous

    def end(self) -> None:
        """Say what was wrong.

        Raises:
            InvalidKeys: All that is wrong with them.
        """
        illegal, colliding = self._illegal, self._colliding
        happened = []
        if illegal.count:
            has = "key has" if illegal.count == 1 else "keys have"
            happened.append(f'{illegal.count} {has} a component "", "." or "..": {illegal}.')
        if colliding.count:
            are = "key is" if colliding.count == 1 else "keys are"
            happened.append(f"{colliding.count} {are} both a file and a folder: {colliding}.")
        if happened:
            raise InvalidKeys(
                " ".join(happened),
                why="Such keys have no place in a tree of files, and quilt3 refuses them.",
                remedy="Rename or delete these objects, then send the message again.",
            )


class _Keys:
    """Counts keys, and holds no more of them than an error names."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    def add(self, key: str) -> None:
        if self.count < MAX_NAMED:
            self._first.append(key)
        self.count += 1

    def __str__(self) -> str:
        return name_some(self._first, self.count)
