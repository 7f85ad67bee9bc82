"""Hash large objects inside S3: copy them in parts into uploads that are then aborted."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from uuid import uuid4

from quilt_packager_runtime.aws.multipart import MultipartUpload
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import (
    AccessDenied,
    BadRequest,
    NoSuchBucket,
    PackagerError,
    UnsupportedEndpoint,
)
from quilt_packager_runtime.formats.checksums import (
    chunk_ranges,
    chunk_size_bytes,
    count_chunks,
    decode_digest,
    from_chunk_digests,
)
from quilt_packager_runtime.formats.objects import (
    SCRATCH_PREFIX,
    Checksum,
    ChecksumAlgorithm,
    S3Uri,
    SourceObject,
)
from quilt_packager_runtime.settings import Settings

PARTS_IN_FLIGHT = 32
"""Maximum number of concurrently copied parts of an object."""

MAX_PART_BYTES = 5 * 1024**3
ABORT_SECONDS = 5

logger = logging.getLogger(__name__)


class _NoChecksum(Exception):
    """The response to a copy has no checksum."""


class PartCopier:
    """Copies the chunks of objects to get their checksums.

    Copies stay within a region, so each region needs its own scratch bucket. An unusable bucket
    is not tried again.
    """

    def __init__(self, s3: S3, settings: Settings) -> None:
        self._s3 = s3
        self._home_bucket = settings.scratch_bucket
        self._bucket_by_region = dict(entry.split("=", 1) for entry in settings.scratch_buckets)
        self._unusable: set[str] = set()

    async def checksum_of(
        self, uri: S3Uri, found: SourceObject, algorithm: ChecksumAlgorithm
    ) -> Checksum | None:
        """Return the checksum of an object, or None if its bytes have to be read instead."""
        chunks = (0, count_chunks(found.size_bytes))
        digests = await self.digests_of(uri, found, algorithm, chunks)
        if digests is None:
            return None
        return from_chunk_digests(algorithm, found.size_bytes, digests)

    async def digests_of(
        self, uri: S3Uri, found: SourceObject, algorithm: ChecksumAlgorithm, chunks: tuple[int, int]
    ) -> list[bytes] | None:
        """Return the digests of a range of chunks, or None if the bytes have to be read instead.

        The region of the object's bucket must be known: by a response, or by the hand-off.
        """
        bucket = self._bucket_by_region.get(self._s3.region_of(uri.bucket), self._home_bucket)
        if bucket is None or bucket in self._unusable:
            return None
        if chunk_size_bytes(found.size_bytes) > MAX_PART_BYTES:
            return None
        try:
            async with self._upload(bucket, algorithm) as upload:
                # S3's responses have named both regions by now.
                if self._s3.region_of(uri.bucket) == self._s3.region_of(bucket):
                    return await self._copy(uri, found, algorithm, chunks, upload)
                self._unusable.add(bucket)
        except _NoChecksum:
            self._unusable.add(bucket)
        except (AccessDenied, BadRequest, NoSuchBucket, UnsupportedEndpoint) as error:
            # Reading then shows whether the object itself is denied, or only its copy.
            logger.warning("server-side copy denied", extra={"code": error.code})
        return None

    async def _copy(
        self,
        uri: S3Uri,
        found: SourceObject,
        algorithm: ChecksumAlgorithm,
        chunks: tuple[int, int],
        upload: MultipartUpload,
    ) -> list[bytes]:
        digests: dict[int, bytes] = {}

        async def copy(part: tuple[int, tuple[int, int]]) -> None:
            number, (first_byte, last_byte) = part
            copied = await upload.copy_part(
                number,
                source=uri,
                first_byte=first_byte,
                last_byte=last_byte,
                if_match=found.etag,
            )
            digest = decode_digest(algorithm, copied.checksum or "")
            if digest is None:
                raise _NoChecksum
            digests[number] = digest

        parts = islice(enumerate(chunk_ranges(found.size_bytes), start=1), *chunks)
        await copy(next(parts))  # first: a server without checksums returns none for any part
        await for_each(parts, copy, at_once=PARTS_IN_FLIGHT)
        return [digests[number] for number in sorted(digests)]

    @asynccontextmanager
    async def _upload(
        self, bucket: str, algorithm: ChecksumAlgorithm
    ) -> AsyncIterator[MultipartUpload]:
        """Create an upload that is aborted at the end, even if its creation is cancelled."""
        scratch = S3Uri(bucket, f"{SCRATCH_PREFIX}{uuid4()}")
        creating = asyncio.create_task(MultipartUpload.create(self._s3, scratch, algorithm))
        try:
            yield await asyncio.shield(creating)
        finally:
            if creating.done() and creating.exception():
                self._unusable.add(bucket)
            else:
                await self._abort(creating)

    async def _abort(self, creating: "asyncio.Task[MultipartUpload]") -> None:
        try:
            async with asyncio.timeout(ABORT_SECONDS):
                await (await creating).abort()
        except (PackagerError, TimeoutError) as error:
            # The bucket's lifecycle rule aborts it later.
            logger.warning("multipart upload not aborted", extra={"code": type(error).__name__})
