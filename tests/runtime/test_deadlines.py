import asyncio
import contextlib
import re
import signal
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable

import pytest
from quilt_packager_runtime.concurrency import task_group
from quilt_packager_runtime.deadlines import deadline_at


def block() -> None:
    """Run for years."""
    re.search("^(a+)+$", "a" * 50 + "!")


async def block_a_task() -> None:
    async with task_group() as tasks:
        tasks.create_task(asyncio.sleep(3600))
        tasks.create_task(asyncio.sleep(0)).add_done_callback(lambda _: None)
        tasks.create_task(block_later())


async def block_later() -> None:
    await asyncio.sleep(0)
    block()


async def block_in_a_query() -> None:
    database = sqlite3.connect(":memory:")
    database.create_function("block", 0, block)
    with contextlib.closing(database):
        database.execute("SELECT block()")


async def block_and_hide_it() -> None:
    try:
        block()
    except asyncio.CancelledError:
        raise ValueError from None


async def block_again_in_the_cleanup() -> None:
    try:
        block()
    finally:
        block()


@pytest.mark.parametrize(
    "work",
    [
        block_later,
        block_a_task,
        block_in_a_query,
        block_and_hide_it,
        block_again_in_the_cleanup,
        lambda: asyncio.sleep(3600),
    ],
)
async def test_work_ends_at_the_deadline(work: Callable[[], Awaitable[None]]) -> None:
    with pytest.raises(TimeoutError):
        async with deadline_at(time.monotonic() + 0.05):
            await work()


async def test_work_in_the_body_itself_ends_at_the_deadline() -> None:
    with pytest.raises(TimeoutError):
        async with deadline_at(time.monotonic() - 1):
            block()


async def test_an_interrupted_body_is_cleaned_up() -> None:
    cleaned = []

    async def work() -> None:
        try:
            block()
        finally:
            await asyncio.sleep(0)
            cleaned.append(True)

    with pytest.raises(TimeoutError):
        async with deadline_at(time.monotonic() + 0.01):
            await work()
    assert cleaned


async def test_waiting_work_is_cancelled_and_not_interrupted() -> None:
    steps = []

    async def work() -> None:
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(1)  # longer than the first rings
            steps.append("cleaned up")

    with pytest.raises(TimeoutError):
        async with deadline_at(time.monotonic() + 0.01):
            await work()
    assert steps == ["cleaned up"]


async def test_work_before_the_deadline_is_not_affected() -> None:
    async with deadline_at(time.monotonic() + 60):
        await asyncio.sleep(0)


async def test_an_error_of_the_body_propagates() -> None:
    with pytest.raises(KeyError):
        async with deadline_at(time.monotonic() + 60):
            raise KeyError


async def test_the_previous_handler_and_timer_are_restored() -> None:
    handler = signal.getsignal(signal.SIGALRM)
    (seconds_before, _) = signal.getitimer(signal.ITIMER_REAL)
    async with deadline_at(time.monotonic() + 0.01):
        pass
    assert signal.getsignal(signal.SIGALRM) is handler
    # The timer of the tests' own limit.
    assert (signal.getitimer(signal.ITIMER_REAL)[0] > 1) == (seconds_before > 1)


def test_in_another_thread_only_waiting_work_is_cancelled() -> None:
    ended = []

    async def work() -> None:
        with contextlib.suppress(TimeoutError):
            async with deadline_at(time.monotonic() + 0.01):
                await asyncio.sleep(3600)
        ended.append(True)

    thread = threading.Thread(target=asyncio.run, args=[work()])
    thread.start()
    thread.join()
    assert ended
