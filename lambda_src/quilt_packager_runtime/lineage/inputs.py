"""The packages that a run has read from, by the URIs of its inputs.

They are optional metadata: an index that does not answer never stops a package. The same inputs
always give the same packages, because the oldest revision that holds a version is its package.
"""

import asyncio
from collections.abc import Iterable, Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.objects import S3Uri, Source
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.lineage.index import Holder, LineageIndex, Use
from quilt_packager_runtime.lineage.manifest_search import ManifestSearch
from quilt_packager_runtime.registry.publish import Message, Package, Pointer
from quilt_packager_runtime.registry.run_fields import INPUT_PACKAGES, read_metadata
from quilt_packager_runtime.requests.package_request import PackageRequest
from quilt_packager_runtime.settings import Settings

MAX_INPUTS = 100
"""Maximum number of inputs that are looked up: a crate names as many."""

MAX_FOLDERS = 100
"""Maximum number of folders and objects that are recorded of a revision."""

MAX_HOLDERS = 20
"""Maximum number of revisions in which an input is searched, the oldest first."""

LOOKUP_SECONDS = 15
"""Maximum time of the lookup."""

RECORD_SECONDS = 10
"""Maximum time to record a revision."""

INPUTS_AT_ONCE = 8


class _Version(msgspec.Struct, frozen=True):
    """The version of an input.

    Attributes:
        uri: The version.
        modified: Time when it was written, in seconds since 1970.
    """

    uri: S3Uri
    modified: float


async def name_input_packages(
    request: PackageRequest, settings: Settings, s3: S3
) -> PackageRequest:
    """Add the revisions that hold inputs of the run to its metadata and its outcome.

    A field of that name that the metadata has stays as it is.
    """
    inputs = list(_inputs(request, settings))
    if settings.lineage_table is None or not inputs:
        return request
    lookup = _Lookup(LineageIndex(settings.lineage_table), s3, request)
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            await for_each(inputs, lookup.add, at_once=INPUTS_AT_ONCE)
    except (PackagerError, TimeoutError, ValueError) as error:
        why = error.happened if isinstance(error, PackagerError) else _describe(error)
        warning = f"The packages of the run's inputs could not be looked up. {why}"
        return msgspec.structs.replace(
            request, warnings=(*request.warnings, warning), lacks_input_packages=True
        )
    return _with_inputs(request, sorted(lookup.found))


def keep_input_packages(request: PackageRequest, newest: bytes) -> PackageRequest:
    """Keep the input packages that the newest revision has, if all other metadata is the same.

    Otherwise an outage would make a new revision, with less metadata.

    Args:
        request: The request, with `lacks_input_packages`.
        newest: First bytes of the newest revision's manifest.
    """
    found = read_metadata(newest)
    kept = found.pop(INPUT_PACKAGES, None)
    if not isinstance(kept, list) or found != (request.metadata or {}):
        return request
    return _with_inputs(request, kept)


async def record_lineage(
    outcome: Outcome, request: PackageRequest, settings: Settings, s3: S3
) -> Outcome:
    """Record the folders and the inputs of a revision; a failure is a remark of the outcome."""
    if settings.lineage_table is None or outcome.link is None or outcome.objects is None:
        return outcome
    published_ms = Message.now(s3, Pointer()).due_ms
    sources = islice(request.numbered_sources.values(), MAX_FOLDERS)
    try:
        async with asyncio.timeout(RECORD_SECONDS):
            await asyncio.to_thread(
                record_revision,
                LineageIndex(settings.lineage_table),
                outcome.link,
                sources,
                outcome.input_packages or (),
                published_ms=published_ms,
            )
    except (PackagerError, TimeoutError) as error:
        why = error.happened if isinstance(error, PackagerError) else _describe(error)
        remark = f"The lineage of the revision was not recorded. {why}"
        remarks = filter(None, (outcome.remark, remark))
        return msgspec.structs.replace(outcome, remark=" ".join(remarks))
    return outcome


def record_revision(
    index: LineageIndex,
    revision: str,
    sources: Iterable[Source],
    inputs: Iterable[str],
    *,
    published_ms: int,
) -> None:
    """Add a revision to the index.

    Raises:
        AwsError: DynamoDB did not respond, or refused.
    """
    for source in sources:
        index.add_holder(Holder(published_ms, revision, source))
    for each in inputs:
        index.add_use(Use(published_ms, revision, each))


class _Lookup:
    """Looks up inputs, and collects the revisions that hold them."""

    def __init__(self, index: LineageIndex, s3: S3, request: PackageRequest) -> None:
        self.found: set[str] = set()
        self._index = index
        self._s3 = s3
        self._own = Package(request.registry, request.package_name).link("")
        self._started = _start_seconds(request)
        self._holders: dict[Source, asyncio.Task[list[Holder]]] = {}
        self._manifests: dict[str, ManifestSearch] = {}

    async def add(self, uri: S3Uri) -> None:
        """Look up an input: an object, or a version of it."""
        version = await self._find_version(uri)
        if version is None:
            return
        holders: list[Holder] = []
        for source in _places(version.uri):
            if source not in self._holders:
                self._holders[source] = asyncio.create_task(self._read_holders(source))
            holders += await self._holders[source]
        later = (each for each in sorted(holders) if each.published_ms >= version.modified * 1000)
        for holder in islice(later, MAX_HOLDERS):
            if await self._holds(holder, version.uri):
                self.found.add(holder.revision)
                return

    async def _read_holders(self, source: Source) -> list[Holder]:
        found = await asyncio.to_thread(lambda: list(self._index.holders(source)))
        return [each for each in found if not each.revision.startswith(self._own)]

    async def _find_version(self, uri: S3Uri) -> _Version | None:
        """Find the version that the run read: the named one, or the newest when it started."""
        async for page in self._s3.list_all_versions(uri.bucket, uri.key):
            for each in page:
                if each.key != uri.key:
                    return None
                modified = datetime.fromisoformat(each.modified).timestamp()
                if uri.version_id is not None:
                    is_it = each.version_id == uri.version_id
                else:
                    is_it = self._started is not None and modified <= self._started
                if is_it:
                    version = S3Uri(uri.bucket, uri.key, each.version_id)
                    is_version = each.version_id is not None and not each.is_marker
                    return _Version(version, modified) if is_version else None
        return None

    async def _holds(self, holder: Holder, version: S3Uri) -> bool:
        if holder.revision not in self._manifests:
            uri = _manifest_of(holder.revision)
            self._manifests[holder.revision] = ManifestSearch(self._s3, uri)
        entry = await self._manifests[holder.revision].find(holder.source.logical_key(version.key))
        return entry is not None and entry.physical_keys == [str(version)]


def _inputs(request: PackageRequest, settings: Settings) -> Iterator[S3Uri]:
    """Yield the objects among the inputs that the engine may read, each once."""
    allowed = {*settings.source_buckets, *settings.registry_buckets}
    is_open = not (settings.source_buckets and settings.registry_buckets)
    named: Any = (request.metadata or {}).get("input_uris")
    texts = [*request.input_uris, *(named if isinstance(named, list) else [named])]
    found: dict[S3Uri, None] = {}
    for text in texts:
        try:
            uri = S3Uri.parse(text) if isinstance(text, str) else None
        except ValueError:
            continue
        if uri is None or not uri.key or uri.key.endswith("/"):
            continue
        if is_open or uri.bucket in allowed:
            found[uri] = None
    yield from islice(found, MAX_INPUTS)


def _places(uri: S3Uri) -> Iterator[Source]:
    """Yield an object, and the folders that it is in."""
    yield Source(uri.bucket, uri.key, is_object=True)
    prefix = uri.key
    while prefix:
        prefix = prefix[: prefix.rstrip("/").rfind("/") + 1]
        yield Source(uri.bucket, prefix)


def _manifest_of(revision: str) -> S3Uri:
    package, _, top_hash = revision.rpartition("@")
    registry = package.removeprefix("quilt+s3://").partition("#")[0]
    return Package(registry, "").manifest(top_hash)


def _start_seconds(request: PackageRequest) -> float | None:
    try:
        started = datetime.fromisoformat((request.metadata or {})["start_time"])
    except (KeyError, TypeError, ValueError):
        return None
    return started.timestamp() if started.tzinfo else None


def _with_inputs(request: PackageRequest, packages: list[str]) -> PackageRequest:
    if not packages:
        return request
    metadata = {**(request.metadata or {})}
    metadata.setdefault(INPUT_PACKAGES, packages)
    return msgspec.structs.replace(
        request,
        metadata=metadata,
        input_packages=tuple(packages),
        lacks_input_packages=False,
    )


def _describe(error: Exception) -> str:
    return "It took too long." if isinstance(error, TimeoutError) else f"{error}."
