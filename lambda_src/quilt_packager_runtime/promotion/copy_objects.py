"""Copy the objects of a revision to a folder, except those that it has already."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import (
    MAX_NAMED,
    ArchivedObjects,
    CopyMismatch,
    DestinationOccupied,
    InvalidKeys,
    InvalidManifest,
    InvalidObjectState,
    Rejected,
    Samples,
    quote,
)
from quilt_packager_runtime.formats.checksums import MIN_CHUNK_BYTES
from quilt_packager_runtime.formats.objects import (
    MAX_KEY_BYTES,
    Entry,
    S3Uri,
    SourceFolder,
    SourceObject,
)
from quilt_packager_runtime.promotion.copies import Different, ObjectCopier, algorithm_of
from quilt_packager_runtime.promotion.revision_contents import RevisionContents
from quilt_packager_runtime.registry.publish import Provenance

COPIES_IN_FLIGHT = 64
LARGE_COPIES_IN_FLIGHT = 4
"""Maximum number of objects of several parts that are copied at once."""

Listed = tuple[Entry, SourceObject | None]


class Unfinished(Exception):
    """The deadline passed before everything was copied. The promotion continues if repeated."""

    def __init__(self, counts: "CopyCounts") -> None:
        super().__init__(f"{counts.copied} objects were copied")
        self.counts = counts


class CopyCounts(msgspec.Struct):
    """Numbers of objects.

    Attributes:
        copied: Objects that were copied.
        present: Objects that were there already.
    """

    copied: int = 0
    present: int = 0


async def copy_objects(  # noqa: PLR0913 - the folder, its provenance, and whom it serves
    s3: S3,
    contents: RevisionContents,
    folder: SourceFolder,
    provenance: Provenance,
    *,
    on_progress: Callable[[str, int, int | None], object],
    deadline: float | None = None,
) -> CopyCounts:
    """Copy the objects of all entries, and record the copies' versions in the contents.

    Raises:
        Unfinished: The deadline passed.
        DestinationOccupied: Other objects have the keys, and would be lost.
        CopyMismatch: Objects are missing, or differ from the manifest.
        ArchivedObjects: Objects are archived.
        InvalidKeys: Keys of copies would be too long.
        InvalidManifest: Entries have no checksum that copies can be compared with.
    """
    run = _Run(s3, contents, folder, provenance, on_progress)
    try:
        async with asyncio.timeout_at(deadline):
            await run.check_entries()
            await run.find_present()
            await run.copy_rest()
    except TimeoutError:
        raise Unfinished(run.counts) from None
    return run.counts


class _Run:
    """The steps of `copy_objects`, with what they share."""

    def __init__(
        self,
        s3: S3,
        contents: RevisionContents,
        folder: SourceFolder,
        provenance: Provenance,
        on_progress: Callable[[str, int, int | None], object],
    ) -> None:
        self.counts = CopyCounts()
        self._s3 = s3
        self._contents = contents
        self._folder = folder
        self._copier = ObjectCopier(s3, folder.bucket, provenance.to_metadata())
        self._on_progress = on_progress
        self._objects, _ = contents.totals()

    async def check_entries(self) -> None:
        """Check that each entry can be copied, before any is."""
        too_long, unknown = Samples(), Samples()
        async for entry, _ in self._contents.uncopied():
            if len(self._target(entry).key.encode()) > MAX_KEY_BYTES:
                too_long.add(quote(entry.logical_key))
            if algorithm_of(entry) is None or not _is_in_s3(entry):
                unknown.add(quote(entry.logical_key))
        if too_long.count:
            raise InvalidKeys(
                f"The keys of copies would be too long: {too_long}.",
                why=f"A key has at most {MAX_KEY_BYTES:,} bytes, with {self._folder} in front.",
                remedy="Copy to a shorter prefix.",
            )
        if unknown.count:
            raise InvalidManifest(
                f"Entries cannot be copied: {unknown}.",
                why="They are not in S3, or have no sha2-256-chunked or CRC64NVME checksum, which "
                "copies are compared with.",
                remedy="Promote without a copy of the data, or package the folder again.",
            )

    async def find_present(self) -> None:
        """Find the entries that the folder has already, and the objects that are in the way."""
        prefix = self._folder.prefix
        async for page in self._s3.list_latest_versions(self._folder.bucket, prefix):
            self._contents.add_present((found.key.removeprefix(prefix), found) for found in page)
        occupied: list[str] = []

        async def look(listed: Listed) -> None:
            entry, present = listed
            assert present is not None  # noqa: S101 - only such entries are listed here
            if await self._copier.is_same(entry, present):
                self._record(entry, present.version_id)
                self.counts.present += 1
                self._report()
            elif present.version_id is None:
                occupied.append(present.key)

        await for_each(self._contents.uncopied(only_present=True), look, at_once=COPIES_IN_FLIGHT)
        if occupied and await self._s3.versioning_of(self._folder.bucket) != "Enabled":
            raise _occupied(self._folder, sorted(occupied))

    async def copy_rest(self) -> None:
        """Copy the other entries, small objects first."""
        problems = _Problems()

        async def copy(listed: Listed) -> None:
            entry, present = listed
            try:
                copied = await self._copier.copy(entry, self._target(entry), present)
            except Different:
                problems.add(CopyMismatch, entry)
            except InvalidObjectState:
                problems.add(ArchivedObjects, entry)
            else:
                self._record(entry, copied.version_id)
                self.counts.copied += 1
                self._report()

        for is_large, at_once in ((False, COPIES_IN_FLIGHT), (True, LARGE_COPIES_IN_FLIGHT)):
            await for_each(self._uncopied(is_large=is_large), copy, at_once=at_once)
        problems.check()

    async def _uncopied(self, *, is_large: bool) -> AsyncIterator[Listed]:
        async for listed in self._contents.uncopied():
            if (listed[0].size_bytes > MIN_CHUNK_BYTES) is is_large:
                yield listed

    def _target(self, entry: Entry) -> S3Uri:
        return S3Uri(self._folder.bucket, self._folder.prefix + entry.logical_key)

    def _record(self, entry: Entry, version_id: str | None) -> None:
        target = self._target(entry)
        self._contents.record_copy(entry, msgspec.structs.replace(target, version_id=version_id))

    def _report(self) -> None:
        self._on_progress("copies", self.counts.copied + self.counts.present, self._objects)


class _Problems:
    """Objects that cannot be copied. The copying of others stops when many are known."""

    def __init__(self) -> None:
        self._samples: dict[type[Rejected], Samples] = {}
        self._counts: Counter[type[Rejected]] = Counter()

    def add(self, kind: type[Rejected], entry: Entry) -> None:
        """Add an object.

        Raises:
            Rejected: There are many.
        """
        samples = self._samples.setdefault(kind, Samples())
        samples.add(quote(entry.physical_key))
        if samples.count >= MAX_NAMED:
            self.check()

    def check(self) -> None:
        """Raise an error that names all objects, if there are any."""
        if archived := self._samples.get(ArchivedObjects):
            different = self._samples.get(CopyMismatch)
            more = f" Others do not match the manifest: {different}." if different else ""
            raise ArchivedObjects(
                f"Objects are archived: {archived}.{more}",
                why="Archived objects must be restored before they can be copied.",
                remedy="Restore them, and promote again.",
            )
        if different := self._samples.get(CopyMismatch):
            raise CopyMismatch(
                f"Objects are missing, or do not match the manifest: {different}.",
                why="Their size or the checksum of their copy differs, so nothing was published.",
                remedy="Package the folder again, and promote the new revision.",
            )


def _is_in_s3(entry: Entry) -> bool:
    try:
        S3Uri.parse(entry.physical_key)
    except ValueError:
        return False
    return True


def _occupied(folder: SourceFolder, keys: list[str]) -> DestinationOccupied:
    samples = Samples()
    for key in keys:
        samples.add(quote(key))
    return DestinationOccupied(
        f"The bucket {folder.bucket} has other objects at the keys of copies: {samples}.",
        why="Its versioning is not enabled, so copies would overwrite them for good.",
        remedy="Copy to another prefix, remove the objects, or enable versioning of the bucket.",
    )
