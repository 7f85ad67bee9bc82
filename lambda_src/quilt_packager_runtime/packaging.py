"""The story of a job: a folder becomes a revision of a package, or the job is refused."""

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
    Rejected,
    WorkflowViolations,
    WriteConflict,
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
from quilt_packager_runtime.large_jobs.hand_off import (
    NOTHING,
    HandOff,
    is_too_large,
    load_results,
    write_plan,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import list_source
from quilt_packager_runtime.registry import publish
from quilt_packager_runtime.registry.publish import Publication
from quilt_packager_runtime.registry.quarantine import (
    note_violations,
    redirect,
    with_quarantine_error,
    with_quarantine_link,
)
from quilt_packager_runtime.registry.run_fields import keep_run_fields
from quilt_packager_runtime.requests.package_request import PackageRequest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.workflows import gate

MAX_PASSES = 5
"""Maximum number of passes of a job that keeps losing the race for `latest`."""

OnProgress = Callable[[str, int, int | None], object]
"""Called with the phase, the number of objects that are done, and the total if it is known."""

AddViolations = Callable[[dict[str, Any] | None], dict[str, Any]]
"""Adds to a package's metadata the reasons why its own registry refuses it."""


class _Context(msgspec.Struct, frozen=True):
    """The state that all passes of a job share.

    Attributes:
        request: The request.
        settings: The engine's settings.
        s3: S3.
        on_progress: Called with the progress of the job.
        hand_off: The permission to hand the job off; None if it has to finish here.
        add_violations: Set for a package in quarantine, which no workflow checks.
    """

    request: PackageRequest
    settings: Settings
    s3: S3
    on_progress: OnProgress
    hand_off: HandOff | None
    add_violations: AddViolations | None = None


async def package(
    request: PackageRequest,
    *,
    settings: Settings,
    s3: S3,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
    hand_off: HandOff | None = None,
) -> Outcome:
    """Publish a folder as a revision of a package, unless the newest revision equals it.

    Args:
        request: The complete request: see `requests.resolve`.
        settings: The engine's settings.
        s3: S3.
        on_progress: Called with the progress of the job.
        hand_off: The permission to hand off a job that is too large; None if it has to finish here.

    Returns:
        The outcome, `created` or `unchanged`.

    Raises:
        HandedOff: The job is too large, and its plan is written.
        Rejected: The job can never succeed as it is.
        Failed: The job may succeed later.
    """
    context = _Context(request, settings, s3, on_progress, hand_off)
    try:
        return await _run_passes(context)
    except WorkflowViolations as violations:
        if settings.quarantine_registry is None:
            raise
        context = msgspec.structs.replace(
            context,
            request=redirect(request, settings.quarantine_registry),
            add_violations=partial(
                note_violations, registry=request.registry, violations=violations
            ),
        )
        try:
            quarantined = await _run_passes(context)
        except Rejected as error:
            raise with_quarantine_error(violations, error) from error
        raise with_quarantine_link(violations, quarantined.link) from None


async def _run_passes(context: _Context) -> Outcome:
    """Run passes until one ends without another writer publishing at the same time."""
    for _ in range(MAX_PASSES):
        with translate_disk_full():
            outcome = await _run_pass(context)
        if outcome is not None:
            return outcome
    raise WriteConflict(
        f"Other writers won the race for {context.request.package_name} {MAX_PASSES} times.",
        why="Several jobs or people publish this package at once.",
        remedy="Retry; look for a loop of messages if this recurs.",
    )


async def _run_pass(context: _Context) -> Outcome | None:
    """Run one pass; return None if another writer published meanwhile.

    The next pass reads S3 again, except for the metadata, which the request has.
    """
    request, settings, s3 = context.request, context.settings, context.s3
    on_progress = context.on_progress
    package = publish.Package(request.registry, request.package_name)
    latest = await publish.read_latest(s3, package)
    if request.lacks_run_fields and latest.top_hash is not None:
        newest = package.manifest(latest.top_hash)
        request = await keep_run_fields(s3, request, newest)
        context = msgspec.structs.replace(context, request=request)
    with Inventory(request.source, request.exclude) as inventory:
        on_progress("listing", 0, None)
        listing_warnings = await list_source(
            s3, inventory, lambda found: on_progress("listing", found, None)
        )
        objects, size_bytes = inventory.totals()
        header = await _check(context, inventory)
        reused = 0
        if latest.top_hash is not None:
            previous = package.manifest(latest.top_hash)
            reused = await reuse_checksums(s3, previous, inventory, settings=settings)
        hashed = await _hash(context, inventory, reused)
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
        remark=" ".join([*request.warnings, *listing_warnings]) or None,
    )


async def _check(context: _Context, inventory: Inventory) -> Header:
    """Check the package against the rules of its registry, and return the manifest's header."""
    request = context.request
    metadata, workflow = request.metadata, None
    if context.add_violations is not None:
        metadata = context.add_violations(metadata)
    else:
        workflow = await gate.check(
            context.s3,
            request.registry,
            workflow=request.workflow,
            package_name=request.package_name,
            message=request.commit_message,
            metadata=metadata,
            entries=inventory.sizes(),
        )
    header = Header(user_meta=metadata, message=request.commit_message, workflow=workflow)
    check_header(header)
    return header


async def _hash(context: _Context, inventory: Inventory, reused: int) -> Hashed:
    """Find the checksums that are missing, or hand the job off."""
    settings, s3, hand_off = context.settings, context.s3, context.hand_off
    objects, _ = inventory.totals()
    deadline = hand_off.deadline if hand_off else None
    loaded = hashed = NOTHING
    if hand_off and hand_off.files.round > 0:
        loaded = await load_results(s3, hand_off.files, inventory)
    known = reused + loaded.stored + loaded.computed

    def on_progress(done: int) -> None:
        context.on_progress("checksums", known + done, objects)

    if deadline is None or not await is_too_large(inventory, settings):
        on_progress(0)  # the first object may take long
        hashed = await hash_objects(
            s3, inventory, settings=settings, on_progress=on_progress, deadline=deadline
        )
    if hand_off and (await inventory.unhashed_totals())[0]:
        raise await write_plan(s3, hand_off.files, inventory, hashed=hashed, settings=settings)
    return Hashed(loaded.stored + hashed.stored, loaded.computed + hashed.computed)


async def _spool(path: Path, header: Header, inventory: Inventory) -> str:
    """Write the manifest to a file, and return its top hash, which is its key in the registry."""
    with path.open("wb") as file:
        manifest = ManifestWriter(header, file.write)
        async for entries in slices(inventory.entries(), ENTRIES_AT_ONCE):
            manifest.add(entries)
    return manifest.top_hash()
