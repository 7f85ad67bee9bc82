"""Output and questions of the command, on a terminal, in a pipe, and without UTF-8."""

import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from quilt_packager_runtime.errors import printable
from quilt_packager_runtime.formats.outcome import Result
from rich.console import Console
from rich.text import Text

from quilt_packager.cli.console.errors import Misuse
from quilt_packager.cli.console.streams import open_console, write_json, write_time
from quilt_packager.cli.console.tables import AlignedRow, Cell, Column, Row, lay_out
from quilt_packager.operations import formats
from quilt_packager.operations.jobs.job import State

PROMOTED = "promoted"
"""The result of a promotion that has published."""

STYLES: dict[str, tuple[str, str]] = {
    Result.CREATED: ("✓", "green"),
    PROMOTED: ("✓", "green"),
    Result.UNCHANGED: ("=", "dim"),
    Result.REJECTED: ("⊘", "yellow"),
    Result.FAILED: ("✗", "red"),
    State.RUNNING: ("◐", "blue"),
    State.QUEUED: ("◌", "blue"),
    State.IGNORED: ("-", "dim"),
}

FINDING_STYLES: dict[str, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "notice": ("!", "yellow"),
    "unconfirmed": ("?", "dim"),
    "wrong": ("✗", "red"),
}

STATE_COLUMNS = max(map(len, STYLES)) + 4
"""Width of a glyph, the longest state, and a gap."""

DIFFERENCE_STYLES = {"+": "green", "~": "yellow", "-": "red"}

LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}

BAR_CELLS = 22


class Terminal:
    """The two output streams of the command.

    Untrusted text goes through `printable` and never through Rich's markup.

    Attributes:
        interactive: True if stderr can show progress.
        is_utf8: True if glyphs can be written.
        errors: Rich's console on stderr, for progress.
    """

    def __init__(self) -> None:
        """Open the current streams of this process."""
        self._out = open_console(sys.stdout)
        self.errors = open_console(sys.stderr)
        self.is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.interactive = self.errors.is_terminal and not self.errors.is_dumb_terminal

    @property
    def is_terminal(self) -> bool:
        """True if stdout is a terminal, where results may be shortened."""
        return self._out.is_terminal

    def write(self, text: str = "") -> None:
        """Write a line of results. The terminal wraps it, so that it can be copied."""
        self._out.print(Text(printable(text)), soft_wrap=True)

    def json(self, value: dict[str, Any]) -> None:
        """Write one JSON object in one line."""
        write_json(sys.stdout, value)

    def json_error(self, value: dict[str, Any]) -> None:
        """Write an error as one JSON object to stderr."""
        write_json(sys.stderr, {"error": value})

    def title(self, name: str, *notes: str) -> None:
        """Write a heading with notes beside it."""
        line = Text.assemble((printable(name), "bold"))
        for note in notes:
            line.append("  " + printable(note))
        self._out.print(line, soft_wrap=True)

    def state(self, name: str) -> Text:
        """Format a result or a `State` as a table cell."""
        _, style = STYLES[name]
        return Text.assemble((self._glyph(name), style), (name, style))

    def outcome(self, result: str, words: str) -> None:
        """Write a result or a `State`, and text beside it."""
        self._out.print(Text.assemble(self.state(result), "  ", printable(words)), soft_wrap=True)

    def finding(self, status: str, subject: str, text: str, *, remedy: str, note: str) -> None:
        """Write a finding of a check: status, subject, sentence, remedy, and a dim note.

        A terminal gets a block, in which each part is wrapped. Elsewhere, a line is a record.
        """
        glyph, style = FINDING_STYLES[status]
        mark = Text.assemble((self._glyph_or(f"{glyph} ", "") + status, style), "  ")
        name = Text(printable(subject), "bold")
        parts = [("", printable(text)), ("do", printable(remedy)), ("aws", printable(note))]
        known = [(label, part) for label, part in parts if part]
        if not self._out.is_terminal:
            written = [f"{label}: {part}" if label else part for label, part in known]
            self._out.print(Text("  ").join([mark + name, *map(Text, written)]), soft_wrap=True)
        elif remedy or status != "ok":
            self._out.print(mark + name, soft_wrap=True)
            _write_labelled(self._out, known, indent="  ", label_columns=5)
        else:
            # There are many, which matter less.
            shown = Text.assemble(mark, printable(text), (f"  {printable(subject)}", "dim"))
            self._out.print(shown.append(f"  {printable(note)}", "dim"), soft_wrap=True)

    def change(self, moment: datetime, state: str, job_id: str, words: str) -> None:
        """Write a change of a job's state, with its date and id, aligned with others."""
        shown = self.state(state)
        shown.pad_right(STATE_COLUMNS - shown.cell_len)
        at = f"{moment.astimezone():%Y-%m-%d %H:%M:%S}"
        clock = (at if self._out.is_terminal else self.clock(moment), "dim")
        words = f"{job_id}  {words}"
        self._out.print(Text.assemble(clock, "  ", shown, printable(words)), soft_wrap=True)

    def log_line(self, moment: datetime, level: str, message: str, details: str) -> None:
        """Write a line of a log."""
        line = Text.assemble(
            (self.clock(moment, timespec="milliseconds"), "dim"),
            "  ",
            (f"{printable(level):7}  ", LEVEL_STYLES.get(level, "dim")),
            f"{printable(message):21}  ",
            (printable(details), "dim"),
        )
        line.rstrip()
        self._out.print(line, soft_wrap=True)

    def clock(self, moment: datetime, *, timespec: str = "seconds") -> str:
        """Format the time of a log line: local time on a terminal, RFC 3339 in a pipe."""
        if self._out.is_terminal:
            return moment.astimezone().time().isoformat(timespec)
        text = moment.astimezone(UTC).isoformat(timespec=timespec)
        return text.replace("+00:00", "Z")

    def difference(self, sign: str, words: str) -> None:
        """Write a difference, marked with `+`, `-` or `~`."""
        line = Text.assemble((f"{sign} ", DIFFERENCE_STYLES[sign]), printable(words))
        self._out.print(line, soft_wrap=True)

    def done(self, words: str, note: str = "") -> None:
        """Write that a step succeeded, with a dim note."""
        glyph = self._glyph(Result.CREATED)
        line = Text.assemble((glyph, "green"), printable(words), ("  " + printable(note), "dim"))
        line.rstrip()
        self._out.print(line, soft_wrap=True)

    def fields(self, fields: Iterable[tuple[str, str]], *, indent: str = "  ") -> None:
        """Write labelled text with a fixed label width, each wrapped beside its label."""
        _write_labelled(self._out, fields, indent=indent, label_columns=11)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Write labelled text with labels as wide as the widest, each wrapped beside its label.

        Facts of several lines have empty labels from the second line on.
        """
        known = list(facts)
        label_columns = max((len(label) for label, _ in known), default=0) + 2
        _write_labelled(self._out, known, indent="", label_columns=label_columns)

    def table(
        self,
        columns: Sequence[str | Column],
        rows: Iterable[Sequence[Cell] | Row],
        *,
        indent: str = "",
    ) -> None:
        """Write a table. A narrow terminal omits some columns, and wraps lines that are too wide.

        A row's reason goes below it on a terminal. Elsewhere it ends the line: a line is a record.
        """
        is_terminal = self._out.is_terminal
        layout = lay_out(columns, rows, width=self._out.width if is_terminal else None)
        for row in layout.rows:
            self._write_row(row, indent, layout.reason_columns)

    def _write_row(self, row: AlignedRow, indent: str, reason_columns: int) -> None:
        shown = Text(indent).append_text(row.text)
        if row.reason and not self._out.is_terminal:
            shown.append("  " + printable(row.reason))
        self._out.print(shown, soft_wrap=True)
        if row.reason and self._out.is_terminal:
            margin = " " * reason_columns
            width = max(self._out.width - len(indent) - reason_columns, 20)
            for part in Text(printable(row.reason)).wrap(self._out, width):
                part.rstrip()
                self._out.print(Text.assemble(indent, margin, (part.plain, "dim")))

    def when(self, moment: datetime) -> str:
        """Format a past time: its age on a terminal, the exact time in a pipe."""
        if not self._out.is_terminal:
            return write_time(moment)
        return f"{formats.age((datetime.now(UTC) - moment).total_seconds())} ago"

    def bar(self, share: float) -> str:
        """Format a share from 0 to 1: a bar on a terminal, a percentage in a pipe."""
        percent = f"{int(share * 100)} %"
        if not self._out.is_terminal:
            return percent
        done = round(share * BAR_CELLS)
        full, empty = self._glyph_or("━", "#"), self._glyph_or("─", ".")
        return f"{full * done}{empty * (BAR_CELLS - done)}  {percent}"

    def confirm(self, question: str) -> bool:
        """Ask a yes/no question.

        Raises:
            Misuse: There is no terminal to ask on.
        """
        return self.ask(f"{question} [y/N]").lower() in {"y", "yes"}

    def ask(self, question: str) -> str:
        """Ask for a line of text, empty by default.

        Raises:
            Misuse: There is no terminal to ask on.
        """
        if not (sys.stdin.isatty() and self.errors.is_terminal):
            raise Misuse(
                "Confirmation needed.",
                why=f"There is no terminal to ask on: {question}",
                remedy="Add --yes.",
            )
        self.errors.print(Text(printable(question)), end=" ")
        try:
            return input().strip()
        except EOFError:
            self.errors.print()
            return ""

    def shorten(self, text: str, length: int) -> str:
        """Shorten text on a terminal, never in a pipe."""
        cut = self._out.is_terminal and len(text) > length
        return text[:length] + self._glyph_or("…", "...") if cut else text

    def hint(self, text: str) -> None:
        """Write a line to stderr."""
        self.errors.print(Text(printable(text)))

    def suggest(self, words: str, command: str) -> None:
        """Suggest a command on stderr. The terminal wraps it, so that it can be copied."""
        self.errors.print(Text(printable(f"{words} {command}")), soft_wrap=True)

    def gap(self) -> None:
        """Separate hints from results if both go to a terminal."""
        if self._out.is_terminal and self.errors.is_terminal:
            self.errors.print()

    def error(self, happened: str, *, why: str, remedy: str, log: str = "") -> None:
        """Write an error to stderr. An empty cause is left out; the log's last lines precede it."""
        for line in log.splitlines():
            self.errors.print(Text(printable(line), "dim"), soft_wrap=True)
        self.errors.print(Text.assemble(("error", "red"), f": {printable(happened)}"))
        fields = [("why", why), ("do", remedy)]
        known = [field for field in fields if field[1]]
        _write_labelled(self.errors, known, indent="  ", label_columns=5)

    def _glyph(self, state: str) -> str:
        return self._glyph_or(f"{STYLES[state][0]} ", "")

    def _glyph_or(self, glyph: str, words: str) -> str:
        return glyph if self.is_utf8 else words


def _write_labelled(
    console: Console, fields: Iterable[tuple[str, str]], *, indent: str, label_columns: int
) -> None:
    for label, text in fields:
        room = console.width - len(indent) - label_columns
        lines = Text(printable(text)).wrap(console, max(room, 20))
        for number, line in enumerate(lines):
            line.rstrip()
            shown = "" if number else label
            console.print(Text.assemble(indent, (shown.ljust(label_columns), "dim"), line))
