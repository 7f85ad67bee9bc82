"""Steps of the demo, as they are shown in a pipe."""

import re

import pytest

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.demo.steps import step


def test_a_step_ends_with_its_notes_and_duration(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with step(Terminal(), "Start it") as running:
        running.show_activity("this [is] not shown in a pipe")
        running.note("http://127.0.0.1:4566")
    assert re.fullmatch(r"✓ Start it  http://127.0.0.1:4566  \d+\.\d s\n", capsys.readouterr().out)


def test_a_failed_step_writes_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ZeroDivisionError), step(Terminal(), "Start it"):
        raise ZeroDivisionError
    assert capsys.readouterr() == ("", "")
