"""Listing of a source folder: the newest version of each object that a package takes."""

import asyncio
import re
from collections.abc import Callable, Iterable
from contextlib import nullcontext, suppress

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each, slices
from quilt_packager_runtime.errors import (
    MAX_NAMED,
    BadRequest,
    EmptySource,
    InvalidCrate,
    InvalidKeys,
    NoSuchBucket,
    NoSuchKey,
    Samples,
    SourceChanged,
    UnreadableObjects,
    join_some,
    quote,
)
from quilt_packager_runtime.formats.checksums import stored_algorithm
from quilt_packager_runtime.formats.objects import (
    REGISTRY_PREFIX,
    SEPARATOR,
    S3Uri,
    Source,
    SourceObject,
    key_of,
    sort_key,
)
from quilt_packager_runtime.formats.selection import Selection
from quilt_packager_runtime.listing.inventory import Inventory, fingerprint_of
from quilt_packager_runtime.listing.parallel_listing import list_folder

# https://github.com/quiltdata/quilt/blob/master/api/python/quilt3/packages.py (validate_key)
HAS_INVALID_COMPONENT = re.compile(rb"\0\0\.{0,2}\0\0").search
"""Finds the component "", "." or ".." in a sort key between two separators."""

DIRECTORY_TYPES = frozenset({"application/x-directory", "httpd/unix-directory"})
"""Content types of empty objects that stand for folders."""

HEADS_IN_FLIGHT = 32
FOLDERS_AT_ONCE = 4
"""Number of folders listed at a time: each takes the memory of a parallel listing."""

PATHS_AT_ONCE = 1000
"""Number of keys checked at a time. Other tasks run in between."""


async def list_source(
    s3: S3, inventory: Inventory, on_progress: Callable[[int], object] = lambda _found: None
) -> list[str]:
    """List the objects that become the entries of a package, from all sources.

    Delete markers, the registry's `.quilt/` and folder markers are left out. A folder marker is a
    key that ends in `/`, or an empty object with the content type of a directory and the name of a
    folder.

    Args:
        s3: Client to list with.
        inventory: Inventory of the sources, which receives the objects.
        on_progress: Called after each page with the number of objects found.

    Returns:
        Warnings: quilt3 gives one about folder markers that are not empty.

    Raises:
        EmptySource: A source holds no objects to package.
        InvalidKeys: A package cannot hold some keys, or two sources have the same logical keys.
            Names the first `MAX_NAMED`, and counts all.
        InvalidCrate: The folder lacks all parts of its crate.
        SourceChanged: The folder has another version of the crate than the one that was read.
        AccessDenied: S3 denies the listing.
        NoSuchBucket: The bucket does not exist.
    """
    found = 0
    omitted = Samples()

    def take(page: list[SourceObject], source: int) -> None:
        nonlocal found
        inventory.add(filter(_is_content, page), source)
        for marker in page:
            if marker.size_bytes and _is_marker(marker):
                omitted.add(quote(marker.key))
        found += len(page)
        on_progress(found)

    inventory.names_checksums = await _list_all(s3, inventory, take)
    if inventory.selection is not None:
        _check_crate(inventory, inventory.selection)
    else:
        _check_not_empty(inventory)
    _check_overlaps(inventory)
    await _check_keys(s3, inventory)
    return [f"Left out folder markers that are not empty: {omitted}."] if omitted.count else []


async def _list_all(
    s3: S3, inventory: Inventory, take: Callable[[list[SourceObject], int], object]
) -> bool:
    """List all sources, some at a time; return whether a listing names stored checksums."""
    names_checksums = False
    free = asyncio.Semaphore(FOLDERS_AT_ONCE)

    async def list_one(numbered: tuple[int, Source]) -> None:
        nonlocal names_checksums
        number, source = numbered
        is_part = number > 0 and inventory.selection is not None
        # A part in a bucket that does not exist is missing as others are.
        with suppress(NoSuchBucket) if is_part else nullcontext():
            found = await _find_object(s3, source) if source.is_object else None
            if found is not None:
                take([found], number)
            elif source.version_id is None:
                async with free:
                    is_named = await list_folder(s3, source.folder, lambda page: take(page, number))
                names_checksums = names_checksums or is_named

    await for_each(inventory.sources.items(), list_one, at_once=HEADS_IN_FLIGHT)
    return names_checksums


async def _find_object(s3: S3, source: Source) -> SourceObject | None:
    """Return an object as a listing would; None if there is none."""
    uri = S3Uri(source.bucket, source.prefix, source.version_id)
    try:
        head = await s3.head_object(uri)
    except NoSuchKey:
        return None
    except BadRequest as error:
        raise UnreadableObjects(
            f"S3 refuses HeadObject on {uri}.",
            why="The object is encrypted with a customer-provided key (SSE-C), or S3 gives no such "
            "version ids.",
            remedy="Copy it with SSE-S3 or SSE-KMS encryption, or correct the crate, and send the "
            "message again.",
        ) from error
    return SourceObject(
        source.prefix,
        head.size_bytes,
        head.etag,
        head.version_id,
        head.archived,
        stored_algorithm(head.size_bytes, head.stored),
    )


def _check_not_empty(inventory: Inventory) -> None:
    objects, _ = inventory.totals()
    if empty := inventory.empty_sources():
        have = "has" if len(empty) == 1 else "have"
        raise EmptySource(
            f"{join_some([str(each) for each in empty[:MAX_NAMED]], len(empty))} {have} no "
            "objects.",
            why="The upload has not begun, the name is wrong, or it holds only folder markers.",
            remedy="Check the folder, then send the message again.",
        )
    if not objects:
        count = inventory.excluded
        has = "the only object" if count == 1 else f"all {count:,} objects"
        folder = inventory.folder if len(inventory.sources) == 1 else "all sources"
        raise EmptySource(
            f"The exclude globs match {has} of {folder}.",
            why="The exclude globs of the message or of its event source match every object.",
            remedy="Correct exclude, then send the message again.",
        )


def _check_overlaps(inventory: Inventory) -> None:
    overlaps = inventory.overlaps
    if overlaps.count:
        has = "logical key has" if overlaps.count == 1 else "logical keys have"
        raise InvalidKeys(
            f"{overlaps.count} {has} two objects: {overlaps}.",
            why="A package has one file of each name, and its sources have several.",
            remedy="Give the sources different places by into, exclude these files, or correct "
            "the crate, then send the message again.",
        )


async def find_missing_parts(inventory: Inventory) -> list[str]:
    """Return the parts of the crate that the package lacks, if it may lack any.

    Raises:
        InvalidCrate: It may not. Names the first `MAX_NAMED`, and counts all.
    """
    missing = await inventory.missing_parts()
    selection = inventory.selection
    if missing and selection is not None and not selection.may_lack_parts:
        named = join_some([quote(part) for part in missing[:MAX_NAMED]], len(missing))
        raise InvalidCrate(
            f"{inventory.folder} lacks parts of its crate: {named}.",
            why="The package of a crate has exactly the parts that the crate lists.",
            remedy="Upload them or correct the crate, then send the message again; or set "
            "missing_parts to leave_out.",
        )
    return [*selection.elsewhere, *missing] if selection is not None else []


def _check_crate(inventory: Inventory, selection: Selection) -> None:
    """Check that the crate is the one that was read, and that its package has another file."""
    objects, _ = inventory.totals()
    crate = inventory.find_if_listed(sort_key(selection.crate))
    has_versions = crate is not None and crate.version_id and selection.version_id
    if crate is None or (
        crate.version_id != selection.version_id if has_versions else crate.etag != selection.etag
    ):
        raise SourceChanged(
            f"The crate of {inventory.folder} was replaced or deleted after it was read.",
            why="Its package has the parts that one version of the crate lists, and that version.",
            remedy="Nothing: a later attempt reads the crate again.",
        )
    if objects == 1:
        raise InvalidCrate(
            f"{inventory.folder} has none of the parts that its crate lists.",
            why="A package of a crate has at least one part.",
            remedy="Upload the parts or correct the crate, then send the message again.",
        )


async def is_unchanged(s3: S3, inventory: Inventory) -> bool:
    """List the sources again, and return whether they have the listed versions and no others.

    Memory: a page of the listing, for any number of objects.
    """
    total = 0

    def take(page: list[SourceObject], source: int) -> None:
        nonlocal total
        content = list(filter(_is_content, page))
        total += fingerprint_of(inventory.included(content, source), source)

    await _list_all(s3, inventory, take)
    return total == inventory.fingerprint


def _is_content(found: SourceObject) -> bool:
    return not _is_marker(found) and not found.key.startswith(REGISTRY_PREFIX)


def _is_marker(found: SourceObject) -> bool:
    return found.key.endswith("/")


async def _check_keys(s3: S3, inventory: Inventory) -> None:
    """Check all keys, and remove markers of folders that have the name of the folder."""
    # Keys of one folder, logical keys of several sources.
    check = KeyCheck(inventory.folder.prefix if inventory.is_one_folder else "")
    markers: list[bytes] = []

    async def query(collision: Collision) -> None:
        found = inventory.find(collision.file)
        head = await s3.head_object(inventory.uri_of(found), if_match=found.etag)
        if head.content_type.partition(";")[0] in DIRECTORY_TYPES:
            markers.append(collision.file)
        else:
            check.reject(collision)

    async for rows in slices(inventory.paths(), PATHS_AT_ONCE):
        await for_each(check.take(rows), query, at_once=HEADS_IN_FLIGHT)
    check.end()
    inventory.remove_empty(markers)


class Collision(msgspec.Struct, frozen=True):
    """A file that has the name of a folder.

    Attributes:
        file: Sort key of the file.
        inside: Sort key of the first file in the folder.
    """

    file: bytes
    inside: bytes


class KeyCheck:
    """Checks logical keys as quilt3 does, before objects are hashed.

    Args:
        prefix: Prefix of the folder, to report whole keys.

    Example:
        >>> from quilt_packager_runtime.formats.objects import sort_key
        >>> check = KeyCheck("f/")
        >>> check.take([(sort_key("a"), 5), (sort_key("a/b"), 5)])
        []
        >>> check.end()
        Traceback (most recent call last):
        ...
        quilt_packager_runtime.errors.InvalidKeys: 1 key is both a file and a folder: "f/a" ...
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._invalid, self._colliding = Samples(), Samples()
        self._previous, self._previous_bytes = b"", 0

    def take(self, rows: Iterable[tuple[bytes, int]]) -> list[Collision]:
        """Check the next sort keys of logical keys, with sizes, in their order.

        Returns:
            Collisions of empty files, which may be folder markers.
        """
        unclear: list[Collision] = []
        previous, below = self._previous, self._previous + SEPARATOR
        previous_bytes = self._previous_bytes
        for path, size_bytes in rows:
            inside = path + SEPARATOR
            if HAS_INVALID_COMPONENT(SEPARATOR + inside):
                self._invalid.add(self._quote(path))
            # The keys in a folder directly follow a file of the same name.
            if previous and path.startswith(below):
                collision = Collision(previous, path)
                if previous_bytes:
                    self.reject(collision)
                else:
                    unclear.append(collision)
            previous, below, previous_bytes = path, inside, size_bytes
        self._previous, self._previous_bytes = previous, previous_bytes
        return unclear

    def reject(self, collision: Collision) -> None:
        """Add a collision to the report."""
        self._colliding.add(f"{self._quote(collision.file)} ({self._quote(collision.inside)})")

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

    def _quote(self, path: bytes) -> str:
        return quote(self._prefix + key_of(path))
