"""Revisions in a registry, `.quilt/` of a bucket, and the protocol that publishes them.

A revision is a manifest, a pointer named by the second of its publication, and `latest`. They are
written in this order with conditional writes: no writer, crash or lost reply can leave a dangling
pointer or overwrite another one, and a job that loses the race for `latest` starts over.
docs/adr/0020-publish-protocol.md has the reasons.
"""

import logging
import re
from enum import Enum, auto
from pathlib import Path

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    ConditionalRequestConflict,
    NoSuchKey,
    PreconditionFailed,
    WriteConflict,
)
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US
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

MAX_POINTER_ATTEMPTS = 10
"""Maximum number of attempts to write a pointer. Other writers take a second, or conflict with a
write, only a few times by chance."""

logger = logging.getLogger(__name__)


class Pointer(msgspec.Struct, frozen=True):
    """The content of a pointer when it was read.

    Attributes:
        etag: ETag; None if the pointer did not exist.
        top_hash: Top hash of the revision; None if the pointer did not exist, or was not valid.
    """

    etag: str | None = None
    top_hash: str | None = None


class Publication(Enum):
    """The result of an attempt to publish."""

    CREATED = auto()
    UNCHANGED = auto()
    LOST_RACE = auto()
    """Another writer moved `latest`: start over by reading it, without repeating a write."""


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
    return Pointer(body.etag, body.data.decode("ascii"))


async def list_pointers(s3: S3, package: Package) -> list[int]:
    """List the seconds of a package's pointers, one for each revision, the oldest first."""
    folder = package.pointer("").key
    seconds: list[int] = []
    async for keys in s3.list_keys(package.registry, folder):
        names = (key.removeprefix(folder) for key in keys)
        seconds += [int(name) for name in names if SECOND.fullmatch(name)]
    return sorted(seconds)


async def publish(
    s3: S3, package: Package, *, latest: Pointer, top_hash: str, manifest: Path
) -> Publication:
    """Make a revision the newest of its package, unless it already is.

    Args:
        s3: S3 client.
        package: Package of the revision.
        latest: Result of `read_latest` before the source was listed.
        top_hash: Top hash of the revision.
        manifest: File with the manifest.

    Raises:
        WriteConflict: Other writers took every name that was tried for the pointer.
    """
    newest_second, newest = await _newest_pointer(s3, package)
    announced = newest.top_hash == top_hash
    complete = announced and await _has_manifest(s3, package, top_hash)
    if complete and latest.top_hash == top_hash:
        return Publication.UNCHANGED
    if not complete:
        await s3.put_file(package.manifest(top_hash), manifest, metadata=WRITTEN_BY_US)
    if not announced:
        await _announce(s3, package, top_hash, after_second=newest_second)
    return await _move_latest(s3, package, top_hash, latest)


async def _newest_pointer(s3: S3, package: Package) -> tuple[int, Pointer]:
    """Return the second and the content of the newest pointer; without one, 0 and no content."""
    listed = await list_pointers(s3, package)
    latest_second = s3.server_time_seconds() + MAX_SECONDS_AHEAD
    seconds = [second for second in listed if second <= latest_second]
    if not seconds:
        return 0, Pointer()
    return seconds[-1], await read_pointer(s3, package, str(seconds[-1]))


async def _has_manifest(s3: S3, package: Package, top_hash: str) -> bool:
    """Return whether the manifest that a pointer names exists. It is missing only if deleted."""
    found = await s3.read_if_exists(package.manifest(top_hash), max_bytes=1) is not None
    if not found:
        logger.warning("manifest not found", extra={"top_hash": top_hash})
    return found


async def _announce(s3: S3, package: Package, top_hash: str, *, after_second: int) -> None:
    """Write a pointer above the newest, without overwriting any."""
    second = max(s3.server_time_seconds(), after_second + 1)
    for _ in range(MAX_POINTER_ATTEMPTS):
        try:
            await s3.put_object(package.pointer(str(second)), top_hash.encode(), if_none_match=True)
        except ConditionalRequestConflict:
            continue
        except PreconditionFailed:
            # Written by this job, whose reply was lost, or by another job for the same revision.
            present = await read_pointer(s3, package, str(second))
            if present.top_hash == top_hash:
                return
            second += 1
        else:
            return
    raise WriteConflict(
        f"Could not write the pointer of a revision of {package.name} in {MAX_POINTER_ATTEMPTS} "
        "attempts.",
        why="Other writers publish this package at the same time.",
        remedy="Retry; look for a loop of messages if the error recurs.",
    )


async def _move_latest(s3: S3, package: Package, top_hash: str, latest: Pointer) -> Publication:
    """Point `latest` to the revision, if it has not changed since the job began."""
    pointer = package.pointer(LATEST)
    try:
        await s3.put_object(
            pointer, top_hash.encode(), if_match=latest.etag, if_none_match=latest.etag is None
        )
    except PreconditionFailed:
        # Another writer was first, or the reply to this write was lost and it was sent again.
        present = await read_latest(s3, package)
        return Publication.CREATED if present.top_hash == top_hash else Publication.LOST_RACE
    except (ConditionalRequestConflict, NoSuchKey):
        return Publication.LOST_RACE
    return Publication.CREATED
