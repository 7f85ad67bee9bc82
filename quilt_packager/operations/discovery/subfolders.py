"""The folders right below one, and what is known of each by few requests."""

from contextlib import aclosing, suppress

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import Rejected
from quilt_packager_runtime.formats.names import infer_package_name
from quilt_packager_runtime.formats.objects import REGISTRY_PREFIX, SourceFolder

from quilt_packager.operations.discovery.packaged import Packaged, PackagedFolders
from quilt_packager.operations.discovery.recognition import Recognised, recognise

MAX_FOLDERS = 20
"""Maximum number of folders on a page: each takes about five requests."""

FOLDERS_AT_ONCE = 10


class Subfolder(msgspec.Struct, frozen=True, kw_only=True):
    """A folder below another.

    Attributes:
        folder: The folder.
        kind: Its kind; None if it is of no known kind.
        objects: Number of objects, or of those on the first page of its listing.
        size_bytes: Their total size.
        is_counted: Those are all objects.
        package_name: The name that the folder gives.
        packaged: The package of that name; None if the registry could not be read.
    """

    folder: SourceFolder
    kind: Recognised | None
    objects: int
    size_bytes: int
    is_counted: bool
    package_name: str
    packaged: Packaged | None


class Subfolders(msgspec.Struct, frozen=True):
    """A page of folders below another.

    Attributes:
        folders: The folders, by name.
        following: Prefix after which the next page starts; None on the last one.
    """

    folders: tuple[Subfolder, ...]
    following: str | None = None


async def find_subfolders(
    s3: S3, folder: SourceFolder, registry: str, *, after: str = ""
) -> Subfolders:
    """Find the folders right below a folder.

    Args:
        s3: S3, with the permissions of the user.
        folder: The folder.
        registry: Registry of their packages.
        after: Prefix after which the page starts.
    """
    prefixes: list[str] = []
    async for prefix in s3.list_folders(folder.bucket, folder.prefix):
        if prefix > after and prefix != REGISTRY_PREFIX:
            prefixes.append(prefix)
        if len(prefixes) > MAX_FOLDERS:
            break
    shown = prefixes[:MAX_FOLDERS]
    found: dict[str, Subfolder] = {}

    async def look(prefix: str) -> None:
        found[prefix] = await _look_at(s3, SourceFolder(folder.bucket, prefix), registry)

    await for_each(shown, look, at_once=FOLDERS_AT_ONCE)
    following = shown[-1] if len(prefixes) > MAX_FOLDERS else None
    return Subfolders(tuple(found[prefix] for prefix in shown), following)


async def _look_at(s3: S3, folder: SourceFolder, registry: str) -> Subfolder:
    async with aclosing(s3.list_version_pages(folder.bucket, folder.prefix)) as pages:
        page = await anext(pages)
    name = infer_package_name(folder.prefix)
    packaged: Packaged | None = None
    with suppress(Rejected):  # the user may not read the registry
        packaged = await PackagedFolders(s3, registry).find(folder, name)
    return Subfolder(
        folder=folder,
        kind=await recognise(s3, folder),
        objects=len(page.objects),
        size_bytes=sum(each.size_bytes for each in page.objects),
        is_counted=page.next_key is None,
        package_name=name,
        packaged=packaged,
    )
