"""A deadline that interrupts synchronous work too, which an event loop cannot cancel."""

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from types import FrameType

TICK_SECONDS = 0.3
"""Time that the event loop has to answer once the deadline has passed, before it is interrupted."""


@asynccontextmanager
async def deadline_at(time: float) -> AsyncIterator[None]:
    """Cancel the body at a time on the event loop's clock, even in synchronous work.

    The event loop cancels a body that waits. If the loop does not run soon after the deadline, a
    signal raises CancelledError in the task that holds it up, again and again until the loop runs.
    As with `cpu_limits`, that works in the main thread only, where handlers run.

    Raises:
        TimeoutError: The time is over.
    """
    alarm = _Alarm(asyncio.get_running_loop())
    try:
        with alarm.set(time):
            async with asyncio.timeout_at(time):
                yield
    except (Exception, asyncio.CancelledError) as error:
        # SQLite and other callers of Python code raise an error of their own instead.
        if alarm.has_interrupted:
            raise TimeoutError from error
        raise


class _Alarm:
    """Asks the event loop to run, and interrupts the task that keeps it from running."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.has_interrupted = False
        self._loop = loop
        self._has_run = True

    @contextmanager
    def set(self, time: float) -> Iterator[None]:
        """Ring at a time, and from then on each `TICK_SECONDS`."""
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or not hasattr(signal, "setitimer"):
            yield
            return
        handler = signal.signal(signal.SIGALRM, self._ring)
        # A timer of zero would never ring.
        left_seconds = max(time - self._loop.time(), TICK_SECONDS)
        timer = signal.setitimer(signal.ITIMER_REAL, left_seconds, TICK_SECONDS)
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, handler)

    def _ring(self, _number: int, _frame: FrameType | None) -> None:
        if self._has_run:
            self._has_run = False
            self._loop.call_soon_threadsafe(self._answer)
        elif asyncio.current_task(self._loop) is not None:
            self.has_interrupted = True
            raise asyncio.CancelledError

    def _answer(self) -> None:
        self._has_run = True
