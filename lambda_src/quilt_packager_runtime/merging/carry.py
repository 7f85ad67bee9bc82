"""Carries the changes of another writer into the next revision of a package.

docs/adr/0023-revisions-of-other-writers.md has the reasons.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Self

import msgspec

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.errors import UNREADABLE, HeldForReview, Samples, quote
from quilt_packager_runtime.formats.json_documents import read_json
from quilt_packager_runtime.formats.manifest import MAX_LINE_BYTES, Carried, Header
from quilt_packager_runtime.formats.objects import Entry, SourceFolder
from quilt_packager_runtime.hashing.reuse import STEP_BYTES, read_lines
from quilt_packager_runtime.merging.changes import Changes
from quilt_packager_runtime.merging.three_way import Metadata, merge_metadata
from quilt_packager_runtime.registry.ownership import (
    action_for,
    carried_in,
    describe_replaced,
    is_foreign,
)
from quilt_packager_runtime.registry.publish import Package, Pointer, Publisher
from quilt_packager_runtime.requests.package_request import PackageRequest
from quilt_packager_runtime.settings import Settings

Entries = Callable[[], Iterable[Entry]]
"""Iterates over the entries of the folder, in their order, once for each step of a merge."""


class _Header(msgspec.Struct):
    user_meta: Metadata | None = None


class Origin(msgspec.Struct, frozen=True):
    """The revisions that a merge compares with the folder.

    Attributes:
        theirs: Top hash of the revision with changes of another writer.
        theirs_body: First bytes of its manifest; None if they could not be read.
        is_foreign: Another writer published it; False if this engine has carried changes into it.
        revision: Top hash of the newest revision that another writer published.
        base: Top hash of the manifest of the folder as this engine last packaged it.
        base_body: First bytes of that manifest.
    """

    theirs: str
    theirs_body: ObjectBody | None
    is_foreign: bool
    revision: str
    base: str
    base_body: ObjectBody


class Summary(msgspec.Struct, frozen=True):
    """The changes of another writer in a merged package.

    Attributes:
        metadata: Metadata of the merged package.
        entries: Number of entries that were added, changed or removed.
        fields: Number of such fields of its metadata.
        conflicts: Keys and fields whose change was lost, because their source has changed.
        removed: Keys of the folder that the package lacks.
    """

    metadata: Metadata | None
    entries: int
    fields: int
    conflicts: str | None = None
    removed: str | None = None

    @property
    def is_empty(self) -> bool:
        """The package is the folder, without changes of another writer."""
        return not self.entries and not self.fields

    def __str__(self) -> str:
        """Return the numbers in words."""
        entries = f"{self.entries:,} {'entry' if self.entries == 1 else 'entries'}"
        fields = f"{self.fields:,} metadata {'field' if self.fields == 1 else 'fields'}"
        return " and ".join(
            words for number, words in ((self.entries, entries), (self.fields, fields)) if number
        )


class Merge:
    """The changes of another writer, to be merged with the folder.

    Args:
        origin: The revisions.

    Attributes:
        origin: The revisions.
    """

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._changes = Changes()
        self._base: Metadata | None = None
        self._theirs: Metadata | None = None

    def __enter__(self) -> Self:
        """Return the merge: its database is open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Delete the database."""
        self.close()

    def close(self) -> None:
        """Delete the database."""
        self._changes.__exit__()

    async def read(self, s3: S3, package: Package) -> None:
        """Read both manifests.

        Raises:
            ValueError: One is not a manifest.
        """
        theirs = read_lines(s3, package.manifest(self.origin.theirs), first=self.origin.theirs_body)
        header, *entries = await anext(theirs, [b""])
        self._theirs = _metadata_in(header)
        self._changes.add_theirs(entries)
        async for lines in theirs:
            self._changes.add_theirs(lines)
        base = read_lines(s3, package.manifest(self.origin.base), first=self.origin.base_body)
        header, *entries = await anext(base, [b""])
        self._base = _metadata_in(header)
        self._changes.subtract_base(entries)
        async for lines in base:
            self._changes.subtract_base(lines)

    def describe(self) -> str:
        """Return the largest number of changes that the next revision may have."""
        fields = merge_metadata(self._base, self._theirs, self._base).carried
        return str(Summary(None, self._changes.count(), len(fields)))

    def name_changes(self) -> str:
        """Name the first changes of the other writer, and count all."""
        changes = Samples()
        for key in self._changes.names():
            changes.add(quote(key))
        for name in merge_metadata(self._base, self._theirs, self._base).carried:
            changes.add(f"metadata {quote(name)}")
        return str(changes)

    async def resolve(self, metadata: Metadata | None, entries: Entries) -> Summary:
        """Merge with the folder, and return the result."""
        conflicts, removed = Samples(), Samples()
        await self._changes.resolve(entries(), conflicts=conflicts, removed=removed)
        await self._changes.drop_collisions(entries(), conflicts)
        merged = merge_metadata(self._base, self._theirs, metadata)
        for name in merged.conflicts:
            conflicts.add(f"metadata {quote(name)}")
        return Summary(
            merged.metadata,
            self._changes.count_carried(),
            len(merged.carried),
            conflicts=str(conflicts) or None,
            removed=str(removed) or None,
        )

    def merge(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """Iterate over the entries of the merged package, in their order."""
        return self._changes.merge(entries)

    def entry_metadata(self, metadata: dict[str, Metadata]) -> dict[str, Metadata]:
        """Return the metadata of merged entries, by logical keys."""
        return self._changes.metadata(metadata)

    def header(self, summary: Summary, alone: Header, *, source: SourceFolder, base: str) -> Header:
        """Return the header of the merged package.

        Args:
            summary: Result of `resolve`.
            alone: Header of the folder alone.
            source: The folder.
            base: Top hash of the folder alone.
        """
        return msgspec.structs.replace(
            alone,
            user_meta=summary.metadata,
            message=f"{alone.message} (with {summary} of {self.origin.revision})",
            source=str(source),
            carried=Carried(base, self.origin.revision),
        )

    def describe_carried(self, summary: Summary) -> list[str]:
        """Return the remarks about a published package."""
        revision = self.origin.revision
        remarks = []
        if not summary.is_empty:
            without = f", without {summary.removed}" if summary.removed else ""
            remarks.append(
                f"Carried {summary} of {revision}, which another writer published{without}."
            )
        elif self.origin.is_foreign:
            remarks.append(describe_replaced(self.origin.theirs))
        if summary.conflicts:
            remarks.append(
                f"Replaced by newer data of the source, and still in {self.origin.theirs}: "
                f"{summary.conflicts}."
            )
        return remarks


async def find_merge(  # noqa: PLR0913 - the job, and what it has read
    s3: S3,
    publisher: Publisher,
    request: PackageRequest,
    settings: Settings,
    *,
    latest: Pointer,
    previous: ObjectBody | None,
) -> Merge | None:
    """Find the changes of another writer that the next revision should have.

    Call it before the folder is listed. The caller closes the merge.

    Args:
        s3: S3.
        publisher: The job's publisher.
        request: The job's request.
        settings: The engine's settings.
        latest: The pointer to the newest revision.
        previous: First bytes of its manifest; None if it is missing or not readable.

    Returns:
        None if there are none, or if they are to be replaced.

    Raises:
        HeldForReview: They cannot be compared with what this engine has published.
    """
    if latest.top_hash is None or action_for(request, settings) == "replace":
        return None
    theirs, body, is_ours = latest.top_hash, previous, not is_foreign(latest, previous)
    if latest.message == publisher.message and latest.replaced is not None:
        # An earlier pass or delivery has merged: merge again, and name the same conflicts.
        theirs = latest.replaced
        body = await publisher.read_manifest(theirs, max_bytes=STEP_BYTES)
        is_ours = body is not None and carried_in(body) is not None
    if is_ours and carried_in(body) is None:
        return None
    origin = await _find_origin(publisher, theirs, body)
    merge = Merge(origin)
    try:
        await merge.read(s3, publisher.package)
    except (*UNREADABLE, ValueError) as error:
        merge.close()
        raise _held(publisher.package, theirs, f"A manifest cannot be read: {error}") from error
    except BaseException:
        merge.close()
        raise
    return merge


async def _find_origin(publisher: Publisher, theirs: str, theirs_body: ObjectBody | None) -> Origin:
    package, carried = publisher.package, carried_in(theirs_body)
    base = carried.base if carried is not None else await publisher.find_base(theirs)
    if base is None:
        raise _held(package, theirs, "This engine has published no earlier revision to compare.")
    body = await publisher.read_manifest(base, max_bytes=STEP_BYTES)
    older = carried_in(body) if carried is None else None
    if older is not None:
        base = older.base
        body = await publisher.read_manifest(base, max_bytes=STEP_BYTES)
    if body is None:
        raise _held(package, theirs, f"The manifest {base}, their base, is missing or unreadable.")
    return Origin(
        theirs=theirs,
        theirs_body=theirs_body,
        is_foreign=carried is None,
        revision=theirs if carried is None else carried.revision,
        base=base,
        base_body=body,
    )


def _held(package: Package, theirs: str, why: str) -> HeldForReview:
    return HeldForReview(
        f"The changes of {theirs} cannot be carried into the next revision of {package.name} in "
        f"{package.registry}.",
        why=why,
        remedy="To replace it, retry this message by quilt-packager failures retry "
        "--on-foreign-revision replace; to keep it, discard the message.",
    )


def _metadata_in(header: bytes) -> Metadata | None:
    """Return the metadata of a package.

    Raises:
        ValueError: The line is no header, or its metadata is not valid.
    """
    fields = read_json(header, max_bytes=MAX_LINE_BYTES)
    return msgspec.convert(fields, _Header).user_meta
