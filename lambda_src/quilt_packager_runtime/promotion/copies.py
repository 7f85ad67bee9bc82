"""Copies of a revision's objects, whose checksums are compared with the manifest.

An object is copied by CopyObject if the checksum that S3 computes for it is the manifest's, and
chunk by chunk otherwise, or above 5 GiB. docs/adr/0024-promotion.md has the reasons.
"""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import msgspec

from quilt_packager_runtime.aws.multipart import MultipartUpload, Part
from quilt_packager_runtime.aws.object_copies import (
    Copied,
    CopySource,
    copy_object,
    describe_source,
    read_copied,
    upload_headers,
)
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import (
    ConditionalRequestConflict,
    InvalidManifest,
    NoSuchKey,
    PackagerError,
    PreconditionFailed,
    SourceChanged,
    WriteConflict,
)
from quilt_packager_runtime.formats.checksums import (
    MANIFEST_TYPES,
    chunk_ranges,
    chunk_size_bytes,
    count_chunks,
    decode_digest,
    from_chunk_digests,
    from_stored,
)
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    Entry,
    S3Uri,
    SourceObject,
)
from quilt_packager_runtime.hashing.object_hasher import ObjectHasher
from quilt_packager_runtime.hashing.unhashable import Unreadable
from quilt_packager_runtime.settings import Settings

MAX_COPY_BYTES = 5 * 1024**3
MAX_PART_BYTES = 5 * 1024**3
PARTS_IN_FLIGHT = 32
COPIED_FROM = "quilt-packager-copied-from"

ALGORITHMS = {name: algorithm for algorithm, name in MANIFEST_TYPES.items()}


class Different(Exception):
    """The object to copy is not the one that the manifest describes."""


def algorithm_of(entry: Entry) -> ChecksumAlgorithm | None:
    """Return the algorithm of an entry's checksum; None if no copy can be compared with it."""
    algorithm = ALGORITHMS.get(entry.checksum.type)
    return algorithm if chunk_size_bytes(entry.size_bytes) <= MAX_PART_BYTES else None


class ObjectCopier:
    """Copies objects into a bucket, concurrently if needed.

    Args:
        s3: S3.
        bucket: Bucket of the copies.
        provenance: User metadata to add to the copies.
    """

    def __init__(self, s3: S3, bucket: str, provenance: Mapping[str, str]) -> None:
        self._s3 = s3
        self._bucket = bucket
        self._provenance = provenance
        self._hashers: dict[ChecksumAlgorithm, ObjectHasher] = {}

    async def is_same(self, entry: Entry, present: SourceObject) -> bool:
        """Return whether an object of the bucket has the contents of an entry."""
        if present.size_bytes != entry.size_bytes:
            return False
        return await self._checksum_of(entry, present) == entry.checksum

    async def copy(self, entry: Entry, target: S3Uri, present: SourceObject | None) -> S3Uri:
        """Copy the object of an entry, and return the URI of the copy's version.

        Args:
            entry: The entry.
            target: Key of the copy.
            present: The object that has the key, and that the copy replaces.

        Raises:
            Different: The object or its copy does not have the entry's size and checksum.
            InvalidObjectState: The object is archived.
            WriteConflict: Another writer has written another object to the key.
        """
        try:
            source = await describe_source(self._s3, S3Uri.parse(entry.physical_key))
        except NoSuchKey:
            raise Different from None
        if source.size_bytes != entry.size_bytes:
            raise Different
        condition = ("If-None-Match", "*") if present is None else ("If-Match", present.etag)
        try:
            copied = await self._copy(entry, source, target, condition)
        except (ConditionalRequestConflict, NoSuchKey, PreconditionFailed) as refused:
            # The source changed; or the key was written by this copy, whose reply was lost, or by
            # another writer.
            copied = await self._find_own(entry, target, refused)
        return msgspec.structs.replace(target, version_id=copied.version_id)

    async def _copy(
        self, entry: Entry, source: CopySource, target: S3Uri, condition: tuple[str, str]
    ) -> Copied:
        algorithm = _algorithm(entry)
        added = {**self._provenance, COPIED_FROM: str(source.uri)}
        if not _needs_parts(entry, algorithm):
            copied = await copy_object(
                self._s3, source, target, algorithm, added=added, condition=condition
            )
            checksum = from_stored(algorithm, entry.size_bytes, copied.stored)
        else:
            headers = await upload_headers(self._s3, source, added)
            upload = await MultipartUpload.create(self._s3, target, algorithm, headers=headers)
            copied, checksum = await self._copy_in_parts(entry, source, target, upload, condition)
        if checksum is None:  # from a server that computes none for copies
            checksum = await self._checksum_of(entry, _written(entry, target, copied))
        if checksum != entry.checksum:
            raise Different
        return copied

    async def _copy_in_parts(
        self,
        entry: Entry,
        source: CopySource,
        target: S3Uri,
        upload: MultipartUpload,
        condition: tuple[str, str],
    ) -> tuple[Copied, Checksum | None]:
        """Copy an object in Quilt's chunks. A wrong checksum is found before the object exists."""
        parts: dict[int, Part] = {}

        async def copy(part: tuple[int, tuple[int, int]]) -> None:
            number, (first_byte, last_byte) = part
            parts[number] = await upload.copy_part(
                number,
                source=source.uri,
                first_byte=first_byte,
                last_byte=last_byte,
                if_match=source.etag,
            )

        try:
            ranges = enumerate(chunk_ranges(entry.size_bytes), start=1)
            await for_each(ranges, copy, at_once=PARTS_IN_FLIGHT)
            checksum = _check_parts(entry, parts)
            response = await upload.complete(parts, condition=condition)
        except BaseException:
            with suppress(PackagerError):  # a lifecycle rule of the bucket aborts it later
                await asyncio.shield(upload.abort())
            raise
        return read_copied(response, target), checksum

    async def _find_own(self, entry: Entry, target: S3Uri, refused: PackagerError) -> Copied:
        """Find the copy at a key that was written since it was listed."""
        async for page in self._s3.list_latest_versions(self._bucket, target.key):
            for found in page:
                if found.key == target.key and await self.is_same(entry, found):
                    return Copied(found.etag, found.version_id)
        raise WriteConflict(
            f"{target} was not written.",
            why="Another writer has written an object there, or the original has changed.",
            remedy="Retry: the promotion continues where it stopped.",
        ) from refused

    async def _checksum_of(self, entry: Entry, found: SourceObject) -> Checksum | None:
        """Return the checksum of an object in the bucket: stored by S3, or of its bytes."""
        algorithm = _algorithm(entry)
        if algorithm not in self._hashers:
            self._hashers[algorithm] = ObjectHasher(
                self._s3,
                {0: self._bucket},
                Settings(checksum_algorithms=(algorithm,)),
                names_checksums=False,
            )
        try:
            return await self._hashers[algorithm].checksum_of(found)
        except (SourceChanged, Unreadable):
            return None


def _algorithm(entry: Entry) -> ChecksumAlgorithm:
    algorithm = algorithm_of(entry)
    if algorithm is None:
        raise InvalidManifest(
            f"{entry.physical_key} cannot be copied.",
            why="Copies are not compared with checksums of this type.",
            remedy="Promote without a copy of the data.",
        )
    return algorithm


def _needs_parts(entry: Entry, algorithm: ChecksumAlgorithm) -> bool:
    """Return whether only a copy in parts has the manifest's checksum."""
    is_chunked = algorithm is ChecksumAlgorithm.SHA256_CHUNKED
    has_chunks = is_chunked and count_chunks(entry.size_bytes) > 1
    return has_chunks or entry.size_bytes > MAX_COPY_BYTES


def _check_parts(entry: Entry, parts: Mapping[int, Part]) -> Checksum | None:
    """Return the checksum of the parts; None if the server returned none for a part.

    Raises:
        Different: It is not that of the entry.
    """
    algorithm = _algorithm(entry)
    digests = [decode_digest(algorithm, part.checksum or "") for _, part in sorted(parts.items())]
    known = [digest for digest in digests if digest is not None]
    if len(known) < len(digests):
        return None
    checksum = from_chunk_digests(algorithm, entry.size_bytes, known)
    if checksum != entry.checksum:
        raise Different
    return checksum


def _written(entry: Entry, target: S3Uri, copied: Copied) -> SourceObject:
    return SourceObject(target.key, entry.size_bytes, copied.etag, copied.version_id)
