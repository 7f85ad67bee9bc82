"""The packages of a registry with the times of their newest revisions, from a listing alone."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.registry.publish import (
    LATEST,
    NAMED_PACKAGES,
    SECOND,
    Package,
    read_pointer,
)

from quilt_packager.operations.revisions.packages import PublishedRevision, to_revision

MAX_KEYS = 100_000
"""Maximum number of keys that a listing reads, in requests of 1,000."""

AT_ONCE = 64
"""Number of pointers that are read at the same time."""


class IndexedPackage(msgspec.Struct, frozen=True, gc=False):
    """A package in the listing of its registry.

    Attributes:
        registry: Bucket of the registry.
        package_name: Name of the package.
        revisions: Number of its pointers.
        second: Second of the newest of them; None without one.
    """

    registry: str
    package_name: str
    revisions: int
    second: int | None

    @property
    def published(self) -> datetime | None:
        """The time of the newest pointer."""
        return None if self.second is None else datetime.fromtimestamp(self.second, UTC)


class RegistryIndex(msgspec.Struct, frozen=True):
    """The packages of a registry.

    Attributes:
        packages: The packages, by name.
        is_complete: False if the registry has more keys than the listing reads.
    """

    packages: tuple[IndexedPackage, ...]
    is_complete: bool = True


async def index_packages(
    s3: S3, registry: str, *, prefix: str = "", max_keys: int = MAX_KEYS
) -> RegistryIndex:
    """List the pointers of a registry, with one request for 1,000 of them.

    Args:
        s3: S3.
        registry: Bucket of the registry.
        prefix: Beginning of the names.
        max_keys: Number of keys after which no other page is read.
    """
    seconds: dict[str, int | None] = {}
    counts: dict[str, int] = {}
    keys_read, is_complete = 0, True
    async for keys in s3.list_keys(registry, f"{NAMED_PACKAGES}{prefix}"):
        if keys_read >= max_keys:
            is_complete = False
            break
        keys_read += len(keys)
        for key in keys:
            name, _, pointer = key.removeprefix(NAMED_PACKAGES).rpartition("/")
            if name.count("/") != 1:
                continue
            if SECOND.fullmatch(pointer):
                seconds[name] = max(int(pointer), seconds.get(name) or 0)
                counts[name] = counts.get(name, 0) + 1
            elif pointer == LATEST:
                seconds.setdefault(name, None)
    return RegistryIndex(
        tuple(
            IndexedPackage(registry, name, counts.get(name, 0), seconds[name])
            for name in sorted(seconds)
        ),
        is_complete,
    )


async def read_newest(
    s3: S3, packages: Iterable[IndexedPackage]
) -> dict[IndexedPackage, PublishedRevision]:
    """Read the newest revisions of packages, with one request for each."""
    found: dict[IndexedPackage, PublishedRevision] = {}

    async def read(each: IndexedPackage) -> None:
        package = Package(each.registry, each.package_name)
        name = LATEST if each.second is None else str(each.second)
        found[each] = to_revision(await read_pointer(s3, package, name), each.second)

    await for_each(list(packages), read, at_once=AT_ONCE)
    return found
