"""The pauses between two looks for required files."""

import math

MIN_PAUSE_SECONDS = 15
MAX_PAUSE_SECONDS = 900

SHARE = 0.5
"""A pause as a share of the time so far: each look lists the whole folder."""


def pause_seconds(waited_seconds: float, *, timeout_seconds: int) -> int | None:
    """Return the time until the next look; None after the last one.

    The last look is at the end of the timeout.

    Example:
        >>> [pause_seconds(waited, timeout_seconds=900) for waited in (0, 100, 800, 900)]
        [15, 50, 100, None]
    """
    left_seconds = timeout_seconds - waited_seconds
    if left_seconds <= 0:
        return None
    grown_seconds = max(MIN_PAUSE_SECONDS, SHARE * waited_seconds)
    return math.ceil(min(grown_seconds, MAX_PAUSE_SECONDS, left_seconds))
