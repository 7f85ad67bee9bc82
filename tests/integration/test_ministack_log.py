"""What functions log on the embedded AWS is read to its end, however busy the machine is."""

import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from ministack.core.lambda_runtime import Worker

from quilt_packager.local.ministack_server import drain_log, read_log

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
    """A function that has logged its lines and answered, and that nobody has read yet."""
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


def test_nobody_needs_to_have_read_it(worker: Worker) -> None:
    assert drain_log(worker).splitlines() == LINES


def test_it_is_read_once(worker: Worker) -> None:
    worker._stderr_thread.start()
    assert drain_log(worker).splitlines() == LINES
    assert drain_log(worker) == ""


def test_it_is_read_to_the_end_of_a_killed_process(worker: Worker) -> None:
    worker._stderr_thread.start()
    while worker._stderr_queue.empty():
        time.sleep(0.001)
    worker._proc.kill()
    worker._proc = None
    assert drain_log(worker).splitlines() == LINES
    assert not worker._stderr_thread.is_alive()
