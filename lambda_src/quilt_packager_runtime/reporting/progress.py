"""Progress of a job, reported often enough to follow it and seldom enough to cost nothing."""

import time
from collections.abc import Callable

INTERVAL_SECONDS = 10
"""Minimum time between two reports of one phase."""


class ProgressThrottle:
    """Reports each change of phase, and progress within a phase at most once an interval.

    It is called for each of a million objects, so a suppressed call only reads the clock.

    Args:
        report: Function of the phase, the number of objects done, and the total if known.
        clock: Monotonic clock, in seconds.
        interval_seconds: Minimum time between two reports of one phase.

    Example:
        >>> ticks = iter([0, 1, 9.9, 10, 11])
        >>> on_progress = ProgressThrottle(print, clock=lambda: next(ticks))
        >>> for done in range(4):
        ...     on_progress("checksums", done, 4)
        checksums 0 4
        checksums 3 4
        >>> on_progress("publishing", 4, 4)
        publishing 4 4
    """

    def __init__(
        self,
        report: Callable[[str, int, int | None], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._report = report
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._phase = ""
        self._silent_until = 0.0

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """Report the progress, or suppress it."""
        now = self._clock()
        if phase == self._phase and now < self._silent_until:
            return
        self._phase, self._silent_until = phase, now + self._interval_seconds
        self._report(phase, done, total)
