"""Run a side of a benchmark in its own process, and measure it with the kernel's figures."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from tempfile import TemporaryDirectory, TemporaryFile
from typing import IO

import msgspec

MIB = 2**20
LAST_LINES = 20
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIABENCHMARKS000000",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class Cost(msgspec.Struct, frozen=True):
    """The cost of a process, including the start of its interpreter.

    Attributes:
        cpu_seconds: User and system time of its threads and of the children it waited for.
        wall_seconds: Wall time.
        peak_bytes: Largest resident set.
    """

    cpu_seconds: float
    wall_seconds: float
    peak_bytes: int


class Finished(msgspec.Struct, frozen=True):
    """A process that succeeded.

    Attributes:
        cost: Cost of the process.
        output: Contents of its stdout.
    """

    cost: Cost
    output: bytes


class Overdue(Exception):
    """A process was killed at its time limit."""


def run_module(
    module: str,
    *arguments: str,
    limit_seconds: float,
    environment: Mapping[str, str] | None = None,
) -> Finished:
    """Run a module, isolated from the user's environment and home folder.

    Raises:
        Overdue: The module exceeded its time limit.
        RuntimeError: The module failed.
    """
    command = [sys.executable, "-m", module, *arguments]
    with TemporaryDirectory() as home, TemporaryFile() as output, TemporaryFile() as errors:
        started = time.perf_counter()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            env=_variables(home) | dict(environment or {}),
        )
        cost = _wait(process, started, limit_seconds)
        if process.returncode == -signal.SIGKILL and cost.wall_seconds >= limit_seconds:
            raise Overdue(f"{module} was killed after {limit_seconds:.0f} s")
        if process.returncode:
            last = b"\n".join(_read(errors).splitlines()[-LAST_LINES:])
            raise RuntimeError(f"{module} exited with code {process.returncode}:\n{last.decode()}")
        return Finished(cost, _read(output))


def _variables(home: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "HOME": home,
        "XDG_DATA_HOME": home,
        "XDG_CACHE_HOME": home,
        "QUILT_DISABLE_USAGE_METRICS": "true",
        "QUILT_MINIMIZE_STDOUT": "true",
        **CREDENTIALS,
    }


def _wait(process: subprocess.Popen[bytes], started: float, limit_seconds: float) -> Cost:
    """Wait with wait4, which returns the cost of only this child.

    A child's peak is never below its parent's resident set at the start, so the parent imports
    nothing that it measures.
    """
    killer = threading.Timer(limit_seconds, os.kill, (process.pid, signal.SIGKILL))
    killer.start()
    try:
        _, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        process.kill()
        process.wait()
        raise
    finally:
        killer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        wall_seconds=time.perf_counter() - started,
        # Linux counts KiB, macOS bytes.
        peak_bytes=usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    )


def _read(file: IO[bytes]) -> bytes:
    file.seek(0)
    return file.read()
