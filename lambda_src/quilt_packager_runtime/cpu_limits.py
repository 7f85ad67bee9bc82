"""A bound on the CPU time of work that outsiders' rules decide about, such as their patterns."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class CpuLimitExceeded(Exception):
    """The work has had all the CPU time that it may have."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Interrupt the work inside after so much CPU time, even in the middle of a regular expression.

    It is a signal that interrupts, and Python receives signals in the main thread only: that is
    where handlers and commands run. In other threads, and where the system has no such timer
    (Windows), there is no limit.

    Args:
        seconds: Of CPU time, which a busy machine does not use up; all threads' together.

    Raises:
        CpuLimitExceeded: The time was over.

    Example:
        >>> with cpu_limit(0.5):
        ...     sum(range(10))
        45
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise CpuLimitExceeded

    previous = signal.signal(signal.SIGPROF, interrupt)
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
