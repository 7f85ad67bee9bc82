"""The revisions of a package, and their names."""

import re
from datetime import UTC, datetime

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.registry import publish

from quilt_packager.operations.durations import parse_since
from quilt_packager.operations.errors import (
    BrokenManifest,
    SeveralRevisions,
    UnknownPackage,
    UnknownRevision,
)

FROM_THE_END = re.compile(r"-(?P<number>[1-9][0-9]{0,8})")
POINTER = re.compile(r"[1-9][0-9]*")
HASH_PREFIX = re.compile(r"[0-9a-f]{6,64}")


class Revision(msgspec.Struct, frozen=True):
    """A revision of a package.

    Attributes:
        top_hash: Top hash.
        published: Time of its pointer; None if it was found by its top hash.
    """

    top_hash: str
    published: datetime | None = None


class RevisionLookup:
    """Looks up the revisions of a package by name."""

    def __init__(self, s3: S3, package: publish.Package) -> None:
        self._s3 = s3
        self._package = package
        self._seconds: list[int] | None = None

    async def find(self, name: str) -> Revision:
        """Find a revision.

        Args:
            name: `latest`; `-1` for the newest, `-2` for the one before it; the seconds of its
                pointer; the beginning of its top hash; or a time, such as `2d` or `2026-11-01`, for
                the newest revision at that time.

        Raises:
            UnknownPackage: The package does not exist.
            UnknownRevision: The revision does not exist.
            SeveralRevisions: Several top hashes have that beginning.
        """
        seconds = await self._list()
        if name == publish.LATEST:
            return await self._latest()
        if from_the_end := FROM_THE_END.fullmatch(name):
            number = int(from_the_end["number"])
            if number > len(seconds):
                raise self._unknown(name)
            return await self._read(seconds[-number])
        if POINTER.fullmatch(name) and int(name) in seconds:
            return await self._read(int(name))
        if HASH_PREFIX.fullmatch(name.lower()):
            return await self._find_hash(name.lower())
        try:
            moment = parse_since(name, datetime.now(UTC))
        except ValueError:
            raise self._unknown(name) from None
        earlier = [each for each in seconds if each <= moment.timestamp()]
        if not earlier:
            raise self._unknown(name)
        return await self._read(earlier[-1])

    async def before(self, revision: Revision) -> Revision | None:
        """Find the newest revision before another; None if it is the first one."""
        seconds = await self._list()
        earlier = iter(reversed(seconds))
        if revision.published is not None:
            published = revision.published.timestamp()
            earlier = iter([each for each in reversed(seconds) if each < published])
        for second in earlier:
            found = await self._read(second)
            if found.top_hash != revision.top_hash:
                return found
        return None

    async def _list(self) -> list[int]:
        if self._seconds is None:
            self._seconds = await publish.list_pointers(self._s3, self._package)
        if not self._seconds:
            raise UnknownPackage(
                f"{self._package.registry} has no package {quote(self._package.name)}.",
                why="The registry has no pointer of that name.",
                remedy="Check the name and --registry.",
            )
        return self._seconds

    async def _latest(self) -> Revision:
        latest = await publish.read_latest(self._s3, self._package)
        if latest.top_hash is None:
            raise self._unknown(publish.LATEST)
        # Usually it is the newest, whose time is known.
        newest = await self._read((await self._list())[-1])
        return newest if newest.top_hash == latest.top_hash else Revision(latest.top_hash)

    async def _read(self, second: int) -> Revision:
        pointer = await publish.read_pointer(self._s3, self._package, str(second))
        if pointer.top_hash is None:
            raise BrokenManifest(
                f"The pointer {second} of {self._package.name} names no revision.",
                why="It has no valid top hash, or was deleted meanwhile.",
                remedy="Name the revision by its top hash.",
            )
        return Revision(pointer.top_hash, datetime.fromtimestamp(second, UTC))

    async def _find_hash(self, prefix: str) -> Revision:
        folder = self._package.manifest("").key
        found: list[str] = []
        async for keys in self._s3.list_keys(self._package.registry, folder + prefix):
            found += [key.removeprefix(folder) for key in keys]
            if len(found) > 1:
                break
        if not found:
            raise self._unknown(prefix)
        if len(found) > 1:
            raise SeveralRevisions(
                f"The top hashes of several revisions begin with {prefix}.",
                why=f"Two of them are {found[0]} and {found[1]}.",
                remedy="Give more characters.",
            )
        return Revision(found[0])

    def _unknown(self, name: str) -> UnknownRevision:
        return UnknownRevision(
            f"{self._package.name} has no revision {quote(name)}.",
            why="A revision is named by latest, by -1, -2 and so on, by a time, such as 2d or "
            "2026-11-01, by its pointer, or by at least 6 characters of its top hash.",
            remedy="Name another revision.",
        )
