"""Ranges of keys, and where to split them: how a folder is listed by many requests at a time.

S3 lists in the order of UTF-8, which is that of Python's strings. Where a range is split never
changes what is listed, only how evenly: any key will do that is not listed yet.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import msgspec

from quilt_packager_runtime.listing.split_points import RemainingRange, guess

PATIENCE_PAGES = 2
"""How many pages of a range are listed before it is split on a guess: it might end just now."""

SAMPLED_KEYS = 32


class CommonPrefixes(msgspec.Struct, frozen=True, gc=False):
    """What S3 told of the folders in a range of keys.

    Attributes:
        names: Whole prefixes, ascending.
        told: The folders all of whose subfolders are known.
        untold: Those that have too many subfolders for S3 to tell.
    """

    names: tuple[str, ...] = ()
    told: frozenset[str] = frozenset()
    untold: frozenset[str] = frozenset()

    def between(self, after: str, until: str | None) -> "CommonPrefixes":
        """What is known of a part of the range.

        Example:
            >>> CommonPrefixes(("a/", "b/", "c/")).between("a/", "c/").names
            ('b/',)
        """
        first = bisect_right(self.names, after)
        last = len(self.names) if until is None else bisect_left(self.names, until)
        return msgspec.structs.replace(self, names=self.names[first:last])

    def choose(self, count: int) -> list[str]:
        """So many names, as evenly spread as one can know.

        Example:
            >>> CommonPrefixes(("a/", "b/", "c/")).choose(1)
            ['b/']
        """
        indexes = {len(self.names) * part // (count + 1) for part in range(1, count + 1)}
        return [self.names[index] for index in sorted(indexes)]


class KeyRange:
    """The keys of a folder after one and up to another; and how far they are listed.

    Args:
        prefix: What all keys begin with.
        after: The range begins behind this key.
        until: It ends with this one; None for the end of all keys.
        first: The first key of the folder, if it is known.
        ahead: What is known of its folders.

    Attributes:
        after: As given.
        until: Where the range ends, now that it may have been split.
        position: Where the next page begins.
        is_done: All keys up to `until` are listed.
        is_loose: There may be no keys near the end.
        pages: How many were listed since the range began or was last split.

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
        """Nothing is listed yet."""
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
        """Take note of the next page.

        Args:
            keys: Its keys, ascending.
            next_key: Where the page after it begins; None on the last.

        Returns:
            How many of the keys, from the first, are the range's own.
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
        """The topmost folder around the position whose next subfolders would tell where to split.

        The innermost is not asked for: it holds files, as far as one can see.

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
        return None if is_innermost or level in self._ahead.untold else level

    def learn(self, level: str, folders: Sequence[str], *, is_all: bool) -> None:
        """Take note of the subfolders of a level.

        Args:
            level: What was asked for.
            folders: Those behind the position, ascending.
            is_all: There are no more of them.
        """
        told, untold = self._ahead.told, self._ahead.untold
        if is_all:
            ahead = CommonPrefixes(tuple(folders), told | {level}, untold)
        else:  # a thousand may hold a page or a million: names of files tell as much
            ahead = CommonPrefixes((), told, untold | {level})
        self._ahead = ahead.between(self.position, self.until)

    def _common_folder(self) -> str:
        """The innermost folder that holds all of the rest, as far as S3 has told."""
        folder = self._prefix
        for name in self.position[len(folder) :].split("/")[:-1]:
            inner = f"{folder}{name}/"
            is_all = self.until is not None and self.until.startswith(inner)
            if not is_all and folder not in self._ahead.told:
                return folder
            folder = inner
        return folder

    def divide(self, parts: int) -> list[Self]:
        """Split the rest into some ranges, if that is likely to pay.

        Args:
            parts: How many there may be, this one among them: two or more.

        Returns:
            All but this one; none if it stays whole.
        """
        is_at_end = self.until is not None and self.position >= self.until
        if self.is_done or is_at_end or not self.pages:
            return []
        if self._ahead.names:
            return self.split(self._folders_to_part(parts - 1))
        if self.position == self._previous:
            # One key has all the versions of a page: they can only be listed one after another.
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
        """Leave the rest behind some keys to others.

        Args:
            points: Ascending, from `position` on and before `until`. Each ends a range.

        Returns:
            The ranges between them, and from the last to the end of this one.
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
        # A page did not get through the present folder: it may be larger than all that follow.
        ahead = self._ahead.between(following, None)
        return [following, *ahead.choose(min(count - 1, len(ahead.names)))]
