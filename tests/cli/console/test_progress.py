"""Progress: nothing for short jobs, a bar for long ones, lines in a pipe."""

import re

import pytest

from quilt_packager.cli.console.progress import JobProgress
from quilt_packager.cli.console.terminal import Terminal
from tests.cli.terminals import on_terminal

LONG_JOB = """
import threading
from quilt_packager.cli.console.progress import JobProgress
from quilt_packager.cli.console.terminal import Terminal
terminal = Terminal()
with JobProgress(terminal, bar_after_seconds=0) as progress:
    progress("checksums", 6204, 12408)
    while not progress._bar.live.is_started:
        threading.Event().wait(0.01)
terminal.write("done")
"""


def test_a_short_job_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with JobProgress(Terminal()) as progress:
        progress("checksums", 1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(("total", "count"), [(12408, "6,204/12,408"), (None, "6,204")])
def test_the_words_are_phase_count_and_time(total: int | None, count: str) -> None:
    progress = JobProgress(Terminal())
    progress("checksums", 6204, total)
    assert re.fullmatch(rf"checksums  {count}  \d:\d\d:\d\d", progress.words())


def test_a_pipe_has_lines_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    written = ""
    with JobProgress(Terminal(), line_every_seconds=0.001) as progress:
        progress("listing", 3, None)
        while written.count("\n") < 2:
            out, err = capsys.readouterr()
            written += err
            assert out == ""
    clock = r"\d:\d\d:\d\d"
    assert re.fullmatch(rf"(starting  {clock}\n)*(listing  3  {clock}\n)+", written)


def test_a_terminal_has_a_bar_that_is_gone_at_the_end() -> None:
    written = on_terminal(LONG_JOB)
    assert re.search(r"checksums  6,204/12,408  \d:\d\d:\d\d", written)
    assert "━" in written
    assert written.rstrip().endswith("\x1b[2Kdone")
