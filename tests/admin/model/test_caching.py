"""Answers of AWS that are kept: how often AWS is asked, and what is shown when it fails."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait

import pytest
from botocore.exceptions import ClientError

from quilt_packager.admin.model.caching import (
    PAGE_DEADLINE,
    Cached,
    CachedEach,
    NoAnswer,
    interval_seconds,
)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Aws:
    """Counts what it is asked; answers with the count, or with an error."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.asked = 0
        self.error: Exception | None = None
        self.takes = 0.0

    def __call__(self) -> int:
        self.asked += 1
        self.clock.now += self.takes
        if self.error:
            raise self.error
        return self.asked


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def aws(clock: Clock) -> Aws:
    return Aws(clock)


def test_answer_is_kept_for_the_interval(aws: Aws, clock: Clock) -> None:
    cached = Cached(aws, clock=clock)
    assert cached.get(5).value == 1
    clock.now += 4.9
    assert cached.get(5).value == 1
    clock.now += 0.2
    assert cached.get(5).value == 2


def test_creation_makes_no_request(aws: Aws, clock: Clock) -> None:
    assert Cached(aws, clock=clock).peek().value is None
    assert aws.asked == 0


def test_failure_keeps_the_value_before_it_with_its_time(aws: Aws, clock: Clock) -> None:
    cached = Cached(aws, clock=clock)
    before = cached.get(5)
    aws.error = OSError("No network.")
    clock.now += 6
    answer = cached.get(5)
    assert (answer.value, answer.at, answer.error) == (1, before.at, aws.error)


def test_failure_is_not_repeated_before_the_interval_is_over(aws: Aws, clock: Clock) -> None:
    aws.error = OSError("No network.")
    cached = Cached(aws, clock=clock)
    cached.get(5)
    cached.get(5)
    assert aws.asked == 1


def test_failure_is_not_kept_as_long_as_an_answer(aws: Aws, clock: Clock) -> None:
    aws.error = OSError("No network.")
    cached = Cached(aws, clock=clock)
    cached.get(3600)
    clock.now += 9
    assert cached.is_fresh(3600)
    assert cached.get(3600).error is aws.error
    aws.error = None
    clock.now += 1
    assert not cached.is_fresh(3600)
    assert cached.get(3600).error is None
    clock.now += 3599
    assert cached.get(3600).value == 2


def test_consecutive_failures_increase_the_interval(aws: Aws, clock: Clock) -> None:
    aws.error = OSError("No network.")
    cached = Cached(aws, clock=clock)
    waits = []
    for _ in range(5):
        asked_at = clock.now
        cached.get(3600)
        while cached.is_fresh(3600):
            clock.now += 1
        waits.append(clock.now - asked_at)
    assert waits == [10, 20, 40, 60, 60]


def test_rejected_credentials_are_retried_soon(aws: Aws, clock: Clock) -> None:
    aws.error = ClientError({"Error": {"Code": "ExpiredToken", "Message": ""}}, "ListStacks")
    cached = Cached(aws, clock=clock)
    for _ in range(4):
        cached.get(3600)
        clock.now += 5
    assert aws.asked == 4


def test_slow_answers_and_failures_strain_and_a_quick_answer_ends_it(
    aws: Aws, clock: Clock
) -> None:
    cached = Cached(aws, clock=clock)
    aws.takes = 2
    strains = [cached.get(0).backoff_level, cached.get(0).backoff_level]
    aws.takes = 0
    assert [*strains, cached.get(0).backoff_level] == [1, 2, 0]


def test_interval_grows_up_to_a_minute() -> None:
    assert [interval_seconds(busy=False, backoff_level=each) for each in range(5)] == [
        15,
        30,
        60,
        60,
        60,
    ]


def test_change_is_seen_at_once(aws: Aws, clock: Clock) -> None:
    cached = Cached(aws, clock=clock)
    cached.get(5)
    cached.invalidate()
    assert cached.get(5).value == 2


def test_concurrent_threads_share_one_request() -> None:
    asked: list[int] = []
    is_asked, may_answer = threading.Event(), threading.Event()

    def ask() -> int:
        asked.append(1)
        is_asked.set()
        may_answer.wait()
        return 7

    cached = Cached(ask)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(cached.get, 60)]
        is_asked.wait()
        answers += [pool.submit(cached.get, 60) for _ in range(2)]
        # Time for these two to make a request, if nothing prevents it.
        assert not wait(answers, timeout=0.1).done
        may_answer.set()
        assert [each.result().value for each in answers] == [7, 7, 7]
    assert asked == [1]


def test_each_key_has_its_own_value_and_the_oldest_is_dropped() -> None:
    asked: list[str] = []

    def ask(key: str) -> str:
        asked.append(key)
        return key.upper()

    each = CachedEach(ask, keep=2)
    wanted = ("a", "b", "a", "c", "a", "b")
    assert [each.of(key).get(60).value for key in wanted] == ["A", "B", "A", "C", "A", "B"]
    assert asked == ["a", "b", "c", "b"]


class TestDeadline:
    """A request that hangs, and a deadline that is over at once."""

    @pytest.fixture
    def gate(self) -> Iterator[threading.Event]:
        event = threading.Event()
        yield event
        event.set()

    @pytest.fixture
    def cached(self, gate: threading.Event, clock: Clock, aws: Aws) -> Cached[int]:
        def ask() -> int:
            asked = aws()
            if asked > 1:
                gate.wait()
            return asked

        cached = Cached(ask, clock=clock, deadline_seconds=30)
        assert cached.get(5).value == 1
        cached._deadline_seconds = 0
        clock.now += 6
        return cached

    def test_hung_request_leaves_the_value_before_it_with_an_error(
        self, cached: Cached[int], clock: Clock
    ) -> None:
        at = cached.peek().at
        cached.get(5)
        clock.now += 32
        answer = cached.get(5)
        assert (answer.value, answer.at) == (1, at)
        assert "AWS has not answered for 32 s." in str(answer.error)
        assert answer.backoff_level > 0

    def test_hung_request_is_not_repeated(self, cached: Cached[int], aws: Aws) -> None:
        for _ in range(3):
            cached.get(5)
        assert aws.asked == 2
        assert not cached.is_fresh(3600)

    def test_late_answer_is_shown(self, cached: Cached[int], gate: threading.Event) -> None:
        cached.get(5)
        gate.set()
        cached._deadline_seconds = 30
        answer = cached.get(5)
        assert (answer.value, answer.error) == (2, None)

    def test_answer_that_was_invalidated_while_it_was_read_is_read_again(
        self, cached: Cached[int], aws: Aws, gate: threading.Event
    ) -> None:
        cached.get(5)
        cached.invalidate()
        gate.set()
        cached._deadline_seconds = 30
        assert cached.get(5).value == 2
        assert cached.get(5).value == 3

    def test_requests_that_begin_together_have_one_deadline(
        self, cached: Cached[int], aws: Aws, clock: Clock
    ) -> None:
        cached._deadline_seconds = 20
        cached.start(5)
        clock.now += 20
        assert "for 20 s" in str(cached.get(5).error)
        assert aws.asked == 2

    def test_page_has_one_deadline_for_all_of_its_requests(
        self, cached: Cached[int], clock: Clock
    ) -> None:
        cached._deadline_seconds = 20
        token = PAGE_DEADLINE.set(clock.now)
        try:
            answer = cached.get(5)
        finally:
            PAGE_DEADLINE.reset(token)
        assert (answer.value, type(answer.error)) == (1, NoAnswer)


def test_waiting_makes_no_request(aws: Aws, clock: Clock) -> None:
    cached = Cached(aws, clock=clock)
    assert cached.wait().value is None
    cached.start(0)
    assert cached.is_running
    assert cached.wait().value == 1
    assert not cached.is_running
    assert aws.asked == 1
