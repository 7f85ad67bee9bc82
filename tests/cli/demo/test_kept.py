"""Demos that were kept: `demo --stop` ends their processes and removes their files."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from quilt_packager.cli.commands.demo import demo
from quilt_packager.local import kept

SLEEP = "import sys, time; print('ready', flush=True); time.sleep(300)"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


@pytest.fixture
def process(request: pytest.FixtureRequest) -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group, with a word in its command line."""
    word = getattr(request, "param", kept.PROGRAM)
    command = [sys.executable, "-c", SLEEP, word]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


def keep(directory: Path, process_id: int) -> Path:
    directory.mkdir()
    (directory / kept.FILE).write_text(json.dumps([process_id]))
    return directory


def test_their_processes_end_and_their_files_are_removed(
    temporary: Path, process: subprocess.Popen[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    directory = keep(temporary / f"{kept.DIRECTORY_PREFIX}1", process.pid)
    assert demo(stop=True) == 0
    assert process.wait(5) < 0
    assert not directory.exists()
    assert capsys.readouterr().out == "Stopped 1 demo.\n"


@pytest.mark.parametrize("process", ["another-program"], indirect=True)
def test_another_process_of_the_same_id_is_left_alone(
    temporary: Path, process: subprocess.Popen[bytes]
) -> None:
    directory = keep(temporary / f"{kept.DIRECTORY_PREFIX}1", process.pid)
    assert kept.stop_all() == 1
    assert process.poll() is None
    assert not directory.exists()


def test_directories_of_others_are_left_alone(
    temporary: Path, process: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(temporary / f"{kept.DIRECTORY_PREFIX}1", process.pid)
    monkeypatch.setattr(os, "getuid", lambda: -1)
    assert kept.stop_all() == 0
    assert process.poll() is None


def test_a_demo_that_runs_is_left_alone(
    temporary: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    running = temporary / f"{kept.DIRECTORY_PREFIX}1"
    running.mkdir()
    assert demo(stop=True) == 0
    assert running.exists()
    assert capsys.readouterr().out == "No demo is running.\n"
