"""Extensions of MiniStack in the embedded AWS: complete logs of functions, and shared code."""

import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from ministack.core.lambda_runtime import Worker

from quilt_packager.local.ministack_server import CodeArchive, drain_log, read_log

LINES = ['{"message": "begun"}', '{"message": "µ"}', *(["x" * 1000] * 50), '{"message": "ended"}']
FUNCTION = f"""
import sys
for line in {LINES}:
    print(line, file=sys.stderr)
print("answered", flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def worker() -> Iterator[Worker]:
    """A function that has logged its lines and responded, and whose log is still unread."""
    worker = Worker("function", {}, b"")
    with subprocess.Popen(
        [sys.executable, "-X", "utf8", "-c", FUNCTION],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        worker._proc = process
        worker._stderr_queue = queue.Queue()
        worker._stderr_thread = threading.Thread(target=read_log, args=(worker,))
        assert process.stdout is not None
        assert process.stdout.readline() == "answered\n"
        yield worker
        process.kill()
        if worker._stderr_thread.is_alive():
            worker._stderr_thread.join()


def test_an_unread_log_is_complete(worker: Worker) -> None:
    assert drain_log(worker).splitlines() == LINES


def test_log_is_read_once(worker: Worker) -> None:
    worker._stderr_thread.start()
    assert drain_log(worker).splitlines() == LINES
    assert drain_log(worker) == ""


def test_log_of_a_killed_process_is_complete(worker: Worker) -> None:
    worker._stderr_thread.start()
    while worker._stderr_queue.empty():
        time.sleep(0.001)
    worker._proc.kill()
    worker._proc = None
    assert drain_log(worker).splitlines() == LINES
    assert not worker._stderr_thread.is_alive()


def write_code(path: Path, text: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("package/handler.py", text)
    return path


def unpack(archive: Path, folder: Path) -> Path:
    """Unpack code as MiniStack does for a process; returns a file of it."""
    code = folder / "code"
    code.mkdir(parents=True)
    with CodeArchive(str(archive)) as opened:
        opened.extractall(str(code))
    return code / "package" / "handler.py"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def test_code_is_unpacked_once_for_all_processes(tmp_path: Path) -> None:
    archive = write_code(tmp_path / "code.zip", "one")
    first, second = (unpack(archive, tmp_path / name) for name in ("first", "second"))
    assert first.read_text() == "one"
    assert first.samefile(second)


def test_other_code_is_unpacked_by_itself(tmp_path: Path) -> None:
    unpack(write_code(tmp_path / "code.zip", "one"), tmp_path / "first")
    other = unpack(write_code(tmp_path / "code.zip", "other"), tmp_path / "second")
    assert other.read_text() == "other"


def test_code_outlives_the_process_that_came_first(tmp_path: Path) -> None:
    archive = write_code(tmp_path / "code.zip", "one")
    first, second = (unpack(archive, tmp_path / name) for name in ("first", "second"))
    shutil.rmtree(tmp_path / "first")
    assert not first.exists()
    assert second.read_text() == "one"
