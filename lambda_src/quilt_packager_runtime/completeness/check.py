"""The check of the option `require`: after the listing, and before any object is hashed."""

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from typing import TypeAlias

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.completeness.crate_parts import find_crate_parts
from quilt_packager_runtime.completeness.run_outputs import find_run_outputs
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.errors import MAX_NAMED, Incomplete, name_some
from quilt_packager_runtime.formats.globs import match_any
from quilt_packager_runtime.formats.objects import key_of
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.package_request import PackageRequest
from quilt_packager_runtime.settings.requirements import required_globs

FindPaths: TypeAlias = Callable[[S3, Inventory], Awaitable[Iterator[str]]]

PATHS_AT_ONCE = 1000
"""Number of paths checked at a time. Other tasks run in between."""

LISTINGS: dict[str, tuple[FindPaths, str, str]] = {
    "crate": (find_crate_parts, "file of the crate", "files of the crate"),
    "healthomics_outputs": (find_run_outputs, "output of the run", "outputs of the run"),
}
"""Requirements that a file of the folder lists, with the words for one path and for several."""

_WILDCARDS = frozenset("*?[")


async def check_complete(s3: S3, request: PackageRequest, inventory: Inventory) -> None:
    """Check that a folder has the files that its package requires.

    A listed file that `exclude` leaves out of the package is not required. Without requirements,
    no request is sent.

    Args:
        s3: Client to read the files that list others.
        request: The request, with its requirements.
        inventory: The listed objects.

    Raises:
        Incomplete: Files are missing. Names the first `MAX_NAMED` of each requirement.
        InvalidMetadata: A file that lists others cannot be used.
        S3Error: A file that lists others could not be read.
    """
    missing = []
    if globs := await _find_unmatched(required_globs(request.require), inventory):
        missing.append(f"No file matches {name_some(globs)}.")
    for name, (find, one, several) in LISTINGS.items():
        if name in request.require:
            listed = await _Missing.among(await find(s3, inventory), inventory)
            if listed.count:
                are = f"{one} is" if listed.count == 1 else f"{several} are"
                missing.append(f"{listed.count:,} {are} missing: {listed}.")
    if missing:
        raise Incomplete(
            f"{request.source} is incomplete. {' '.join(missing)}",
            why="The message or its event source requires these files.",
            remedy="Send the message again when they are uploaded, or correct require.",
        )


class _Missing:
    """Required paths that a folder lacks: all are counted, and the first `MAX_NAMED` kept."""

    def __init__(self) -> None:
        self.count = 0
        self._first: list[str] = []

    @classmethod
    async def among(cls, paths: Iterable[str], inventory: Inventory) -> "_Missing":
        """Find the paths that are neither in a folder nor excluded from its package."""
        missing = cls()
        async for some in slices(paths, PATHS_AT_ONCE):
            for path in some:
                if not inventory.has(path) and not inventory.excludes(path):
                    missing.count += 1
                    if missing.count <= MAX_NAMED:
                        missing._first.append(path)
        return missing

    def __str__(self) -> str:
        return name_some(self._first, self.count)


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
