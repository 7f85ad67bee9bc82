"""What the command writes, and how it looks on a terminal, in a pipe and without UTF-8."""

import io
import json
import os
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from quilt_packager_runtime.errors import printable
from quilt_packager_runtime.outcomes import Result
from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

NO_LIMIT = 1_000_000
"""The width of what is no terminal: Rich would cut at 80 columns."""

STYLES = {
    Result.CREATED: ("✓", "green"),
    Result.UNCHANGED: ("=", "dim"),
    Result.REJECTED: ("✗", "yellow"),
    Result.FAILED: ("✗", "red"),
}


class Terminal:
    """The two streams of the command.

    Text of others goes through `printable` and never through Rich's markup.

    Attributes:
        interactive: Somebody watches: progress may be drawn on stderr.
        is_utf8: Glyphs can be written.
        errors: Rich's console on stderr, for progress.
    """

    def __init__(self) -> None:
        """Look at the streams of this process as they are now."""
        self._out = _console(sys.stdout)
        self.errors = _console(sys.stderr)
        self.is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.interactive = self.errors.is_terminal and not self.errors.is_dumb_terminal

    def write(self, text: str = "") -> None:
        """Write a line of results. What is too wide is wrapped by the terminal: it can be copied.

        Args:
            text: The line.
        """
        self._out.print(Text(printable(text)), soft_wrap=True)

    def json(self, value: dict[str, Any]) -> None:
        """Write one JSON object, in one line, as the result."""
        _write_json(sys.stdout, value)

    def json_error(self, value: dict[str, Any]) -> None:
        """Write one JSON object to stderr: an error, for a program."""
        _write_json(sys.stderr, {"error": value})

    def outcome(self, result: Result, words: str) -> None:
        """Write how a job ended.

        Args:
            result: The result.
            words: What to say beside its name.
        """
        _, style = STYLES[result]
        line = Text.assemble(
            (self._glyph(result), style), (result.value, style), "  ", printable(words)
        )
        self._out.print(line)

    def done(self, words: str, note: str = "") -> None:
        """Write that a step succeeded.

        Args:
            words: What was done.
            note: What to say dimly beside it.
        """
        glyph = self._glyph(Result.CREATED)
        line = Text.assemble((glyph, "green"), printable(words), ("  " + printable(note), "dim"))
        line.rstrip()
        self._out.print(line, soft_wrap=True)

    def fields(self, fields: Iterable[tuple[str, str]]) -> None:
        """Write labelled text, each wrapped beside its label.

        Args:
            fields: Labels and texts.
        """
        _write_labelled(self._out, fields, label_columns=11)

    def table(
        self, headings: Sequence[str], rows: Iterable[Sequence[str]], *, right: str = ""
    ) -> None:
        """Write a table, indented. What is wider than the terminal is wrapped by the terminal.

        Args:
            headings: The columns' headings.
            rows: The cells.
            right: The heading of the column that is set flush right; empty: none is.
        """
        lines = [list(headings), *([printable(cell) for cell in row] for row in rows)]
        widths = [max(map(cell_len, column)) for column in zip(*lines, strict=True)]
        for number, line in enumerate(lines):
            cells = [
                (_pad_left if heading == right else _pad_right)(cell, width)
                for heading, cell, width in zip(headings, line, widths, strict=True)
            ]
            text = "  " + "  ".join(cells).rstrip()
            self._out.print(Text(text, "" if number else "dim"), soft_wrap=True)

    def shorten(self, text: str, length: int) -> str:
        """Cut text on a terminal, never in a pipe.

        Args:
            text: The text.
            length: How many characters to keep on a terminal.
        """
        cut = self._out.is_terminal and len(text) > length
        return text[:length] + self._glyph_or("…", "...") if cut else text

    def hint(self, text: str) -> None:
        """Write a line to stderr.

        Args:
            text: The line.
        """
        self.errors.print(Text(printable(text)))

    def error(self, happened: str, *, why: str, remedy: str, log: str = "") -> None:
        """Write an error to stderr.

        Args:
            happened: What happened.
            why: The cause; empty if it goes without saying.
            remedy: What to do.
            log: The end of a log that tells more.
        """
        for line in log.splitlines():
            self.errors.print(Text(printable(line), "dim"), soft_wrap=True)
        self.errors.print(Text.assemble(("error", "red"), f": {printable(happened)}"))
        fields = [("why", why), ("do", remedy)]
        _write_labelled(self.errors, [field for field in fields if field[1]], label_columns=5)

    def _glyph(self, result: Result) -> str:
        return self._glyph_or(f"{STYLES[result][0]} ", "")

    def _glyph_or(self, glyph: str, words: str) -> str:
        return glyph if self.is_utf8 else words


def _console(stream: TextIO) -> Console:
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


def _write_json(stream: TextIO, value: dict[str, Any]) -> None:
    stream.write(json.dumps(value) + "\n")


def _write_labelled(
    console: Console, fields: Iterable[tuple[str, str]], *, label_columns: int
) -> None:
    for label, text in fields:
        lines = Text(printable(text)).wrap(console, max(console.width - label_columns - 2, 20))
        for number, line in enumerate(lines):
            line.rstrip()
            shown = "" if number else label
            console.print(Text.assemble("  ", (shown.ljust(label_columns), "dim"), line))


def _pad_left(cell: str, width: int) -> str:
    return " " * (width - cell_len(cell)) + cell


def _pad_right(cell: str, width: int) -> str:
    return cell + " " * (width - cell_len(cell))
