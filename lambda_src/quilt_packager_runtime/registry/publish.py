"""Revisions in a registry, `.quilt/` of a bucket, and the protocol that publishes them.

A revision is a manifest, a pointer named by the second of its publication, and `latest`. They are
written in this order with conditional writes: no writer, crash or lost reply can leave a dangling
pointer or overwrite another one, and a job that loses the race for `latest` starts over.
docs/adr/0020-publish-protocol.md has the reasons.
"""

import logging
import re
import time
from collections.abc import Mapping
from contextlib import suppress
from enum import Enum, auto
from pathlib import Path
from typing import Self
from uuid import uuid4

import msgspec

from quilt_packager_runtime.aws.replacement import replace_object
from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.errors import (
    UNREADABLE,
    ConditionalRequestConflict,
    NoSuchKey,
    PreconditionFailed,
    UnsupportedEndpoint,
    WriteConflict,
)
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US, is_ours
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, S3Uri

MANIFESTS = f"{REGISTRY_PREFIX}packages/"
NAMED_PACKAGES = f"{REGISTRY_PREFIX}named_packages/"
LATEST = "latest"
SECOND = re.compile(r"[1-9][0-9]{9}")
TOP_HASH = re.compile(rb"[0-9a-f]{64}")
MAX_POINTER_BYTES = 1024
"""Maximum number of bytes read of a pointer, which any writer may have written; 64 are valid."""

MAX_SECONDS_AHEAD = 366 * 24 * 60 * 60
"""A pointer further in the future is a stray. A pointer above the last second of ten
digits would have eleven, and pointers have ten."""

MAX_CLOCK_SKEW_SECONDS = 15 * 60
"""Maximum distance of a clock from S3's: S3 refuses requests beyond it."""

DUE = "quilt-packager-due"
MESSAGE_ID = "quilt-packager-message"
MILLISECONDS = re.compile(r"[0-9]{1,15}")
REPLACED = "quilt-packager-replaced"
PROMOTED_FROM = "quilt-packager-promoted-from"
PROMOTED_BY = "quilt-packager-promoted-by"
MANIFEST_SHA256 = "quilt-packager-sha256"
NO_ETAG = f'"{"0" * 32}"'
"""An ETag that no object has."""

MAX_OWN_POINTERS = 100
"""Maximum number of pointers that are read to find one's own."""

MOVE_ATTEMPTS = 2

MAX_POINTER_ATTEMPTS = 10
"""Maximum number of attempts to write a pointer. Other writers take a second, or conflict with a
write, only a few times by chance."""

logger = logging.getLogger(__name__)


class Message(msgspec.Struct, frozen=True, order=True):
    """The message whose job writes a pointer. Messages are ordered by the time they are due.

    Attributes:
        due_ms: The time when it was sent plus its settle time, in milliseconds since 1970: the job
            lists the source after that.
        id: Its id.
    """

    due_ms: int
    id: str

    @classmethod
    def now(cls, s3: S3, latest: "Pointer") -> Self:
        """Return a message for a job that has none: it is due now, and newer than `latest`.

        S3's clock has seconds; the host's, which may be wrong, has the milliseconds.
        """
        second_ms = s3.server_time_seconds() * 1000
        due_ms = min(max(int(time.time() * 1000), second_ms), second_ms + 999)
        if latest.message is not None:
            due_ms = max(due_ms, latest.message.due_ms + 1)
        return cls(due_ms, str(uuid4()))

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self | None:
        """Read a pointer's user metadata; return None if another writer wrote the pointer."""
        due_ms, message_id = metadata.get(DUE), metadata.get(MESSAGE_ID)
        if message_id is None or due_ms is None or not MILLISECONDS.fullmatch(due_ms):
            return None
        return cls(int(due_ms), message_id)

    def to_metadata(self) -> dict[str, str]:
        """Return the user metadata of a pointer."""
        return {DUE: str(self.due_ms), MESSAGE_ID: self.id}


class Provenance(msgspec.Struct, frozen=True):
    """The origin of a promoted revision.

    Attributes:
        revision: The revision that was promoted, as a `quilt+s3` URI.
        promoted_by: The principal.
    """

    revision: str
    promoted_by: str

    @classmethod
    def from_metadata(cls, metadata: Mapping[str, str]) -> Self | None:
        """Read the user metadata of a pointer; return None if no promotion wrote the pointer."""
        revision = metadata.get(PROMOTED_FROM)
        return None if revision is None else cls(revision, metadata.get(PROMOTED_BY, ""))

    def to_metadata(self) -> dict[str, str]:
        """Return the user metadata of what a promotion writes."""
        return {PROMOTED_FROM: self.revision, PROMOTED_BY: self.promoted_by}

    def is_of(self, package: "Package") -> bool:
        """Return whether the revision is one of a package."""
        return self.revision.startswith(package.link(""))


class Pointer(msgspec.Struct, frozen=True):
    """The content of a pointer when it was read.

    Attributes:
        etag: ETag; None if the pointer did not exist.
        top_hash: Top hash of the revision; None if the pointer did not exist, or was not valid.
        message: The message of its writer; None for other writers, which count as the oldest.
        replaced: Top hash of another writer's revision that the job of the message replaced.
        provenance: The origin of a promoted revision; None for other revisions.
    """

    etag: str | None = None
    top_hash: str | None = None
    message: Message | None = None
    replaced: str | None = None
    provenance: Provenance | None = None

    def to_metadata(self) -> dict[str, str]:
        """Return the user metadata of a pointer of the same writer."""
        if self.message is None:
            return {}
        replaced = {} if self.replaced is None else {REPLACED: self.replaced}
        promoted = {} if self.provenance is None else self.provenance.to_metadata()
        return {**self.message.to_metadata(), **replaced, **promoted}

    def is_newer_than(self, message: Message) -> bool:
        """Return whether a newer message wrote the pointer."""
        return self.message is not None and self.message > message


class Publication(Enum):
    """The result of an attempt to publish."""

    CREATED = auto()
    REFRESHED = auto()
    """The revision existed; its manifest was written again and names the listed versions."""
    UNCHANGED = auto()
    START_OVER = auto()
    """Another writer was faster: list the source again, without repeating a write."""


class Manifest(msgspec.Struct, frozen=True):
    """A manifest in the registry when it was read.

    Attributes:
        etag: ETag; None if the manifest did not exist, `NO_ETAG` if it could not be read.
        sha256: SHA-256 of its bytes in hex; None if another writer wrote it.
    """

    etag: str | None = None
    sha256: str | None = None

    @classmethod
    def from_body(cls, body: ObjectBody | None) -> Self:
        """Read the user metadata of a manifest, from any range of it."""
        if body is None:
            return cls()
        return cls(body.etag, body.metadata.get(MANIFEST_SHA256))

    def serves(self, revision: "Revision") -> bool:
        """Return whether it can stay: it equals the revision's, or may be another writer's."""
        is_same = self.sha256 in {None, revision.sha256}
        return self.etag is not None and (is_same or revision.keeps_other)


class Revision(msgspec.Struct, frozen=True):
    """A revision that is ready to be published.

    Attributes:
        top_hash: Top hash.
        manifest: File with the manifest.
        sha256: SHA-256 of the manifest's bytes in hex.
        marks: User metadata of the manifest.
        keeps_other: A manifest of the same top hash stays, whatever its physical keys are.
    """

    top_hash: str
    manifest: Path
    sha256: str
    marks: Mapping[str, str] = WRITTEN_BY_US
    keeps_other: bool = False


class Package(msgspec.Struct, frozen=True):
    """A package's name in a registry.

    Attributes:
        registry: Bucket of the registry.
        name: `prefix/suffix`.
    """

    registry: str
    name: str

    def pointer(self, revision: str) -> S3Uri:
        """Return the URI of a pointer: `latest`, or seconds since 1970."""
        return S3Uri(self.registry, f"{NAMED_PACKAGES}{self.name}/{revision}")

    def manifest(self, top_hash: str) -> S3Uri:
        """Return the URI of the manifest of a top hash."""
        return S3Uri(self.registry, MANIFESTS + top_hash)

    def link(self, top_hash: str) -> str:
        """Return the `quilt+s3` URI of a revision."""
        return f"quilt+s3://{self.registry}#package={self.name}@{top_hash}"


async def read_latest(s3: S3, package: Package) -> Pointer:
    """Read `latest`. Call this before listing the source, or a race could go undetected.

    Raises:
        AccessDenied: It may exist, and may not be read.
    """
    return await read_pointer(s3, package, LATEST)


async def read_pointer(s3: S3, package: Package, revision: str) -> Pointer:
    """Read a pointer: `latest`, or seconds since 1970.

    Raises:
        AccessDenied: It may exist, and may not be read.
    """
    uri = package.pointer(revision)
    body = await s3.read_if_exists(uri, max_bytes=MAX_POINTER_BYTES)
    if body is None:
        return Pointer()
    if not TOP_HASH.fullmatch(body.data):
        logger.warning("invalid package pointer", extra={"pointer": str(uri)})
        return Pointer(body.etag)
    message = Message.from_metadata(body.metadata)
    latest_second = s3.server_time_seconds() + MAX_CLOCK_SKEW_SECONDS
    if message is not None and message.due_ms > latest_second * 1000:
        message = None  # its clock was wrong, and others must not yield to it until then
    return Pointer(
        body.etag,
        body.data.decode("ascii"),
        message,
        None if message is None else body.metadata.get(REPLACED),
        Provenance.from_metadata(body.metadata),
    )


async def list_pointers(s3: S3, package: Package) -> list[int]:
    """List the seconds of a package's pointers, one for each revision, the oldest first."""
    folder = package.pointer("").key
    seconds: list[int] = []
    async for keys in s3.list_keys(package.registry, folder):
        names = (key.removeprefix(folder) for key in keys)
        seconds += [int(name) for name in names if SECOND.fullmatch(name)]
    return sorted(seconds)


class Publisher:
    """Publishes the revisions of one job, with the memory that its passes share.

    A pass calls `read_latest` and `read_manifest` before it lists the source, then `publish`, and
    `is_settled` after it has listed the source again.

    Args:
        s3: S3.
        package: The package.
        message: The job's message.
        provenance: The origin of a promoted revision.
    """

    def __init__(
        self, s3: S3, package: Package, message: Message, provenance: Provenance | None = None
    ) -> None:
        self._s3 = s3
        self._provenance = provenance
        self.package = package
        self.message = message
        # Manifests that were read before the current listing, by top hash. Only these may be
        # replaced: an older listing could otherwise take back what a newer one has written.
        self._read: dict[str, Manifest] = {}
        self._newest_second = 0

    async def read_manifest(self, top_hash: str, *, max_bytes: int) -> ObjectBody | None:
        """Read the beginning of a manifest; return None if it is missing or not readable."""
        uri = self.package.manifest(top_hash)
        try:
            body = await self._s3.read_if_exists(uri, max_bytes=max_bytes)
        except UNREADABLE as error:
            logger.warning(
                "previous manifest not readable", extra={"manifest": str(uri), "code": error.code}
            )
            self._read[top_hash] = Manifest(NO_ETAG)
            return None
        if body is None:
            logger.warning("manifest not found", extra={"top_hash": top_hash})
        self._read[top_hash] = Manifest.from_body(body)
        return body

    async def yield_to(self, latest: Pointer) -> bool:
        """Leave `latest` of another writer in place, and announce it above pointers of this job.

        Returns:
            False if `latest` was announced now, so that it has to be read again.
        """
        newest_second, newest = await self._newest_pointer()
        if newest.top_hash == latest.top_hash or latest.top_hash is None:
            return True
        is_own = newest.message == self.message
        is_settled = latest.message is None or newest.is_newer_than(latest.message)
        if is_settled and not is_own:
            return True
        await self._announce(latest.top_hash, latest.to_metadata(), after_second=newest_second)
        return False

    async def find_own_revision(self, latest: Pointer) -> Pointer | None:
        """Find the revision that an earlier delivery of the message published.

        Call it when `latest` belongs to a newer message. If `latest` names the same revision, the
        newer message has reported it.
        """
        first_second = self.message.due_ms // 1000 - MAX_CLOCK_SKEW_SECONDS
        seconds = await list_pointers(self._s3, self.package)
        recent = [second for second in seconds if second >= first_second]
        for second in recent[-MAX_OWN_POINTERS:]:
            pointer = await read_pointer(self._s3, self.package, str(second))
            if pointer.message == self.message:
                return pointer if pointer.top_hash != latest.top_hash else None
        return None

    async def find_base(self, foreign: str) -> str | None:
        """Find the revision of this engine that another writer has changed: the newest below it.

        Pointers above the first of the other revision are of jobs that lost the race to it, or that
        were refused. Those of this job are the last choice, because it may have died before it
        moved `latest`.

        Args:
            foreign: Top hash of the other writer's revision.
        """
        seconds = await list_pointers(self._s3, self.package)
        below: list[Pointer] = []
        for second in seconds[-MAX_OWN_POINTERS:]:
            pointer = await read_pointer(self._s3, self.package, str(second))
            if pointer.top_hash == foreign:
                break
            below.append(pointer)
        own = None
        for pointer in reversed(below):
            if pointer.top_hash is None or not await self._has_written(pointer):
                continue
            if pointer.message != self.message:
                return pointer.top_hash
            own = own or pointer.top_hash
        return own

    async def publish(
        self,
        revision: Revision,
        latest: Pointer,
        *,
        replaced: str | None = None,
        base: Revision | None = None,
    ) -> Publication:
        """Make a revision the newest of its package, unless it already is.

        Args:
            revision: The revision.
            latest: Result of `read_latest` before the source was listed.
            replaced: Top hash of another writer's revision that the job replaces. The pointers keep
                it, so that a redelivery of the message can report it.
            base: Manifest of the folder alone, if the revision has changes of another writer. It
                gets no pointer.

        Raises:
            AccessDenied: A write is denied; nothing was announced.
            WriteConflict: Other writers took every name that was tried for the pointer.
        """
        top_hash = revision.top_hash
        metadata = Pointer(
            message=self.message, replaced=replaced, provenance=self._provenance
        ).to_metadata()
        self._newest_second, newest = await self._newest_pointer()
        is_announced = newest.top_hash == top_hash
        is_settled = is_announced or newest.is_newer_than(self.message)
        is_latest = latest.top_hash == top_hash
        manifests = [revision] if base is None else [base, revision]
        if is_latest and is_settled and all(map(self._stays, manifests)):
            return Publication.UNCHANGED
        for manifest in manifests:
            if not await self._write_manifest(manifest):
                return Publication.START_OVER
        if is_latest and is_settled:
            return Publication.REFRESHED
        if not is_announced:
            await self._check_latest_writable(top_hash)
            self._newest_second = await self._announce(
                top_hash, metadata, after_second=self._newest_second
            )
        return await self._move_latest(top_hash, latest, metadata)

    async def is_settled(self, revision: Revision) -> bool:
        """Return whether the revision is complete: if it is `latest`, its pointer is the newest.

        If the newest pointer is that of this job, no other writer has published.
        """
        seconds = await self._list_pointers()
        if seconds and seconds[-1] == self._newest_second:
            return True
        latest = await read_latest(self._s3, self.package)
        if latest.top_hash != revision.top_hash:
            return True  # its writer checks it
        if not seconds:
            return False  # they were deleted
        newest = await read_pointer(self._s3, self.package, str(seconds[-1]))
        return newest.top_hash == revision.top_hash or newest.is_newer_than(self.message)

    async def _list_pointers(self) -> list[int]:
        seconds = await list_pointers(self._s3, self.package)
        latest_second = self._s3.server_time_seconds() + MAX_SECONDS_AHEAD
        return [second for second in seconds if second <= latest_second]

    async def _newest_pointer(self) -> tuple[int, Pointer]:
        """Return the second and the content of the newest pointer; without one, 0, no content."""
        seconds = await self._list_pointers()
        if not seconds:
            return 0, Pointer()
        return seconds[-1], await read_pointer(self._s3, self.package, str(seconds[-1]))

    async def _has_written(self, pointer: Pointer) -> bool:
        """Return whether this engine published a revision. Older versions marked no pointers."""
        if pointer.message is not None or pointer.top_hash is None:
            return pointer.message is not None
        manifest = await self.read_manifest(pointer.top_hash, max_bytes=1)
        return manifest is not None and is_ours(manifest.metadata)

    def _stays(self, revision: Revision) -> bool:
        return self._read.get(revision.top_hash, Manifest()).serves(revision)

    async def _write_manifest(self, revision: Revision) -> bool:
        """Write the manifest, unless the registry has it.

        Returns:
            False if it cannot be replaced in this pass.
        """
        if self._stays(revision):
            return True
        uri = self.package.manifest(revision.top_hash)
        metadata = {**revision.marks, MANIFEST_SHA256: revision.sha256}
        etag = self._read.get(revision.top_hash, Manifest()).etag
        try:
            if etag is None:
                await self._s3.put_file(
                    uri, revision.manifest, if_none_match=True, metadata=metadata
                )
            else:
                await replace_object(
                    self._s3, uri, revision.manifest, if_match=etag, metadata=metadata
                )
        except (ConditionalRequestConflict, NoSuchKey, PreconditionFailed) as refused:
            # Written by this job, whose reply was lost, or by another writer.
            await self.read_manifest(revision.top_hash, max_bytes=1)
            present = self._read[revision.top_hash]
            is_same = etag is not None and present.etag == etag
            if is_same and isinstance(refused, PreconditionFailed):
                raise _refuses_own_etags(refused) from refused
            return present.serves(revision)
        # It has another ETag now.
        self._read.pop(revision.top_hash, None)
        return True

    async def _check_latest_writable(self, top_hash: str) -> None:
        """Check the permission to write `latest` by a write whose condition cannot hold.

        Raises:
            AccessDenied: The write is denied.
        """
        with suppress(ConditionalRequestConflict, NoSuchKey, PreconditionFailed):
            await self._s3.put_object(
                self.package.pointer(LATEST), top_hash.encode(), if_match=NO_ETAG
            )

    async def _announce(
        self, top_hash: str, metadata: Mapping[str, str], *, after_second: int
    ) -> int:
        """Write a pointer above the newest, without overwriting any, and return its second."""
        second = max(self._s3.server_time_seconds(), after_second + 1)
        for _ in range(MAX_POINTER_ATTEMPTS):
            try:
                await self._s3.put_object(
                    self.package.pointer(str(second)),
                    top_hash.encode(),
                    if_none_match=True,
                    metadata=metadata,
                )
            except ConditionalRequestConflict:
                continue
            except PreconditionFailed:
                # Written by this job, whose reply was lost, or by a job for the same revision.
                present = await read_pointer(self._s3, self.package, str(second))
                if present.top_hash == top_hash:
                    return second
                second += 1
            else:
                return second
        raise WriteConflict(
            f"Could not write the pointer of a revision of {self.package.name} in "
            f"{MAX_POINTER_ATTEMPTS} attempts.",
            why="Other writers publish this package at the same time.",
            remedy="Retry; look for a loop of messages if the error recurs.",
        )

    async def _move_latest(
        self, top_hash: str, latest: Pointer, metadata: Mapping[str, str]
    ) -> Publication:
        """Point `latest` to the revision, if it has not changed since it was read."""
        for _ in range(MOVE_ATTEMPTS):
            try:
                await self._s3.put_object(
                    self.package.pointer(LATEST),
                    top_hash.encode(),
                    if_match=latest.etag,
                    if_none_match=latest.etag is None,
                    metadata=metadata,
                )
            except PreconditionFailed as error:
                # Another writer was first, or the reply was lost and the write was sent again.
                refused = error
                present = await read_latest(self._s3, self.package)
                if (present.top_hash, present.message) == (top_hash, self.message):
                    return Publication.CREATED
                if latest.etag is None or present != latest:
                    return Publication.START_OVER
                # It changed and changed back, or the server does not recognize its own ETags.
            except (ConditionalRequestConflict, NoSuchKey):
                return Publication.START_OVER
            else:
                return Publication.CREATED
        raise _refuses_own_etags(refused) from refused


def _refuses_own_etags(refused: PreconditionFailed) -> UnsupportedEndpoint:
    return UnsupportedEndpoint(
        refused.happened,
        why="The object still has the ETag that If-Match named: the server does not recognize it.",
        remedy="Use a server that does: see docs/reference/s3-servers.md.",
    )
