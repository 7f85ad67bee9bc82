"""Finds the versions that references name in a listing of their bucket.

References and listing are both sorted by key, and are merged. Each request starts at the next key
that is named, so that a package of a hundred objects in a bucket of a billion takes at most a
hundred requests, and one of all objects takes as many as there are pages.
docs/adr/0033-audits.md compares this with a HEAD for each object.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import aclosing
from itertools import groupby

import msgspec

from quilt_packager_runtime.auditing.references import Reference
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import NULL_VERSION, ListedVersion

LAST_ASCII = "~"


class Match(msgspec.Struct, frozen=True, gc=False):
    """The version of a reference.

    Attributes:
        reference: The reference.
        found: The version or delete marker that it names; None if it is not listed.
        noncurrent_since: Time when a newer version replaced it, in RFC 3339.
        substitute: Newest version of the same key and size, if `found` is None or a marker.
    """

    reference: Reference
    found: ListedVersion | None
    noncurrent_since: str | None = None
    substitute: ListedVersion | None = None


async def find_versions(s3: S3, references: Sequence[Reference]) -> AsyncIterator[Match]:
    """Find the versions of references to one bucket, which are sorted by key.

    Memory: the references, and a page of the listing; of a key's versions only those of interest.
    """
    bucket = references[0].bucket
    prefix = common_folder(references[0].key, references[-1].key)
    join = _Join(references)
    while join.is_waiting:
        # Some servers refuse a marker outside of the prefix.
        after = join.position if join.position.startswith(prefix) else ""
        listing = s3.list_all_versions(bucket, prefix, after=after)
        async with aclosing(listing) as pages:
            async for page in pages:
                for match in join.take(page):
                    yield match
                if join.may_jump:
                    break
            else:
                for match in join.end():
                    yield match


class _History:
    """The versions of one key, the newest first, as far as its references need them."""

    def __init__(self, key: str, references: list[Reference]) -> None:
        self.key = key
        self.newest: ListedVersion | None = None
        self._references = references
        self._wanted = {each.version_id for each in references}
        self._found: dict[str | None, tuple[ListedVersion, str | None]] = {}
        self._by_size: dict[int, ListedVersion] = {}
        self._replaced: str | None = None

    @property
    def is_complete(self) -> bool:
        return len(self._found) == len(self._wanted)

    def add(self, listed: ListedVersion) -> None:
        if self.newest is None:
            self.newest = listed
            if None in self._wanted:
                self._found[None] = listed, None
        version_id = listed.version_id or NULL_VERSION
        if version_id in self._wanted:
            self._found[version_id] = listed, self._replaced
        if not listed.is_marker:
            self._by_size.setdefault(listed.size_bytes, listed)
        self._replaced = listed.modified

    def matches(self) -> Iterator[Match]:
        for each in self._references:
            found, since = self._found.get(each.version_id, (None, None))
            is_gone = found is None or found.is_marker
            substitute = self._by_size.get(each.size_bytes) if is_gone else None
            yield Match(each, found, since, substitute)


class _Join:
    """The keys whose versions have not been found yet.

    Attributes:
        position: Key after which the next request starts.
        may_jump: A new request gets further than the next page.
    """

    def __init__(self, references: Sequence[Reference]) -> None:
        groups = groupby(references, key=lambda each: each.key)
        self._waiting = deque(_History(key, list(group)) for key, group in groups)
        self.position = key_before(self._waiting[0].key)
        self.may_jump = False

    @property
    def is_waiting(self) -> bool:
        return bool(self._waiting)

    def take(self, page: Sequence[ListedVersion]) -> Iterator[Match]:
        """Take a page, and yield the matches of the keys that it completes."""
        for listed in page:
            while self._waiting and self._waiting[0].key < listed.key:
                yield from self._waiting.popleft().matches()
            if self._waiting and self._waiting[0].key == listed.key:
                self._waiting[0].add(listed)
        if self._waiting and self._waiting[0].is_complete:
            yield from self._waiting.popleft().matches()
        # Within the versions of a key, only the listing itself can continue.
        self.may_jump = bool(page) and not (self._waiting and self._waiting[0].newest)
        if self.may_jump and self._waiting:
            self.position = max(key_before(self._waiting[0].key), page[-1].key)

    def end(self) -> Iterator[Match]:
        """End the listing, and yield all other matches."""
        while self._waiting:
            yield from self._waiting.popleft().matches()


def common_folder(first: str, last: str) -> str:
    """Return the folder of all keys between two, with its last `/`.

    Example:
        >>> common_folder("runs/41/a", "runs/42/b"), common_folder("a", "b")
        ('runs/', '')
    """
    folder = first[: first.rfind("/") + 1]
    while not last.startswith(folder):
        folder = folder[: folder.rfind("/", 0, -1) + 1]
    return folder


def key_before(key: str) -> str:
    r"""Return a key that sorts before another, usually behind all others that do.

    It may be a little too early, which costs rows of a page and not correctness.

    Example:
        >>> key_before("runs/42"), key_before("a "), key_before("")
        ('runs/41~', 'a', '')
    """
    head, last = key[:-1], key[-1:]
    if not last or not "!" < last <= LAST_ASCII:
        return head
    return head + chr(ord(last) - 1) + LAST_ASCII
