"""Proposes packages for the folders that recognisers match."""

import json
from collections.abc import AsyncIterator, Callable
from math import ceil
from typing import Any

from quilt_packager_runtime.errors import InvalidMessage
from quilt_packager_runtime.formats.names import infer_package_name
from quilt_packager_runtime.formats.objects import SourceFolder, SourceObject
from quilt_packager_runtime.formats.recognisers import RECOGNISERS
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.backfills import ProposedPackage
from quilt_packager.operations.discovery.packaged import PackagedFolders
from quilt_packager.operations.discovery.roots import Root, Roots
from quilt_packager.operations.discovery.walk import Walk
from quilt_packager.operations.plans.estimates import estimate, hash_seconds

KINDS = {each.kind: each for each in RECOGNISERS}


async def find_roots(
    pages: AsyncIterator[list[SourceObject]],
    folder: SourceFolder,
    roots: Roots,
    settings: Settings,
    on_progress: Callable[[int], object] = lambda _found: None,
) -> int:
    """Find the roots among the objects of a folder, and return the number of objects.

    Args:
        pages: The objects in the order of their keys.
        folder: The folder.
        roots: Receives the roots.
        settings: Settings of the engine.
        on_progress: Called with the number of objects so far.
    """
    walk = Walk(
        folder,
        roots,
        algorithms=settings.checksum_algorithms,
        can_copy=bool(settings.scratch_bucket or settings.scratch_buckets),
    )
    async for page in pages:
        walk.take(page)
        on_progress(walk.objects)
    walk.end()
    return walk.objects


async def propose(
    bucket: str,
    roots: Roots,
    settings: Settings,
    packaged: PackagedFolders,
    *,
    memory_mib: int,
) -> AsyncIterator[ProposedPackage]:
    """Propose a package for each root.

    Args:
        bucket: Bucket of the roots.
        roots: The roots.
        settings: Settings of the engine.
        packaged: The packages of the registry.
        memory_mib: Memory of the engine's functions.
    """
    registry = packaged.registry
    for root, namesakes in roots:
        folder = SourceFolder(bucket, root.prefix)
        message = message_for(folder, root)
        name: str | None = None
        problem = "Another folder here has the same package name." if namesakes > 1 else None
        try:
            parse_message(json.dumps(message), default_registry=registry)
            name = infer_package_name(root.prefix)
        except InvalidMessage as error:
            problem = error.happened
        found = await packaged.find(folder, name or "")
        if found.name_owner is not None:
            problem = f"The package is that of {found.name_owner}."
        yield ProposedPackage(
            folder=str(folder),
            kind=root.kind,
            package_name=name,
            registry=registry,
            objects=root.objects,
            bytes=root.size_bytes,
            archived=root.archived,
            missing=find_missing(root),
            packaged_as=found.name,
            problem=problem,
            usd=price_usd(root, settings, memory_mib=memory_mib),
            message=message,
        )


def message_for(folder: SourceFolder, root: Root) -> dict[str, Any]:
    """Return the message that requests the package of a root."""
    kind = KINDS[root.kind]
    message: dict[str, Any] = {"source_prefix": str(folder)}
    if CRATE_NAME in kind.markers:
        message |= {"metadata_uri": CRATE_NAME, "metadata_format": "ro-crate"}
    elif kind.requires_listed:
        message["require"] = ["checksum_lists"]
    elif kind.completion:
        message["require"] = [{"files": [root.completion or kind.completion[0]]}]
    if root.left_out:
        message["exclude"] = list(root.left_out)
    return message


def price_usd(root: Root, settings: Settings, *, memory_mib: int) -> float:
    """Estimate the price of a first package in US dollars, without restores of archived objects."""
    shards = 0
    if root.objects > settings.max_inline_objects or root.size_bytes > settings.max_inline_bytes:
        shards = ceil(
            max(
                root.objects / settings.max_shard_objects,
                root.size_bytes / settings.max_shard_bytes,
            )
        )
    requests = root.load.requests()
    requests["HeadObject"] += root.heads
    requests["ListObjectVersions"] += 2 * ceil(root.objects / 1000)
    requests["PutObject"] += 4  # the manifest and the pointers
    return estimate(
        objects=root.objects,
        requests=requests,
        hashing=hash_seconds(root.heads, root.load),
        shards=shards,
        memory_mib=memory_mib,
    ).usd


def find_missing(root: Root) -> tuple[str, ...]:
    """Return the completion marker that a root lacks."""
    completion = KINDS[root.kind].completion
    return (" or ".join(completion),) if completion and root.completion is None else ()
