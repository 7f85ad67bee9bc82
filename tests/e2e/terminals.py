"""A terminal of 80 columns, and what somebody sees on it who types."""

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
        answer: What is typed, once it asks: the line that a space ends has no end of its own.

    Returns:
        All that is then to be read, without colours; long lines go on in the next.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    # Progress is for those who wait: what stays of it is nothing.
    plain = {"TERM": "dumb", "NO_COLOR": "1", "COLUMNS": str(COLUMNS)}
    process = subprocess.Popen(
        command, env={**environment, **plain}, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = bytearray()
    while True:
        try:
            some = os.read(ours, 65_536)
        except OSError:  # nobody has the other end any more
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
    """A line as a terminal breaks it."""
    return [line[at : at + COLUMNS] for at in range(0, max(len(line), 1), COLUMNS)]
