"""Globs over paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.globs import MAX_GLOBS, check_globs, match_any

PATHS = st.lists(st.text("ab*?[.", min_size=1, max_size=3), min_size=1, max_size=4).map("/".join)


@pytest.mark.parametrize(
    ("glob", "path", "expected"),
    [
        ("work/**", "work/a/b.txt", True),
        ("work/**", "work", False),
        ("work/**", "a/work/b", False),
        ("work", "work/a/b", True),
        ("work", "workshop/a", False),
        ("*.tmp", "a.tmp", True),
        ("*.tmp", "a/b.tmp", False),
        ("**/*.tmp", "b.tmp", True),
        ("**/*.tmp", "a/b/c.tmp", True),
        ("a/**/b", "a/b", True),
        ("a/**/b", "a/x/y/b/below", True),
        ("a/**/b", "x/a/b", False),
        ("**", "anything/at/all", True),
        (".nextflow*", ".nextflow.log", True),
        (".nextflow*", ".nextflow/cache/db", True),
        ("?/x", "a/x", True),
        ("?/x", "ab/x", False),
        ("[ab].txt", "b.txt", True),
        ("[ab].txt", "c.txt", False),
        ("a*b", "a\nb", True),
        ("A", "a", False),
    ],
)
def test_a_glob_matches(glob: str, path: str, expected: bool) -> None:
    assert match_any([glob])(path) is expected


def test_any_of_several_is_enough() -> None:
    matched = match_any(["a", "b"])
    assert [matched(path) for path in "abc"] == [True, True, False]
    assert not match_any([])("a")


@given(PATHS)
def test_everything_is_below_two_stars(path: str) -> None:
    assert match_any(["**"])(path)


@given(PATHS, PATHS)
def test_what_is_below_a_match_is_matched(glob: str, path: str) -> None:
    matched = match_any([glob])
    if matched(path):
        assert matched(f"{path}/below")


@pytest.mark.timeout(5)
def test_a_glob_made_to_be_slow_is_not() -> None:
    assert not match_any(["*a" * 300 + "b"])("a" * 1000)
    assert not match_any(["/".join(["**", "a"] * 200 + ["b"])])("/".join(["a"] * 500))


@pytest.mark.parametrize("glob", ["", "/a", "a/", "a//b", "x" * 1025])
def test_a_glob_that_matches_nothing_is_refused(glob: str) -> None:
    with pytest.raises(ValueError, match="no empty component"):
        check_globs([glob])


def test_too_many_globs_are_refused() -> None:
    with pytest.raises(ValueError, match="101 globs; 100 at most"):
        check_globs(["a"] * (MAX_GLOBS + 1))
