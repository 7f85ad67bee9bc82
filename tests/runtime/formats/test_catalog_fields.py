"""Metadata that the catalog can index."""

from datetime import datetime, timedelta, timezone

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
def test_the_catalog_indexes_every_facet(values: dict[str, str | list[str]]) -> None:
    for facet in make_facets(values).values():
        assert facet
        for text in [facet] if isinstance(facet, str) else facet:
            assert 0 < len(text) <= MAX_CHARACTERS
            assert text.isprintable()


def test_long_text_ends_in_an_ellipsis() -> None:
    assert make_facets({"description": "x" * 257}) == {"description": "x" * 255 + "…"}
    assert make_facets({"description": "x" * 256}) == {"description": "x" * 256}


def test_a_list_has_at_most_100_values() -> None:
    tools = make_facets({"tools": [str(n) for n in range(10_000)]})["tools"]
    assert tools == [str(n) for n in range(MAX_ITEMS)]


def test_a_time_is_iso_8601_or_none() -> None:
    times = {
        "2026-11-20": "2026-11-20",
        "2026-11-20T09:07:42": "2026-11-20T09:07:42",
        "2026-11-20T09:07:42Z": "2026-11-20T09:07:42Z",
        "2026-11-20T09:07:42+01:00": "2026-11-20T08:07:42Z",
        " 2026-11-20T09:07:42.123456789-01:00 ": "2026-11-20T10:07:42Z",
        "2026-13-20": None,
        "2026": "2026",
        "2026-11": "2026-11",
        "20261120": "2026-11-20",
        "0000": None,
        "2026-13": None,
        "": None,
        "0001-01-01T00:00:00+23:00": None,
    }
    assert {text: iso_time(text) for text in times} == times


def test_a_time_is_formatted_in_utc() -> None:
    zone = timezone(timedelta(hours=-5))
    assert format_time(datetime(2026, 11, 20, 20, tzinfo=zone)) == "2026-11-21T01:00:00Z"
