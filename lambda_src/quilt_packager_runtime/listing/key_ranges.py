"""Ranges of keys and their split points, for listing a folder by concurrent requests.

S3 lists in the order of UTF-8, which is that of Python's strings. A split point never changes the
result, only the balance: any key that is not listed yet is valid.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import msgspec

from quilt_packager_runtime.listing.split_points import RemainingRange, guess

PATIENCE_PAGES = 2
"""Number of pages of a range before it is split on a guess: it may be about to end."""

SAMPLED_KEYS = 32


class CommonPrefixes(msgspec.Struct, frozen=True, gc=False):
    """The known folders in a range of keys.

    Attributes:
        names: Whole prefixes, ascending.
        complete: Folders whose subfolders are all known.
        incomplete: Folders with more subfolders than a page holds.
    """

    names: tuple[str, ...] = ()
    complete: frozenset[str] = frozenset()
    incomplete: frozenset[str] = frozenset()

    def between(self, after: str, until: str | None) -> "CommonPrefixes":
        """Return the known folders of a part of the range.

        Example:
            >>> CommonPrefixes(("a/", "b/", "c/")).between("a/", "c/").names
            ('b/',)
        """
        first = bisect_right(self.names, after)
        last = len(self.names) if until is None else bisect_left(self.names, until)
        return msgspec.structs.replace(self, names=self.names[first:last])

    def choose(self, count: int) -> list[str]:
        """Return some names, evenly spread.

        Example:
            >>> CommonPrefixes(("a/", "b/", "c/")).choose(1)
            ['b/']
        """
        indexes = {len(self.names) * part // (count + 1) for part in range(1, count + 1)}
        return [self.names[index] for index in sorted(indexes)]


class KeyRange:
    """The keys of a folder after one and up to another, and their listing's progress.

    Args:
        prefix: Prefix of all keys.
        after: Key before the range.
        until: Last key of the range; None for the end of all keys.
        first: First key of the folder, if known.
        ahead: Known folders of the range.

    Attributes:
        after: Key before the range.
        until: Last key of the range, after splits.
        position: Start of the next page.
        is_done: All keys up to `until` are listed.
        end_is_unknown: The end of the range may have no keys.
        pages: Number of pages since the range began or was last split.

    Example:
        >>> first = KeyRange()
        >>> first.advance(["a", "b"], "b")
        2
        >>> [second] = first.split(["m"])
        >>> first.advance(["c", "x"], "x"), first.is_done
        (1, True)
        >>> second.after, second.until
        ('m', None)
    """

    def __init__(
        self,
        prefix: str = "",
        after: str = "",
        until: str | None = None,
        *,
        first: str = "",
        ahead: CommonPrefixes = CommonPrefixes(),  # noqa: B008 - immutable
    ) -> None:
        """Start without pages."""
        self.after = after
        self.until = until
        self.position = after
        self.is_done = False
        self.end_is_unknown = until is None
        self.pages = 0
        self._prefix = prefix
        self._ahead = ahead
        self._first = first
        self._previous = after
        self._sample: Sequence[str] = ()

    def advance(self, keys: Sequence[str], next_key: str | None) -> int:
        """Add the next page.

        Args:
            keys: Keys of the page, ascending.
            next_key: Start of the following page; None on the last page.

        Returns:
            The number of leading keys that belong to the range.
        """
        own = len(keys) if self.until is None else bisect_right(keys, self.until)
        self.is_done = next_key is None or (self.until is not None and next_key > self.until)
        self._previous, self.position = self.position, next_key or self.position
        self._sample = keys[:: len(keys) // SAMPLED_KEYS + 1]
        self._ahead = self._ahead.between(self.position, self.until)
        if keys and not (self._first and self._first.startswith(self._common_folder())):
            self._first = keys[0]
        self.pages += 1
        return own

    def level_to_ask_for(self) -> str | None:
        """Return the topmost folder at the position whose subfolders would give split points.

        The innermost folder is not listed: it seems to have only files.

        Example:
            >>> keys = KeyRange("f/")
            >>> for name in ("0001", "0002"):
            ...     _ = keys.advance([f"f/a/b/{name}"], f"f/a/b/{name}")
            >>> keys.level_to_ask_for()
            'f/'
        """
        if self._ahead.names or self.pages < PATIENCE_PAGES:
            return None
        level = self._common_folder()
        is_innermost = "/" not in self.position[len(level) :]
        return None if is_innermost or level in self._ahead.incomplete else level

    def learn(self, level: str, folders: Sequence[str], *, is_all: bool) -> None:
        """Add the subfolders of a folder.

        Args:
            level: The folder.
            folders: Subfolders after the position, ascending.
            is_all: There are no more subfolders.
        """
        complete, incomplete = self._ahead.complete, self._ahead.incomplete
        if is_all:
            ahead = CommonPrefixes(tuple(folders), complete | {level}, incomplete)
        else:  # a thousand folders may hold a page or a million: file names are as good
            ahead = CommonPrefixes((), complete, incomplete | {level})
        self._ahead = ahead.between(self.position, self.until)

    def _common_folder(self) -> str:
        """Return the innermost known folder that contains the rest of the range."""
        folder = self._prefix
        for name in self.position[len(folder) :].split("/")[:-1]:
            inner = f"{folder}{name}/"
            is_all = self.until is not None and self.until.startswith(inner)
            if not is_all and folder not in self._ahead.complete:
                return folder
            folder = inner
        return folder

    def divide(self, parts: int) -> list[Self]:
        """Split the rest of the range, if that is likely to pay.

        Args:
            parts: Maximum number of ranges including this one: two or more.

        Returns:
            The new ranges; none if the range stays whole.
        """
        is_at_end = self.until is not None and self.position >= self.until
        if self.is_done or is_at_end or not self.pages:
            return []
        if self._ahead.names:
            return self.split(self._folders_to_part(parts - 1))
        if self.position == self._previous:
            # All versions of the page belong to one key: they can only be listed in sequence.
            return self.split([self.position])
        if self.pages < PATIENCE_PAGES:
            return []
        rest = RemainingRange(
            prefix=self._common_folder(),
            first=self._first,
            previous=self._previous,
            position=self.position,
            until=self.until,
            end_is_unknown=self.end_is_unknown,
            sample=self._sample,
        )
        return self.split(guess(rest, parts))

    def split(self, points: Sequence[str]) -> list[Self]:
        """Split the range at some keys.

        Args:
            points: Ascending keys from `position` on and before `until`. Each ends a range.

        Returns:
            The new ranges between the points, and after the last one.
        """
        if not points:
            return []
        others = [
            type(self)(
                self._prefix,
                after,
                until,
                first=self._first,
                ahead=self._ahead.between(after, until),
            )
            for after, until in pairwise([*points, self.until])
            if after is not None
        ]
        others[-1].end_is_unknown = self.end_is_unknown
        self._ahead = self._ahead.between(self.position, points[0])
        self.until = points[0]
        self.end_is_unknown = False
        self.pages = 0
        return others

    def _folders_to_part(self, count: int) -> list[str]:
        following = self._ahead.names[0]
        level = following[: following.rindex("/", 0, -1) + 1] if "/" in following[:-1] else ""
        present = level + self.position[len(level) :].partition("/")[0] + "/"
        if not self._previous.startswith(present):
            return self._ahead.choose(count)
        # A page did not finish the current folder, which may be larger than all that follow.
        ahead = self._ahead.between(following, None)
        return [following, *ahead.choose(min(count - 1, len(ahead.names)))]
