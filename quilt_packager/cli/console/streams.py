"""Output streams: Rich consoles without markup, and JSON."""

import io
import json
import os
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console

NO_LIMIT = 1_000_000
"""Width for pipes and files, which Rich would otherwise cut at 80 columns."""


def open_console(stream: TextIO) -> Console:
    """Open Rich's console on a stream, without interpretation of brackets, names and numbers."""
    if isinstance(stream, io.TextIOWrapper):
        # In the C locale, a non-ASCII key must not raise an error.
        stream.reconfigure(errors="backslashreplace")
    is_terminal = stream.isatty()
    is_plain = not is_terminal or bool(os.environ.get("NO_COLOR"))
    return Console(
        file=stream,
        force_terminal=is_terminal,
        color_system=None if is_plain else "auto",
        width=None if is_terminal else NO_LIMIT,
        legacy_windows=False,
        markup=False,
        highlight=False,
        emoji=False,
    )


def write_json(stream: TextIO, value: dict[str, Any]) -> None:
    """Write one JSON object in one line of ASCII, which any locale can write, and flush it.

    Times are RFC 3339 in UTC.
    """
    stream.write(json.dumps(value, default=_encode) + "\n")
    stream.flush()


def write_time(moment: datetime) -> str:
    """Format a time for programs.

    Example:
        >>> from datetime import UTC
        >>> write_time(datetime(2026, 11, 22, 12, 22, 57, 250_000, tzinfo=UTC))
        '2026-11-22T12:22:57Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return write_time(value)
    raise TypeError(f"{type(value).__name__} is not JSON serializable")
