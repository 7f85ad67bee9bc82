"""Times in the past, as users write them."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from quilt_packager.operations.durations import parse_since

NOW = datetime(2026, 11, 22, 13, 20, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("0s", timedelta()),
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("7d", timedelta(days=7)),
        ("1w", timedelta(weeks=1)),
        (" 7 D ", timedelta(days=7)),
    ],
)
def test_an_age_counts_from_now(text: str, ago: timedelta) -> None:
    assert parse_since(text, NOW) == NOW - ago


@pytest.mark.parametrize("text", ["2026-11-01", "2026-11-01T00:00Z", "2026-11-01 01:00+01:00"])
def test_a_date_is_in_utc_unless_it_names_its_zone(text: str) -> None:
    assert parse_since(text, NOW) == datetime(2026, 11, 1, tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "2", "h", "-2h", "2.5h", "yesterday", "2026-13-01", "²h"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match=r"as 90s, 2h or 7d, nor a date"):
        parse_since(text, NOW)


def test_the_future_is_refused() -> None:
    with pytest.raises(ValueError, match="in the future"):
        parse_since("2027-01-01", NOW)


def test_an_age_before_the_first_date_is_refused() -> None:
    with pytest.raises(ValueError, match="before the first date"):
        parse_since("999999999w", NOW)


@given(st.text())
def test_any_text_is_parsed_or_refused(text: str) -> None:
    try:
        moment = parse_since(text, NOW)
    except ValueError:
        return
    assert moment <= NOW
    assert moment.tzinfo is UTC
