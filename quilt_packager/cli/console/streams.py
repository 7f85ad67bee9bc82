"""The streams of the command: Rich's consoles on them, plain where nobody looks."""

import io
import json
import os
from datetime import UTC, datetime
from typing import Any, TextIO

from rich.console import Console

NO_LIMIT = 1_000_000
"""The width of what is no terminal: Rich would cut at 80 columns."""


def open_console(stream: TextIO) -> Console:
    """Rich's console on a stream, without what would read brackets, names and numbers in our text.

    Args:
        stream: Where to write.
    """
    if isinstance(stream, io.TextIOWrapper):
        # A key in another script must not end the command where the locale is C.
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
    """Write one JSON object in one line, in ASCII: any locale can write it, any program read it.

    It goes out at once: a program at the other end of a pipe may wait for it.

    Args:
        stream: Where to write.
        value: The object; times are written as RFC 3339 has them, in UTC.
    """
    stream.write(json.dumps(value, default=_encode) + "\n")
    stream.flush()


def write_time(moment: datetime) -> str:
    """A time for programs.

    Args:
        moment: The time, with its zone.

    Example:
        >>> from datetime import UTC
        >>> write_time(datetime(2026, 11, 22, 12, 22, 57, 250_000, tzinfo=UTC))
        '2026-11-22T12:22:57Z'
    """
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _encode(value: object) -> str:
    if isinstance(value, datetime):
        return write_time(value)
    raise TypeError(f"{type(value).__name__} has no form in JSON")
