"""Guesses at keys that part what is not listed yet, from the keys that are.

Keys are read as numbers in an alphabet of the characters that differ from key to key, so that what
lies between two of them can be divided. A bad guess costs a request, and no key.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import takewhile
from string import ascii_lowercase, ascii_uppercase, digits

MAX_KEY_BYTES = 1024
MIN_PART_PAGES = 2
GALLOP = (4, 16, 64, 256)
"""Where to look for the end of keys that has not been seen: so many pages on."""

SPARE_DIGITS = 8
HEXADECIMAL = 6
"""How many letters are digits of hexadecimal numbers."""


def alphabet_of(keys: Sequence[str]) -> str:
    """The characters by which keys differ, and those that are bound to come with them.

    Args:
        keys: A sample.

    Returns:
        Each once, in order.

    Example:
        >>> alphabet_of(["f/sample007.csv", "f/sample018.csv"])
        '0123456789'
        >>> alphabet_of(["0a", "b3"])
        '0123456789abcdef'
    """
    found: set[str] = set()
    for characters in map(set, zip(*keys, strict=False)):
        if len(characters) > 1:
            found |= characters
    for family in (digits, ascii_lowercase, ascii_uppercase):
        present = found & set(family)
        if present:
            is_hexadecimal = present <= set(family[:HEXADECIMAL])
            found |= set(family[:HEXADECIMAL] if family != digits and is_hexadecimal else family)
    return "".join(sorted(found))


def guess(  # noqa: PLR0913 - what is known of a range
    *,
    previous: str,
    position: str,
    until: str | None,
    is_loose: bool,
    prefix: str,
    alphabet: str,
    parts: int,
) -> list[str]:
    """Keys that part the rest of a range.

    Where its end is known to be near other keys, the parts are even. Where it is not, each is some
    times longer than the one before it, from the length of the last page on.

    Args:
        previous: Where the last page began.
        position: Where it ended, and the rest begins.
        until: Where the rest ends; None for the end of all keys.
        is_loose: Whether there may be no keys near the end.
        prefix: What all keys begin with.
        alphabet: The characters by which the keys differ.
        parts: How many there may be.

    Returns:
        Ascending, all between `position` and `until`. Fewer than asked for, or none, where parts
        would be less than some pages.

    Example:
        >>> rest = {"previous": "f100", "position": "f200", "prefix": "", "alphabet": "0123456789"}
        >>> guess(**rest, until="f999", is_loose=False, parts=3)
        ['f47', 'f72962626']
        >>> guess(**rest, until=None, is_loose=True, parts=3)
        ['f6']
    """
    ruler = _Ruler(position, until, prefix, alphabet, _shared_length(previous, position))
    start, end = ruler.number(position), ruler.number(until)
    page = start - ruler.number(previous)
    if page <= 0 or end <= start:
        return []
    if is_loose or not ruler.measures(until):
        numbers = [start + page * pages for pages in GALLOP[: parts - 1]]
    else:
        parts = min(parts, (end - start) // (page * MIN_PART_PAGES))
        numbers = [start + (end - start) * part // parts for part in range(1, parts)]
    return list(_between(position, until, map(ruler.key, (n for n in numbers if n < end))))


def _shared_length(one: str, other: str) -> int:
    same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
    return sum(1 for _ in same)


def _between(position: str, until: str | None, keys: Iterator[str]) -> Iterator[str]:
    last = position
    for key in keys:
        in_range = last < key and (until is None or key < until)
        if in_range and len(key.encode()) <= MAX_KEY_BYTES:
            yield key
            last = key


class _Ruler:
    """Reads keys as numbers, and back; larger keys never have smaller numbers."""

    def __init__(
        self, position: str, until: str | None, prefix: str, alphabet: str, same: int
    ) -> None:
        self._alphabet = alphabet
        # What precedes the first character that may change stays: sample-0099 is followed by
        # sample-0100, not by tample.
        first = len(prefix)
        while first < len(position) and position[first] not in alphabet:
            first += 1
        shared = 0 if until is None else _shared_length(position, until)
        self._stem = position[: max(first, shared)]
        self._digits = max(same - len(self._stem), 0) + SPARE_DIGITS
        self._base = len(alphabet) + 1

    def measures(self, key: str | None) -> bool:
        return key is not None and key.startswith(self._stem)

    def number(self, key: str | None) -> int:
        if key is None or (key > self._stem and not self.measures(key)):
            return int(self._base**self._digits) - 1
        number = 0
        text = key[len(self._stem) :] if self.measures(key) else ""
        for character in text[: self._digits].ljust(self._digits, "\0"):
            number = number * self._base + bisect_right(self._alphabet, character)
        return number

    def key(self, number: int) -> str:
        ranks = []
        for _ in range(self._digits):
            number, rank = divmod(number, self._base)
            ranks.append(rank)
        written = takewhile(bool, reversed(ranks))  # 0 is the end of a key
        return self._stem + "".join(self._alphabet[rank - 1] for rank in written)
