"""Metadata that the catalog can index: flat, short, and without empty values.

A facet is a string of 1 to 256 characters, or a list of such strings that is not empty.
"""

import re
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime

MAX_CHARACTERS = 256
"""Maximum length of a string that the catalog indexes."""

MAX_ITEMS = 100
"""Maximum number of values in a list."""

_YEAR_OR_MONTH = re.compile(r"(?!0000)[0-9]{4}(?:-(?:0[1-9]|1[0-2]))?")

Facet = str | list[str]


def make_facets(values: Mapping[str, str | Iterable[str] | None]) -> dict[str, Facet]:
    r"""Convert texts, or lists of texts, to facets without empty and repeated values.

    Example:
        >>> make_facets({"name": " a\n b ", "tools": ["x", "", "x"], "author": []})
        {'name': 'a b', 'tools': ['x']}
    """
    facets: dict[str, Facet] = {}
    for name, value in values.items():
        facet = _text(value or "") if isinstance(value, str | None) else _texts(value)
        if facet:
            facets[name] = facet
    return facets


def iso_time(text: str) -> str | None:
    """Normalize a date or time in ISO 8601; None for other text.

    A time has a precision of seconds, and is in UTC if its zone is known. A date may be a year, or
    a month of a year.

    Example:
        >>> iso_time("2024-12-10T09:07:42.073671473+01:00"), iso_time("2024-12-10")
        ('2024-12-10T08:07:42Z', '2024-12-10')
        >>> iso_time("2017"), iso_time("last week")
        ('2017', None)
    """
    text = text.strip()
    try:
        if _YEAR_OR_MONTH.fullmatch(text):
            return text
        if "T" not in text.upper() and " " not in text:
            return date.fromisoformat(text).isoformat()
        return format_time(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def format_time(time: datetime) -> str:
    """Format a time with a precision of seconds, in UTC if its zone is known.

    Example:
        >>> format_time(datetime(2024, 12, 10, 8, 7, 42, 73671, tzinfo=UTC))
        '2024-12-10T08:07:42Z'
    """
    if time.tzinfo is None:
        return time.isoformat(timespec="seconds")
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def _texts(values: Iterable[str]) -> list[str]:
    texts: dict[str, None] = {}
    for text in filter(None, map(_text, values)):
        texts[text] = None
        if len(texts) == MAX_ITEMS:
            break
    return list(texts)


def _text(value: str) -> str:
    """Return one line of printable characters, with an ellipsis if it is cut."""
    # Cut first, with room for whitespace: an abstract may have megabytes.
    words = value[: 4 * MAX_CHARACTERS].split()
    text = "".join(character for character in " ".join(words) if character.isprintable())
    return text if len(text) <= MAX_CHARACTERS else text[: MAX_CHARACTERS - 1] + "…"
