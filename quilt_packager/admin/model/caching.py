"""Answers of AWS that are cached briefly, so that open pages cause few requests."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future, wait
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Generic, NamedTuple, TypeVar, cast

from quilt_packager.operations.aws_errors import explain_aws_error
from quilt_packager.operations.errors import OperationError

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

SLOW_SECONDS = 1.5
"""Duration above which a request is repeated less often."""

DEADLINE_SECONDS = 20
"""Time after which a page goes on without an answer: below the 30 s that the browser waits."""

PAGE_DEADLINE: ContextVar[float] = ContextVar("PAGE_DEADLINE", default=math.inf)
"""Time of the monotonic clock at which the current page goes on without further answers."""

MAX_BACKOFF_LEVEL = 4
MAX_INTERVAL_SECONDS = 60


class Answer(NamedTuple, Generic[T]):
    """The last known value of something in AWS.

    Attributes:
        value: Last value that was received; None if there is none yet.
        at: Time of the value.
        error: Error of the last request; None if it succeeded.
        backoff_level: Number of consecutive requests that were slow or failed.
    """

    value: T | None = None
    at: datetime | None = None
    error: Exception | None = None
    backoff_level: int = 0


class NoAnswer(OperationError):
    """AWS has not answered before the deadline."""


class _Request(Generic[T]):
    """A request in a thread of its own, which a page can stop waiting for."""

    def __init__(self, ask: Callable[[], T], started: float) -> None:
        self.started = started
        self.result: Future[T] = Future()
        # A daemon: the page's command ends without it.
        threading.Thread(target=self._run, args=(ask,), daemon=True).start()

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            self.result.set_result(ask())
        except Exception as error:  # noqa: BLE001 - raised again where the result is read
            self.result.set_exception(error)


class Cached(Generic[T]):
    """A value in AWS that is requested at most once per interval, one request at a time.

    A failed request counts as one: it is repeated soon but not at once, for however long a value
    would have been cached. The previous value is kept, with its time. A request without an answer
    fails at the deadline, but is not repeated before it ends.

    Args:
        ask: Requests the value.
        clock: Monotonic clock, in seconds.
        deadline_seconds: Time to wait for an answer.
    """

    def __init__(
        self,
        ask: Callable[[], T],
        *,
        clock: Callable[[], float] = time.monotonic,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._ask = ask
        self._clock = clock
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._answer: Answer[T] = Answer()
        self._asked_at: float | None = None
        self._running: _Request[T] | None = None
        self._is_invalid = False

    def get(self, max_age_seconds: float) -> Answer[T]:
        """Return the answer, requesting a new one if it is older than `max_age_seconds`."""
        self.start(max_age_seconds)
        return self.wait()

    def wait(self) -> Answer[T]:
        """Return the last answer, after that of a request that is running."""
        request = self._running
        if request is None:
            return self._answer
        # A page that comes after the deadline sees at once that there is no answer yet.
        now = self._clock()
        deadline = min(request.started + self._deadline_seconds, PAGE_DEADLINE.get())
        wait([request.result], max(0, deadline - now))
        with self._lock:
            # Otherwise another thread has taken the result.
            if self._running is request:
                self._take(request)
            return self._answer

    def start(self, max_age_seconds: float) -> None:
        """Begin a request unless the answer is fresh, so that requests run at the same time."""
        with self._lock:
            if self._running is None and not self.is_fresh(max_age_seconds):
                self._running = _Request(self._ask, self._clock())
                self._is_invalid = False

    @property
    def is_running(self) -> bool:
        """True while a request is running."""
        return self._running is not None

    def _take(self, request: _Request[T]) -> None:
        before, waited = self._answer, self._clock() - request.started
        backoff_level = min(before.backoff_level + 1, MAX_BACKOFF_LEVEL)
        if not request.result.done():
            error = _no_answer(max(waited, self._deadline_seconds))
            self._answer = before._replace(error=error, backoff_level=backoff_level)
            return
        failure = cast("Exception | None", request.result.exception())
        if failure is not None:
            self._answer = before._replace(error=failure, backoff_level=backoff_level)
        else:
            value, slow = request.result.result(), waited > SLOW_SECONDS
            self._answer = Answer(value, datetime.now(UTC), None, backoff_level if slow else 0)
        self._running = None
        # Measured from its end, so that a request longer than the interval is not repeated.
        self._asked_at = None if self._is_invalid else self._clock()

    def peek(self) -> Answer[T]:
        """Return the last answer without a request, whatever its age."""
        return self._answer

    def is_fresh(self, max_age_seconds: float) -> bool:
        """Return True if `get` would make no request."""
        asked_at, answer = self._asked_at, self._answer
        if asked_at is None or self._running is not None:
            return False
        if answer.error is not None:
            max_age_seconds = min(
                max_age_seconds, _retry_seconds(answer.error, answer.backoff_level)
            )
        return self._clock() - asked_at < max_age_seconds

    def invalidate(self) -> None:
        """Request a new value next time."""
        with self._lock:
            self._asked_at = None
            # What a running request has read may be older.
            self._is_invalid = True


class CachedEach(Generic[K, T]):
    """One `Cached` for each key; the least recently used are dropped.

    Args:
        ask: Requests the value of a key.
        keep: Maximum number of keys.
        deadline_seconds: Time to wait for an answer.
    """

    def __init__(
        self,
        ask: Callable[[K], T],
        *,
        keep: int = 32,
        deadline_seconds: float = DEADLINE_SECONDS,
    ) -> None:
        self._ask = ask
        self._keep = keep
        self._deadline_seconds = deadline_seconds
        self._lock = threading.Lock()
        self._each: OrderedDict[K, Cached[T]] = OrderedDict()

    def of(self, key: K) -> Cached[T]:
        """Return the cached value of a key."""
        with self._lock:
            cached = self._each.setdefault(
                key, Cached(lambda: self._ask(key), deadline_seconds=self._deadline_seconds)
            )
            self._each.move_to_end(key)
            while len(self._each) > self._keep:
                self._each.popitem(last=False)
            return cached


def _no_answer(seconds: float) -> NoAnswer:
    return NoAnswer(
        f"AWS has not answered for {seconds:.0f} s.",
        why="The request is still running.",
        remedy="Check the network and the AWS Health Dashboard.",
    )


def _retry_seconds(error: Exception, backoff_level: int) -> int:
    """Return the time after which a failed request is repeated."""
    found = explain_aws_error(error)
    # A user who signed in again reloads at once. Refusals of old credentials are fast.
    is_session = found is not None and found.is_session
    return interval_seconds(busy=True, backoff_level=0 if is_session else backoff_level)


def interval_seconds(*, busy: bool, backoff_level: int) -> int:
    """Return the polling interval, which is shorter while jobs run.

    Args:
        busy: Jobs are running.
        backoff_level: As `Answer.backoff_level`.

    Example:
        >>> [interval_seconds(busy=busy, backoff_level=0) for busy in (True, False)]
        [5, 15]
        >>> [interval_seconds(busy=True, backoff_level=level) for level in (1, 2, 3, 4)]
        [10, 20, 40, 60]
    """
    return min((5 if busy else 15) << backoff_level, MAX_INTERVAL_SECONDS)
