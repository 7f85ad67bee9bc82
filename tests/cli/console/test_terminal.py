"""Output on a terminal, in a pipe and without UTF-8; untrusted text."""

from collections.abc import Callable

import pytest

from tests.cli.terminals import on_terminal, piped

SHOW = """
from quilt_packager.cli.console.tables import Column
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager_runtime.formats.outcome import Result
terminal = Terminal()
terminal.outcome(Result.CREATED, "a/b")
terminal.fields([("why", "word " * 30)])
terminal.table(["KEY", Column("SIZE", right=True)], [("k" * 90, "1 B"), ("[red]k[/]", "10 B")])
"""
KEY = "[bold]a[/bold]\x1b[31m\nb:smile:"
SHOW_KEY = f"""
from quilt_packager.cli.console.tables import Row
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager_runtime.formats.outcome import Result
Terminal().outcome(Result.REJECTED, {KEY!r})
Terminal().fields([("why", {KEY!r})])
Terminal().table(["KEY"], [Row([{KEY!r}], {KEY!r})])
Terminal().error({KEY!r}, why={KEY!r}, remedy={KEY!r}, log={KEY!r})
"""


def test_a_terminal_has_colours_and_glyphs() -> None:
    assert on_terminal(SHOW).startswith("\x1b[32m✓ \x1b[0m\x1b[32mcreated\x1b[0m  a/b")


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_color_and_dumb_terminals_have_no_colours(environment: dict[str, str]) -> None:
    written = on_terminal(SHOW, **environment)
    assert "\x1b" not in written
    assert written.startswith("✓ created  a/b")


def test_text_is_wrapped_beside_its_label_on_a_terminal() -> None:
    lines = on_terminal(SHOW, NO_COLOR="1").splitlines()[1:4]
    assert lines[0].startswith("  why        word word")
    assert lines[1].startswith("             word word")
    assert all(len(line) <= 80 for line in lines)


def test_a_line_to_copy_is_wrapped_by_the_terminal() -> None:
    line = "kill -- -123; rm -rf " + "x" * 100
    code = f"from quilt_packager.cli.console.terminal import Terminal; Terminal().write({line!r})"
    assert on_terminal(code) == line + "\r\n"


def test_a_pipe_has_plain_text_in_full() -> None:
    assert piped(SHOW) == (
        "✓ created  a/b\n"
        f"  why        {('word ' * 30).strip()}\n"
        f"{'KEY'.ljust(90)}  SIZE\n"
        f"{'k' * 90}   1 B\n"
        f"{'[red]k[/]'.ljust(90)}  10 B\n"
    )


def test_a_pipe_has_no_colour_even_if_forced() -> None:
    assert "\x1b" not in piped(SHOW, FORCE_COLOR="1", TTY_COMPATIBLE="1")


def test_without_utf8_there_are_no_glyphs() -> None:
    assert piped(SHOW, PYTHONIOENCODING="ascii").startswith("created  a/b\n")


def test_without_utf8_other_characters_are_escaped() -> None:
    code = "from quilt_packager.cli.console.terminal import Terminal; Terminal().write('é')"
    assert piped(code, PYTHONIOENCODING="ascii") == "\\xe9\n"


@pytest.mark.parametrize("run", [piped, on_terminal])
def test_untrusted_text_is_shown_literally(run: Callable[[str], str]) -> None:
    written = run(SHOW_KEY)
    shown = r"[bold]a[/bold]\x1b[31m\nb:smile:"
    assert written.count(shown) == 7


def test_json_is_flushed() -> None:
    code = (
        "import os; from quilt_packager.cli.console.terminal import Terminal; "
        "Terminal().json({'a': 1}); os._exit(0)"
    )
    assert piped(code, PYTHONUNBUFFERED="") == '{"a": 1}\n'
