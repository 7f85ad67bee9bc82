"""The packages of registries: each view is requested from S3 at most once per interval."""

import asyncio
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.registry.publish import Package

from quilt_packager.admin.model.caching import Answer, CachedEach
from quilt_packager.operations.deployment.credentials import connect_s3
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import SlowResponse
from quilt_packager.operations.revisions.diff import Added, Changed, Removed, Summary, compare
from quilt_packager.operations.revisions.packages import (
    EntryPage,
    PackagePage,
    RevisionPage,
    list_packages,
    list_revisions,
    read_entries,
)
from quilt_packager.operations.revisions.revisions import Revision

LIST_SECONDS = 15
REVISION_SECONDS = 3600
"""A revision never changes, but its manifest may be deleted."""

LIMIT_SECONDS = 20
MAX_DIFFERENCES = 200

T = TypeVar("T")


class PackageQuery(NamedTuple):
    """A page of packages."""

    registry: str
    prefix: str
    after: str


class EntryQuery(NamedTuple):
    """A page of the entries of a revision."""

    package: Package
    top_hash: str
    glob: str
    after: str


class Comparison(NamedTuple):
    """The first differences of two revisions."""

    changes: tuple[Added | Changed | Removed, ...]
    summary: Summary


class PackageViews:
    """The views of packages. Threads may share it.

    Args:
        deployment: The engine.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._packages = CachedEach[PackageQuery, PackagePage](self._list_packages)
        self._revisions = CachedEach[Package, RevisionPage](self._list_revisions)
        self._entries = CachedEach[EntryQuery, EntryPage](self._read_entries)
        self._comparisons = CachedEach[tuple[Package, str, str], Comparison](self._compare)

    def packages(self, query: PackageQuery) -> Answer[PackagePage]:
        """Return a page of packages."""
        return self._packages.of(query).get(LIST_SECONDS)

    def revisions(self, package: Package) -> Answer[RevisionPage]:
        """Return the newest revisions of a package."""
        return self._revisions.of(package).get(LIST_SECONDS)

    def entries(self, query: EntryQuery) -> Answer[EntryPage]:
        """Return a page of entries."""
        return self._entries.of(query).get(REVISION_SECONDS)

    def comparison(self, package: Package, before: str, after: str) -> Answer[Comparison]:
        """Return the differences of two revisions."""
        return self._comparisons.of((package, before, after)).get(REVISION_SECONDS)

    def _list_packages(self, query: PackageQuery) -> PackagePage:
        return _run(
            list_packages(self._connect(), query.registry, prefix=query.prefix, after=query.after)
        )

    def _list_revisions(self, package: Package) -> RevisionPage:
        return _run(list_revisions(self._connect(), package))

    def _read_entries(self, query: EntryQuery) -> EntryPage:
        return _run(
            read_entries(
                self._connect(), query.package, query.top_hash, glob=query.glob, after=query.after
            )
        )

    def _compare(self, key: tuple[Package, str, str]) -> Comparison:
        return _run(_collect(self._connect(), *key))

    def _connect(self) -> S3:
        options = self._deployment.options
        return connect_s3(options.profile, options.region)


async def _collect(s3: S3, package: Package, before: str, after: str) -> Comparison:
    changes: list[Added | Changed | Removed] = []
    summary = Summary(0, 0, 0, 0, metadata_changed=False)
    async for found in compare(s3, package, Revision(before), Revision(after)):
        if isinstance(found, Summary):
            summary = found
        elif len(changes) < MAX_DIFFERENCES:
            changes.append(found)
    return Comparison(tuple(changes), summary)


def _run(reading: Coroutine[Any, Any, T]) -> T:
    try:
        return asyncio.run(asyncio.wait_for(reading, LIMIT_SECONDS))
    except TimeoutError as error:
        raise SlowResponse(
            f"S3 did not answer within {LIMIT_SECONDS} s.",
            why="The registry or the manifest is large, or the network is slow.",
            remedy="Try again, with a longer prefix; or use the command, which has no limit.",
        ) from error
