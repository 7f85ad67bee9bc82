"""Child processes that end with this one: each leads its own group, which is ended as a whole."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 5.0
"""Time for a process to end before it is killed."""

LOG_LINES = 25
"""Number of log lines to quote for a failed process."""


def start(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    directory: Path,
    log_path: Path,
) -> subprocess.Popen[bytes]:
    """Start a process as the leader of a new group, with its output appended to a log file.

    The group has its own session, so that Ctrl-C in a terminal reaches only this process, which
    then ends the group in order.
    """
    with log_path.open("ab") as log:
        return subprocess.Popen(
            [str(argument) for argument in arguments],
            env=dict(environment),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], *, grace_seconds: float = GRACE_SECONDS) -> None:
    """End a process from `start` and everything that it started.

    Args:
        process: The leader of the group; it may have ended already.
        grace_seconds: Time to end after SIGTERM, before SIGKILL.
    """
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], signal_number: signal.Signals) -> None:
    # A group outlives its leader while it has members. For a dead group macOS returns EPERM.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal_number)


def make_private_directory(prefix: str) -> Path:
    """Create a temporary directory that only this user can read, and return its resolved path."""
    return Path(tempfile.mkdtemp(prefix=prefix)).resolve()


def remove(directory: Path) -> None:
    """Remove a directory, even if a dying process still writes to it or it is already gone."""
    for _ in range(3):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return


def last_lines(log_path: Path, count: int = LOG_LINES) -> str:
    """Return the end of a log file, or nothing if it does not exist."""
    try:
        text = log_path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-count:])
