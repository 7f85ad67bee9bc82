import uuid
from itertools import pairwise
from random import Random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.objects import MAX_KEY_BYTES
from quilt_packager_runtime.listing.split_points import RemainingRange, alphabet_of, split_points

CHARACTERS = st.characters(exclude_categories=["Cs"]) | st.sampled_from("ab01/.")
TEXTS = st.text(CHARACTERS, max_size=6)


def rest_of(keys: list[str], page: int, **known: object) -> RemainingRange:
    """Return the range after the second page of `page` keys."""
    fields = {
        "prefix": "",
        "first": keys[0],
        "previous": keys[page - 1],
        "position": keys[2 * page - 1],
        "until": None,
        "sample": keys[page : 2 * page],
    }
    return msgspec.convert(fields | known, RemainingRange)


def shares(keys: list[str], rest: RemainingRange, points: list[str]) -> list[int]:
    """Count the keys in each part of the remaining range."""
    bounds = [rest.position, *points, rest.until or "\U0010ffff"]
    return [sum(after < key <= until for key in keys) for after, until in pairwise(bounds)]


@given(
    keys=st.sets(TEXTS, min_size=2).map(sorted),
    until=st.none() | TEXTS,
    parts=st.integers(2, 16),
)
def test_split_points_ascend_within_the_remaining_range(
    keys: list[str], until: str | None, parts: int
) -> None:
    rest = rest_of(keys, len(keys) // 2, until=until)
    points = split_points(rest, parts)
    assert len(points) < parts
    ends = [] if until is None else [until]
    assert (
        all(one < other for one, other in pairwise([rest.position, *points, *ends])) or not points
    )


@given(st.lists(TEXTS, min_size=2, unique=True).map(sorted))
def test_an_alphabet_ascends(keys: list[str]) -> None:
    alphabet = alphabet_of(keys)
    assert alphabet == "".join(sorted(set(alphabet)))


@pytest.mark.parametrize(
    ("keys", "alphabet"),
    [
        (["a1.fastq", "a2.fastq"], "0123456789"),
        (["a1.fastq", "a10.fastq"], ".0123456789"),
        (["0a", "0b"], "abcdef"),
        (["0a", "0z"], "abcdefghijklmnopqrstuvwxyz"),
        (["A/", "B/"], "ABCDEF"),
        (["é", "ü"], "éü"),
        (["only"], ""),
        ([], ""),
    ],
)
def test_an_alphabet_holds_the_families_of_differing_characters(
    keys: list[str], alphabet: str
) -> None:
    assert alphabet_of(keys) == alphabet


def test_a_range_with_a_known_end_is_split_evenly() -> None:
    keys = [f"run/f{n:05}.csv" for n in range(1000)]
    rest = rest_of(keys, 10, until=keys[-1])
    assert shares(keys, rest, split_points(rest, 4)) == pytest.approx([245] * 4, rel=0.1)


def test_each_part_has_four_pages_or_more() -> None:
    keys = [f"run/f{n:05}.csv" for n in range(100)]
    rest = rest_of(keys, 10, until=keys[-1])
    assert len(split_points(rest, 16)) + 1 == 80 // 40


def test_a_remaining_range_of_few_pages_is_not_split() -> None:
    keys = [f"run/f{n:05}.csv" for n in range(70)]
    assert split_points(rest_of(keys, 10, until=keys[-1]), 16) == []


def test_a_range_with_an_unknown_end_is_split_in_growing_steps() -> None:
    keys = [f"run/f{n:07}.csv" for n in range(10_000)]
    rest = rest_of(keys, 10)
    assert shares(keys, rest, split_points(rest, 16)) == pytest.approx(
        [40, 80, 240, 720, 8900], rel=0.15
    )


def test_the_first_step_is_as_long_as_the_listed_keys() -> None:
    keys = [f"run/f{n:07}.csv" for n in range(10_000)]
    rest = rest_of(keys, 10, previous=keys[990], position=keys[1000], sample=keys[990:1000])
    assert shares(keys, rest, split_points(rest, 3)) == pytest.approx([1000, 2000, 6000], rel=0.01)


@pytest.mark.parametrize("prefix", ["", "x/", "2024/08/"])
def test_random_keys_are_split_within_their_alphabet(prefix: str) -> None:
    random = Random(1)  # noqa: S311 - the same keys in each run
    keys = sorted(prefix + str(uuid.UUID(int=random.getrandbits(128))) for _ in range(10_000))
    rest = rest_of(keys, 100, prefix=prefix)
    assert shares(keys, rest, split_points(rest, 16)) == pytest.approx(
        [400, 800, 2400, 6200], rel=0.2
    )


def test_characters_shared_by_all_keys_are_kept() -> None:
    keys = [f"sample{n:04}_R1_001.fastq.gz" for n in range(1000)]
    rest = rest_of(keys, 10)
    assert all(point.startswith("sample0") for point in split_points(rest, 3))


def test_the_prefix_is_kept() -> None:
    keys = [f"2024/f{n:05}" for n in range(100)]
    rest = rest_of(keys, 10, prefix="2024/")
    assert all(point.startswith("2024/f") for point in split_points(rest, 16))


@pytest.mark.parametrize("character", ["0", "é"])
def test_no_split_point_is_longer_than_a_key_may_be(character: str) -> None:
    long = character * ((MAX_KEY_BYTES - 5) // len(character.encode()))
    keys = [f"{long}{n:05}" for n in range(1000)]
    points = split_points(rest_of(keys, 10, until=keys[-1]), 4)
    assert all(len(point.encode()) <= MAX_KEY_BYTES for point in points)


def test_a_page_of_no_measurable_length_yields_no_split_points() -> None:
    rest = rest_of(["x1", "x2"], 1, previous="a", position="b", until="b9", sample=["x1", "x2"])
    assert split_points(rest, 3) == []


def test_a_first_key_outside_the_stem_does_not_lengthen_the_first_step() -> None:
    keys = [f"run/f{n:07}.csv" for n in range(10_000)]
    outside = split_points(rest_of(keys, 10, first="a"), 16)
    assert outside == split_points(rest_of(keys, 10, first=keys[9]), 16)


def test_steps_stay_within_the_alphabet() -> None:
    keys = [f"f{n:02}" for n in range(100)]
    points = split_points(rest_of(keys, 10), 16)
    assert points == sorted(set(points))
    assert all("f19" < point <= "f99\U0010ffff" for point in points)


def test_a_sample_of_one_key_yields_no_split_points() -> None:
    rest = rest_of(["a", "b"], 1)
    assert split_points(msgspec.structs.replace(rest, sample=["b"]), 16) == []
