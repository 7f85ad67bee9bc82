"""The writer of a package's newest revision, and the right of a job to replace it."""

import msgspec

from quilt_packager_runtime.aws.s3 import ObjectBody
from quilt_packager_runtime.errors import PackageNameTaken, Rejected, quote
from quilt_packager_runtime.formats.manifest import is_ours
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder
from quilt_packager_runtime.requests.package_request import (
    DEFAULT_COMMIT_MESSAGE,
    PackageRequest,
)


class _Header(msgspec.Struct):
    message: str | None = None
    source: str | None = None


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


def find_refusal(request: PackageRequest, manifest: ObjectBody | None) -> Rejected | None:
    """Return the reason why a job must not replace the newest revision; None if it may.

    Args:
        request: The job's request.
        manifest: First bytes of the newest revision's manifest; None if there is none.
    """
    if not request.is_name_inferred or manifest is None or not is_ours(manifest.metadata):
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


def _parse(uri: str) -> SourceFolder:
    folder = S3Uri.parse(uri)
    return SourceFolder(folder.bucket, folder.key)
