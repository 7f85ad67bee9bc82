"""Ends a command in order when a signal asks for it: what it started is stopped and removed."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """A signal asked the command to end; its exit code is the one that shells know."""


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Raise an exception for the first signal, and leave the clean-up to follow undisturbed."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore() -> None:
    """Let no signal disturb what follows: a clean-up that takes a moment."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _frame: FrameType | None) -> None:
    ignore()
    raise Ended(128 + number)
