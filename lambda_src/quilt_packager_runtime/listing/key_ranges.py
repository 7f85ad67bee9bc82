"""Ranges of keys that are split while they are listed.

S3 lists keys in the order of UTF-8, which is also that of Python's strings. A range may be split at
any key that is not listed yet: the choice affects the size of the parts, not the result.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import msgspec

from quilt_packager_runtime.listing.split_points import RemainingRange, split_points

PATIENCE_PAGES = 2
"""Number of pages of a range that are listed before it is split: it might end with the second."""

SAMPLED_KEYS = 32


class CommonPrefixes(msgspec.Struct, frozen=True, gc=False):
    """Known subfolders in a range of keys.

    Attributes:
        names: Whole prefixes, ascending.
        complete: Folders whose subfolders are all known.
        truncated: Folders with more subfolders than fit on a page.
    """

    names: tuple[str, ...] = ()
    complete: frozenset[str] = frozenset()
    truncated: frozenset[str] = frozenset()

    def between(self, after: str, until: str | None) -> "CommonPrefixes":
        """Return the common prefixes in a part of the range, without its ends.

        Example:
            >>> CommonPrefixes(("a/", "b/", "c/")).between("a/", "c/").names
            ('b/',)
        """
        first = bisect_right(self.names, after)
        last = len(self.names) if until is None else bisect_left(self.names, until)
        return msgspec.structs.replace(self, names=self.names[first:last])

    def choose(self, count: int) -> list[str]:
        """Choose up to `count` evenly spaced names.

        Example:
            >>> CommonPrefixes(("a/", "b/", "c/")).choose(1)
            ['b/']
        """
        indexes = {len(self.names) * part // (count + 1) for part in range(1, count + 1)}
        return [self.names[index] for index in sorted(indexes)]


class KeyRange:
    """The keys `after < key <= until` of a folder, and the progress of their listing.

    Args:
        prefix: Prefix of all keys.
        after: Exclusive start of the range.
        until: Inclusive end of the range; None for the end of the folder.
        first: First known key of the folder.
        ahead: Known subfolders in the range.

    Attributes:
        until: Inclusive end of the range; lowered by a split.
        position: Exclusive start of the next page.
        is_done: True if all keys up to `until` are listed.
        pages: Number of pages listed since the range began or was last split.

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
        self.after = after
        self.until = until
        self.position = after
        self.is_done = False
        self.pages = 0
        self._prefix = prefix
        self._ahead = ahead
        self._first = first
        self._previous = after
        self._sample: Sequence[str] = ()

    def advance(self, keys: Sequence[str], next_key: str | None) -> int:
        """Advance by a page.

        Args:
            keys: The page's keys, ascending.
            next_key: Key marker of the following page; None on the last page.

        Returns:
            Number of leading keys that are in the range.
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

    def folder_to_query(self) -> str | None:
        """Return the topmost folder around the position whose next subfolders are unknown.

        The innermost folder is not queried: it probably holds only files.

        Example:
            >>> keys = KeyRange("f/")
            >>> for name in ("0001", "0002"):
            ...     _ = keys.advance([f"f/a/b/{name}"], f"f/a/b/{name}")
            >>> keys.folder_to_query()
            'f/'
        """
        if self._ahead.names or self.pages < PATIENCE_PAGES:
            return None
        folder = self._common_folder()
        is_innermost = "/" not in self.position[len(folder) :]
        return None if is_innermost or folder in self._ahead.truncated else folder

    def add_subfolders(self, folder: str, subfolders: Sequence[str], *, is_all: bool) -> None:
        """Add the subfolders of a folder.

        Args:
            folder: Folder that was queried.
            subfolders: Its subfolders after the position, ascending.
            is_all: True if there are no more of them.
        """
        complete, truncated = self._ahead.complete, self._ahead.truncated
        if is_all:
            ahead = CommonPrefixes(tuple(subfolders), complete | {folder}, truncated)
        else:  # a thousand subfolders may hold a page or a million keys: guessing serves as well
            ahead = CommonPrefixes((), complete, truncated | {folder})
        self._ahead = ahead.between(self.position, self.until)

    def _common_folder(self) -> str:
        """Return the innermost folder known to hold all keys from the position to the end."""
        folder = self._prefix
        for name in self.position[len(folder) :].split("/")[:-1]:
            inner = f"{folder}{name}/"
            is_all = self.until is not None and self.until.startswith(inner)
            if not is_all and folder not in self._ahead.complete:
                return folder
            folder = inner
        return folder

    def divide(self, parts: int) -> list[Self]:
        """Split the remaining range into up to `parts`, and return all but the first.

        Return nothing if another request is unlikely to pay.
        """
        is_at_end = self.until is not None and self.position >= self.until
        if self.is_done or is_at_end or not self.pages:
            return []
        if self._ahead.names:
            return self.split(self._folders_to_part(parts - 1))
        if self.position == self._previous:
            # One key has more versions than a page: this range keeps it, another takes the rest.
            return self.split([self.position])
        if self.pages < PATIENCE_PAGES:
            return []
        rest = RemainingRange(
            prefix=self._common_folder(),
            first=self._first,
            previous=self._previous,
            position=self.position,
            until=self.until,
            sample=self._sample,
        )
        return self.split(split_points(rest, parts))

    def split(self, points: Sequence[str]) -> list[Self]:
        """End this range at the first of some keys, and return ranges for the remaining keys.

        Args:
            points: Inclusive ends of ranges, ascending, from `position` on and before `until`.
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
        self._ahead = self._ahead.between(self.position, points[0])
        self.until = points[0]
        self.pages = 0
        return others

    def _folders_to_part(self, count: int) -> list[str]:
        following = self._ahead.names[0]
        level = following[: following.rindex("/", 0, -1) + 1] if "/" in following[:-1] else ""
        present = level + self.position[len(level) :].partition("/")[0] + "/"
        if not self._previous.startswith(present):
            return self._ahead.choose(count)
        # The current folder is larger than a page: it may be larger than all that follow.
        ahead = self._ahead.between(following, None)
        return [following, *ahead.choose(min(count - 1, len(ahead.names)))]
