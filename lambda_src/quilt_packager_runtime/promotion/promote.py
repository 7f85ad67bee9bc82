"""The story of a promotion: a revision becomes the newest of a package in another registry.

docs/adr/0024-promotion.md has the reasons.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.errors import (
    DestinationOccupied,
    HeldForReview,
    NoSuchRevision,
    WriteConflict,
)
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX
from quilt_packager_runtime.promotion.copy_objects import CopyCounts, copy_objects
from quilt_packager_runtime.promotion.promotion_request import (
    PromotionOutcome,
    PromotionRequest,
    PromotionResult,
)
from quilt_packager_runtime.promotion.revision_contents import RevisionContents
from quilt_packager_runtime.registry.publish import (
    Message,
    Pointer,
    Publication,
    Publisher,
    Revision,
    read_latest,
)
from quilt_packager_runtime.workflows import gate

MAX_PASSES = 5
"""Maximum number of attempts to publish a package that others publish at the same time."""

SUPERSEDED = "A newer promotion or job has published this package."

OnProgress = Callable[[str, int, int | None], object]
"""Called with the phase, the number of objects that are done, and the total if it is known."""


class NotWanted(Exception):
    """The metadata of the revision has other values than the request accepts."""


class Published(msgspec.Struct, frozen=True):
    """The result of publishing.

    Attributes:
        is_own: `latest` was moved by this promotion, or by an earlier attempt at it.
        is_superseded: A newer message has published the package.
        is_refreshed: The package has the revision already; its manifest alone was written.
        foreign_top_hash: The revision that was replaced, and was no promotion of this package.
    """

    is_own: bool
    is_superseded: bool = False
    is_refreshed: bool = False
    foreign_top_hash: str | None = None


async def promote(
    request: PromotionRequest,
    *,
    s3: S3,
    message: Message | None = None,
    on_progress: OnProgress = lambda _phase, _done, _total: None,
    deadline: float | None = None,
) -> PromotionOutcome:
    """Publish a revision in another registry, with its objects where they are or copied.

    A promotion that was interrupted continues if it is repeated: nothing is copied twice.

    Args:
        request: The request.
        s3: S3.
        message: Orders promotions of one package; None for one that is due now.
        on_progress: Called with the progress.
        deadline: Time to stop copying, on the event loop's clock.

    Returns:
        The outcome, `promoted` or `unchanged`.

    Raises:
        NotWanted: The metadata has other values than the request accepts.
        Unfinished: The deadline passed before everything was copied.
        Rejected: The promotion can never succeed as it is.
        Failed: The promotion may succeed later.
    """
    _check_destination(request)
    top_hash = request.top_hash or await _find_newest(s3, request)
    request = msgspec.structs.replace(request, top_hash=top_hash)
    latest = await read_latest(s3, request.target)
    due = message or Message.now(s3, latest)
    publisher = Publisher(s3, request.target, due, request.provenance)
    with translate_disk_full(), RevisionContents() as contents:
        on_progress("manifest", 0, None)
        await contents.load(s3, request.source.manifest(top_hash), top_hash)
        _check_wanted(request, contents)
        header = await _check_workflow(s3, request, contents)
        new_hash = top_hash if header == contents.header else await contents.top_hash(header)
        _check_replaceable(request, latest, new_hash)
        counts: CopyCounts | None = None
        if request.copies is not None:
            counts = await copy_objects(
                s3,
                contents,
                request.copies,
                request.provenance,
                on_progress=on_progress,
                deadline=deadline,
            )
        with TemporaryDirectory() as folder:
            path = Path(folder, "manifest.jsonl")
            revision = await _spool(path, request, contents, header, new_hash)
            published = await _publish(s3, request, publisher, revision, latest)
        return _outcome(
            request,
            contents,
            published,
            top_hash=new_hash,
            previous_top_hash=latest.top_hash,
            counts=counts,
        )


def _check_destination(request: PromotionRequest) -> None:
    if request.copies is not None and request.copies.prefix.startswith(REGISTRY_PREFIX):
        raise DestinationOccupied(
            f"No objects are copied to {request.copy_to}.",
            why=f"{REGISTRY_PREFIX} holds the registry itself.",
            remedy="Copy to another prefix.",
        )


async def _find_newest(s3: S3, request: PromotionRequest) -> str:
    latest = await read_latest(s3, request.source)
    if latest.top_hash is None:
        raise NoSuchRevision(
            f"{request.source.registry} has no package {request.source.name}.",
            why="The registry has no valid pointer latest of that name.",
            remedy="Correct the name or the registry.",
        )
    return latest.top_hash


def _check_wanted(request: PromotionRequest, contents: RevisionContents) -> None:
    metadata = contents.header.get("user_meta") or {}
    for name, accepted in request.accepted_metadata.items():
        if metadata.get(name) not in accepted:
            raise NotWanted


async def _check_workflow(
    s3: S3, request: PromotionRequest, contents: RevisionContents
) -> dict[str, Any]:
    """Check the rules of the target's registry, and return the header for it.

    A header that names a workflow names the configuration of its registry: it gets the record of
    the target's instead. Any other header stays, and so does the top hash.
    """
    header = contents.header
    record = await gate.check(
        s3,
        request.target.registry,
        workflow=request.workflow,
        package_name=request.target.name,
        message=header.get("message") or "",
        metadata=header.get("user_meta"),
        entries=contents.sizes(),
        entry_metadata=contents.metadata(),
    )
    if header.get("workflow") is None:
        return header
    kept = {name: value for name, value in header.items() if name != "workflow"}
    return kept if record is None else {**header, "workflow": record}


def _check_replaceable(request: PromotionRequest, latest: Pointer, top_hash: str) -> str | None:
    """Return the top hash of a revision that is no promotion of this package, if it is replaced.

    Raises:
        HeldForReview: It must be kept.
    """
    if latest.top_hash in {None, top_hash}:
        return None
    if latest.provenance is not None and latest.provenance.is_of(request.source):
        return None
    if request.on_foreign_revision == "replace":
        return latest.top_hash
    raise HeldForReview(
        f"The newest revision of {request.target.name} in {request.target.registry}, "
        f"{latest.top_hash}, was not promoted from {request.source.name} in "
        f"{request.source.registry}.",
        why="on_foreign_revision is hold: such revisions are replaced only after a review.",
        remedy="To replace it, promote with --on-foreign-revision replace; to keep both, promote "
        "to another name.",
    )


async def _spool(
    path: Path,
    request: PromotionRequest,
    contents: RevisionContents,
    header: dict[str, Any],
    top_hash: str,
) -> Revision:
    """Write the manifest to a file."""
    with path.open("wb") as file:
        sha256 = await contents.write(header, file.write)
    return Revision(
        top_hash,
        path,
        sha256,
        marks=_marks(request, contents),
        keeps_other=request.copies is None,
    )


def _marks(request: PromotionRequest, contents: RevisionContents) -> dict[str, str]:
    """Return the user metadata of the manifest.

    Checksums of other writers are not reused by later jobs, unless the copies have confirmed them.
    """
    is_trusted = contents.is_ours or request.copies is not None
    return {
        **(WRITTEN_BY_US if is_trusted else {}),
        **request.provenance.to_metadata(),
    }


async def _publish(
    s3: S3, request: PromotionRequest, publisher: Publisher, revision: Revision, latest: Pointer
) -> Published:
    """Make the revision the newest, unless a newer message has published another one."""
    is_own = False
    foreign: str | None = None
    for _ in range(MAX_PASSES):
        try:
            replaced = _check_replaceable(request, latest, revision.top_hash)
        except HeldForReview:
            # A pointer of this promotion may be above that of the revision that is kept.
            if await publisher.yield_to(latest):
                raise
            latest = await read_latest(s3, request.target)
            continue
        if latest.is_newer_than(publisher.message):
            if await publisher.yield_to(latest):
                return Published(is_own=is_own, is_superseded=True)
            latest = await read_latest(s3, request.target)
            continue
        foreign = replaced or foreign
        if latest.top_hash == revision.top_hash:
            await publisher.read_manifest(revision.top_hash, max_bytes=1)
        publication = await publisher.publish(revision, latest, replaced=replaced)
        is_own = is_own or publication is Publication.CREATED
        if publication is Publication.UNCHANGED or (
            publication is not Publication.START_OVER and await publisher.is_settled(revision)
        ):
            is_repeated = latest.message == publisher.message
            if is_repeated:
                foreign = latest.replaced
            return Published(
                is_own=is_own or is_repeated,
                is_refreshed=publication is Publication.REFRESHED,
                foreign_top_hash=foreign,
            )
        latest = await read_latest(s3, request.target)
    raise WriteConflict(
        f"{request.target.name} changed during {MAX_PASSES} attempts to publish it.",
        why="Several jobs or people publish this package at once.",
        remedy="Retry; look for a loop of promotions if this recurs.",
    )


def _outcome(  # noqa: PLR0913 - the parts of a promotion
    request: PromotionRequest,
    contents: RevisionContents,
    published: Published,
    *,
    top_hash: str,
    previous_top_hash: str | None,
    counts: CopyCounts | None,
) -> PromotionOutcome:
    objects, size_bytes = contents.totals()
    result = PromotionResult.PROMOTED if published.is_own else PromotionResult.UNCHANGED
    return msgspec.structs.replace(
        PromotionOutcome.of(request, result),
        top_hash=top_hash,
        objects=objects,
        bytes=size_bytes,
        copied=counts.copied if counts else None,
        present=counts.present if counts else None,
        previous_top_hash=previous_top_hash,
        foreign_top_hash=published.foreign_top_hash,
        remark=" ".join(_remarks(request, published, top_hash)) or None,
    )


def _remarks(request: PromotionRequest, published: Published, top_hash: str) -> Iterator[str]:
    if top_hash != request.top_hash:
        yield (
            f"The top hash was {request.top_hash} in {request.source.registry}, and is {top_hash} "
            "here: the header named a workflow configuration of the former."
        )
    if published.foreign_top_hash is not None:
        yield (
            f"Replaced {published.foreign_top_hash}, which was not promoted from this package; "
            "that revision still exists."
        )
    is_same_registry = request.source.registry == request.target.registry
    if request.copies is not None and (published.is_refreshed or is_same_registry):
        yield (
            f"The manifest {top_hash} in {request.target.registry} names the copies in "
            f"{request.copies} now, for all packages with this revision; earlier versions of the "
            "manifest name the other objects."
        )
    if published.is_superseded:
        yield SUPERSEDED
