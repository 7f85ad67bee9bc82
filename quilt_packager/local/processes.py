"""Child processes that end with this one: each leads its own group, which is ended as a whole."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 5.0
"""Time for a process to end before it is killed."""

POLL_SECONDS = 0.05

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
    _signal_group(process.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    _signal_group(process.pid, signal.SIGKILL)
    process.wait()


def stop_group(leader_id: int, *, grace_seconds: float = GRACE_SECONDS) -> None:
    """End a group that another process has started.

    Args:
        leader_id: The id of its leader.
        grace_seconds: Time to end after SIGTERM, before SIGKILL.
    """
    deadline = time.monotonic() + grace_seconds
    is_alive = _signal_group(leader_id, signal.SIGTERM)
    while is_alive and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
        is_alive = _signal_group(leader_id, 0)
    _signal_group(leader_id, signal.SIGKILL)


def command_of(process_id: int) -> str:
    """Return the command line of a process; empty if there is none."""
    found = subprocess.run(
        ["ps", "-ww", "-o", "command=", "-p", str(process_id)],  # noqa: S607 - POSIX has it
        capture_output=True,
        text=True,
        check=False,
    )
    return found.stdout.strip()


def _signal_group(leader_id: int, signal_number: int) -> bool:
    """Send a signal, and return whether the group has members."""
    # A group outlives its leader while it has members. For a dead group macOS returns EPERM.
    try:
        os.killpg(leader_id, signal_number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


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
