"""The writer of a package's newest revision, and the right of a job to replace it.

docs/adr/0023-revisions-of-other-writers.md has the reasons.
"""

import msgspec

from quilt_packager_runtime.aws.s3 import ObjectBody
from quilt_packager_runtime.errors import HeldForReview, PackageNameTaken, Rejected, quote
from quilt_packager_runtime.formats.manifest import Carried, is_ours
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder
from quilt_packager_runtime.registry.publish import Message, Pointer
from quilt_packager_runtime.requests.package_request import (
    DEFAULT_COMMIT_MESSAGE,
    PackageRequest,
)
from quilt_packager_runtime.settings import OnForeignRevision, Settings


class _Header(msgspec.Struct):
    message: str | None = None
    source: str | None = None
    carried: Carried | None = None


class _Entry(msgspec.Struct):
    logical_key: str
    physical_keys: list[str]


def folder_of(manifest: bytes) -> SourceFolder | None:
    """Return the folder of a manifest that this engine wrote, from its first bytes.

    The header names it, in `source` or in the default commit message. Manifests that are older
    than `source` do not, if their message is not the default one: their first entry does.
    """
    header_line, _, rest = manifest.partition(b"\n")
    try:
        header = msgspec.json.decode(header_line, type=_Header)
        if header.source is not None:
            return _parse(header.source)
        if header.message is not None and header.message.startswith(DEFAULT_COMMIT_MESSAGE):
            return _parse(header.message.removeprefix(DEFAULT_COMMIT_MESSAGE))
        entry = msgspec.json.decode(rest.partition(b"\n")[0], type=_Entry)
        uri = S3Uri.parse(entry.physical_keys[0])
    except (ValueError, IndexError):
        return None
    if not uri.key.endswith(entry.logical_key):
        return None
    return SourceFolder(uri.bucket, uri.key.removesuffix(entry.logical_key))


def is_foreign(latest: Pointer, manifest: ObjectBody | None) -> bool:
    """Return whether another writer than this engine published the newest revision.

    The engine marks its manifests, and the pointers that it writes. Either mark suffices: older
    versions of the engine did not mark pointers, and a manifest of another writer with the same top
    hash stays. Without a manifest that can be read, the pointer decides.

    Args:
        latest: The pointer.
        manifest: First bytes of its manifest; None if it is missing or not readable.
    """
    if latest.top_hash is None or latest.message is not None:
        return False
    return manifest is None or not is_ours(manifest.metadata)


def carried_in(manifest: ObjectBody | None) -> Carried | None:
    """Return the origin of what a revision of this engine has beside its folder.

    quilt3 keeps the field when a person edits the revision, so others than this engine may have it.
    """
    if manifest is None or not is_ours(manifest.metadata):
        return None
    try:
        return msgspec.json.decode(manifest.data.partition(b"\n")[0], type=_Header).carried
    except msgspec.DecodeError:
        return None


def find_replaced(latest: Pointer, manifest: ObjectBody | None, message: Message) -> str | None:
    """Return the top hash of a revision with another writer's changes that a job replaces, or has.

    Args:
        latest: The pointer before the job's writes, or after those of an earlier pass or delivery.
        manifest: First bytes of its manifest.
        message: The job's message.
    """
    if latest.message == message and latest.replaced is not None:
        return latest.replaced
    has_changes = is_foreign(latest, manifest) or carried_in(manifest) is not None
    return latest.top_hash if has_changes else None


def describe_replaced(top_hash: str) -> str:
    """Return the remark about a revision with another writer's changes that a job replaced."""
    return f"Replaced {top_hash}, which has changes of another writer; that revision still exists."


def action_for(request: PackageRequest, settings: Settings) -> OnForeignRevision:
    """Return what a job does with the changes of another writer."""
    return request.on_foreign_revision or settings.on_foreign_revision


def find_refusal(
    request: PackageRequest, latest: Pointer, manifest: ObjectBody | None, settings: Settings
) -> Rejected | None:
    """Return the reason why a job must not replace the newest revision; None if it may.

    Args:
        request: The job's request.
        latest: The pointer to the newest revision.
        manifest: First bytes of its manifest; None if it is missing or not readable.
        settings: The engine's settings, for requests that do not say what to do.
    """
    if is_foreign(latest, manifest):
        return _hold(request, latest) if action_for(request, settings) == "hold" else None
    if not request.is_name_inferred or manifest is None:
        return None
    folder = folder_of(manifest.data)
    if folder is None or folder == request.source:
        return None
    return PackageNameTaken(
        f"{request.package_name} in {request.registry} is the package of another folder, "
        f"{quote(str(folder))}.",
        why=f"The message names no package, and {quote(str(request.source))} gives the same name: "
        "the two folders would replace each other's revisions.",
        remedy="Send package_name in the message, or set a package_name for the event source.",
    )


def _hold(request: PackageRequest, latest: Pointer) -> HeldForReview:
    return HeldForReview(
        f"The newest revision of {request.package_name} in {request.registry}, {latest.top_hash}, "
        "was not published by this engine.",
        why="on_foreign_revision is hold: such revisions are replaced only after a review.",
        remedy="To replace it, retry this message by quilt-packager failures retry "
        "--on-foreign-revision replace; to keep its changes in the next revision, with "
        "--on-foreign-revision carry; to keep it as it is, discard the message.",
    )


def _parse(uri: str) -> SourceFolder:
    folder = S3Uri.parse(uri)
    return SourceFolder(folder.bucket, folder.key)
