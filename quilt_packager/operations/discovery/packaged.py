"""The folders that a registry has packages of, found with a bounded number of requests."""

from typing import NamedTuple

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.registry.ownership import folder_of
from quilt_packager_runtime.registry.publish import LATEST, NAMED_PACKAGES, Package, read_latest

MAX_PACKAGES = 20_000
"""Maximum number of packages that are all read, with two small requests each.

In a larger registry, only the packages that would have the name of a folder are read.
"""

READS_AT_ONCE = 64
HEADER_BYTES = 64 * 1024
"""Read of a manifest: its header usually has less than a kilobyte."""


class Packaged(NamedTuple):
    """The package of a folder, or the reason why its name is not available.

    Attributes:
        name: Package that has the folder; None if there is none.
        name_owner: Owner of the name, another folder; None if the name is available.
    """

    name: str | None = None
    name_owner: str | None = None


class PackagedFolders:
    """The packages of a registry, by their folders.

    Attributes:
        registry: Bucket of the registry.
    """

    def __init__(self, s3: S3, registry: str) -> None:
        self._s3 = s3
        self.registry = registry
        self._is_complete = False
        self._folders: dict[str, SourceFolder | None] = {}
        self._names: dict[SourceFolder, str] = {}

    async def read(self) -> None:
        """Read the packages, unless there are more than `MAX_PACKAGES`."""
        names: list[str] = []
        async for keys in self._s3.list_keys(self.registry, NAMED_PACKAGES):
            names += [
                key.removeprefix(NAMED_PACKAGES).removesuffix(f"/{LATEST}")
                for key in keys
                if key.endswith(f"/{LATEST}")
            ]
            if len(names) > MAX_PACKAGES:
                return
        await for_each(names, self._read_package, at_once=READS_AT_ONCE)
        self._is_complete = True

    async def find(self, folder: SourceFolder, name: str) -> Packaged:
        """Find the package of a folder or of one above it, or the owner of its name."""
        if not self._is_complete and name not in self._folders:
            self._folders.clear()
            self._names.clear()
            await self._read_package(name)
        components = folder.prefix.split("/")[:-1]
        for depth in range(len(components), -1, -1):
            prefix = "".join(f"{component}/" for component in components[:depth])
            above = SourceFolder(folder.bucket, prefix)
            if above in self._names:
                return Packaged(self._names[above])
        if name not in self._folders:
            return Packaged()
        owner = self._folders[name]
        return Packaged(name_owner=str(owner) if owner is not None else "an unknown folder")

    async def _read_package(self, name: str) -> None:
        package = Package(self.registry, name)
        latest = await read_latest(self._s3, package)
        if latest.top_hash is None:
            return
        uri = package.manifest(latest.top_hash)
        manifest = await self._s3.read_if_exists(uri, max_bytes=HEADER_BYTES)
        folder = folder_of(manifest.data) if manifest is not None else None
        self._folders[name] = folder
        if folder is not None:
            self._names[folder] = name
