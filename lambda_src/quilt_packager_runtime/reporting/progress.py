"""How far a job is, told often enough to watch it and seldom enough to cost nothing."""

import time
from collections.abc import Callable

INTERVAL_SECONDS = 10
"""How long a phase is silent after it was told of."""


class ProgressThrottle:
    """Passes on each change of phase, and of the rest what comes after a while of silence.

    It is called for each of a million objects, so what it keeps back costs it a look at the clock.

    Args:
        tell: Told the phase, how many objects are done, and of how many, if that is known.
        clock: Tells the seconds since some moment.
        interval_seconds: How long the silence is at least.

    Example:
        >>> ticks = iter([0, 1, 9.9, 10, 11])
        >>> pace = ProgressThrottle(print, clock=lambda: next(ticks))
        >>> for done in range(4):
        ...     pace("checksums", done, 4)
        checksums 0 4
        checksums 3 4
        >>> pace("publishing", 4, 4)
        publishing 4 4
    """

    def __init__(
        self,
        tell: Callable[[str, int, int | None], object],
        *,
        clock: Callable[[], float] = time.monotonic,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        self._tell = tell
        self._clock = clock
        self._interval_seconds = interval_seconds
        self._phase = ""
        self._silent_until = 0.0

    def __call__(self, phase: str, done: int, total: int | None) -> None:
        """Pass it on, or keep it back."""
        now = self._clock()
        if phase == self._phase and now < self._silent_until:
            return
        self._phase, self._silent_until = phase, now + self._interval_seconds
        self._tell(phase, done, total)
