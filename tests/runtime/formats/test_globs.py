"""Globs over paths."""

import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from itertools import pairwise
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.globs import MAX_GLOBS, check_globs, match_any

COMPONENTS = st.text("ab*?[.", min_size=1, max_size=3)
PATHS = st.lists(COMPONENTS, min_size=1, max_size=4).map("/".join)
GLOBS = st.lists(st.sampled_from(["**", "*", "a", "b", "?a"]) | COMPONENTS, min_size=1, max_size=7)
PATHS_OF_FEW_LETTERS = st.lists(st.text("ab", max_size=2), min_size=1, max_size=6).map("/".join)

MATCHES = {
    "work/**": ["work/a/b.txt"],
    "work": ["work/a/b"],
    "*.tmp": ["a.tmp"],
    "**/*.tmp": ["b.tmp", "a/b/c.tmp"],
    "a/**/b": ["a/b", "a/x/y/b/below"],
    "**": ["anything/at/all"],
    ".nextflow*": [".nextflow.log", ".nextflow/cache/db"],
    "?/x": ["a/x"],
    "[ab].txt": ["b.txt"],
    "a*b": ["a\nb"],
}
OTHERS = {
    "work/**": ["work", "a/work/b"],
    "work": ["workshop/a"],
    "*.tmp": ["a/b.tmp"],
    "a/**/b": ["x/a/b"],
    "?/x": ["ab/x"],
    "[ab].txt": ["c.txt"],
    "A": ["a"],
}


def test_a_glob_matches_its_paths_only() -> None:
    for expected, cases in ((True, MATCHES), (False, OTHERS)):
        for glob, paths in cases.items():
            assert {path: match_any([glob])(path) for path in paths} == dict.fromkeys(
                paths, expected
            ), glob


def matches_by_definition(parts: list[str], components: list[str]) -> bool:
    match parts:
        case []:
            return True
        case ["**"]:
            return bool(components)
        case ["**", *rest]:
            tails = (components[n:] for n in range(len(components) + 1))
            return any(matches_by_definition(rest, tail) for tail in tails)
        case [part, *rest]:
            return (
                bool(components)
                and fnmatchcase(components[0], part)
                and matches_by_definition(rest, components[1:])
            )
    raise AssertionError


@given(GLOBS, PATHS_OF_FEW_LETTERS | PATHS)
def test_any_glob_matches_by_its_definition(parts: list[str], path: str) -> None:
    expected = matches_by_definition(parts, path.split("/"))
    assert match_any(["/".join(parts)])(path) is expected


def test_one_matching_glob_is_enough() -> None:
    matched = match_any(["a", "b"])
    assert [matched(path) for path in "abc"] == [True, True, False]
    assert not match_any([])("a")


@given(PATHS)
def test_two_stars_match_every_path(path: str) -> None:
    assert match_any(["**"])(path)


@given(PATHS, PATHS)
def test_a_path_below_a_match_matches(glob: str, path: str) -> None:
    matched = match_any([glob])
    if matched(path):
        assert matched(f"{path}/below")


def count_lines(work: Callable[[], object]) -> int:
    """Count the lines of Python that run."""
    lines = 0

    def trace(_frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return lines


SIZES = [100, 200, 400, 800]


@pytest.mark.parametrize(
    "slow",
    [
        lambda size: ("**/" * size + "z", "a/b/c/d.txt"),
        lambda size: ("**/a/" * size + "z", "a/b/c/d.txt"),
        lambda size: ("**/a/" * 50 + "z", "a/" * size),
        lambda size: ("**/" + "a/" * 20 + "z", "a/" * size),
        lambda size: ("*/**/*/" * size + "z", "a/a/a/a"),
    ],
    ids=["stars", "runs", "long-path", "long-run", "mixed"],
)
def test_the_work_is_linear_in_the_glob_and_in_the_path(
    slow: Callable[[int], tuple[str, str]],
) -> None:
    def work(size: int) -> int:
        glob, path = slow(size)
        return count_lines(lambda: match_any([glob])(path))

    work(1)  # imports and caches of `re`
    for less, more in pairwise(map(work, SIZES)):
        assert more < 2.5 * less


@pytest.mark.timeout(5)
def test_many_stars_in_a_component_are_matched_in_linear_time() -> None:
    assert not match_any(["*a" * 300 + "b"])("a" * 1000)


def test_a_glob_that_matches_no_path_is_rejected() -> None:
    for glob in ("", "/a", "a/", "a//b", "x" * 1025):
        with pytest.raises(ValueError, match="no empty component"):
            check_globs([glob])


def test_more_than_100_globs_are_rejected() -> None:
    with pytest.raises(ValueError, match="101 globs; 100 at most"):
        check_globs(["a"] * (MAX_GLOBS + 1))
