"""Filters of templates: they escape nothing, but make visible what would be hidden."""

import json
import unicodedata
from datetime import datetime

from markupsafe import Markup
from quilt_packager_runtime.errors import printable

from quilt_packager.operations import formats

KEPT = frozenset("\n\t\u200c\u200d\ufe0f")
"""Characters without a glyph that text may contain: line breaks, and those that join emoji."""


MAX_DIGEST = 8
"""Length of a checksum above which it is shortened."""


def show(value: object) -> object:
    r"""Escape invisible characters, and those that change the direction of the text around them.

    Example:
        >>> print(show("a\u202eb"), show("שלום 🧬"))
        a\u202eb שלום 🧬
    """
    if type(value) is not str or value.isprintable():
        return value
    return "".join(
        char if char in KEPT or unicodedata.category(char) == "Zs" else printable(char)
        for char in value
    )


def moment(at: datetime, text: str | None = None) -> Markup:
    """Render a moment as an HTML element whose tooltip has the date, the time and the time zone.

    Args:
        at: The moment.
        text: Visible text. Default: its age, which a script keeps up to date.
    """
    local = at.astimezone()
    ticks = Markup(" data-age") if text is None else Markup("")
    if text is None:
        text = f"{formats.age((datetime.now(local.tzinfo) - local).total_seconds())} ago"
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(
        local.isoformat(timespec="seconds"), local.strftime("%Y-%m-%d %H:%M:%S %Z"), ticks, text
    )


def until(at: datetime) -> Markup:
    """Render the time until a moment as an HTML element that a script keeps up to date."""
    seconds = (at - datetime.now(at.tzinfo)).total_seconds()
    return Markup('<time datetime="{}" data-until>in {}</time>').format(
        at.isoformat(timespec="seconds"), formats.age(seconds)
    )


def time_of_day(at: datetime) -> str:
    """Format a moment as a time of day, with the day unless it is today."""
    local = at.astimezone()
    is_today = local.date() == datetime.now(local.tzinfo).date()
    return f"{local:%H:%M:%S}" if is_today else f"{local:%d %b %H:%M}"


def zone_name() -> str:
    """Name the time zone of this machine, with its distance from UTC.

    Example:
        >>> zone_name()  # doctest: +SKIP
        'CET (UTC+01:00)'
    """
    now = datetime.now().astimezone()
    offset = f"{now:%z}"
    name = now.tzname() or "local time"
    return name if name == "UTC" else f"{name} (UTC{offset[:3]}:{offset[3:]})"


def clock(at: datetime) -> str:
    """Format a moment as a time of day, with the date unless it is today."""
    local, today = at.astimezone(), datetime.now().astimezone().date()
    if local.date() == today:
        return f"Today {local:%H:%M:%S}"
    return f"{local:%Y-%m-%d %H:%M:%S}"


def dom_id(text: str) -> str:
    """Make an HTML id that is safe in a CSS selector.

    Example:
        >>> dom_id("3f9a-é b")
        '3f9a-_e9__20_b'
    """
    return "".join(
        char if (char.isascii() and char.isalnum()) or char == "-" else f"_{ord(char):x}_"
        for char in text
    )


def short(digest: str) -> str:
    """Shorten a checksum.

    Example:
        >>> short("9f2c5a7d0b"), short("9f2c0b")
        ('9f2c…0b', '9f2c0b')
    """
    return digest if len(digest) <= MAX_DIGEST else f"{digest[:4]}…{digest[-2:]}"


def as_json(value: object) -> str:
    """Format a value as indented JSON."""
    return json.dumps(value, indent=2, ensure_ascii=False)
