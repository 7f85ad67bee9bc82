"""Compare the files of a package with the checksum lists of their sender.

Most comparisons need no request: the ETag of an object that one PUT wrote is its MD5, and the
manifest's checksum of an object of one chunk derives from its SHA-256.
"""

import hashlib
import re
from typing import Self

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each, slices
from quilt_packager_runtime.errors import (
    ChecksumMismatch,
    InvalidChecksumList,
    Samples,
    name_some,
    quote,
)
from quilt_packager_runtime.formats.checksums import (
    MANIFEST_TYPES,
    count_chunks,
    decode_digest,
    from_chunk_digests,
)
from quilt_packager_runtime.formats.objects import (
    ChecksumAlgorithm,
    SourceObject,
    key_of,
)
from quilt_packager_runtime.hashing.sender_lists import (
    ROWS_AT_ONCE,
    UNUSABLE,
    Expected,
    SenderLists,
    incomplete,
    read_sender_lists,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.package_request import PackageRequest
from quilt_packager_runtime.settings import Settings

MAX_AUTO_HEADS = 1000
"""Maximum number of HEADs for lists that the sender does not name."""

HEADS_IN_FLIGHT = 32

_SHA256 = ChecksumAlgorithm.SHA256_CHUNKED
_WRITTEN_BY_ONE_PUT = re.compile('"[0-9a-f]{32}"')
_ETAG_IS_MD5 = frozenset({"", "AES256"})
"""Encryption of objects whose ETag is the MD5 of their bytes, if one PUT wrote them."""


class Verified(msgspec.Struct, frozen=True):
    """The result of a comparison.

    Attributes:
        objects: Number of objects that match; None without lists.
        by_reading: Number of those whose bytes were read for it; None without lists.
        lists: The lists; None without any.
        warnings: Sentences about differences, and about lists that were not read.
    """

    objects: int | None = None
    by_reading: int | None = None
    lists: str | None = None
    warnings: list[str] = []


class Verification:
    """A comparison of the objects of an inventory with checksum lists.

    `begin` precedes hashing, and `finish` follows it. If the sender names the lists, the bytes are
    read of objects of which S3 has stored nothing comparable; otherwise these are not compared.

    Attributes:
        lists: The lists.
        bytes_to_read: Sum of the sizes of the objects that have to be read.
    """

    def __init__(self, s3: S3, inventory: Inventory, lists: SenderLists) -> None:
        self._s3 = s3
        self._inventory = inventory
        self.lists = lists
        self.bytes_to_read = 0
        self._heads = 0
        self._undecided: list[Expected] = []
        self._matching: set[bytes] = set()
        self._read: set[bytes] = set()
        self._different_paths: set[bytes] = set()
        self._missing = Samples()
        self._differing = Samples()

    @classmethod
    async def begin(
        cls, s3: S3, inventory: Inventory, settings: Settings, request: PackageRequest
    ) -> Self:
        """Read the lists of a folder, compare what S3 has stored, and request digests of the rest.

        Raises:
            Incomplete: A required list, or a file in one, is missing.
            InvalidChecksumList: A required list cannot be used; see `read_sender_lists`.
        """
        lists = await read_sender_lists(s3, inventory, request)
        verification = cls(s3, inventory, lists)
        async for part in slices(lists.expected, ROWS_AT_ONCE):
            await for_each(part, verification._compare_stored, at_once=HEADS_IN_FLIGHT)
        if lists.is_required:
            verification._check_complete()
            await verification._request_digests(settings)
        return verification

    async def finish(self) -> Verified:
        """Compare the rest with what hashing has found, and return the result.

        Raises:
            ChecksumMismatch: Objects differ from a required list.
        """
        lists = self.lists
        if not lists.keys:
            return Verified(warnings=lists.warnings)
        async for part in slices(self._undecided, ROWS_AT_ONCE):
            for expected in part:
                values = self._find_values(expected)
                if values is not None:
                    self._compare(expected, values)
                elif lists.is_required:
                    raise ValueError(f"{key_of(expected.path)!r} was not compared")
        warnings = [*lists.warnings]
        if self._differing.count:
            if lists.is_required:
                raise _mismatch(self._differing)
            warnings.append(f"Files differ from their checksum lists: {self._differing}.")
        if self._missing.count:
            warnings.append(f"Files in checksum lists are missing: {self._missing}.")
        verified = self._matching - self._different_paths
        return Verified(
            objects=len(verified),
            by_reading=len(verified & self._read),
            lists=name_some(lists.keys),
            warnings=warnings,
        )

    async def _compare_stored(self, expected: Expected) -> None:
        listed = self._inventory.look_up(expected.path)
        if listed is None:
            key, selection = key_of(expected.path), self._inventory.selection
            is_selected = selection is None or selection.includes(key)
            if is_selected and not self._inventory.excludes(key):
                self._missing.add(f"{quote(key)} ({quote(expected.list_key)})")
            return
        found, _ = listed
        values = _in_listing(expected, found)
        if values is None and self._needs_head(expected, found):
            self._heads += 1
            values = await self._ask(expected, found)
        if values is None:
            self._undecided.append(expected)
        else:
            self._compare(expected, values)

    def _check_complete(self) -> None:
        if self._missing.count:
            raise incomplete(
                f"Files in checksum lists are missing: {self._missing}.",
                why="verify_checksums names these lists, so the folder needs all of their files.",
                remedy="Upload the files, or correct the lists, and send the message again.",
            )

    async def _request_digests(self, settings: Settings) -> None:
        """Request digests of the objects whose manifest's checksum will not be comparable."""
        wanted: dict[bytes, set[str]] = {}
        too_large = Samples()
        async for part in slices(self._undecided, ROWS_AT_ONCE):
            for expected in part:
                found = self._inventory.find(expected.path)
                if _is_derivable(expected, found) and settings.checksum_algorithms == (_SHA256,):
                    continue
                if found.size_bytes > settings.max_shard_bytes:
                    too_large.add(quote(key_of(expected.path)))
                if expected.path not in wanted:
                    self.bytes_to_read += found.size_bytes
                wanted.setdefault(expected.path, set()).add(expected.algorithm)
        if too_large.count:
            raise InvalidChecksumList(
                f"Objects are too large for a comparison with checksum lists: {too_large}.",
                why="S3 has stored no comparable checksum of them, and one function cannot read "
                f"more than {settings.max_shard_bytes:,} bytes in order.",
                remedy="Take them out of the lists, or out of verify_checksums, and send the "
                "message again.",
            )
        self._inventory.request_digests(wanted.items())

    def _needs_head(self, expected: Expected, found: SourceObject) -> bool:
        """Return whether HEAD may show a comparable value that the manifest will not have."""
        if not _WRITTEN_BY_ONE_PUT.fullmatch(found.etag):
            return False  # S3 has only hashes of the parts
        if not self.lists.is_required and self._heads == MAX_AUTO_HEADS:
            return False
        if expected.algorithm == "md5":
            # The bytes are better evidence, and need no HEAD.
            return not self.lists.is_required
        return expected.algorithm == "sha256" and count_chunks(found.size_bytes) > 1

    def _find_values(self, expected: Expected) -> tuple[str, str] | None:
        """Return the expected and the actual value, if hashing has found one."""
        found, checksum = self._inventory.look_up(expected.path) or (None, None)
        if found is None or checksum is None:
            return None
        if expected.algorithm in found.digests:
            self._read.add(expected.path)
            actual = checksum.digests[found.digests.index(expected.algorithm)]
            return expected.digest.hex(), actual
        if checksum.type != MANIFEST_TYPES[_SHA256] or not _is_derivable(expected, found):
            return None
        wanted = from_chunk_digests(_SHA256, found.size_bytes, [expected.digest])
        return wanted.value, checksum.value

    async def _ask(self, expected: Expected, found: SourceObject) -> tuple[str, str] | None:
        """Return the expected and the stored value, if HEAD shows one."""
        uri = self._inventory.uri_of(found)
        try:
            head = await self._s3.head_object(uri, if_match=found.etag)
        except UNUSABLE:
            return None  # if it is needed, hashing reports it
        if expected.algorithm == "md5":
            is_md5 = head.encryption in _ETAG_IS_MD5
            return (expected.digest.hex(), found.etag.strip('"')) if is_md5 else None
        digest = decode_digest(_SHA256, head.stored.sha256 or "")
        return None if digest is None else (expected.digest.hex(), digest.hex())

    def _compare(self, expected: Expected, values: tuple[str, str]) -> None:
        wanted, actual = values
        if wanted == actual:
            self._matching.add(expected.path)
            return
        self._different_paths.add(expected.path)
        name = expected.algorithm
        if wanted != expected.digest.hex():
            name = f"{MANIFEST_TYPES[_SHA256]} of {name}"
        self._differing.add(
            f"{quote(key_of(expected.path))} ({name}: {wanted} in {quote(expected.list_key)}, "
            f"{actual} in S3)"
        )


def _in_listing(expected: Expected, found: SourceObject) -> tuple[str, str] | None:
    """Return the expected and the actual value, if the listing shows that they are equal.

    Another ETag than the expected MD5 shows nothing: it depends on the encryption.
    """
    wanted = expected.digest.hex()
    if found.size_bytes == 0:
        return wanted, hashlib.new(expected.algorithm, b"").hexdigest()
    return (wanted, wanted) if found.etag == f'"{wanted}"' else None


def _is_derivable(expected: Expected, found: SourceObject) -> bool:
    """Return whether the manifest's SHA-256 of the object derives from the expected digest."""
    return expected.algorithm == "sha256" and count_chunks(found.size_bytes) == 1


def _mismatch(differing: Samples) -> ChecksumMismatch:
    are = "file differs" if differing.count == 1 else "files differ"
    return ChecksumMismatch(
        f"{differing.count} {are} from the checksum lists: {differing}.",
        why="verify_checksums names these lists. The files were damaged or replaced, or the lists "
        "are out of date.",
        remedy="Upload the files or the lists again, and send the message again.",
    )
