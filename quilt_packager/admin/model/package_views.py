"""The packages of registries: each view is requested from S3 at most once per interval."""

import asyncio
import time
from collections.abc import Coroutine, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.lineage.index import LineageIndex
from quilt_packager_runtime.registry.publish import Package

from quilt_packager.admin.model.caching import PAGE_DEADLINE, Answer, CachedEach
from quilt_packager.operations.deployment.credentials import connect_s3
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import BrokenManifest, SlowResponse
from quilt_packager.operations.lineage.tree import LineageReader, Node
from quilt_packager.operations.revisions.diff import (
    Added,
    Changed,
    Removed,
    Summary,
    compare,
    summarize,
)
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

MIN_SECONDS = 1
"""Time for a request after others have used up the time of the page."""

MAX_DIFFERENCES = 2000

MAX_SUMMARY_BYTES = 2 * 1024 * 1024
"""Size of a manifest above which its changes are counted only on request: about 7,000 entries."""

SUMMARIES_AT_ONCE = 4

MAX_SUMMARIES = 1000
"""Number of summaries that are remembered."""

MAX_NEWEST = 20_000
"""Number of newest revisions that are remembered."""

T = TypeVar("T")


class IndexQuery(NamedTuple):
    """The packages of a registry whose names begin with a prefix."""

    registry: str
    prefix: str


class RevisionQuery(NamedTuple):
    """A page of the revisions of a package."""

    package: Package
    limit: int
    before: int | None


class EntryQuery(NamedTuple):
    """A page of the entries of a revision."""

    package: Package
    top_hash: str
    glob: str = ""
    keys: frozenset[str] | None = None
    after: str = ""


class Pair(NamedTuple):
    """Two revisions; without the earlier one, everything in the later one is added."""

    package: Package
    before: str | None
    after: str


class Comparison(NamedTuple):
    """The first differences of two revisions.

    Attributes:
        changes: Differences of entries.
        summary: Numbers of all differences.
        metadata: Metadata of the earlier and of the later revision.
    """

    changes: tuple[Added | Changed | Removed, ...]
    summary: Summary
    metadata: tuple[Mapping[str, Any], Mapping[str, Any]] = ({}, {})


class PackageViews:
    """The views of packages. Threads may share it.

    Args:
        deployment: The engine.
    """

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._indexes = CachedEach[IndexQuery, RegistryIndex](self._index)
        self._newest: dict[IndexedPackage, PublishedRevision] = {}
        self._revisions = CachedEach[RevisionQuery, RevisionPage](self._list_revisions)
        self._entries = CachedEach[EntryQuery, EntryPage](self._read_entries)
        self._comparisons = CachedEach[Pair, Comparison](self._compare)
        self._summaries: dict[Pair, Summary | None] = {}

    def index(self, query: IndexQuery) -> Answer[RegistryIndex]:
        """Return the packages of a registry."""
        return self._indexes.of(query).get(INDEX_SECONDS)

    def start_index(self, query: IndexQuery) -> None:
        """Begin to list a registry, while other requests run."""
        self._indexes.of(query).start(INDEX_SECONDS)

    def newest(
        self, packages: Iterable[IndexedPackage], *, limit_seconds: float | None = None
    ) -> Mapping[IndexedPackage, PublishedRevision]:
        """Return the newest revisions of packages. A pointer never changes, and is read once.

        Args:
            packages: The packages.
            limit_seconds: Time limit. Default: the rest of the page's time.

        Raises:
            PackagerError: S3 did not respond, or refused.
        """
        wanted = list(packages)
        known = self._newest
        missing = [each for each in wanted if each not in known]
        if missing:
            seconds = limit_seconds or _rest_seconds()
            found = _run(read_newest(self._connect(), missing), seconds)
            # Without a pointer, `latest` may change.
            lasting = {each: found[each] for each in missing if each.second is not None}
            self._newest = lasting if len(known) > MAX_NEWEST else {**known, **lasting}
            known = {**known, **found}
        return {each: known[each] for each in wanted}

    def revisions(self, query: RevisionQuery) -> Answer[RevisionPage]:
        """Return revisions of a package, the newest first."""
        return self._revisions.of(query).get(LIST_SECONDS)

    def summaries(self, pairs: Iterable[Pair]) -> Mapping[Pair, Summary | None]:
        """Count the differences of revisions; None for large or unreadable manifests.

        Raises:
            PackagerError: S3 did not respond, or refused.
        """
        wanted = list(pairs)
        known = self._summaries
        missing = [each for each in wanted if each not in known]
        if missing:
            found = _run(_summarize(self._connect(), missing), _rest_seconds())
            self._summaries = found if len(known) > MAX_SUMMARIES else {**known, **found}
            known = {**known, **found}
        return {each: known[each] for each in wanted}

    def entries(self, query: EntryQuery) -> Answer[EntryPage]:
        """Return a page of entries."""
        return self._entries.of(query).get(REVISION_SECONDS)

    def comparison(self, pair: Pair) -> Answer[Comparison]:
        """Return the differences of two revisions."""
        return self._comparisons.of(pair).get(REVISION_SECONDS)

    def lineage(self, package: Package, top_hash: str, table: str | None) -> Node:
        """Read the revisions one step away from a revision.

        Raises:
            PackagerError: S3 or DynamoDB did not respond, or refused.
        """
        index = None if table is None else LineageIndex(table, self._deployment.dynamodb)
        reader = LineageReader(self._connect(), index)
        tree = reader.read(package, top_hash, up=1, down=1 if index else 0)
        return _run(tree, _rest_seconds())

    def _index(self, query: IndexQuery) -> RegistryIndex:
        return _run(index_packages(self._connect(), query.registry, prefix=query.prefix))

    def _list_revisions(self, query: RevisionQuery) -> RevisionPage:
        package, limit, before = query
        return _run(list_revisions(self._connect(), package, limit=limit, before=before))

    def _read_entries(self, query: EntryQuery) -> EntryPage:
        package, top_hash, glob, keys, after = query
        return _run(
            read_entries(self._connect(), package, top_hash, glob=glob, keys=keys, after=after)
        )

    def _compare(self, pair: Pair) -> Comparison:
        return _run(_collect(self._connect(), pair))

    def _connect(self) -> S3:
        options = self._deployment.options
        return connect_s3(options.profile, options.region)


async def _collect(s3: S3, pair: Pair) -> Comparison:
    package, before, after = pair
    changes: list[Added | Changed | Removed] = []
    summary = Summary(0, 0, 0, 0, metadata_changed=False)
    async for found in compare(s3, package, _revision(before), Revision(after)):
        if isinstance(found, Summary):
            summary = found
        elif len(changes) < MAX_DIFFERENCES:
            changes.append(found)
    metadata: list[dict[str, Any]] = [{}, {}]
    if summary.metadata_changed:
        for place, top_hash in enumerate((before, after)):
            if top_hash is not None:
                page = await read_entries(s3, package, top_hash, limit=0)
                metadata[place] = page.header.user_meta or {}
    return Comparison(tuple(changes), summary, (metadata[0], metadata[1]))


async def _summarize(s3: S3, pairs: Sequence[Pair]) -> dict[Pair, Summary | None]:
    found: dict[Pair, Summary | None] = {}

    async def read(pair: Pair) -> None:
        package, before, after = pair
        try:
            found[pair] = await summarize(
                s3, package, _revision(before), Revision(after), max_bytes=MAX_SUMMARY_BYTES
            )
        except BrokenManifest:
            found[pair] = None

    await for_each(pairs, read, at_once=SUMMARIES_AT_ONCE)
    return found


def _revision(top_hash: str | None) -> Revision | None:
    return None if top_hash is None else Revision(top_hash)


def _rest_seconds() -> float:
    """Return the time that the page of this thread has left."""
    return min(LIMIT_SECONDS, max(PAGE_DEADLINE.get() - time.monotonic(), MIN_SECONDS))


def _run(reading: Coroutine[Any, Any, T], limit_seconds: float = LIMIT_SECONDS) -> T:
    try:
        return asyncio.run(asyncio.wait_for(reading, limit_seconds))
    except TimeoutError as error:
        raise SlowResponse(
            f"S3 did not answer within {limit_seconds:.0f} s.",
            why="The registry or the manifest is large, or the network is slow.",
            remedy="Try again, with a filter; or use the command, which has no limit.",
        ) from error
