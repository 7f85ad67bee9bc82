"""When a job that failed is tried again: soon, if it was bad luck; and the last time late."""

from quilt_packager_runtime.errors import (
    AwsError,
    PackagerError,
    S3Error,
    SourceChanged,
    WriteConflict,
)

PASSING = (AwsError, WriteConflict, S3Error, SourceChanged)
"""Services are busy, and writers get done; what was too slow, or is a defect, stays so."""

FIRST_WAIT_SECONDS = 30


def wait_seconds(
    error: PackagerError,
    *,
    attempt: int,
    max_attempts: int | None,
    at_most_seconds: float,
    jitter: float,
) -> int | None:
    """For how long to hide the message of a job that failed.

    The wait doubles. The last attempt comes after the queue's own, long wait: a service that is
    down for some minutes makes no dead letters.

    Args:
        error: Why it failed.
        attempt: Which attempt that was, from 1: a delivery that only waited for a folder was none.
        max_attempts: How often it is attempted; None if the queue alone knows.
        at_most_seconds: The longest wait.
        jitter: From 0 to 1: how much of the wait's second half to wait, so that jobs that failed
            together are not tried together.

    Returns:
        Whole seconds; None for what the queue does by itself.

    Example:
        >>> busy = AwsError("It is busy.", why="So it is.", remedy="Wait.")
        >>> [
        ...     wait_seconds(busy, attempt=n, max_attempts=5, at_most_seconds=900, jitter=1)
        ...     for n in (1, 2, 3, 4)
        ... ]
        [30, 60, 120, None]
    """
    is_last_but_one = max_attempts is None or attempt + 1 >= max_attempts
    if is_last_but_one or not isinstance(error, PASSING):
        return None
    wait = min(FIRST_WAIT_SECONDS << (attempt - 1), at_most_seconds)
    return round(wait * (0.5 + jitter / 2))
