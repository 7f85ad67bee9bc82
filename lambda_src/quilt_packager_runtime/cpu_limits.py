"""A limit on the CPU time of work that other people's input decides, such as their patterns."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

REPEAT_SECONDS = 0.1
"""Interval of further signals, in case the first exception is ignored."""


class CpuLimitExceeded(Exception):
    """The work exceeded its CPU time."""


@contextmanager
def cpu_limit(seconds: float) -> Iterator[None]:
    """Interrupt the body after some CPU time, even in the middle of a regular expression.

    A signal interrupts it, and Python receives signals in the main thread only, where handlers and
    commands run. In other threads, and on systems without the timer (Windows), there is no limit.

    Args:
        seconds: Maximum CPU time, of all threads. Waiting does not count.

    Raises:
        CpuLimitExceeded: The body exceeded the limit.

    Example:
        >>> with cpu_limit(0.5):
        ...     sum(range(10))
        45
    """
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not hasattr(signal, "setitimer"):
        yield
        return

    is_over = False
    report_unraisable = sys.unraisablehook

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not is_over:
            raise CpuLimitExceeded

    def report_others(unraisable: "sys.UnraisableHookArgs") -> None:
        if not isinstance(unraisable.exc_value, CpuLimitExceeded):
            report_unraisable(unraisable)

    previous = signal.signal(signal.SIGPROF, interrupt)
    # Python ignores exceptions in finalizers and in callbacks of weak references and of the garbage
    # collector: the signal is repeated until one interrupts the body, and the others are no error.
    sys.unraisablehook = report_others
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds, REPEAT_SECONDS)
        yield
    finally:
        is_over = True
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)
        sys.unraisablehook = report_unraisable
