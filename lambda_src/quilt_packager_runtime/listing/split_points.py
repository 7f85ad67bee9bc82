"""Guesses at keys that part what is not listed yet, from the keys that are.

Keys are read as numbers whose digits are their characters, so that what lies between two of them
can be divided. A bad guess costs a request, and no key.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from string import ascii_lowercase, ascii_uppercase, digits
from typing import TypeVar

import msgspec

from quilt_packager_runtime.formats.objects import MAX_KEY_BYTES

T = TypeVar("T")

MIN_PART_PAGES = 3
MIN_LEAP_PAGES = 4
LEAP_FACTOR = 3
MAX_LEAPS = 4
SPARE_DIGITS = 8
HEXADECIMAL = 6
"""How many letters are digits of hexadecimal numbers."""


class RemainingRange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is known of the rest of a range.

    Attributes:
        prefix: What all its keys begin with.
        first: The first key of the folder.
        previous: Where the last page began.
        position: Where it ended, and the rest begins.
        until: Where the rest ends; None for the end of all keys.
        is_loose: There may be no keys near the end.
        sample: Some keys of the last page, ascending.
    """

    prefix: str
    first: str
    previous: str
    position: str
    until: str | None
    end_is_unknown: bool
    sample: Sequence[str]


def guess(rest: RemainingRange, parts: int) -> list[str]:
    """Keys that part the rest of a range.

    Where keys are known to go on to its end, the parts are even. Where they are not, each is some
    times longer than the one before it, and the first as long as all that lies behind.

    Args:
        rest: The rest.
        parts: How many there may be.

    Returns:
        Ascending, all between `position` and `until`. Fewer than asked for, or none, where parts
        would be less than some pages.

    Example:
        >>> rest = RemainingRange(
        ...     prefix="",
        ...     first="f000",
        ...     previous="f010",
        ...     position="f020",
        ...     until="f399",
        ...     end_is_unknown=False,
        ...     sample=["f011", "f015", "f020"],
        ... )
        >>> guess(rest, 3)
        ['f146626262', 'f272262626']
        >>> guess(msgspec.structs.replace(rest, end_is_unknown=True), 3)
        ['f060', 'f130']
    """
    alphabet = alphabet_of(rest.sample)
    if not alphabet:
        return []
    ruler = _KeyScale(rest, alphabet)
    start, end = ruler.number(rest.position), ruler.number(rest.until)
    page = start - ruler.number(rest.previous)
    if page <= 0 or end <= start:
        return []
    if rest.end_is_unknown or not ruler.measures(rest.until):
        behind = start - ruler.number(rest.first) if ruler.measures(rest.first) else 0
        leap = min(max(behind, page * MIN_LEAP_PAGES), (end - start) // 2)
        numbers = [start + leap * LEAP_FACTOR**n for n in range(min(parts - 1, MAX_LEAPS))]
    else:
        parts = min(parts, (end - start) // (page * MIN_PART_PAGES))
        numbers = [start + (end - start) * part // parts for part in range(1, parts)]
    return list(_between(rest, map(ruler.key, (number for number in numbers if number < end))))


def alphabet_of(keys: Sequence[str]) -> str:
    """The characters by which keys differ, and those that are bound to come with them.

    Args:
        keys: A sample, ascending.

    Returns:
        Each once, in order.

    Example:
        >>> alphabet_of(["sample7.csv", "sample8.csv"])
        '0123456789'
        >>> alphabet_of(["0a", "0b", "1"])
        '0123456789abcdef'
    """
    found: set[str] = set()
    for one, other in pairwise(keys):
        same = shared_length(one, other)
        found.update(one[same : same + 1], other[same : same + 1])
    for family in (digits, ascii_lowercase, ascii_uppercase):
        present = found & set(family)
        if present:
            is_hexadecimal = family != digits and present <= set(family[:HEXADECIMAL])
            found |= set(family[:HEXADECIMAL] if is_hexadecimal else family)
    return "".join(sorted(found))


def shared_length(one: Sequence[T], other: Sequence[T]) -> int:
    """How many items are the same at the beginning of both.

    Example:
        >>> shared_length("sample7", "sample12")
        6
    """
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)


def _between(rest: RemainingRange, keys: Iterator[str]) -> Iterator[str]:
    last = rest.position
    for key in keys:
        in_range = last < key and (rest.until is None or key < rest.until)
        if in_range and len(key.encode()) <= MAX_KEY_BYTES:
            yield key
            last = key


class _KeyScale:
    """Reads keys as numbers, and numbers as keys; a larger key never has a smaller number."""

    def __init__(self, rest: RemainingRange, alphabet: str) -> None:
        position = rest.position
        # What precedes the first character that may change stays: sample-0099 is followed by
        # sample-0100, not by tample.
        length = len(rest.prefix)
        while length < len(position) and position[length] not in alphabet:
            length += 1
        if rest.until is not None:
            length = max(length, shared_length(position, rest.until))
        self._stem = position[:length]
        self._alphabet = alphabet
        self._base = len(alphabet) + 1
        self._digits = max(shared_length(rest.previous, position) - length, 0) + SPARE_DIGITS
        self._position = position[length:]
        self._ranks = self._ranks_of(position)

    def measures(self, key: str | None) -> bool:
        return key is not None and key.startswith(self._stem)

    def number(self, key: str | None) -> int:
        if key is None or (key > self._stem and not self.measures(key)):
            return int(self._base**self._digits) - 1
        number = 0
        for rank in self._ranks_of(key):
            number = number * self._base + rank
        return number

    def key(self, number: int) -> str:
        """A key behind the position, for a number larger than its."""
        ranks = []
        for _ in range(self._digits):
            number, rank = divmod(number, self._base)
            ranks.append(rank)
        ranks.reverse()
        # Characters that no key changes have no number of their own: they are the position's.
        same = shared_length(ranks, self._ranks)
        changed = takewhile(bool, ranks[same:])  # 0 is the end of a key
        return self._stem + self._position[:same] + "".join(self._alphabet[r - 1] for r in changed)

    def _ranks_of(self, key: str) -> list[int]:
        text = key[len(self._stem) :][: self._digits] if self.measures(key) else ""
        ranks = [bisect_right(self._alphabet, character) for character in text]
        return ranks + [0] * (self._digits - len(ranks))
