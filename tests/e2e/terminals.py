"""Recordings of a terminal of 80 columns."""

import fcntl
import os
import pty
import struct
import subprocess
import termios
from collections.abc import Mapping, Sequence

COLUMNS, LINES = 80, 50


def type_in(command: Sequence[str], environment: Mapping[str, str], answer: str = "") -> str:
    """Run a command on a terminal.

    Args:
        command: The program and its arguments.
        environment: Its variables.
        answer: Input after the first question, which ends in a space.

    Returns:
        The screen's text without colours, with long lines wrapped.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    # A dumb terminal shows no progress bars.
    plain = {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": str(COLUMNS)}
    process = subprocess.Popen(
        command, env={**environment, **plain}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = bytearray()
    while True:
        try:
            some = os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
        if not some:
            break
        seen += some
        if answer and seen.endswith((b"] ", b": ")):
            os.write(ours, f"{answer}\n".encode())
            answer = ""
    os.close(ours)
    process.wait()
    lines = seen.decode().replace("\r\n", "\n").rstrip().split("\n")
    return "\n".join(part.rstrip() for line in lines for part in break_line(line))


def break_line(line: str) -> list[str]:
    """Wrap a line as a terminal does."""
    return [line[at : at + COLUMNS] for at in range(0, max(len(line), 1), COLUMNS)]
