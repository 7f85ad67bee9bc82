"""Child processes that end with us: each leads a group of its own, which is ended as a whole."""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

GRACE_SECONDS = 5.0
"""How long a process may take to end by itself before it is killed."""

LOG_LINES = 25
"""How many of its last lines a failed process is quoted with."""


def start(
    arguments: Sequence[str | Path],
    *,
    environment: Mapping[str, str],
    directory: Path,
    log_path: Path,
) -> subprocess.Popen[bytes]:
    """Start a process as the leader of a new group, its output appended to a log file.

    A new session, so that Ctrl-C in a terminal reaches us alone: we end the group in order.

    Args:
        arguments: The program and its arguments.
        environment: All of its environment.
        directory: Its working directory.
        log_path: Where its standard output and error go.

    Returns:
        The process, to be given to `stop`.
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
    """End a process that `start` began, with all that it started.

    Args:
        process: The leader of the group; it may have ended already.
        grace_seconds: How long it may take to end by itself.
    """
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(grace_seconds)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[bytes], signal_number: signal.Signals) -> None:
    # The group outlives its leader while a member lives. macOS answers EPERM for a dead one.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal_number)


def make_private_directory(prefix: str) -> Path:
    """Make a directory that only this user can read; `remove` ends it.

    Args:
        prefix: How its name begins.

    Returns:
        Its path, resolved.
    """
    return Path(tempfile.mkdtemp(prefix=prefix)).resolve()


def remove(directory: Path) -> None:
    """Remove a directory with all that is in it, also while a dying process still writes there.

    Args:
        directory: The directory; it may be gone already.
    """
    for _ in range(3):
        shutil.rmtree(directory, ignore_errors=True)
        if not directory.exists():
            return


def last_lines(log_path: Path, count: int = LOG_LINES) -> str:
    """The end of a log, for an error to quote.

    Args:
        log_path: The log file; it may not exist.
        count: How many lines at most.
    """
    try:
        text = log_path.read_text("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-count:])
