"""Show the running measurement and its duration on stderr."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

SECONDS_BETWEEN_LINES = 60
"""Interval of progress lines without a terminal."""


class Progress:
    """Counts steps while they run. A terminal also shows the seconds of the current step.

    Args:
        total: Number of steps.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._done = 0
        self._is_terminal = sys.stderr.isatty()

    @contextmanager
    def step(self, what: str) -> Iterator[None]:
        """Show a step while it runs."""
        head = f"[{self._done + 1:{len(str(self._total))}}/{self._total}] {what}"
        started = time.monotonic()
        ended = threading.Event()
        seconds = 1 if self._is_terminal else SECONDS_BETWEEN_LINES

        def tick() -> None:
            while not ended.wait(seconds):
                self._show(f"{head} … {time.monotonic() - started:.0f} s", end="")

        ticker = threading.Thread(target=tick, daemon=True)
        ticker.start()
        try:
            yield
        finally:
            ended.set()
            ticker.join()
        self._done += 1
        self._show(f"{head} … {time.monotonic() - started:.1f} s", end="\n")

    def _show(self, line: str, *, end: str) -> None:
        start, end = ("\r\033[K", end) if self._is_terminal else ("", "\n")
        print(start + line, end=end, file=sys.stderr, flush=True)
