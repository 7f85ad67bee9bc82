"""Jobs that failed by bad luck are tried again soon, and the last time late."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime import errors
from quilt_packager_runtime.errors import PackagerError, ServiceUnavailable
from quilt_packager_runtime.reporting.retries import wait_seconds

WORDS = {"why": "So it is.", "remedy": "Wait."}


def wait(
    error: type[PackagerError] = ServiceUnavailable,
    *,
    attempt: int = 1,
    max_attempts: int | None = 5,
    at_most_seconds: float = 890,
    jitter: float = 1,
) -> int | None:
    return wait_seconds(
        error("It.", **WORDS),
        attempt=attempt,
        max_attempts=max_attempts,
        at_most_seconds=at_most_seconds,
        jitter=jitter,
    )


@pytest.mark.parametrize(
    "code",
    [
        "AwsError",
        "WriteConflict",
        "NotificationFailed",
        "NoSuchKey",
        "ServiceUnavailable",
        "SourceChanged",
    ],
)
def test_a_transient_error_is_retried_soon(code: str) -> None:
    assert wait(getattr(errors, code)) == 30


@pytest.mark.parametrize(
    "code", ["InternalError", "DeadlineExceeded", "EmptySource", "AttemptsExhausted"]
)
def test_another_error_is_retried_by_the_queue(code: str) -> None:
    assert wait(getattr(errors, code)) is None


def test_the_delay_doubles_and_the_queue_starts_the_last_attempt() -> None:
    waits = [wait(attempt=attempt, max_attempts=6) for attempt in range(1, 8)]
    assert waits == [30, 60, 120, 240, None, None, None]


@pytest.mark.parametrize("max_attempts", [None, 1, 2])
def test_the_queue_starts_all_of_few_attempts(max_attempts: int | None) -> None:
    assert wait(max_attempts=max_attempts) is None


@given(
    attempt=st.integers(1, 998),
    at_most_seconds=st.floats(0, 900),
    jitter=st.floats(0, 1),
)
def test_the_delay_never_exceeds_the_maximum(
    attempt: int, at_most_seconds: float, jitter: float
) -> None:
    seconds = wait(
        attempt=attempt, max_attempts=1000, at_most_seconds=at_most_seconds, jitter=jitter
    )
    assert seconds is not None
    assert 0 <= seconds <= round(at_most_seconds)


def test_jitter_spreads_jobs_that_failed_together() -> None:
    assert [wait(jitter=jitter) for jitter in (0, 0.5, 1)] == [15, 22, 30]
