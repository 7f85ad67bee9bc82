"""Signals: the first one ends the demo in order, so that everything it started is stopped."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Ended(SystemExit):
    """A signal ended the command. The exit code is the shell's convention."""


@contextlib.contextmanager
def ended_in_order() -> Iterator[None]:
    """Raise `Ended` on the first signal, and ignore further ones during the clean-up."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def ignore() -> None:
    """Ignore further signals during the clean-up."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _end(number: int, _frame: FrameType | None) -> None:
    ignore()
    raise Ended(128 + number)
