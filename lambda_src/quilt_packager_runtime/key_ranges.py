"""Ranges of keys, and where to split them: how a folder is listed by many requests at a time.

S3 lists in the order of UTF-8, which is that of Python's strings. Where a range is split never
changes what is listed, only how evenly: any key will do that is not listed yet.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise
from typing import Self

import msgspec

from quilt_packager_runtime.key_guesses import alphabet_of, guess

PATIENCE_PAGES = 2
"""How many pages of a range are listed before it is split on a guess: it might end just now."""

SAMPLED_KEYS = 32


class FoldersAhead(msgspec.Struct, frozen=True, gc=False):
    """What S3 told of the folders in a range of keys.

    Attributes:
        names: Whole prefixes, ascending.
        levels: The folders whose subfolders these are.
        level_in_part: The one of them that has more behind the last name.
    """

    names: tuple[str, ...] = ()
    levels: frozenset[str] = frozenset()
    level_in_part: str | None = None

    def between(self, after: str, until: str | None) -> "FoldersAhead":
        """What of it is known of a part of the range.

        Example:
            >>> FoldersAhead(("a/", "b/", "c/")).between("a/", "c/").names
            ('b/',)
        """
        first = bisect_right(self.names, after)
        last = len(self.names) if until is None else bisect_left(self.names, until)
        names = self.names[first:last]
        if last < len(self.names):
            return FoldersAhead(names, self.levels)
        if names:
            return FoldersAhead(names, self.levels, self.level_in_part)
        return FoldersAhead((), self.levels - {self.level_in_part})

    def choose(self, parts: int) -> list[str]:
        """Names that part the range into so many, as evenly as one can know.

        Example:
            >>> FoldersAhead(("a/", "b/", "c/")).choose(2)
            ['b/']
        """
        if self.level_in_part is None:
            ends = {len(self.names) * part // parts for part in range(1, parts)}
        else:  # the last name begins a part that can ask for more
            ends = {len(self.names) * part // (parts - 1) - 1 for part in range(1, parts)} - {-1}
        return [self.names[end] for end in sorted(ends)]


class KeyRange:
    """The keys of a folder after one and up to another; and how far they are listed.

    Args:
        prefix: What all keys begin with.
        after: The range begins behind this key.
        until: It ends with this one; None for the end of all keys.
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
        ahead: FoldersAhead = FoldersAhead(),  # noqa: B008 - immutable
    ) -> None:
        """Nothing is listed yet."""
        self.after = after
        self.until = until
        self.position = after
        self.is_done = False
        self.is_loose = until is None
        self.pages = 0
        self._prefix = prefix
        self._ahead = ahead
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
        levels = [self._prefix]
        for name in self.position[len(self._prefix) :].split("/")[:-1]:
            levels.append(f"{levels[-1]}{name}/")
        for level, inner in pairwise(levels):
            is_past = self.until is not None and self.until.startswith(inner)
            if not is_past and level not in self._ahead.levels:
                return level
        return None

    def learn(self, level: str, folders: Sequence[str], *, is_all: bool) -> None:
        """Take note of the subfolders of a level.

        Args:
            level: What was asked for.
            folders: Those behind the position, ascending.
            is_all: There are no more of them.
        """
        levels = self._ahead.levels | {level}
        level_in_part = None if is_all or not folders else level
        told = FoldersAhead(tuple(folders), levels, level_in_part)
        self._ahead = told.between(self.position, self.until)

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
            return self.split(self._ahead.choose(parts))
        if self.position == self._previous:
            # One key has all the versions of a page: they can only be listed one after another.
            return self.split([self.position])
        if self.pages < PATIENCE_PAGES:
            return []
        return self.split(
            guess(
                previous=self._previous,
                position=self.position,
                until=self.until,
                is_loose=self.is_loose,
                prefix=self._prefix,
                alphabet=alphabet_of(self._sample),
                parts=parts,
            )
        )

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
            type(self)(self._prefix, after, until, ahead=self._ahead.between(after, until))
            for after, until in pairwise([*points, self.until])
            if after is not None
        ]
        others[-1].is_loose = self.is_loose
        self._ahead = self._ahead.between(self.position, points[0])
        self.until = points[0]
        self.is_loose = False
        self.pages = 0
        return others
