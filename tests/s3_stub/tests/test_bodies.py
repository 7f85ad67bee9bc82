import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.s3_stub.bodies import CHUNK_BYTES, Body, Bytes, Joined, Pattern, Slice, read_all
from tests.s3_stub.checksums import ALGORITHMS, digest

SIZE = 3 * CHUNK_BYTES + 5
BODIES: list[Body] = [
    Pattern(SIZE),
    Pattern(SIZE, seed="another, longer than the block of sixty-four bytes that a pattern repeats"),
    Slice(Pattern(2 * SIZE), 77, SIZE),
    Joined([Bytes(b"12345"), Pattern(SIZE - 5)]),
    Bytes(b"x" * SIZE),
]


@pytest.mark.parametrize("body", BODIES)
@given(first=st.integers(0, SIZE), size_bytes=st.integers(0, SIZE))
def test_a_range_is_that_part_of_the_whole(body: Body, first: int, size_bytes: int) -> None:
    size_bytes = min(size_bytes, SIZE - first)
    assert body.read(first, size_bytes) == read_all(body)[first : first + size_bytes]


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "MD5"])
def test_the_digest_of_a_range_is_that_of_its_bytes(body: Body, algorithm: str) -> None:
    first, size_bytes = 9, 2 * CHUNK_BYTES + 1
    expected = digest(algorithm, [body.read(first, size_bytes)])
    assert body.digest(algorithm, first, size_bytes) == expected


def test_patterns_of_other_seeds_differ() -> None:
    assert read_all(Pattern(99, "a")) != read_all(Pattern(99, "b"))
