"""Find or compute the checksum of an object by the cheapest route.

A stored checksum costs one HEAD, which is left out where the listing shows that there is none.
Small objects are read and hashed here; large ones are copied inside S3, which hashes the parts, or
read in ranges if that fails. Each route yields the same value, and each request names the listed
version and ETag.
"""

from collections.abc import Callable, Mapping

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    AccessDenied,
    ArchivedObjects,
    BadRequest,
    InvalidObjectState,
    NoSuchKey,
    PackagerError,
    PreconditionFailed,
    SourceChanged,
    UnreadableObjects,
    UnsupportedEndpoint,
)
from quilt_packager_runtime.formats.checksums import (
    MIN_CHUNK_BYTES,
    count_chunks,
    from_chunk_digests,
    from_stored,
    may_be_stored,
    needs_part_sizes,
)
from quilt_packager_runtime.formats.objects import (
    Checksum,
    S3Uri,
    SourceObject,
    StoredChecksums,
)
from quilt_packager_runtime.hashing.range_reader import RANGE_BYTES, RangeReader
from quilt_packager_runtime.hashing.server_side_copy import PartCopier
from quilt_packager_runtime.hashing.unhashable import Unreadable
from quilt_packager_runtime.settings import Settings

ERRORS_OF_OBJECTS = (AccessDenied, BadRequest, InvalidObjectState, NoSuchKey, PreconditionFailed)
"""Errors of S3 that concern an object, not the server."""


class NotStored(Exception):
    """The object has no usable stored checksum, and the caller allows no other."""


def never(_found: SourceObject) -> bool:
    """Return False: no archived object waits for its checksum."""
    return False


class ObjectHasher:
    """Hashes objects, concurrently if needed.

    Args:
        s3: S3.
        buckets: Buckets of the sources of the objects, by their numbers.
        settings: Algorithms and scratch buckets.
        names_checksums: The listing names the algorithms of stored checksums. AWS always does.
        can_wait: Called with an archived object that has no usable stored checksum. If it returns
            True, the checksum is computed elsewhere, and the object is `NotStored`.
    """

    def __init__(
        self,
        s3: S3,
        buckets: Mapping[int, str],
        settings: Settings,
        *,
        names_checksums: bool,
        can_wait: Callable[[SourceObject], bool] = never,
    ) -> None:
        self._s3 = s3
        self._names_checksums = names_checksums or s3.is_aws
        self._buckets = buckets
        self._can_wait = can_wait
        self._algorithms = settings.checksum_algorithms
        self._copier = PartCopier(s3, settings)
        self._reader = RangeReader(s3)
        self.computed = 0

    async def checksum_of(self, found: SourceObject, *, only_stored: bool = False) -> Checksum:
        """Return the stored checksum of an object, or compute one.

        With `only_stored`, raise `NotStored` instead of computing one.
        """
        if found.size_bytes == 0:
            return from_chunk_digests(self._algorithms[0], 0, [])
        uri = self.uri_of(found)
        try:
            if found.digests:
                if only_stored:
                    raise NotStored
                self.computed += 1
                return await self._reader.checksum_with_digests(uri, found, self._algorithms[0])
            if not only_stored and not self._needs_head(found):
                return await self._compute(uri, found, None)
            stored = await self._look_up(uri, found)
            if isinstance(stored, Checksum):
                return stored
            if only_stored:
                raise NotStored
            return await self._compute(uri, found, stored)
        except ERRORS_OF_OBJECTS as error:
            raise await self._explain(error, uri, found) from error

    async def recompute(self, found: SourceObject) -> Checksum:
        """Compute the checksum of an object's bytes, whatever S3 has stored."""
        uri = self.uri_of(found)
        algorithm, size_bytes = self._algorithms[0], found.size_bytes
        chunks = (0, count_chunks(size_bytes))
        digests = None
        try:
            if found.digests:
                return await self._reader.checksum_with_digests(uri, found, algorithm)
            if size_bytes >= MIN_CHUNK_BYTES:
                digests = await self._copier.digests_of(uri, found, algorithm, chunks)
            if digests is None:
                [digests] = await self._reader.digests_of(uri, found, [algorithm], chunks)
        except ERRORS_OF_OBJECTS as error:
            raise await self._explain(error, uri, found) from error
        return from_chunk_digests(algorithm, size_bytes, digests)

    async def digests_of(
        self, found: SourceObject, chunks: tuple[int, int]
    ) -> Checksum | list[bytes]:
        """Return the stored checksum of an object, or compute the digests of some of its chunks.

        `chunks` excludes its end. The digests are by the first algorithm of the settings.
        """
        uri = self.uri_of(found)
        try:
            if self._needs_head(found):
                stored = await self._look_up(uri, found)
                if isinstance(stored, Checksum):
                    return stored
            algorithm = self._algorithms[0]
            copied = await self._copier.digests_of(uri, found, algorithm, chunks)
            if copied is not None:
                return copied
            return (await self._reader.digests_of(uri, found, [algorithm], chunks))[0]
        except ERRORS_OF_OBJECTS as error:
            raise await self._explain(error, uri, found) from error

    def uri_of(self, found: SourceObject) -> S3Uri:
        """Return the version of an object."""
        return S3Uri(self._buckets[found.source], found.key, found.version_id)

    def _needs_head(self, found: SourceObject) -> bool:
        return may_be_stored(found, self._algorithms, names_checksums=self._names_checksums)

    async def _explain(self, error: PackagerError, uri: S3Uri, found: SourceObject) -> Exception:
        """Return the meaning of an error of S3 for an object that existed when it was listed."""
        match error:
            case InvalidObjectState():
                return Unreadable(ArchivedObjects)
            case BadRequest():
                return Unreadable(UnreadableObjects)
            case AccessDenied(key_state=str(key_state)):
                return Unreadable(AccessDenied, key_state)
            case AccessDenied():
                # Without permission to list the bucket, S3 returns 403 for a missing object.
                is_denied = await self._is_listed(found)
                return Unreadable(AccessDenied) if is_denied else _changed(uri)
            case PreconditionFailed():
                return await self._explain_difference(uri, found)
        return _changed(uri)

    async def _explain_difference(self, uri: S3Uri, found: SourceObject) -> PackagerError:
        """Return the error for an object that differs from its row in the listing."""
        try:
            head = await self._s3.head_object(uri)
        except (NoSuchKey, AccessDenied):
            return _changed(uri)
        is_as_listed = (head.size_bytes, head.etag) == (found.size_bytes, found.etag)
        if is_as_listed or not await self._is_listed(found):
            return _changed(uri)
        return UnsupportedEndpoint(
            f"LIST and HEAD disagree on {uri}: {found.size_bytes} bytes with the ETag "
            f"{found.etag}, and {head.size_bytes} bytes with {head.etag}.",
            why="The object has not changed: the S3 server contradicts itself. Some servers do for "
            "large objects in unversioned buckets.",
            remedy="Enable versioning, upload the object again, and retry.",
        )

    async def _look_up(self, uri: S3Uri, found: SourceObject) -> Checksum | StoredChecksums:
        """Return the stored checksum; without a usable one, all that S3 has stored of the object.

        The bytes can then be read, or `Unreadable` is raised.
        """
        head = await self._s3.head_object(uri, if_match=found.etag)
        if (head.size_bytes, head.etag) != (found.size_bytes, found.etag):
            raise await self._explain_difference(uri, found)
        for algorithm in self._algorithms:
            checksum = from_stored(algorithm, found.size_bytes, head.stored)
            if checksum is None and needs_part_sizes(algorithm, found.size_bytes, head.stored):
                part_sizes = await self._get_part_sizes(uri, found)
                checksum = from_stored(algorithm, found.size_bytes, head.stored, part_sizes)
            if checksum is not None:
                return checksum
        # A restored object is still listed with the storage class of an archive.
        if found.archived and not head.restored:
            if self._can_wait(found):
                raise NotStored
            raise Unreadable(ArchivedObjects)
        return head.stored

    async def _get_part_sizes(self, uri: S3Uri, found: SourceObject) -> list[int] | None:
        try:
            return await self._s3.get_part_sizes_bytes(uri, if_match=found.etag)
        except (AccessDenied, UnsupportedEndpoint):
            return None  # the bytes may still be readable

    async def _compute(
        self, uri: S3Uri, found: SourceObject, stored: StoredChecksums | None
    ) -> Checksum:
        """Compute a checksum; `stored` is what S3 has stored, if that was looked up."""
        algorithm = self._algorithms[0]
        checksum = None
        if found.size_bytes >= MIN_CHUNK_BYTES:
            checksum = await self._copier.checksum_of(uri, found, algorithm)
        if checksum is None and found.size_bytes <= RANGE_BYTES:
            checksum = await self._reader.checksum_of_whole(uri, found, algorithm, stored)
        elif checksum is None:
            # Ranges bring no stored checksums to compare the bytes with.
            looked_up = stored or await self._look_up(uri, found)
            if isinstance(looked_up, Checksum):
                return looked_up
            checksum = await self._reader.checksum_of_ranges(uri, found, algorithm, looked_up)
        self.computed += 1
        return checksum

    async def _is_listed(self, found: SourceObject) -> bool:
        expected = found.key, found.size_bytes, found.etag, found.version_id
        bucket = self._buckets[found.source]
        async for page in self._s3.list_latest_versions(bucket, found.key):
            listed = ((each.key, each.size_bytes, each.etag, each.version_id) for each in page)
            return expected in listed
        return False


def _changed(uri: S3Uri) -> SourceChanged:
    return SourceChanged(
        f"{uri} changed while it was packaged.",
        why="Another process is still writing to the folder.",
        remedy="Retry when the folder is complete.",
    )
