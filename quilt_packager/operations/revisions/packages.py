"""Pages of packages, revisions and entries."""

from bisect import bisect_left
from collections.abc import Collection
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Literal, TypeAlias

import msgspec
from quilt_packager_runtime.auditing import packages
from quilt_packager_runtime.auditing.manifest_reader import ManifestReader, UnreadableManifest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.formats.globs import check_globs, match_any
from quilt_packager_runtime.formats.manifest_lines import ManifestHeader, ManifestLine
from quilt_packager_runtime.formats.objects import sort_key
from quilt_packager_runtime.registry.publish import (
    Package,
    Pointer,
    list_pointers,
    read_latest,
    read_pointer,
)

from quilt_packager.operations.errors import BrokenManifest, UnknownPackage

AT_ONCE = 16
"""Number of pointers or packages that are read at the same time."""

MadeBy: TypeAlias = Literal["engine", "person", "promoted"]


class PublishedRevision(msgspec.Struct, frozen=True):
    """A revision with its writer.

    Attributes:
        top_hash: Top hash; None if its pointer is not valid.
        published: Time of its pointer; None if `latest` alone names it.
        made_by: Its writer.
        message_id: Id of the message whose job made it, which is the id of the job.
        promoted_from: The revision that was promoted, as a `quilt+s3` URI.
    """

    top_hash: str | None
    published: datetime | None
    made_by: MadeBy
    message_id: str | None = None
    promoted_from: str | None = None


class ListedPackage(msgspec.Struct, frozen=True):
    """A package of a registry.

    Attributes:
        registry: Bucket of the registry.
        package_name: Name of the package.
        revisions: Number of its pointers.
        newest: The revision that `latest` names.
    """

    registry: str
    package_name: str
    revisions: int
    newest: PublishedRevision


class PackagePage(msgspec.Struct, frozen=True):
    """Packages in S3's order.

    Attributes:
        packages: The packages.
        following: Value of `after` for the next page; None at the end.
    """

    packages: tuple[ListedPackage, ...]
    following: str | None


class RevisionPage(msgspec.Struct, frozen=True):
    """The newest revisions of a package.

    Attributes:
        total: Number of its pointers.
        revisions: Their revisions, the newest first.
        latest: Top hash that `latest` names; None if it is missing or not valid.
        first: Number of the first of them, counted from the oldest on.
    """

    total: int
    revisions: tuple[PublishedRevision, ...]
    latest: str | None
    first: int


class EntryPage(msgspec.Struct, frozen=True):
    """Entries of a revision in the order of its manifest.

    Attributes:
        header: Metadata of the package, commit message and workflow.
        entries: The entries.
        following: Value of `after` for the next page; None at the end.
    """

    header: ManifestHeader
    entries: tuple[ManifestLine, ...]
    following: str | None


async def list_packages(
    s3: S3, registry: str, *, prefix: str = "", after: str = "", limit: int = 50
) -> PackagePage:
    """List packages with their newest revisions, with three requests for each.

    Args:
        s3: S3.
        registry: Bucket of the registry.
        prefix: Beginning of the names.
        after: Name after which to start.
        limit: Maximum number of packages.
    """
    found: list[Package] = []
    async with aclosing(
        packages.list_packages(s3, registry, prefix=prefix, after=after)
    ) as listing:
        async for package in listing:
            found.append(package)
            if len(found) > limit:
                break
    shown = found[:limit]
    listed: dict[str, ListedPackage] = {}

    async def read(package: Package) -> None:
        listed[package.name] = await _read_newest(s3, package)

    await for_each(shown, read, at_once=AT_ONCE)
    following = shown[-1].name if len(found) > limit else None
    return PackagePage(tuple(listed[package.name] for package in shown), following)


async def list_revisions(
    s3: S3, package: Package, *, limit: int = 50, before: int | None = None
) -> RevisionPage:
    """List the newest revisions of a package, with one request for each.

    Args:
        s3: S3.
        package: The package.
        limit: Maximum number of revisions.
        before: Second of a pointer, of which the older ones are listed.

    Raises:
        UnknownPackage: The package does not exist.
    """
    seconds = await list_pointers(s3, package)
    latest = await read_latest(s3, package)
    if not seconds and latest.top_hash is None:
        raise UnknownPackage(
            f"{package.registry} has no package {quote(package.name)}.",
            why="The registry has no pointer of that name.",
            remedy="Check the name and the registry.",
        )
    older = seconds if before is None else seconds[: bisect_left(seconds, before)]
    newest = older[: -limit - 1 : -1]
    read: dict[int, PublishedRevision] = {}

    async def read_one(second: int) -> None:
        read[second] = to_revision(await read_pointer(s3, package, str(second)), second)

    await for_each(newest, read_one, at_once=AT_ONCE)
    return RevisionPage(
        len(seconds),
        tuple(read[second] for second in newest),
        latest.top_hash,
        len(older),
    )


async def read_entries(
    s3: S3,
    package: Package,
    top_hash: str,
    *,
    glob: str = "",
    keys: Collection[str] | None = None,
    after: str = "",
    limit: int = 100,
) -> EntryPage:
    """Read entries of a revision; the rest of its manifest is not fetched.

    Args:
        s3: S3.
        package: The package.
        top_hash: Top hash of the revision.
        glob: Glob that the logical keys match; all without one.
        keys: The only logical keys; None for all.
        after: Logical key after which to start.
        limit: Maximum number of entries.

    Raises:
        BrokenManifest: The manifest is missing or malformed.
        ValueError: The glob can match no logical key.
    """
    matches = match_any(check_globs([glob])) if glob else None
    last = sort_key(after) if after else b""
    uri = package.manifest(top_hash)
    manifest = ManifestReader(s3, uri)
    found: list[ManifestLine] = []
    try:
        async with aclosing(manifest.entries()) as entries:
            async for path, entry in entries:
                key = entry.logical_key
                is_wanted = (matches is None or matches(key)) and (keys is None or key in keys)
                if path > last and is_wanted:
                    found.append(entry)
                    if len(found) > limit or (keys is not None and len(found) == len(keys)):
                        break
    except UnreadableManifest as error:
        raise BrokenManifest(
            f"The manifest {uri} cannot be read: {error.defect}.",
            why="It was deleted or overwritten, or another program than quilt3 wrote it.",
            remedy="Package the folder again.",
        ) from error
    following = found[limit - 1].logical_key if len(found) > limit else None
    return EntryPage(manifest.header, tuple(found[:limit]), following)


async def _read_newest(s3: S3, package: Package) -> ListedPackage:
    seconds = await list_pointers(s3, package)
    second = seconds[-1] if seconds else None
    latest = await read_latest(s3, package)
    newest = Pointer() if second is None else await read_pointer(s3, package, str(second))
    # Without a valid `latest`, its newest pointer names the newest revision.
    named = newest if latest.top_hash is None else latest
    published = second if named.top_hash == newest.top_hash else None
    return ListedPackage(
        package.registry, package.name, len(seconds), to_revision(named, published)
    )


def to_revision(pointer: Pointer, second: int | None) -> PublishedRevision:
    """Describe the revision of a pointer that was published at a second."""
    promoted = pointer.provenance
    made_by: MadeBy = "promoted" if promoted else "engine" if pointer.message else "person"
    return PublishedRevision(
        pointer.top_hash,
        None if second is None else datetime.fromtimestamp(second, UTC),
        made_by,
        pointer.message.id if pointer.message else None,
        promoted.revision if promoted else None,
    )
