"""Points at which to split the keys that are not listed yet, estimated from those that are.

Keys are read as numbers whose digits are their characters, so that the interval between two keys
can be divided. A bad estimate costs a request, but never loses a key.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise, takewhile
from string import ascii_lowercase, ascii_uppercase, digits
from typing import TypeVar

import msgspec

from quilt_packager_runtime.formats.objects import MAX_KEY_BYTES

T = TypeVar("T")

MIN_PART_PAGES = 4
LEAP_FACTOR = 3
MAX_LEAPS = 4
SPARE_DIGITS = 8
HEXADECIMAL = 6
"""Number of letters that are hexadecimal digits."""


class RemainingRange(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The part of a range that is not listed yet.

    Attributes:
        prefix: Prefix of all keys.
        first: First known key of the folder.
        previous: Exclusive start of the last page.
        position: Last key of the last page.
        until: Inclusive end of the range; None for the end of the folder.
        sample: Some keys of the last page, ascending.
    """

    prefix: str
    first: str
    previous: str
    position: str
    until: str | None
    sample: Sequence[str]


def split_points(rest: RemainingRange, parts: int) -> list[str]:
    """Estimate keys that split the remaining range.

    If the range has an end, the parts are even. Otherwise, the first is as long as the keys listed
    so far, and each following one `LEAP_FACTOR` times as long.

    Args:
        rest: Remaining range to split.
        parts: Maximum number of parts.

    Returns:
        Keys between `position` and `until`, ascending. Empty if a part would be too short.

    Example:
        >>> rest = RemainingRange(
        ...     prefix="",
        ...     first="f000",
        ...     previous="f010",
        ...     position="f020",
        ...     until="f399",
        ...     sample=["f011", "f015", "f020"],
        ... )
        >>> split_points(rest, 3)
        ['f146626262', 'f272262626']
        >>> split_points(msgspec.structs.replace(rest, until=None), 3)
        ['f060', 'f130']
    """
    alphabet = alphabet_of(rest.sample)
    if not alphabet:
        return []
    scale = _KeyScale(rest, alphabet)
    start, end = scale.number(rest.position), scale.number(rest.until)
    page = start - scale.number(rest.previous)
    if page <= 0:
        return []
    if not scale.measures(rest.until):
        behind = start - scale.number(rest.first) if scale.measures(rest.first) else 0
        leap = min(max(behind, page * MIN_PART_PAGES), (end - start) // 2)
        numbers = [start + leap * LEAP_FACTOR**n for n in range(min(parts - 1, MAX_LEAPS))]
    else:
        parts = min(parts, (end - start) // (page * MIN_PART_PAGES))
        numbers = [start + (end - start) * part // parts for part in range(1, parts)]
    return list(_between(rest, map(scale.key, (number for number in numbers if number < end))))


def alphabet_of(keys: Sequence[str]) -> str:
    """Return the characters in which consecutive keys differ, and the rest of their families.

    A family is the digits, the lowercase or uppercase letters, or the hexadecimal ones of these.

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
    """Count the leading items that two sequences share.

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
    """Converts keys to numbers and back. A larger key never has a smaller number."""

    def __init__(self, rest: RemainingRange, alphabet: str) -> None:
        position = rest.position
        # Characters before the first that may change are kept: sample-0099 is followed by
        # sample-0100, not by tample.
        length = len(rest.prefix)
        while length < len(position) and position[length] not in alphabet:
            length += 1
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
        """Return a key after the position, for a number larger than the position's."""
        ranks = []
        for _ in range(self._digits):
            number, rank = divmod(number, self._base)
            ranks.append(rank)
        ranks.reverse()
        # The position's own characters: those outside the alphabet share a rank with others.
        same = shared_length(ranks, self._ranks)
        changed = takewhile(bool, ranks[same:])  # 0 is the end of a key
        return self._stem + self._position[:same] + "".join(self._alphabet[r - 1] for r in changed)

    def _ranks_of(self, key: str) -> list[int]:
        text = key[len(self._stem) :][: self._digits] if self.measures(key) else ""
        ranks = [bisect_right(self._alphabet, character) for character in text]
        return ranks + [0] * (self._digits - len(ranks))
