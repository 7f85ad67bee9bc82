"""Metadata that the catalog can index."""

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.catalog_fields import (
    MAX_CHARACTERS,
    MAX_ITEMS,
    format_time,
    iso_time,
    make_facets,
)

VALUES = st.none() | st.text() | st.lists(st.text())


@given(st.dictionaries(st.text(), VALUES))
def test_every_facet_is_one_that_the_catalog_indexes(values: dict[str, str | list[str]]) -> None:
    for facet in make_facets(values).values():
        assert facet
        for text in [facet] if isinstance(facet, str) else facet:
            assert 0 < len(text) <= MAX_CHARACTERS
            assert text.isprintable()


def test_what_is_too_long_is_shortened_visibly() -> None:
    assert make_facets({"description": "x" * 257}) == {"description": "x" * 255 + "…"}
    assert make_facets({"description": "x" * 256}) == {"description": "x" * 256}


def test_a_list_ends_somewhere() -> None:
    tools = make_facets({"tools": [str(n) for n in range(10_000)]})["tools"]
    assert tools == [str(n) for n in range(MAX_ITEMS)]


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("2026-11-20", "2026-11-20"),
        ("2026-11-20T09:07:42", "2026-11-20T09:07:42"),
        ("2026-11-20T09:07:42Z", "2026-11-20T09:07:42Z"),
        ("2026-11-20T09:07:42+01:00", "2026-11-20T08:07:42Z"),
        (" 2026-11-20T09:07:42.123456789-01:00 ", "2026-11-20T10:07:42Z"),
        ("2026-13-20", None),
        ("2026", None),
        ("", None),
        ("0001-01-01T00:00:00+23:00", None),
    ],
)
def test_a_time_is_iso_8601_or_left_out(text: str, time: str | None) -> None:
    assert iso_time(text) == time


def test_a_time_is_told_in_utc() -> None:
    zone = timezone(timedelta(hours=-5))
    assert format_time(datetime(2026, 11, 20, 20, tzinfo=zone)) == "2026-11-21T01:00:00Z"
