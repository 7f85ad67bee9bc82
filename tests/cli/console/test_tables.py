"""Tables: aligned, narrower where there is little room, and never cut."""

import os
import pty
import subprocess
import sys

import pytest
from rich.text import Text

from quilt_packager.cli.console.tables import Column, Row, lay_out
from tests.cli.terminals import on_terminal, piped

COLUMNS: list[str | Column] = ["NAME", Column("SOURCE", wide=True), Column("SIZE", right=True)]
ROWS = [("a/b", "Uploads", "1 B"), ("longer/name", "EDP", "10 B")]
REASON = f"EmptySource: {', '.join(['s3://raw/a/ held no objects when it was handled'] * 2)}."
SHOW = f"""
from quilt_packager.cli.console.tables import Column, Row
from quilt_packager.cli.console.terminal import Terminal
terminal = Terminal()
columns = ["STATE", "NAME", Column("SOURCE", wide=True)]
terminal.table(columns, [Row([terminal.state("rejected"), "a/b", "EDP"], {REASON!r})])
"""
ASK = """
from quilt_packager.cli.console.terminal import Terminal
print(Terminal().confirm("Discard [4] messages?"))
"""


def shown(width: int | None) -> list[str]:
    return [line.text.plain for line in lay_out(COLUMNS, ROWS, width=width).rows]


def test_columns_are_aligned_and_numbers_flush_right() -> None:
    assert shown(120) == [
        "NAME         SOURCE   SIZE",
        "a/b          Uploads   1 B",
        "longer/name  EDP      10 B",
    ]


def test_a_narrow_terminal_has_fewer_columns() -> None:
    assert shown(99)[0] == "NAME         SIZE"
    assert shown(100)[0].split() == ["NAME", "SOURCE", "SIZE"]


def test_a_pipe_has_all_columns() -> None:
    assert shown(None) == shown(120)


def test_wide_characters_take_two_cells() -> None:
    layout = lay_out(["NAME", "SIZE"], [("日本", "1 B"), ("abcd", "2 B")], width=80)
    assert [line.text.cell_len for line in layout.rows] == [10, 9, 9]


def test_a_name_that_is_too_wide_moves_its_own_row_alone() -> None:
    rows = [("n" * 90, "1 B"), ("short", "2 B")]
    texts = [line.text.plain for line in lay_out(["NAME", Column("SIZE")], rows, width=40).rows[1:]]
    assert texts[0] == f"{'n' * 90}  1 B"
    assert texts[1].index("2 B") < 40


def test_an_empty_table_has_its_headings() -> None:
    assert shown_headings() == ["NAME  SIZE"]


def shown_headings() -> list[str]:
    return [line.text.plain for line in lay_out(["NAME", "SIZE"], [], width=80).rows]


def test_untrusted_text_is_escaped() -> None:
    layout = lay_out(["A"], [Row(["\x1b[31m"]), Row([Text("\u25d0")])], width=80)
    assert [line.text.plain for line in layout.rows[1:]] == ["\\x1b[31m", "\u25d0"]


def test_a_reason_is_wrapped_below_the_second_column_on_a_terminal() -> None:
    heading, row, *reason = on_terminal(SHOW, NO_COLOR="1").splitlines()
    assert (heading.split(), row) == (["STATE", "NAME"], "⊘ rejected  a/b")
    assert all(line.startswith(" " * 12) and len(line) <= 80 for line in reason)
    assert " ".join(line.strip() for line in reason) == REASON


def test_a_reason_is_part_of_its_line_in_a_pipe() -> None:
    assert piped(SHOW).splitlines()[1] == f"⊘ rejected  a/b   EDP  {REASON}"


def test_a_question_needs_a_terminal() -> None:
    code = "from quilt_packager.cli.console.errors import Misuse\ntry:" + ASK.replace(
        "\n", "\n    "
    )
    code += "\nexcept Misuse as error:\n    print(error.remedy)"
    assert piped(code) == "Add --yes.\n"


@pytest.mark.parametrize(("answer", "meant"), [("y", "True"), ("", "False"), ("no", "False")])
def test_a_question_is_asked_on_stderr(answer: str, meant: str) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", ASK],
        stdin=theirs,
        stderr=theirs,
        stdout=subprocess.PIPE,
        env=os.environ | {"TERM": "xterm", "NO_COLOR": "1"},
    )
    os.close(theirs)
    written = b""
    while b"[y/N] " not in written:
        written += os.read(ours, 4096)
    os.write(ours, f"{answer}\n".encode())
    out, _ = process.communicate(timeout=30)
    os.close(ours)
    assert b"Discard [4] messages?" in written
    assert out.decode().strip() == meant
