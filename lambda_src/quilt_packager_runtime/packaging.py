"""The story of a job: a folder becomes a revision of a package, or the job is refused."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.completeness.check import check_complete
from quilt_packager_runtime.concurrency import slices
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.errors import (
    EmptySource,
    HeldForReview,
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
from quilt_packager_runtime.formats.objects import Entry
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.hashing.hash_objects import Hashed, hash_objects
from quilt_packager_runtime.hashing.object_hasher import never
from quilt_packager_runtime.hashing.reuse import STEP_BYTES, reuse_checksums
from quilt_packager_runtime.hashing.verification import Verification, Verified
from quilt_packager_runtime.large_jobs.batch_checksums import find_computable
from quilt_packager_runtime.large_jobs.hand_off import (
    NOTHING,
    HandOff,
    is_too_large,
    load_results,
    write_plan,
)
from quilt_packager_runtime.lineage.inputs import (
    keep_input_packages,
    name_input_packages,
    record_lineage,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.listing.source_listing import (
    find_missing_parts,
    is_unchanged,
    list_source,
)
from quilt_packager_runtime.merging.carry import Merge, Summary, find_merge
from quilt_packager_runtime.registry import publish
from quilt_packager_runtime.registry.ownership import (
    describe_replaced,
    find_refusal,
    find_replaced,
)
from quilt_packager_runtime.registry.publish import (
    Message,
    Pointer,
    Publication,
    Publisher,
    Revision,
)
from quilt_packager_runtime.registry.quarantine import (
    note_violations,
    redirect,
    with_quarantine_error,
    with_quarantine_link,
)
from quilt_packager_runtime.registry.run_fields import keep_run_fields
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.requests.package_request import PackageRequest, note_missing_parts
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.workflows import gate

MAX_PASSES = 5
"""Maximum number of passes of a job whose folder or package keeps changing."""

SUPERSEDED = "A newer message has published this package."
REFRESHED = "The manifest was written again: equal bytes have newer versions."

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
        delivery: The delivery of the job's message; None without one.
        add_violations: Set for a package in quarantine, which no workflow checks.
    """

    request: PackageRequest
    settings: Settings
    s3: S3
    on_progress: OnProgress
    hand_off: HandOff | None
    delivery: Delivery | None
    add_violations: AddViolations | None = None


class _Start(msgspec.Struct, frozen=True):
    """The state of the package that a pass reads before it lists the folder.

    Attributes:
        latest: The pointer to the newest revision.
        previous: First bytes of its manifest; None if it is missing or not readable.
        merge: The changes of another writer to carry; None without any.
        refusal: The reason why the job must not replace it; None if it may.
    """

    latest: Pointer
    previous: ObjectBody | None
    merge: Merge | None = None
    refusal: Rejected | None = None


class _Spooled(msgspec.Struct, frozen=True):
    """The manifest of a revision in a file.

    Attributes:
        revision: The revision.
        objects: Number of its entries.
        size_bytes: Sum of their sizes.
        base: Manifest of the folder alone, if the revision has changes of another writer.
        summary: Those changes; None without a merge.
    """

    revision: Revision
    objects: int
    size_bytes: int
    base: Revision | None = None
    summary: Summary | None = None


class _Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A revision that is ready to be published.

    Attributes:
        spooled: The manifest.
        replaced: Top hash of the revision of another writer that it replaces or carries.
        reused: Number of checksums of the newest revision.
        hashed: Numbers of the other checksums.
        verified: The comparison with the checksum lists of the sender.
        required: Number of required files and globs; None without requirements.
        warnings: Warnings of the request, the listing and the comparison.
        input_packages: Revisions that hold inputs of the run.
    """

    spooled: _Spooled
    replaced: str | None
    reused: int
    hashed: Hashed
    verified: Verified
    required: int | None
    warnings: tuple[str, ...]
    input_packages: tuple[str, ...]


class _PassEnd(msgspec.Struct, frozen=True):
    """The end of a pass.

    Attributes:
        is_over: The registry has what the folder holds.
        outcome: The outcome; None if nothing was published or found.
    """

    is_over: bool
    outcome: Outcome | None = None


async def package(  # noqa: PLR0913 - the job, what it uses, and whom it serves
    request: PackageRequest,
    *,
    settings: Settings,
    s3: S3,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
    hand_off: HandOff | None = None,
    delivery: Delivery | None = None,
) -> Outcome:
    """Publish a folder as a revision of a package, unless the newest revision equals it.

    Args:
        request: The complete request: see `requests.resolve`.
        settings: The engine's settings.
        s3: S3.
        on_progress: Called with the progress of the job.
        hand_off: The permission to hand off a job that is too large; None if it has to finish here.
        delivery: The delivery of the job's message; None for a job without one.

    Returns:
        The outcome, `created` or `unchanged`.

    Raises:
        HandedOff: The job is too large, and its plan is written.
        Rejected: The job can never succeed as it is.
        Failed: The job may succeed later.
    """
    request = await name_input_packages(request, settings, s3)
    context = _Context(request, settings, s3, on_progress, hand_off, delivery)
    try:
        return await record_lineage(await _run_passes(context), request, settings, s3)
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
    """Run passes until `latest` is the source, or belongs to a newer message."""
    request, s3 = context.request, context.s3
    package = publish.Package(request.registry, request.package_name)
    latest = await publish.read_latest(s3, package)
    message = _message_of(context) or Message.now(s3, latest)
    publisher = Publisher(s3, package, message)
    created: Outcome | None = None
    for _ in range(MAX_PASSES):
        start = await _start(context, publisher, latest)
        try:
            end = await _run_pass(context, publisher, start, has_created=created is not None)
        except EmptySource:
            if created is None:
                raise
            return created  # its folder was deleted meanwhile
        outcome = end.outcome
        if outcome is not None and outcome.outcome is Result.CREATED:
            is_known = created is not None and created.top_hash == outcome.top_hash
            created = created if is_known else outcome
        if end.is_over and (outcome := created or outcome) is not None:
            return outcome
        latest = await publish.read_latest(s3, package)
    raise WriteConflict(
        f"{context.request.package_name} or its folder changed during {MAX_PASSES} passes.",
        why="Files of the folder are still being written, or several jobs or people publish this "
        "package at once.",
        remedy="Retry when the uploads are complete; look for a loop of messages if this recurs.",
    )


async def _start(context: _Context, publisher: Publisher, latest: Pointer) -> _Start:
    """Read what a pass compares the folder with, and decide whether it may replace it."""
    request, settings = context.request, context.settings
    previous = await read_previous(publisher, latest)
    refusal = find_refusal(request, latest, previous, settings)
    if refusal is not None or latest.is_newer_than(publisher.message):
        return _Start(latest, previous, refusal=refusal)
    try:
        with translate_disk_full():
            merge = await find_merge(
                context.s3, publisher, request, settings, latest=latest, previous=previous
            )
    except HeldForReview as held:
        return _Start(latest, previous, refusal=held)
    return _Start(latest, previous, merge=merge)


def _message_of(context: _Context) -> Message | None:
    """Return the message of the job, which lists the folder after its settle time."""
    delivery = context.delivery
    if delivery is None or delivery.sent_seconds is None:
        return None
    due_seconds = delivery.sent_seconds + context.request.settle_seconds
    return Message(round(due_seconds * 1000), delivery.message_id)


def _is_redelivery(context: _Context) -> bool:
    """Return whether an earlier attempt may have published."""
    delivery, hand_off = context.delivery, context.hand_off
    is_large = hand_off is not None and hand_off.files.round > 0
    return delivery is not None and (delivery.number > 1 or is_large)


async def _superseded(context: _Context, publisher: Publisher, latest: Pointer) -> Outcome:
    """Return the outcome of a job whose package a newer message has published."""
    request = context.request
    own = await publisher.find_own_revision(latest) if _is_redelivery(context) else None
    return Outcome(
        outcome=Result.UNCHANGED if own is None else Result.CREATED,
        package_name=request.package_name,
        registry=request.registry,
        top_hash=own.top_hash if own else latest.top_hash,
        foreign_top_hash=own.replaced if own else None,
        remark=SUPERSEDED,
    )


async def _run_pass(
    context: _Context, publisher: Publisher, start: _Start, *, has_created: bool
) -> _PassEnd:
    """Package the folder once, unless its package may not be replaced.

    The next pass reads S3 again, except for the metadata, which the request has.
    """
    latest = start.latest
    if start.refusal is not None or latest.is_newer_than(publisher.message):
        is_over = await publisher.yield_to(latest)
        if is_over and start.refusal is not None and not has_created:
            raise start.refusal
        return _PassEnd(is_over, await _superseded(context, publisher, latest))
    request = context.request
    sources = request.numbered_sources
    with (
        translate_disk_full(),
        start.merge or nullcontext(),
        Inventory(request.source, request.exclude, request.selection, sources) as inventory,
        TemporaryDirectory() as folder,
    ):
        prepared = await _prepare(context, publisher, start, inventory, Path(folder))
        revision = prepared.spooled.revision
        publication = await publisher.publish(
            revision, latest, replaced=prepared.replaced, base=prepared.spooled.base
        )
        if publication is Publication.START_OVER:
            return _PassEnd(is_over=False)
        is_over = publication is Publication.UNCHANGED or (
            await is_unchanged(context.s3, inventory) and await publisher.is_settled(revision)
        )
    return _PassEnd(is_over, _describe(context, publisher, start, prepared, publication))


async def _prepare(
    context: _Context, publisher: Publisher, start: _Start, inventory: Inventory, folder: Path
) -> _Prepared:
    """List, check and hash the folder, and write its manifest to a file."""
    request, settings, s3 = context.request, context.settings, context.s3
    on_progress = context.on_progress
    if request.lacks_run_fields and start.previous is not None:
        request = keep_run_fields(request, start.previous.data)
        context = msgspec.structs.replace(context, request=request)
    if request.lacks_input_packages and start.previous is not None:
        request = keep_input_packages(request, start.previous.data)
        context = msgspec.structs.replace(context, request=request)
    on_progress("listing", 0, None)
    listing_warnings = await list_source(
        s3, inventory, lambda found: on_progress("listing", found, None)
    )
    required = await check_complete(s3, request, inventory)
    if missing := await find_missing_parts(inventory):
        request = note_missing_parts(request, missing)
        context = msgspec.structs.replace(context, request=request)
    objects, _ = inventory.totals()
    # A merge needs the hashes of the folder, so that its rules are checked later.
    header = await _check(context, inventory) if start.merge is None else _header(context)
    verification = await Verification.begin(s3, inventory, settings, request)
    reused = await _reuse(context, start, inventory)
    hashed = await _hash(context, inventory, reused)
    verified = await verification.finish()
    on_progress("publishing", objects, objects)
    if start.merge is None:
        spooled = await _spool(folder / "manifest.jsonl", header, inventory.entries())
        replaced = find_replaced(start.latest, start.previous, publisher.message)
    else:
        spooled = await _merge(context, start.merge, inventory, folder)
        replaced = start.merge.origin.theirs
    return _Prepared(
        spooled=spooled,
        replaced=replaced,
        reused=reused,
        hashed=hashed,
        verified=verified,
        required=required,
        warnings=(*request.warnings, *listing_warnings, *verified.warnings),
        input_packages=request.input_packages,
    )


def _describe(
    context: _Context,
    publisher: Publisher,
    start: _Start,
    prepared: _Prepared,
    publication: Publication,
) -> Outcome:
    """Return the outcome of a pass that has published, or found its revision unchanged."""
    request, latest, spooled = context.request, start.latest, prepared.spooled
    revision, summary = spooled.revision, spooled.summary
    # `latest` has the job's message if an earlier delivery moved it, and could not report it.
    is_own = (latest.top_hash, latest.message) == (revision.top_hash, publisher.message)
    is_created = publication is Publication.CREATED or is_own
    replaced = prepared.replaced if prepared.replaced != revision.top_hash else None
    foreign, remarks = _describe_foreign(start.merge, summary, replaced)
    refreshed = [REFRESHED] if publication is Publication.REFRESHED else []
    warnings = [*prepared.warnings, *refreshed, *(remarks if is_created else [])]
    return Outcome(
        outcome=Result.CREATED if is_created else Result.UNCHANGED,
        package_name=request.package_name,
        registry=request.registry,
        top_hash=revision.top_hash,
        previous_top_hash=None if is_own else latest.top_hash,
        foreign_top_hash=foreign if is_created else None,
        objects=spooled.objects,
        bytes=spooled.size_bytes,
        reused=prepared.reused,
        stored=prepared.hashed.stored,
        computed=prepared.hashed.computed,
        verified=prepared.verified.objects,
        verified_by_reading=prepared.verified.by_reading,
        checksum_lists=prepared.verified.lists,
        required=prepared.required,
        carried_entries=summary.entries if summary else None,
        carried_fields=summary.fields if summary else None,
        conflicts=summary.conflicts if summary and is_created else None,
        manifest_refreshed=True if refreshed else None,
        input_packages=prepared.input_packages or None,
        remark=" ".join(warnings) or None,
    )


def _describe_foreign(
    merge: Merge | None, summary: Summary | None, replaced: str | None
) -> tuple[str | None, list[str]]:
    """Return the other writer's revision that a new one replaces, and the remarks about it."""
    if merge is None or summary is None:
        return replaced, [describe_replaced(replaced)] if replaced else []
    return (replaced if merge.origin.is_foreign else None), merge.describe_carried(summary)


async def read_previous(publisher: Publisher, latest: Pointer) -> ObjectBody | None:
    """Read the first bytes of the newest revision's manifest; it is optional."""
    if latest.top_hash is None:
        return None
    return await publisher.read_manifest(latest.top_hash, max_bytes=STEP_BYTES)


async def _reuse(context: _Context, start: _Start, inventory: Inventory) -> int:
    """Reuse the checksums of the newest revision, or of the base of a merge."""
    request, latest, first = context.request, start.latest.top_hash, start.previous
    if start.merge is not None:
        latest, first = start.merge.origin.base, start.merge.origin.base_body
    if latest is None or first is None:
        return 0
    manifest = publish.Package(request.registry, request.package_name).manifest(latest)
    return await reuse_checksums(
        context.s3, manifest, inventory, settings=context.settings, first=first
    )


def _header(context: _Context) -> Header:
    """Return the header of the manifest of the folder, before a workflow is known."""
    request, metadata = context.request, context.request.metadata
    if context.add_violations is not None:
        metadata = context.add_violations(metadata)
    header = Header(
        metadata,
        request.commit_message,
        source=request.header_source,
        sources=request.named_sources,
    )
    check_header(header)
    return header


async def _check(context: _Context, inventory: Inventory) -> Header:
    """Check the package against the rules of its registry, and return the manifest's header."""
    header = _header(context)
    return await _check_rules(context, header, inventory.sizes(), inventory.metadata)


async def _check_rules(
    context: _Context,
    header: Header,
    entries: Iterable[tuple[str, int]],
    entry_metadata: Mapping[str, dict[str, Any]],
) -> Header:
    """Check a package against the rules of its registry, and add the workflow to its header."""
    if context.add_violations is not None:
        return header
    request = context.request
    workflow = await gate.check(
        context.s3,
        request.registry,
        workflow=request.workflow,
        package_name=request.package_name,
        message=header.message,
        metadata=header.user_meta,
        entries=entries,
        entry_metadata=entry_metadata,
    )
    header = msgspec.structs.replace(header, workflow=workflow)
    check_header(header)
    return header


async def _merge(context: _Context, merge: Merge, inventory: Inventory, folder: Path) -> _Spooled:
    """Merge the folder with the changes of another writer, and check and write the result."""
    header = _header(context)
    summary = await merge.resolve(header.user_meta, inventory.entries)
    checked = await _check_rules(
        context,
        msgspec.structs.replace(header, user_meta=summary.metadata),
        ((each.logical_key, each.size_bytes) for each in merge.merge(inventory.entries())),
        merge.entry_metadata(inventory.metadata),
    )
    header = msgspec.structs.replace(header, workflow=checked.workflow)
    alone = await _spool(folder / "base.jsonl", header, inventory.entries())
    if summary.is_empty:
        return msgspec.structs.replace(alone, summary=summary)
    merged = await _spool(
        folder / "manifest.jsonl",
        merge.header(summary, header, source=context.request.source, base=alone.revision.top_hash),
        merge.merge(inventory.entries()),
    )
    return msgspec.structs.replace(merged, base=alone.revision, summary=summary)


async def _hash(context: _Context, inventory: Inventory, reused: int) -> Hashed:
    """Find the checksums that are missing, or hand the job off."""
    settings, s3, hand_off = context.settings, context.s3, context.hand_off
    objects, _ = inventory.totals()
    deadline = hand_off.deadline if hand_off else None
    loaded = hashed = NOTHING
    if hand_off and hand_off.files.round > 0:
        loaded = await load_results(s3, hand_off.files, inventory)
    known = reused + loaded.stored + loaded.computed
    is_large = deadline is not None and await is_too_large(inventory, settings)
    can_wait = never if deadline is None else find_computable(s3, inventory.buckets, settings)

    def on_progress(done: int) -> None:
        context.on_progress("checksums", known + done, objects)

    if not is_large:
        on_progress(0)  # the first object may take long
        hashed = await hash_objects(
            s3,
            inventory,
            settings=settings,
            on_progress=on_progress,
            deadline=deadline,
            can_wait=can_wait,
        )
    if hand_off and (await inventory.unhashed_totals())[0]:
        raise await write_plan(
            s3,
            hand_off.files,
            inventory,
            hashed=hashed,
            settings=settings,
            are_looked_up=not is_large or hand_off.files.round > 0,  # workers look them up, too
        )
    return Hashed(loaded.stored + hashed.stored, loaded.computed + hashed.computed)


async def _spool(path: Path, header: Header, entries: Iterable[Entry]) -> _Spooled:
    """Write a manifest to a file."""
    objects = size_bytes = 0
    with path.open("wb") as file:
        manifest = ManifestWriter(header, file.write)
        async for some in slices(entries, ENTRIES_AT_ONCE):
            manifest.add(some)
            objects += len(some)
            size_bytes += sum(each.size_bytes for each in some)
    revision = Revision(manifest.top_hash(), path, manifest.file_sha256())
    return _Spooled(revision, objects, size_bytes)
