"""The checksum lists in a folder: what its sender says about the files in it."""

import re
from collections.abc import Callable, Iterator
from urllib.parse import unquote, urlsplit

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each, slices
from quilt_packager_runtime.errors import (
    AccessDenied,
    BadRequest,
    Incomplete,
    InvalidChecksumList,
    InvalidObjectState,
    NoSuchKey,
    PackagerError,
    PreconditionFailed,
    SourceChanged,
    name_some,
)
from quilt_packager_runtime.formats.checksum_lists import (
    ListedChecksum,
    described_file,
    is_checksum_list,
    path_in_package,
    read_checksum_list,
)
from quilt_packager_runtime.formats.globs import match_any
from quilt_packager_runtime.formats.objects import S3Uri, SourceObject, key_of, sort_key
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.events import CRATE_NAME
from quilt_packager_runtime.requests.package_request import PackageRequest
from quilt_packager_runtime.requests.ro_crates import file_digests

MAX_AUTO_LISTS = 100
"""Maximum number of lists that are read if the sender does not name them."""

MAX_AUTO_BYTES = 8 * 1024 * 1024
"""Maximum size of all of them."""

MAX_LIST_BYTES = 64 * 1024 * 1024
"""Maximum size of all lists that the sender names."""

MAX_LINES = 1_000_000
"""Maximum number of their lines. Each takes up to 300 bytes of memory."""

READS_IN_FLIGHT = 8

ROWS_AT_ONCE = 1000
"""Number of keys or lines looked at before other tasks run."""

UNUSABLE = (AccessDenied, BadRequest, InvalidObjectState, NoSuchKey, PreconditionFailed)
"""Errors of one object, which do not concern the others."""

_SHA256 = re.compile(r"[0-9A-Fa-f]{64}")


class Expected(msgspec.Struct, frozen=True, gc=False):
    """A checksum that a file of the package should have.

    Attributes:
        path: Sort key of the file's logical key.
        algorithm: Name of the algorithm in `hashlib`.
        digest: Digest of the file's bytes.
        list_key: Logical key of the list.
    """

    path: bytes
    algorithm: str
    digest: bytes
    list_key: str


class SenderLists(msgspec.Struct, frozen=True):
    """The checksum lists of a folder.

    Attributes:
        keys: Logical keys of the lists that were read.
        expected: Their checksums.
        is_required: The sender names the lists, so the files have to match.
        warnings: Sentences about lists that were not read, and lines that were not understood.
    """

    keys: list[str] = []
    expected: list[Expected] = []
    is_required: bool = False
    warnings: list[str] = []


async def read_sender_lists(s3: S3, inventory: Inventory, request: PackageRequest) -> SenderLists:
    """Read the checksum lists of a folder.

    Args:
        s3: S3.
        inventory: The listed objects, of which some are lists.
        request: The request, whose `verify_checksums` are the lists.

    Raises:
        Incomplete: No object matches the globs.
        InvalidChecksumList: A list that matches the globs is too large, cannot be read, or has
            lines that are no checksums of files in the folder.
        SourceChanged: A list has changed since it was listed.
        AccessDenied: S3 denies reading a list that matches the globs.
    """
    verify_checksums = request.verify_checksums
    if verify_checksums == "auto":
        is_list = _is_list_or_crate if request.is_crate_a_checksum_list else is_checksum_list
        found = await _find(inventory, is_list)
        return await _Reader(s3, inventory, is_required=False).read(found)
    if not isinstance(verify_checksums, tuple):
        return SenderLists()
    found = await _find(inventory, match_any(verify_checksums))
    if not found:
        raise incomplete(
            f"No object of {inventory.folder} matches verify_checksums: "
            f"{name_some(verify_checksums)}.",
            why="The required checksum lists are missing, or exclude leaves them out.",
            remedy="Upload the lists, or correct verify_checksums, and send the message again.",
        )
    return await _Reader(s3, inventory, is_required=True).read(found)


def incomplete(happened: str, *, why: str, remedy: str) -> Incomplete:
    """Return the error for missing files, for which a job does not wait."""
    error = Incomplete(happened, why=why, remedy=remedy)
    error.is_awaited = False
    return error


async def _find(
    inventory: Inventory, is_list: Callable[[str], bool]
) -> list[tuple[str, SourceObject]]:
    """Return the logical keys and objects of lists, in the manifest's order."""
    return [
        (key, inventory.find(path))
        async for rows in slices(inventory.paths(), ROWS_AT_ONCE)
        for path, size_bytes in rows
        if size_bytes and is_list(key := key_of(path))
    ]


def _is_list_or_crate(key: str) -> bool:
    return is_checksum_list(key) or key == CRATE_NAME


class _Reader:
    """Reads lists, several at once."""

    def __init__(self, s3: S3, inventory: Inventory, *, is_required: bool) -> None:
        self._s3 = s3
        self._inventory = inventory
        self._is_required = is_required
        self._by_list: dict[str, list[Expected]] = {}
        self._unread: list[str] = []
        self._odd: list[str] = []
        self._lines = 0

    async def read(self, found: list[tuple[str, SourceObject]]) -> SenderLists:
        """Read the lists of these logical keys."""
        if not self._is_required:
            found, self._unread = _select(found)
        elif sum(each.size_bytes for _, each in found) > MAX_LIST_BYTES:
            raise self._too_large(f"{MAX_LIST_BYTES:,} bytes")
        await for_each(found, self._read_one, at_once=READS_IN_FLIGHT)
        keys = [key for key, _ in found if self._by_list.get(key)]
        expected = [each for key in keys for each in self._by_list[key]]
        return SenderLists(keys, expected, self._is_required, self._warn())

    async def _read_one(self, listed: tuple[str, SourceObject]) -> None:
        key, found = listed
        uri = self._inventory.uri_of(found)
        try:
            body = await self._s3.get_object(uri, if_match=found.etag)
        except UNUSABLE as error:
            if self._is_required:
                raise _unreadable(uri, error) from error
            self._unread.append(key)
            return
        lines: list[ListedChecksum | None] = []
        async for part in slices(_parse(body.data, key), ROWS_AT_ONCE):
            lines += part
            self._lines += len(part)
            if self._lines > MAX_LINES:
                raise self._too_large(f"{MAX_LINES:,} lines")
        self._by_list[key], is_odd = _expect(lines, key)
        if is_odd:
            self._odd.append(key)

    def _warn(self) -> list[str]:
        unread, odd = sorted(self._unread), sorted(self._odd)
        if odd and self._is_required:
            raise InvalidChecksumList(
                f"Lines of {name_some(odd)} are not checksums of files in the folder.",
                why="A line is the MD5, SHA-1, SHA-256 or SHA-512 of a file, as GNU coreutils, BSD "
                "or BagIt write it, with a path relative to the list.",
                remedy="Correct the lists or verify_checksums, and send the message again.",
            )
        warnings = []
        if unread:
            warnings.append(f"Checksum lists not read: {name_some(unread)}.")
        if odd:
            warnings.append(f"Lines not understood in checksum lists: {name_some(odd)}.")
        return warnings

    def _too_large(self, limit: str) -> InvalidChecksumList:
        return InvalidChecksumList(
            f"The checksum lists of {self._inventory.folder} have more than {limit}.",
            why="Lists of that size do not fit into the memory of the function.",
            remedy="Correct verify_checksums, or package the folder in parts.",
        )


def _select(
    found: list[tuple[str, SourceObject]],
) -> tuple[list[tuple[str, SourceObject]], list[str]]:
    """Return the lists within the limits of those that the sender does not name; and the others."""
    selected: list[tuple[str, SourceObject]] = []
    others = []
    left_bytes = MAX_AUTO_BYTES
    for key, each in found:
        if len(selected) < MAX_AUTO_LISTS and each.size_bytes <= left_bytes and not each.archived:
            selected.append((key, each))
            left_bytes -= each.size_bytes
        else:
            others.append(key)
    return selected, others


def _parse(data: bytes, key: str) -> Iterator[ListedChecksum | None]:
    if key.rpartition("/")[2] != CRATE_NAME:
        yield from read_checksum_list(data, key)
        return
    try:
        for file_id, digest in file_digests(data):
            if _SHA256.fullmatch(digest) and not urlsplit(file_id).scheme:
                yield ListedChecksum(unquote(file_id), "sha256", bytes.fromhex(digest))
    except ValueError:
        yield None


def _expect(lines: list[ListedChecksum | None], key: str) -> tuple[list[Expected], bool]:
    """Return the checksums of a list, and whether any line is not one of a file in the package.

    The list itself may be among its lines: it was empty when it was hashed.
    """
    file = described_file(key, [line.path for line in lines if line])
    expected: dict[Expected, None] = {}
    is_odd = False
    for line in lines:
        path = file
        if line and path is None and line.path:
            path = path_in_package(line.path, key)
        if line is None or path is None:
            is_odd = True
        elif path != key:
            expected[Expected(sort_key(path), line.algorithm, line.digest, key)] = None
    return list(expected), is_odd


def _unreadable(uri: S3Uri, error: PackagerError) -> PackagerError:
    if isinstance(error, AccessDenied):
        return error
    if isinstance(error, NoSuchKey | PreconditionFailed):
        return SourceChanged(
            f"{uri} changed while it was packaged.",
            why="Another process is still writing to the folder.",
            remedy="Retry when the folder is complete.",
        )
    return InvalidChecksumList(
        f"The checksum list {uri} cannot be read.", why=error.happened, remedy=error.remedy
    )
