"""The story of a job: a folder becomes a revision of a package, or it is told why it does not."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from quilt_packager_runtime import registry, workflows
from quilt_packager_runtime.documents import MAX_METADATA_BYTES, read_metadata
from quilt_packager_runtime.errors import (
    BucketNotAllowed,
    Contended,
    InvalidMetadata,
    name_some,
    quote,
)
from quilt_packager_runtime.hashing import Hashed, hash_objects
from quilt_packager_runtime.listing import list_source
from quilt_packager_runtime.manifest import Header, write_manifest
from quilt_packager_runtime.messages import PackageRequest
from quilt_packager_runtime.objects import Entry, S3Uri, SourceFolder, SourceObject
from quilt_packager_runtime.outcomes import Outcome, Result
from quilt_packager_runtime.registry import Publication
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.settings import Settings

MAX_PASSES = 5
"""How often a job that loses the race for `latest` begins again."""

OnProgress = Callable[[str, int, int | None], object]
"""Told the phase, how many objects are done, and of how many, if that is known."""


async def package(
    request: PackageRequest,
    *,
    settings: Settings,
    s3: S3,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
) -> Outcome:
    """Make a folder a revision of a package, unless its newest revision is just that.

    Args:
        request: What is wanted.
        settings: What is allowed, and how.
        s3: S3.
        on_progress: Told how far the job is.

    Returns:
        The outcome, `created` or `unchanged`.

    Raises:
        Rejected: The job can never succeed as it is.
        Failed: The job may succeed later.
    """
    check_buckets(request, settings)
    for _ in range(MAX_PASSES):
        outcome = await _attempt(request, settings, s3, on_progress)
        if outcome is not None:
            return outcome
    raise Contended(
        f"Other writers won the race for {request.package_name} {MAX_PASSES} times.",
        why="Several jobs or people publish this package at once.",
        remedy="The job is retried by itself; look for a loop of messages if this returns.",
    )


def check_buckets(request: PackageRequest, settings: Settings) -> None:
    """Refuse buckets that the engine may not use, before any request goes to one.

    Raises:
        BucketNotAllowed: All of them named.
    """
    sources = {request.source.bucket}
    if request.metadata_uri is not None:
        sources.add(request.metadata_uri.bucket)
    refused = [
        f"{what}: {name_some(sorted(names - set(allowed)))}"
        for what, names, allowed in (
            ("source", sources, settings.source_buckets),
            ("registry", {request.registry}, settings.registry_buckets),
        )
        if allowed and not names <= set(allowed)
    ]
    if refused:
        raise BucketNotAllowed(
            f"The engine does not use these buckets ({'; '.join(refused)}).",
            why="Only its source and registry buckets are open to messages.",
            remedy="Correct the message, or add them to source_buckets or registry_buckets.",
        )


async def _attempt(
    request: PackageRequest, settings: Settings, s3: S3, on_progress: OnProgress
) -> Outcome | None:
    """One pass; None if another writer published meanwhile, so that all must be read again."""
    package = registry.Package(request.registry, request.package_name)
    latest = await registry.read_latest(s3, package)
    metadata = await _read_metadata(s3, request)
    on_progress("listing", 0, None)
    objects = await list_source(s3, request.source)
    workflow = await workflows.check(
        s3,
        request.registry,
        workflow=request.workflow,
        package_name=request.package_name,
        message=request.commit_message,
        metadata=metadata,
        entries=(
            (found.key.removeprefix(request.source.prefix), found.size_bytes) for found in objects
        ),
    )
    on_progress("checksums", 0, len(objects))
    hashed = await hash_objects(
        s3,
        request.source,
        objects,
        settings=settings,
        on_progress=lambda done: on_progress("checksums", done, len(objects)),
    )
    on_progress("publishing", len(objects), len(objects))
    with TemporaryDirectory() as folder:
        manifest = Path(folder, "manifest.jsonl")
        header = Header(user_meta=metadata, message=request.commit_message, workflow=workflow)
        top_hash = _spool(manifest, header, _entries(request.source, objects, hashed))
        publication = await registry.publish(
            s3, package, latest=latest, top_hash=top_hash, manifest=manifest
        )
    if publication is Publication.LOST_RACE:
        return None
    return Outcome(
        outcome=Result.CREATED if publication is Publication.CREATED else Result.UNCHANGED,
        package_name=request.package_name,
        registry=request.registry,
        top_hash=top_hash,
        objects=len(objects),
        bytes=sum(found.size_bytes for found in objects),
        stored=hashed.stored,
        computed=hashed.computed,
    )


async def _read_metadata(s3: S3, request: PackageRequest) -> dict[str, Any] | None:
    if request.metadata_uri is None:
        return request.metadata
    body = await s3.read_if_exists(request.metadata_uri, max_bytes=MAX_METADATA_BYTES + 1)
    if body is None:
        raise InvalidMetadata(
            f"There is no object {quote(str(request.metadata_uri))}.",
            why="The message's metadata_uri names it as the package's metadata.",
            remedy="Upload it, or correct metadata_uri, and send the message again.",
        )
    return read_metadata(body.data, request.metadata_uri)


def _spool(path: Path, header: Header, entries: Iterator[Entry]) -> str:
    """Write the manifest to a file: its key in the registry is the hash of it."""
    with path.open("wb") as file:
        return write_manifest(header, entries, file.write)


def _entries(
    folder: SourceFolder, objects: Sequence[SourceObject], hashed: Hashed
) -> Iterator[Entry]:
    for found, checksum in zip(objects, hashed.checksums, strict=True):
        yield Entry(
            logical_key=found.key.removeprefix(folder.prefix),
            physical_key=str(S3Uri(folder.bucket, found.key, found.version_id)),
            size_bytes=found.size_bytes,
            checksum=checksum,
        )
