"""Answers of AWS that are kept for a moment: a page that is looked at often asks it seldom."""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar

from quilt_packager.operations.aws_errors import Kind, explain_aws_error

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

SLOW_SECONDS = 1.5
"""What takes longer is asked for less often."""

MAX_STRAIN = 4
MAX_INTERVAL_SECONDS = 60


class Answer(NamedTuple, Generic[T]):
    """What is known of something in AWS.

    Attributes:
        value: The last value that came; None if none did yet.
        at: When it came; None likewise.
        error: Why the last question went unanswered; None: it was answered.
        strain: How many questions in a row were answered slowly or not at all.
    """

    value: T | None = None
    at: datetime | None = None
    error: Exception | None = None
    backoff_level: int = 0


class Cached(Generic[T]):
    """Something in AWS, asked for at most once an interval, by one thread at a time.

    A failed question counts as one: AWS is not asked again at once, but soon, however long an
    answer would have been kept. The value that came before it is kept, and is told with its time.

    Args:
        ask: Asks AWS.
        clock: Seconds that only grow.
    """

    def __init__(
        self, ask: Callable[[], T], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._answer: Answer[T] = Answer()
        self._asked_at: float | None = None

    def get(self, max_age_seconds: float) -> Answer[T]:
        """The answer; asked for if it is older than wanted.

        Args:
            max_age_seconds: How old it may be.
        """
        with self._lock:
            if self.is_fresh(max_age_seconds):
                return self._answer
            started = self._clock()
            before = self._answer
            try:
                value = self._ask()
            except Exception as error:  # noqa: BLE001 - shown where the value would be
                backoff_level = min(before.backoff_level + 1, MAX_STRAIN)
                self._answer = before._replace(error=error, backoff_level=backoff_level)
            else:
                slow = self._clock() - started > SLOW_SECONDS
                backoff_level = min(before.backoff_level + 1, MAX_STRAIN) if slow else 0
                self._answer = Answer(value, datetime.now(UTC), None, backoff_level)
            # From its end: a question that takes longer than the interval is not asked twice.
            self._asked_at = self._clock()
            return self._answer

    def peek(self) -> Answer[T]:
        """What is known without asking, however old."""
        return self._answer

    def is_fresh(self, max_age_seconds: float) -> bool:
        """Whether `get` would return at once."""
        asked_at, answer = self._asked_at, self._answer
        if asked_at is None:
            return False
        if answer.error is not None:
            max_age_seconds = min(
                max_age_seconds, _retry_seconds(answer.error, answer.backoff_level)
            )
        return self._clock() - asked_at < max_age_seconds

    def forget(self) -> None:
        """Ask anew next time: something was changed."""
        with self._lock:
            self._asked_at = None


class CachedEach(Generic[K, T]):
    """One `Cached` for each of many things; those that were not wanted for long are dropped.

    Args:
        ask: Asks AWS for one.
        keep: How many are kept.
    """

    def __init__(self, ask: Callable[[K], T], *, keep: int = 32) -> None:
        self._ask = ask
        self._keep = keep
        self._lock = threading.Lock()
        self._each: OrderedDict[K, Cached[T]] = OrderedDict()

    def of(self, key: K) -> Cached[T]:
        """What is kept for a thing.

        Args:
            key: The thing.
        """
        with self._lock:
            cached = self._each.setdefault(key, Cached(lambda: self._ask(key)))
            self._each.move_to_end(key)
            while len(self._each) > self._keep:
                self._each.popitem(last=False)
            return cached


def _retry_seconds(error: Exception, backoff_level: int) -> int:
    """How long a failed question is not asked again."""
    found = explain_aws_error(error)
    # Who signed in again looks again at once; AWS, or boto3 itself, is quick to refuse the others.
    is_session = found is not None and found.kind is Kind.CREDENTIALS
    return interval_seconds(busy=True, backoff_level=0 if is_session else backoff_level)


def interval_seconds(*, busy: bool, backoff_level: int) -> int:
    """When to ask again.

    Args:
        busy: Something is running: the next answer will differ.
        backoff_level: Failures in a row, as `Answer.backoff_level`.

    Example:
        >>> [interval_seconds(busy=busy, backoff_level=0) for busy in (True, False)]
        [5, 15]
        >>> [interval_seconds(busy=True, backoff_level=level) for level in (1, 2, 3, 4)]
        [10, 20, 40, 60]
    """
    return min((5 if busy else 15) << backoff_level, MAX_INTERVAL_SECONDS)
