import contextlib
import re
import signal
import sys
import threading
import time
from typing import Any

import pytest
from quilt_packager_runtime.cpu_limits import CpuLimitExceeded, cpu_limit


def spin() -> None:
    while True:
        pass


def test_a_regular_expression_is_interrupted() -> None:
    # Uninterrupted, this one takes years.
    with pytest.raises(CpuLimitExceeded), cpu_limit(0.1):
        re.search("^(a+)+$", "a" * 50 + "!")


def test_sleeping_costs_no_cpu_time() -> None:
    with cpu_limit(0.02):
        threading.Event().wait(0.05)


def test_the_previous_handler_and_timer_are_restored() -> None:
    before = signal.getsignal(signal.SIGPROF)
    with pytest.raises(CpuLimitExceeded), cpu_limit(0.01):
        spin()

    assert signal.getsignal(signal.SIGPROF) is before
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_an_error_of_the_body_propagates() -> None:
    with pytest.raises(KeyError), cpu_limit(1):
        raise KeyError


def test_another_thread_has_no_limit() -> None:
    done = []

    def work() -> None:
        with cpu_limit(0.001):
            end = time.thread_time() + 0.05
            while time.thread_time() < end:
                pass
        done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert done


class Swallows:
    """Has a finalizer that handles the exception of the limit."""

    def __del__(self) -> None:
        with contextlib.suppress(CpuLimitExceeded):
            spin()


class Endless:
    """Has a finalizer that only the exception of the limit ends; Python ignores the exception."""

    def __del__(self) -> None:
        spin()


@pytest.mark.parametrize("finalized", [Swallows, Endless])
def test_an_exception_that_is_ignored_is_raised_again(finalized: type) -> None:
    def work() -> None:
        with cpu_limit(0.05):
            finalized()
            spin()

    with pytest.raises(CpuLimitExceeded):
        work()


def test_an_ignored_exception_of_the_limit_is_not_reported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    def work() -> None:
        with cpu_limit(0.05):
            Endless()
            spin()

    with pytest.raises(CpuLimitExceeded):
        work()
    assert not reported


def test_other_ignored_exceptions_are_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails:
        def __del__(self) -> None:
            raise KeyError

    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", reported.append)

    with cpu_limit(1):
        Fails()

    assert [ignored.exc_type for ignored in reported] == [KeyError]
