"""Output of a program in a pipe and on a terminal."""

import os
import pty
import select
import subprocess
import sys


def piped(code: str, **environment: str) -> str:
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=True,
    )
    return ran.stdout.decode()


def on_terminal(code: str, **environment: str) -> str:
    """Run a program on a terminal of 80 columns, and return its output."""
    ours, theirs = pty.openpty()
    settings = {
        "TERM": "xterm-256color",
        "COLUMNS": "80",
        "PYTHONUTF8": "1",
    }
    inherited = {
        name: value for name, value in os.environ.items() if name not in {"NO_COLOR", "CI"}
    }
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env=inherited | settings | environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    written = b""
    try:
        while select.select([ours], [], [], 30)[0]:
            written += os.read(ours, 65536)
    except OSError:  # Linux reports that the other end was closed
        pass
    finally:
        os.close(ours)
    assert process.wait() == 0, written
    return written.decode()
