"""What the command writes, and how it looks on a terminal, in a pipe and without UTF-8."""

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
from quilt_packager.cli.console.tables import Cell, Column, Line, Row, lay_out
from quilt_packager.operations import formats
from quilt_packager.operations.jobs.job import State

STYLES: dict[str, tuple[str, str]] = {
    Result.CREATED: ("✓", "green"),
    Result.UNCHANGED: ("=", "dim"),
    Result.REJECTED: ("⊘", "yellow"),
    Result.FAILED: ("✗", "red"),
    State.RUNNING: ("◐", "blue"),
    State.QUEUED: ("◌", "blue"),
    State.IGNORED: ("-", "dim"),
}

STATE_COLUMNS = max(map(len, STYLES)) + 4
"""The room of a glyph, the longest state, and a gap."""

DIFFERENCE_STYLES = {"+": "green", "~": "yellow", "-": "red"}

LEVEL_STYLES = {"WARNING": "yellow", "ERROR": "red", "CRITICAL": "red"}

BAR_CELLS = 22


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
        self._out = open_console(sys.stdout)
        self.errors = open_console(sys.stderr)
        self.is_utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
        self.interactive = self.errors.is_terminal and not self.errors.is_dumb_terminal

    @property
    def is_terminal(self) -> bool:
        """Results are read on a terminal: they may be cut. Elsewhere they never are."""
        return self._out.is_terminal

    def write(self, text: str = "") -> None:
        """Write a line of results. What is too wide is wrapped by the terminal: it can be copied.

        Args:
            text: The line.
        """
        self._out.print(Text(printable(text)), soft_wrap=True)

    def json(self, value: dict[str, Any]) -> None:
        """Write one JSON object, in one line: the result, or one of several."""
        write_json(sys.stdout, value)

    def json_error(self, value: dict[str, Any]) -> None:
        """Write one JSON object to stderr: an error, for a program."""
        write_json(sys.stderr, {"error": value})

    def title(self, name: str, *notes: str) -> None:
        """Write what the following is about.

        Args:
            name: Its name.
            notes: What to say beside it.
        """
        line = Text.assemble((printable(name), "bold"))
        for note in notes:
            line.append("  " + printable(note))
        self._out.print(line, soft_wrap=True)

    def state(self, name: str) -> Text:
        """How a job stands, as a cell of a table.

        Args:
            name: A result, or a `State`.
        """
        _, style = STYLES[name]
        return Text.assemble((self._glyph(name), style), (name, style))

    def outcome(self, result: str, words: str) -> None:
        """Write how a job ended, or how it stands.

        Args:
            result: The result, or a `State`.
            words: What to say beside its name.
        """
        self._out.print(Text.assemble(self.state(result), "  ", printable(words)), soft_wrap=True)

    def change(self, moment: datetime, state: str, words: str) -> None:
        """Write what became of a job, in a line that stands below others of its kind.

        Args:
            moment: When.
            state: As of `state`.
            words: What to say of the job.
        """
        shown = self.state(state)
        shown.pad_right(STATE_COLUMNS - shown.cell_len)
        clock = (self.clock(moment), "dim")
        self._out.print(Text.assemble(clock, "  ", shown, printable(words)), soft_wrap=True)

    def log_line(self, moment: datetime, level: str, message: str, details: str) -> None:
        """Write a line of a log.

        Args:
            moment: When it was written.
            level: How loud it is.
            message: What it is about.
            details: What else it says.
        """
        line = Text.assemble(
            (self.clock(moment, timespec="milliseconds"), "dim"),
            "  ",
            (f"{printable(level):7}  ", LEVEL_STYLES.get(level, "dim")),
            f"{printable(message):20}  ",
            (printable(details), "dim"),
        )
        line.rstrip()
        self._out.print(line, soft_wrap=True)

    def clock(self, moment: datetime, *, timespec: str = "seconds") -> str:
        """A time among others: as the clock on the wall tells it, or in a pipe as programs read it.

        Args:
            moment: The time, with its zone.
            timespec: How exact: `seconds` or `milliseconds`.
        """
        if self._out.is_terminal:
            return moment.astimezone().time().isoformat(timespec)
        text = moment.astimezone(UTC).isoformat(timespec=timespec)
        return text.replace("+00:00", "Z")

    def difference(self, sign: str, words: str) -> None:
        """Write what one has, and another has not, or has otherwise.

        Args:
            sign: `+`, `-` or `~`.
            words: What it is about.
        """
        line = Text.assemble((f"{sign} ", DIFFERENCE_STYLES[sign]), printable(words))
        self._out.print(line, soft_wrap=True)

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

    def fields(self, fields: Iterable[tuple[str, str]], *, indent: str = "  ") -> None:
        """Write labelled text below what it is about, each wrapped beside its label.

        Args:
            fields: Labels and texts.
            indent: What stands before each line.
        """
        _write_labelled(self._out, fields, indent=indent, label_columns=11)

    def facts(self, facts: Iterable[tuple[str, str]]) -> None:
        """Write labelled text, each wrapped beside its label.

        Args:
            facts: Labels and texts. Several lines of one fact have an empty label from the second.
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
        """Write a table. On a narrow terminal some columns go; what is too wide is wrapped by it.

        A row's reason stands below it on a terminal, and beside it elsewhere: one line, one record.

        Args:
            columns: The columns, or only their headings.
            rows: The rows, or only their cells.
            indent: What stands before each line.
        """
        is_terminal = self._out.is_terminal
        layout = lay_out(columns, rows, width=self._out.width if is_terminal else None)
        for line in layout.lines:
            self._table_line(line, indent, layout.reason_columns)

    def _table_line(self, line: Line, indent: str, reason_columns: int) -> None:
        shown = Text(indent).append_text(line.text)
        if line.reason and not self._out.is_terminal:
            shown.append("  " + printable(line.reason))
        self._out.print(shown, soft_wrap=True)
        if line.reason and self._out.is_terminal:
            margin = " " * reason_columns
            width = max(self._out.width - len(indent) - reason_columns, 20)
            for part in Text(printable(line.reason)).wrap(self._out, width):
                part.rstrip()
                self._out.print(Text.assemble(indent, margin, (part.plain, "dim")))

    def when(self, moment: datetime) -> str:
        """A time that has passed: how long ago on a terminal, and exactly in a pipe.

        Args:
            moment: The time, with its zone.
        """
        if not self._out.is_terminal:
            return write_time(moment)
        return f"{formats.age((datetime.now(UTC) - moment).total_seconds())} ago"

    def bar(self, share: float) -> str:
        """How much is done, drawn on a terminal and told in a pipe.

        Args:
            share: How much, from 0 to 1.
        """
        percent = f"{int(share * 100)} %"
        if not self._out.is_terminal:
            return percent
        done = round(share * BAR_CELLS)
        full, empty = self._glyph_or("━", "#"), self._glyph_or("─", ".")
        return f"{full * done}{empty * (BAR_CELLS - done)}  {percent}"

    def confirm(self, question: str) -> bool:
        """Ask whether to go on.

        Args:
            question: What would be done, as a question.

        Raises:
            Misuse: Nobody is there to answer.
        """
        return self.ask(f"{question} [y/N]").lower() in {"y", "yes"}

    def ask(self, question: str) -> str:
        """Ask for a line.

        Args:
            question: The question.

        Returns:
            The answer; empty for none.

        Raises:
            Misuse: Nobody is there to answer.
        """
        if not (sys.stdin.isatty() and self.errors.is_terminal):
            raise Misuse(
                "This needs a yes.",
                why=f"It would ask, and this is no terminal: {question}",
                remedy="Add --yes.",
            )
        self.errors.print(Text(printable(question)), end=" ")
        try:
            return input().strip()
        except EOFError:
            self.errors.print()
            return ""

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

    def suggest(self, words: str, command: str) -> None:
        """Write a command to go on with to stderr, wrapped by the terminal: it can be copied.

        Args:
            words: What it is for.
            command: The command.
        """
        self.errors.print(Text(printable(f"{words} {command}")), soft_wrap=True)

    def gap(self) -> None:
        """Part hints from results, where both are seen together."""
        if self._out.is_terminal and self.errors.is_terminal:
            self.errors.print()

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
