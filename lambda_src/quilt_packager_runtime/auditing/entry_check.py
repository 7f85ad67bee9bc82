"""Checks one entry of a package: the listed version, its stored checksum, and its bytes."""

import asyncio
from datetime import datetime
from zlib import crc32

import msgspec

from quilt_packager_runtime.auditing.findings import Code, Finding
from quilt_packager_runtime.auditing.lifecycle import parse_time
from quilt_packager_runtime.auditing.references import Reference
from quilt_packager_runtime.auditing.version_join import Match
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import NULL_VERSION, ListedVersion
from quilt_packager_runtime.errors import (
    AccessDenied,
    ArchivedObjects,
    NoSuchKey,
    SourceChanged,
    quote,
)
from quilt_packager_runtime.formats.checksums import LEGACY_TYPE, MANIFEST_TYPES
from quilt_packager_runtime.formats.objects import (
    Checksum,
    ChecksumAlgorithm,
    S3Uri,
    SourceObject,
)
from quilt_packager_runtime.hashing.object_hasher import NotStored, ObjectHasher
from quilt_packager_runtime.hashing.unhashable import Unreadable
from quilt_packager_runtime.settings import Settings

ALGORITHMS = {name: algorithm for algorithm, name in MANIFEST_TYPES.items()}

MIN_SAMPLE = 100
"""Minimum number of entries of a revision in a sample: small packages are checked as a whole."""

MAX_SAMPLE_VALUE = 2**32


class Depth(msgspec.Struct, frozen=True):
    """Requests beside the listing.

    Attributes:
        head_share: Share of the entries whose stored checksum is compared, by a HEAD each.
        read_share: Share of the entries whose bytes are read.
        read_until: Time after which no bytes are read, on the event loop's clock.
    """

    head_share: float = 0.01
    read_share: float = 0.0
    read_until: float | None = None


class Sample:
    """A share of the entries of a revision: the same ones in every audit.

    Args:
        share: The share.
        count: Number of entries of the revision.

    Example:
        >>> keys = [f"{number}.txt" for number in range(10_000)]
        >>> sum(key in Sample(0.1, len(keys)) for key in keys)
        1004
    """

    def __init__(self, share: float, count: int) -> None:
        least = min(1.0, MIN_SAMPLE / count) if share and count else 0.0
        self._limit = max(share, least) * MAX_SAMPLE_VALUE

    def __contains__(self, logical_key: str) -> bool:
        return crc32(logical_key.encode()) < self._limit


class EntryCheck:
    """Checks the entries of one revision.

    Args:
        s3: S3.
        settings: Scratch buckets and concurrency.
        depth: Requests beside the listing.
        count: Number of entries of the revision.
        published: Time of the revision's pointer; None if it is not known.

    Attributes:
        unread: Number of entries whose bytes should have been read, and the time was over.
    """

    def __init__(
        self, s3: S3, settings: Settings, depth: Depth, *, count: int, published: datetime | None
    ) -> None:
        self._s3 = s3
        self._depth = depth
        self._heads = Sample(depth.head_share, count)
        self._reads = Sample(depth.read_share, count)
        self._published = published
        self._settings = settings
        self._hashers: dict[tuple[str, ChecksumAlgorithm], ObjectHasher] = {}
        self.unread = 0

    async def check(self, match: Match) -> Finding | None:
        """Check an entry by the version that was found in the listing."""
        listed = check_listed(match)
        if listed is None:
            return await self._check_content(match.reference, match.found)
        if match.found is None and await self._exists(match.reference):
            return None  # it was written after its page was listed, or the server lists late
        if match.substitute is None:
            return listed
        return await self._add_replacement(listed, match.reference, match.substitute)

    def needs_requests(self, match: Match) -> bool:
        """Return whether `check` sends requests for an entry."""
        if match.found is None or check_listed(match) is not None:
            return True
        key = match.reference.logical_key
        is_sampled = key in self._heads or key in self._reads
        return is_sampled or self._may_be_overwritten(match.reference, match.found)

    def _may_be_overwritten(self, reference: Reference, found: ListedVersion) -> bool:
        is_old = self._published is not None and parse_time(found.modified) <= self._published
        return reference.version_id is None and not is_old

    async def _check_content(
        self, reference: Reference, found: ListedVersion | None
    ) -> Finding | None:
        if found is None or found.size_bytes == 0:
            return None
        is_known = reference.checksum.type in {*ALGORITHMS, LEGACY_TYPE}
        try:
            if is_known and reference.logical_key in self._reads:
                try:
                    async with asyncio.timeout_at(self._depth.read_until):
                        actual = await self._checksum(reference, found)
                except TimeoutError:
                    self.unread += 1
                else:
                    return self._compare(reference, actual, "its bytes have")
            return await self._check_stored(reference, found)
        except Unreadable as refusal:
            return _unreadable(reference, refusal)
        except SourceChanged as change:
            return _changed(reference, change)

    async def _check_stored(self, reference: Reference, found: ListedVersion) -> Finding | None:
        algorithm = ALGORITHMS.get(reference.checksum.type)
        stored = await self._stored(reference, found)
        if stored is not None and algorithm is not None:
            return self._compare(reference, stored, "S3 has stored")
        if not self._may_be_overwritten(reference, found):
            return None
        happened = f"{_name(reference)} was written at {found.modified}, after the revision"
        happened += ", and S3 has no checksum of it to compare: --deep reads it."
        return _about(Code.OVERWRITTEN, reference, happened)

    def _compare(self, reference: Reference, actual: Checksum, has: str) -> Finding | None:
        expected = reference.checksum
        if actual.value == expected.value:
            return None
        code = Code.OVERWRITTEN if reference.version_id is None else Code.CHECKSUM_DIFFERS
        happened = f"{_name(reference)}: {has} the {expected.type} {actual.value}"
        return _about(code, reference, f"{happened}, its entry {expected.value}.")

    async def _stored(self, reference: Reference, found: ListedVersion) -> Checksum | None:
        """Return the stored checksum; None without one of the entry's algorithm."""
        algorithm = ALGORITHMS.get(reference.checksum.type, ChecksumAlgorithm.SHA256_CHUNKED)
        hasher = self._hasher(reference.bucket, algorithm)
        try:
            return await hasher.checksum_of(_source(reference, found), only_stored=True)
        except NotStored:
            return None

    async def _checksum(self, reference: Reference, found: ListedVersion) -> Checksum:
        """Compute the checksum of the entry's type from the bytes."""
        source = _source(reference, found)
        if reference.checksum.type == LEGACY_TYPE:
            hasher = self._hasher(reference.bucket, ChecksumAlgorithm.SHA256_CHUNKED)
            source = msgspec.structs.replace(source, digests=("sha256",))
            [value] = (await hasher.recompute(source)).digests
            return Checksum(LEGACY_TYPE, value)
        return await self._hasher(reference.bucket, ALGORITHMS[reference.checksum.type]).recompute(
            source
        )

    def _hasher(self, bucket: str, algorithm: ChecksumAlgorithm) -> ObjectHasher:
        key = bucket, algorithm
        if key not in self._hashers:
            settings = msgspec.structs.replace(self._settings, checksum_algorithms=(algorithm,))
            self._hashers[key] = ObjectHasher(self._s3, {0: bucket}, settings, names_checksums=True)
        return self._hashers[key]

    async def _exists(self, reference: Reference) -> bool:
        try:
            await self._s3.head_object(_uri(reference))
        except (NoSuchKey, AccessDenied):
            return False
        return True

    async def _add_replacement(
        self, finding: Finding, reference: Reference, substitute: ListedVersion
    ) -> Finding:
        version_id = substitute.version_id or NULL_VERSION
        candidate = msgspec.structs.replace(reference, version_id=version_id)
        try:
            stored = await self._stored(candidate, substitute)
        except (Unreadable, SourceChanged):
            stored = None
        is_same_content = stored is not None and stored.value == reference.checksum.value
        return finding.with_replacement(_uri(candidate), is_same_content=is_same_content)


def check_listed(match: Match) -> Finding | None:
    """Check an entry by its row in the listing alone."""
    reference, found = match.reference, match.found
    if found is None:
        return _about(Code.OBJECT_MISSING, reference, f"{_name(reference)} does not exist.")
    if found.is_marker:
        happened = f"{_name(reference)} is behind a delete marker of {found.modified}."
        return _about(Code.DELETE_MARKER, reference, happened)
    if found.size_bytes != reference.size_bytes:
        code = Code.OVERWRITTEN if reference.version_id is None else Code.SIZE_DIFFERS
        sizes = f"{found.size_bytes:,} bytes, its entry {reference.size_bytes:,}"
        return _about(code, reference, f"{_name(reference)} has {sizes}.")
    if found.archived:
        return _about(Code.ARCHIVED, reference, f"{_name(reference)} is archived.")
    return None


def _unreadable(reference: Reference, refusal: Unreadable) -> Finding:
    name = _name(reference)
    if refusal.cause is not None:
        return _about(Code.KEY_UNUSABLE, reference, f"The key of {name}: {refusal.cause}")
    if refusal.kind is AccessDenied:
        return _about(Code.ACCESS_DENIED, reference, f"Access to {name} is denied.")
    if refusal.kind is ArchivedObjects:
        return _about(Code.ARCHIVED, reference, f"{name} is archived.")
    return _about(Code.UNREADABLE, reference, f"{name} cannot be read.")


def _changed(reference: Reference, change: SourceChanged) -> Finding:
    """Return the finding for an object that differed from its row when it was requested."""
    if isinstance(change.__cause__, AccessDenied):
        return _unreadable(reference, Unreadable(AccessDenied))
    is_pinned = reference.version_id is not None
    code = Code.OBJECT_MISSING if is_pinned else Code.OVERWRITTEN
    does = "was deleted" if is_pinned else "was overwritten"
    return _about(code, reference, f"{_name(reference)} {does} during the audit.")


def _about(code: Code, reference: Reference, happened: str) -> Finding:
    return Finding.about(code, happened, logical_key=reference.logical_key, uri=_uri(reference))


def _uri(reference: Reference) -> S3Uri:
    return S3Uri(reference.bucket, reference.key, reference.version_id)


def _name(reference: Reference) -> str:
    return quote(reference.logical_key)


def _source(reference: Reference, found: ListedVersion) -> SourceObject:
    # The "null" version is not always the newest.
    is_null = found.version_id is None and reference.version_id is not None
    version_id = NULL_VERSION if is_null else found.version_id
    return SourceObject(found.key, found.size_bytes, found.etag, version_id)
