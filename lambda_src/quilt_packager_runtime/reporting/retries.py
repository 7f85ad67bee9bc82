"""Delays between attempts: short after a transient error, long before the last attempt."""

from quilt_packager_runtime.errors import (
    AwsError,
    PackagerError,
    S3Error,
    SourceChanged,
    WriteConflict,
)

TRANSIENT = (AwsError, WriteConflict, S3Error, SourceChanged)
"""Errors that a retry soon may resolve, unlike exceeded deadlines and defects."""

FIRST_WAIT_SECONDS = 30


def wait_seconds(
    error: PackagerError,
    *,
    attempt: int,
    max_attempts: int | None,
    at_most_seconds: float,
    jitter: float,
) -> int | None:
    """Return the number of seconds to hide the message of a failed attempt.

    The delay doubles with each attempt. The last attempt follows the queue's own visibility
    timeout, so that an outage of a few minutes produces no dead letters.

    Args:
        error: The error that ended the attempt.
        attempt: Number of the attempt, from 1. A delivery that only let its folder settle does not
            count.
        max_attempts: Maximum number of attempts; None if only the queue limits them.
        at_most_seconds: Maximum delay.
        jitter: Fraction, from 0 to 1, of the delay's second half to wait. It spreads the retries of
            jobs that failed together.

    Returns:
        Whole seconds; None to leave the queue's visibility timeout in force.

    Example:
        >>> busy = AwsError("SQS is busy.", why="It throttles requests.", remedy="Wait.")
        >>> [
        ...     wait_seconds(busy, attempt=n, max_attempts=5, at_most_seconds=900, jitter=1)
        ...     for n in (1, 2, 3, 4)
        ... ]
        [30, 60, 120, None]
    """
    is_last_but_one = max_attempts is None or attempt + 1 >= max_attempts
    if is_last_but_one or not isinstance(error, TRANSIENT):
        return None
    wait = min(FIRST_WAIT_SECONDS << (attempt - 1), at_most_seconds)
    return round(wait * (0.5 + jitter / 2))
