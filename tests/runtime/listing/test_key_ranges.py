from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Self

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.listing.key_ranges import KeyRange

NAMES = st.sampled_from(["a", "b", "c1", "c2", "c10", "é", "\U0001f9ec", "-"])
KEYS = st.lists(NAMES, min_size=1, max_size=4).map("/".join) | st.integers(0, 99).map(
    "f{:03}".format
)
ROWS = st.dictionaries(KEYS, st.integers(1, 7), max_size=60)


class Chain:
    """A range that is listed page by page, with the next page always requested."""

    def __init__(self, rows: Sequence[str], keys: KeyRange, size: int) -> None:
        self.keys = keys
        self.listed: list[str] = []
        self._rows = rows
        self._size = size
        self._index = bisect_right(rows, keys.after) if keys.after else 0

    def answer(self) -> None:
        """Take the page that was requested."""
        end = self._index + self._size
        page = self._rows[self._index : end]
        newest = [
            key
            for index, key in enumerate(page, self._index)
            if index == 0 or self._rows[index - 1] != key
        ]
        next_key = page[-1] if end < len(self._rows) else None
        self.listed += newest[: self.keys.advance(newest, next_key)]
        self._index = end

    def others(self, keys: Sequence[KeyRange]) -> list[Self]:
        return [type(self)(self._rows, each, self._size) for each in keys]


def folders_behind(rows: Sequence[str], level: str, position: str) -> list[str]:
    inner = {
        level + key[len(level) :].partition("/")[0] + "/"
        for key in rows
        if key.startswith(level) and "/" in key[len(level) :] and key > position
    }
    return sorted(inner)


class Step(msgspec.Struct, frozen=True):
    chain: int
    action: str
    parts: int
    points: frozenset[str]


STEPS = st.lists(
    st.builds(
        Step,
        chain=st.integers(0, 99),
        action=st.sampled_from(["answer", "divide", "subfolders", "subfolders in part", "split"]),
        parts=st.integers(2, 6),
        points=st.frozensets(KEYS | st.text(st.characters(exclude_categories=["Cs"])), max_size=3),
    ),
    max_size=60,
)


@given(versions=ROWS, size=st.integers(1, 9), steps=STEPS)
def test_however_ranges_are_split_each_key_is_listed_once_and_in_order(
    versions: dict[str, int], size: int, steps: list[Step]
) -> None:
    rows = [key for key in sorted(versions) for _ in range(versions[key])]
    chains = [Chain(rows, KeyRange(), size)]
    for step in steps:
        running = [chain for chain in chains if not chain.keys.is_done]
        if running:
            take(step, running[step.chain % len(running)], chains, rows)
    for chain in chains:
        while not chain.keys.is_done:
            chain.answer()
    chains.sort(key=lambda chain: chain.keys.after)
    assert [key for chain in chains for key in chain.listed] == sorted(versions)


def take(step: Step, chain: Chain, chains: list[Chain], rows: Sequence[str]) -> None:
    keys = chain.keys
    level = keys.folder_to_query()
    if step.action == "answer":
        chain.answer()
    elif step.action == "divide":
        chains += chain.others(keys.divide(step.parts))
    elif step.action == "split":
        chains += chain.others(keys.split(sorted(within(keys, step.points))))
    elif level is not None:
        folders = folders_behind(rows, level, keys.position)
        keys.add_subfolders(level, folders, is_all=step.action == "subfolders")


def within(keys: KeyRange, points: frozenset[str]) -> Iterator[str]:
    for point in points:
        if keys.position <= point and (keys.until is None or point < keys.until):
            yield point


def listed(pages: Sequence[Sequence[str]], prefix: str = "") -> KeyRange:
    """Return a range after these pages."""
    keys = KeyRange(prefix)
    for page in pages:
        keys.advance(page, page[-1])
    return keys


FLAT = [[f"f{n + m:04}" for m in range(10)] for n in (0, 10)]
DEEP = [[f"r/a/b/{n + m:04}" for m in range(10)] for n in (0, 10)]


def test_a_range_ends_with_its_last_key() -> None:
    keys = KeyRange(until="b")
    assert keys.advance(["a", "b", "c"], "c") == 2
    assert keys.is_done


def test_a_page_that_ends_with_the_range_may_not_be_all_of_it() -> None:
    keys = KeyRange(until="b")
    keys.advance(["a", "b"], "b")
    assert not keys.is_done


def test_the_last_page_ends_a_range() -> None:
    keys = KeyRange(until="b")
    keys.advance(["a"], None)
    assert keys.is_done


def test_a_range_is_split_after_two_pages() -> None:
    assert listed(FLAT[:1]).divide(16) == []
    assert listed(FLAT).divide(16) != []


def test_a_range_that_is_done_is_not_split() -> None:
    keys = listed(FLAT[:1])
    keys.advance(FLAT[1], None)
    assert keys.divide(16) == []


def test_a_split_range_is_split_again_after_two_more_pages() -> None:
    keys = listed(FLAT)
    assert keys.divide(2)
    assert keys.divide(2) == []


def test_a_key_with_more_versions_than_a_page_stays_with_its_range() -> None:
    keys = listed([["a", "b"]])
    keys.advance([], "b")
    [rest] = keys.divide(16)
    assert (keys.until, rest.after, rest.until) == ("b", "b", None)
    keys.advance([], "b")
    assert keys.divide(16) == []


@pytest.mark.parametrize(
    ("prefix", "level"), [("", ""), ("r/", "r/"), ("r/a/", "r/a/"), ("r/a/b/", None)]
)
def test_the_topmost_folder_is_queried_but_not_the_innermost(
    prefix: str, level: str | None
) -> None:
    assert listed(DEEP, prefix).folder_to_query() == level


def test_the_only_subfolder_is_queried_next() -> None:
    keys = listed(DEEP)
    keys.add_subfolders("", ["r/"], is_all=True)
    assert keys.folder_to_query() == "r/"


def test_a_folder_that_holds_the_whole_range_is_queried_first() -> None:
    keys = listed(DEEP)
    keys.split(["r/z"])
    keys.advance(["r/a/b/0020"], "r/a/b/0020")
    keys.advance(["r/a/b/0021"], "r/a/b/0021")
    assert keys.folder_to_query() == "r/"


def test_a_folder_with_more_subfolders_than_a_page_is_split_like_files() -> None:
    keys = listed(DEEP)
    keys.add_subfolders("", ["r/", "s/"], is_all=False)
    assert keys.folder_to_query() is None
    assert "s/" not in [other.after for other in keys.divide(3)]


def test_ranges_are_split_at_folders_first() -> None:
    keys = listed([["a/1", "b/1"], ["c/1", "c/2"]])
    keys.add_subfolders("", [f"{name}/" for name in "defghij"], is_all=True)
    assert [other.after for other in keys.divide(4)] == ["e/", "g/", "i/"]


def test_a_folder_larger_than_a_page_becomes_a_range_of_its_own() -> None:
    keys = listed(DEEP)
    keys.add_subfolders("", ["s/", "t/", "u/", "v/"], is_all=True)
    assert [other.after for other in keys.divide(3)] == ["s/", "u/"]


def test_parts_know_their_folders() -> None:
    keys = listed([["a/1", "b/1"], ["c/1", "c/2"]])
    keys.add_subfolders("", [f"{name}/" for name in "defghij"], is_all=True)
    first, *_ = keys.divide(3)
    assert (first.after, first.until) == ("f/", "h/")
    first.advance(["f/1"], "f/1")
    assert [other.after for other in first.divide(16)] == ["g/"]


def test_a_range_inside_its_last_folder_is_split_in_that_folder() -> None:
    keys = listed(DEEP)
    keys.add_subfolders("", ["s/"], is_all=True)
    keys.divide(2)
    for page in DEEP:
        keys.advance([key.replace("00", "01") for key in page], page[-1].replace("00", "01"))
    assert keys.folder_to_query() == "r/"
    keys.add_subfolders("r/", [], is_all=True)
    keys.add_subfolders("r/a/", [], is_all=True)
    points = [other.after for other in keys.divide(16)]
    assert points
    assert all(point.startswith("r/a/b/") for point in points)
