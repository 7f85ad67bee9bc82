"""The check of the option `require`: after the listing, and before any object is hashed."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import NamedTuple

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.completeness.crate_parts import find_crate_parts
from quilt_packager_runtime.completeness.listed_files import find_listed_files
from quilt_packager_runtime.completeness.run_outputs import find_run_outputs
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.errors import MAX_NAMED, Incomplete, name_some
from quilt_packager_runtime.formats.globs import match_any
from quilt_packager_runtime.formats.objects import key_of
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.requests.package_request import PackageRequest
from quilt_packager_runtime.settings.requirements import required_globs

PATHS_AT_ONCE = 1000
"""Number of paths checked at a time. Other tasks run in between."""


class _Found(NamedTuple):
    """The files of a requirement.

    Attributes:
        required: Number of required files.
        missing: Number of those that are missing.
        happened: The missing files, in words; empty without any.
    """

    required: int
    missing: int = 0
    happened: str = ""


class Listing(NamedTuple):
    """A requirement that files of the folder list.

    Attributes:
        find: Yields the required paths, in a part for each file that lists some.
        name: The files that list them, in words.
        files: The listed files, in words.
    """

    find: Callable[[S3, Inventory], AsyncIterator[Iterable[str]]]
    name: str
    files: str


LISTINGS = {
    "crate": Listing(find_crate_parts, CRATE_NAME, "the crate"),
    "healthomics_outputs": Listing(
        find_run_outputs, "summary of the run's outputs (logs/outputs.json)", "the run's summary"
    ),
    "checksum_lists": Listing(find_listed_files, "checksum list", "the checksum lists"),
}
"""Requirements that files of the folder list, by their names in `require`."""

_WILDCARDS = frozenset("*?[")


async def check_complete(s3: S3, request: PackageRequest, inventory: Inventory) -> int | None:
    """Check that a folder has the files that its package requires.

    A listed file that `exclude` leaves out of the package is not required. Without requirements,
    no request is sent.

    Args:
        s3: Client to read the files that list others.
        request: The request, with its requirements.
        inventory: The listed objects.

    Returns:
        Number of required files and globs; None without requirements.

    Raises:
        Incomplete: Files are missing. Names the first `MAX_NAMED` of each requirement.
        InvalidMetadata: A file that lists others cannot be used.
        S3Error: A file that lists others could not be read.
    """
    if not request.require:
        return None
    found = [await _check_globs(required_globs(request.require), inventory)]
    for name, listing in LISTINGS.items():
        if name in request.require:
            found.append(await _check(s3, listing, inventory))
    if happened := " ".join(filter(None, (each.happened for each in found))):
        error = Incomplete(
            f"{request.source} is incomplete. {happened}",
            why="The message or its event source requires these files.",
            remedy="Send the message again when they are uploaded, or correct require.",
        )
        error.missing = sum(each.missing for each in found)
        raise error
    return sum(each.required for each in found)


async def _check_globs(globs: Sequence[str], inventory: Inventory) -> _Found:
    """Check that each glob matches a file."""
    unmatched = await _find_unmatched(globs, inventory)
    happened = f"No file matches {name_some(unmatched)}." if unmatched else ""
    return _Found(len(globs), len(unmatched), happened)


async def _check(s3: S3, listing: Listing, inventory: Inventory) -> _Found:
    """Check that a folder has the files that it lists.

    Files that are excluded from the package may be missing.
    """
    is_listed = False
    required, count, first = 0, 0, list[str]()
    async for paths in listing.find(s3, inventory):
        is_listed = True
        async for some in slices(paths, PATHS_AT_ONCE):
            absent = [each for each in some if not inventory.has(each)]
            missing = [each for each in absent if not inventory.excludes(each)]
            required += len(some) - len(absent) + len(missing)
            count += len(missing)
            first += missing[: MAX_NAMED - len(first)]
    if not is_listed:
        return _Found(1, 1, f"There is no {listing.name}.")
    if not count:
        return _Found(required)
    are = "file is" if count == 1 else "files are"
    happened = f"{count:,} {are} missing of {listing.files}: {name_some(first, count)}."
    return _Found(required, count, happened)


async def _find_unmatched(globs: Sequence[str], inventory: Inventory) -> list[str]:
    """Return the globs that match no file of the package, in their order."""
    left = {glob: match_any([glob]) for glob in globs if not _WILDCARDS.isdisjoint(glob)}
    if left:
        async for rows in slices(inventory.paths(), PATHS_AT_ONCE):
            keys = [key_of(path) for path, _ in rows]
            left = {glob: match for glob, match in left.items() if not any(map(match, keys))}
            if not left:
                break
    return [
        glob
        for glob in globs
        if glob in left or (_WILDCARDS.isdisjoint(glob) and not inventory.has(glob))
    ]
