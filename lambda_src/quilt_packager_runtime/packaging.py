"""The story of a job: a folder becomes a revision of a package, or it is told why it does not."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.errors import (
    BucketNotAllowed,
    Rejected,
    WorkflowViolations,
    WriteConflict,
    name_some,
)
from quilt_packager_runtime.formats.manifest import (
    ENTRIES_AT_ONCE,
    Header,
    ManifestWriter,
    check_header,
)
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.hashing.hash_objects import Hashed, hash_objects
from quilt_packager_runtime.hashing.reuse import reuse_checksums
from quilt_packager_runtime.large_jobs import hand_off
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import list_source
from quilt_packager_runtime.metadata.package_metadata import describe, name_request
from quilt_packager_runtime.registry import publish
from quilt_packager_runtime.registry.publish import Publication
from quilt_packager_runtime.registry.quarantine import (
    note_violations,
    redirect,
    with_quarantine_error,
    with_quarantine_link,
)
from quilt_packager_runtime.requests.messages import PackageRequest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.workflows import gate

MAX_PASSES = 5
"""How often a job that loses the race for `latest` begins again."""

OnProgress = Callable[[str, int, int | None], object]
"""Told the phase, how many objects are done, and of how many, if that is known."""

Refused = Callable[[dict[str, Any] | None], dict[str, Any]]
"""Notes in a package's metadata why its own registry does not take it."""


class _Context(msgspec.Struct, frozen=True):
    """What the passes of a job share.

    Attributes:
        request: What is wanted, by its own name.
        settings: What is allowed, and how.
        s3: S3.
        on_progress: Told how far the job is.
        relay: As what to hand the job over; None: never.
        refused: Notes in the metadata why another registry does not take it; None: none has.
    """

    request: PackageRequest
    settings: Settings
    s3: S3
    on_progress: OnProgress
    relay: hand_off.HandOff | None
    refused: Refused | None = None


async def package(
    request: PackageRequest,
    *,
    settings: Settings,
    s3: S3,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
    relay: hand_off.HandOff | None = None,
) -> Outcome:
    """Make a folder a revision of a package, unless its newest revision is just that.

    Args:
        request: What is wanted.
        settings: What is allowed, and how.
        s3: S3.
        on_progress: Told how far the job is.
        relay: As what to hand the job over when it is too large; None: never.

    Returns:
        The outcome, `created` or `unchanged`.

    Raises:
        HandedOver: The job was too large, and its plan is written.
        Rejected: The job can never succeed as it is.
        Failed: The job may succeed later.
    """
    check_buckets(request, settings)
    request = await name_request(s3, request)
    context = _Context(request, settings, s3, on_progress, relay)
    try:
        return await _run_passes(context)
    except WorkflowViolations as violations:
        if settings.quarantine_registry is None:
            raise
        context = msgspec.structs.replace(
            context,
            request=redirect(request, settings.quarantine_registry),
            refused=partial(note_violations, registry=request.registry, violations=violations),
        )
        try:
            kept = await _run_passes(context)
        except Rejected as error:
            raise with_quarantine_error(violations, error) from error
        raise with_quarantine_link(violations, kept.link) from None


async def _run_passes(context: _Context) -> Outcome:
    """Pass after pass, until no other writer publishes meanwhile."""
    for _ in range(MAX_PASSES):
        with translate_disk_full():
            outcome = await _run_pass(context)
        if outcome is not None:
            return outcome
    raise WriteConflict(
        f"Other writers won the race for {context.request.package_name} {MAX_PASSES} times.",
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


async def _run_pass(context: _Context) -> Outcome | None:
    """One pass; None if another writer published meanwhile, so that all must be read again."""
    request, settings, s3 = context.request, context.settings, context.s3
    on_progress = context.on_progress
    package = publish.Package(request.registry, request.package_name)
    latest = await publish.read_latest(s3, package)
    described = await describe(s3, request)
    metadata = described.metadata
    with Inventory(request.source, request.exclude) as inventory:
        on_progress("listing", 0, None)
        await list_source(s3, inventory, lambda found: on_progress("listing", found, None))
        objects, size_bytes = inventory.totals()
        if context.refused is not None:
            metadata, workflow = context.refused(metadata), None
        else:
            workflow = await gate.check(
                s3,
                request.registry,
                workflow=request.workflow,
                package_name=request.package_name,
                message=request.commit_message,
                metadata=metadata,
                entries=inventory.sizes(),
            )
        header = Header(user_meta=metadata, message=request.commit_message, workflow=workflow)
        check_header(header)
        reused = 0
        if latest.top_hash is not None:
            previous = package.manifest(latest.top_hash)
            reused = await reuse_checksums(s3, previous, inventory, settings=settings)
        hashed = await _hash(
            s3,
            inventory,
            settings,
            lambda done: on_progress("checksums", reused + done, objects),
            context.relay,
        )
        on_progress("publishing", objects, objects)
        with TemporaryDirectory() as folder:
            manifest = Path(folder, "manifest.jsonl")
            top_hash = await _spool(manifest, header, inventory)
            publication = await publish.publish(
                s3, package, latest=latest, top_hash=top_hash, manifest=manifest
            )
    if publication is Publication.LOST_RACE:
        return None
    return Outcome(
        outcome=Result.CREATED if publication is Publication.CREATED else Result.UNCHANGED,
        package_name=request.package_name,
        registry=request.registry,
        top_hash=top_hash,
        previous_top_hash=latest.top_hash,
        objects=objects,
        bytes=size_bytes,
        reused=reused,
        stored=hashed.stored,
        computed=hashed.computed,
        remark=described.remark,
    )


async def _hash(
    s3: S3,
    inventory: Inventory,
    settings: Settings,
    on_progress: Callable[[int], object],
    relay: hand_off.HandOff | None,
) -> Hashed:
    """Find every checksum that is missing, or hand over."""
    if relay is None:
        on_progress(0)  # the first object may take long
        return await hash_objects(s3, inventory, settings=settings, on_progress=on_progress)
    taken = hashed = hand_off.NOTHING
    if relay.job.round > 0:
        taken = await hand_off.load_results(s3, relay.job, inventory)
    if not await hand_off.is_too_large(inventory, relay, settings):
        on_progress(taken.stored + taken.computed)
        hashed = await hash_objects(
            s3,
            inventory,
            settings=settings,
            on_progress=lambda done: on_progress(taken.stored + taken.computed + done),
            deadline=relay.deadline,
        )
    unhashed, _ = await inventory.unhashed_totals()
    if unhashed:
        await hand_off.hand_over(s3, relay.job, inventory, hashed=hashed, settings=settings)
    return Hashed(taken.stored + hashed.stored, taken.computed + hashed.computed)


async def _spool(path: Path, header: Header, inventory: Inventory) -> str:
    """Write the manifest to a file: its key in the registry is the hash of it."""
    with path.open("wb") as file:
        manifest = ManifestWriter(header, file.write)
        async for entries in slices(inventory.entries(), ENTRIES_AT_ONCE):
            manifest.add(entries)
    return manifest.top_hash()
