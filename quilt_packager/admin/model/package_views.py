"""The packages of registries: each view is requested from S3 at most once per interval."""

import asyncio
from collections.abc import Coroutine, Iterable, Mapping
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
    PublishedRevision,
    RevisionPage,
    list_revisions,
    read_entries,
)
from quilt_packager.operations.revisions.registry_index import (
    IndexedPackage,
    RegistryIndex,
    index_packages,
    read_newest,
)
from quilt_packager.operations.revisions.revisions import Revision

LIST_SECONDS = 15
INDEX_SECONDS = 60
REVISION_SECONDS = 3600
"""A revision never changes, but its manifest may be deleted."""

LIMIT_SECONDS = 20
MAX_DIFFERENCES = 200

MAX_NEWEST = 20_000
"""Number of newest revisions that are remembered."""

T = TypeVar("T")


class IndexQuery(NamedTuple):
    """The packages of a registry whose names begin with a prefix."""

    registry: str
    prefix: str


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
        self._indexes = CachedEach[IndexQuery, RegistryIndex](self._index)
        self._newest: dict[IndexedPackage, PublishedRevision] = {}
        self._revisions = CachedEach[Package, RevisionPage](self._list_revisions)
        self._entries = CachedEach[EntryQuery, EntryPage](self._read_entries)
        self._comparisons = CachedEach[tuple[Package, str, str], Comparison](self._compare)

    def index(self, query: IndexQuery) -> Answer[RegistryIndex]:
        """Return the packages of a registry."""
        return self._indexes.of(query).get(INDEX_SECONDS)

    def start_index(self, query: IndexQuery) -> None:
        """Begin to list a registry, while other requests run."""
        self._indexes.of(query).start(INDEX_SECONDS)

    def newest(
        self, packages: Iterable[IndexedPackage], *, limit_seconds: float = LIMIT_SECONDS
    ) -> Mapping[IndexedPackage, PublishedRevision]:
        """Return the newest revisions of packages. A pointer never changes, and is read once.

        Raises:
            PackagerError: S3 did not respond, or refused.
        """
        wanted = list(packages)
        known = self._newest
        missing = [each for each in wanted if each not in known]
        if missing:
            found = _run(read_newest(self._connect(), missing), limit_seconds)
            # Without a pointer, `latest` may change.
            lasting = {each: found[each] for each in missing if each.second is not None}
            self._newest = lasting if len(known) > MAX_NEWEST else {**known, **lasting}
            known = {**known, **found}
        return {each: known[each] for each in wanted}

    def revisions(self, package: Package) -> Answer[RevisionPage]:
        """Return the newest revisions of a package."""
        return self._revisions.of(package).get(LIST_SECONDS)

    def entries(self, query: EntryQuery) -> Answer[EntryPage]:
        """Return a page of entries."""
        return self._entries.of(query).get(REVISION_SECONDS)

    def comparison(self, package: Package, before: str, after: str) -> Answer[Comparison]:
        """Return the differences of two revisions."""
        return self._comparisons.of((package, before, after)).get(REVISION_SECONDS)

    def _index(self, query: IndexQuery) -> RegistryIndex:
        return _run(index_packages(self._connect(), query.registry, prefix=query.prefix))

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


def _run(reading: Coroutine[Any, Any, T], limit_seconds: float = LIMIT_SECONDS) -> T:
    try:
        return asyncio.run(asyncio.wait_for(reading, limit_seconds))
    except TimeoutError as error:
        raise SlowResponse(
            f"S3 did not answer within {limit_seconds:.0f} s.",
            why="The registry or the manifest is large, or the network is slow.",
            remedy="Try again, with a filter; or use the command, which has no limit.",
        ) from error
