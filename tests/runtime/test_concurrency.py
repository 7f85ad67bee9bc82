import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from threading import Thread

import pytest
from quilt_packager_runtime.concurrency import (
    ByteBudget,
    ThreadsafeResolver,
    for_each,
    for_each_in_blocks,
    slices,
)

from tests.cancelling import ManyItems, check_is_cancelled_within


class TestForEach:
    async def test_processes_each_item_once(self) -> None:
        done: list[int] = []

        async def work(item: int) -> None:
            await asyncio.sleep(0)
            done.append(item)

        await for_each(range(10), work, at_once=3)
        assert sorted(done) == list(range(10))

    async def test_limits_the_concurrent_items(self) -> None:
        running, most = 0, 0

        async def work(_: int) -> None:
            nonlocal running, most
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

        await for_each(range(10), work, at_once=3)
        assert most == 3

    async def test_takes_an_item_only_when_a_worker_is_free(self) -> None:
        taken: list[int] = []

        def items() -> Iterator[int]:
            for item in range(10):
                taken.append(item)
                yield item

        async def work(_: int) -> None:
            await asyncio.Event().wait()

        job = asyncio.create_task(for_each(items(), work, at_once=3))
        await asyncio.sleep(0)
        assert taken == [0, 1, 2]
        job.cancel()

    async def test_takes_one_item_at_a_time_from_an_async_iterable(self) -> None:
        done: list[int] = []

        async def items() -> AsyncIterator[int]:
            for item in range(10):
                await asyncio.sleep(0)
                yield item

        async def work(item: int) -> None:
            await asyncio.sleep(0)
            done.append(item)

        await for_each(items(), work, at_once=3)
        assert sorted(done) == list(range(10))

    async def test_does_nothing_without_items(self) -> None:
        async def work(_: int) -> None:
            raise AssertionError

        await for_each([], work, at_once=3)

    async def test_raises_the_first_failure_with_its_cause(self) -> None:
        cause = KeyError("cause")

        async def work(item: int) -> None:
            raise ValueError(item) from cause

        with pytest.raises(ValueError, match="0") as failure:
            await for_each(range(10), work, at_once=3)
        assert failure.value.__cause__ is cause

    async def test_cancels_the_rest_after_a_failure(self) -> None:
        started: list[int] = []
        cancelled: list[int] = []

        async def work(item: int) -> None:
            started.append(item)
            if item == 2:
                raise ValueError(item)
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(item)
                raise

        with pytest.raises(ValueError, match="2"):
            await for_each(range(10), work, at_once=3)
        assert started == [0, 1, 2]
        assert sorted(cancelled) == [0, 1]

    async def test_cancellation_cancels_all_items(self) -> None:
        cancelled: list[int] = []

        async def work(item: int) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                cancelled.append(item)

        job = asyncio.create_task(for_each(range(10), work, at_once=3))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        job.cancel()
        with pytest.raises(asyncio.CancelledError):
            await job
        assert sorted(cancelled) == [0, 1, 2]


class TestForEachInBlocks:
    async def test_processes_each_item_of_each_block_once(self) -> None:
        done: list[int] = []

        async def blocks() -> AsyncIterator[list[int]]:
            for block in ([], [0, 1, 2, 3, 4], [], [5], [6, 7, 8, 9]):
                await asyncio.sleep(0)
                yield block

        async def work(item: int) -> None:
            await asyncio.sleep(0)
            done.append(item)

        await for_each_in_blocks(blocks(), work, at_once=3)
        assert sorted(done) == list(range(10))

    async def test_fetches_a_block_when_no_item_of_the_last_is_left(self) -> None:
        fetched: list[int] = []

        async def blocks() -> AsyncIterator[list[int]]:
            for first in (0, 2, 4):
                fetched.append(first)
                yield [first, first + 1]

        async def work(_: int) -> None:
            await asyncio.Event().wait()

        job = asyncio.create_task(for_each_in_blocks(blocks(), work, at_once=2))
        await asyncio.sleep(0)
        assert fetched == [0]
        job.cancel()


class TestSlices:
    async def test_hold_each_item_once_and_in_order(self) -> None:
        assert [taken async for taken in slices(range(5), 2)] == [[0, 1], [2, 3], [4]]

    async def test_end_at_a_deadline(self) -> None:
        items = ManyItems(1)

        async def take_all() -> None:
            async for _ in slices(items, 10):
                pass

        await check_is_cancelled_within(items, take_all())


class TestByteBudget:
    async def hold(self, budget: ByteBudget, size_bytes: int, release: asyncio.Event) -> None:
        async with budget.hold(size_bytes):
            await release.wait()

    async def test_limits_the_held_bytes(self) -> None:
        budget = ByteBudget(24)
        held_bytes, most_bytes = 0, 0

        async def hold(size_bytes: int) -> None:
            nonlocal held_bytes, most_bytes
            async with budget.hold(size_bytes):
                held_bytes += size_bytes
                most_bytes = max(most_bytes, held_bytes)
                await asyncio.sleep(0)
                held_bytes -= size_bytes

        sizes = list(range(1, 21)) * 3
        await asyncio.gather(*[hold(size_bytes) for size_bytes in sizes])
        assert 18 < most_bytes <= 24

    async def test_serves_large_and_small_holds_in_order_of_arrival(self) -> None:
        budget = ByteBudget(2)
        served: list[int] = []

        async def hold(size_bytes: int) -> None:
            async with budget.hold(size_bytes):
                await asyncio.sleep(0)
                served.append(size_bytes)

        sizes = [1, 1, 2, 1, 1, 1]
        await asyncio.gather(*[hold(size_bytes) for size_bytes in sizes])
        assert served == sizes

    async def test_a_cancelled_wait_holds_nothing(self) -> None:
        budget = ByteBudget(2)
        release = asyncio.Event()
        first = asyncio.create_task(self.hold(budget, 1, release))
        waiting = asyncio.create_task(self.hold(budget, 2, release))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        release.set()
        await first
        async with asyncio.timeout(1), budget.hold(2):
            pass

    async def test_a_failure_releases_the_held_bytes(self) -> None:
        budget = ByteBudget(1)
        with pytest.raises(ValueError, match="failed"):
            async with budget.hold(1):
                raise ValueError("failed")
        async with asyncio.timeout(1), budget.hold(1):
            pass


class TestThreadsafeResolver:
    def count_wake_ups(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        loop = asyncio.get_running_loop()
        wake_ups: list[object] = []
        wake = loop.call_soon_threadsafe

        def counted(callback: Callable[[], object]) -> None:
            wake_ups.append(callback)
            wake(callback)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        return wake_ups

    async def test_wakes_the_loop_once_for_all_results_that_have_arrived(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wake_ups = self.count_wake_ups(monkeypatch)
        loop = asyncio.get_running_loop()
        resolver = ThreadsafeResolver[int](loop)
        futures: list[asyncio.Future[int]] = [loop.create_future() for _ in range(10)]

        def resolve() -> None:
            for number, future in enumerate(futures):
                resolver.resolve(future, number)

        thread = Thread(target=resolve)
        thread.start()
        thread.join()  # the loop cannot run meanwhile
        assert await asyncio.gather(*futures) == list(range(10))
        assert len(wake_ups) == 1

    async def test_wakes_the_loop_again_for_a_later_result(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wake_ups = self.count_wake_ups(monkeypatch)
        loop = asyncio.get_running_loop()
        resolver = ThreadsafeResolver[int](loop)
        for number in range(2):
            future: asyncio.Future[int] = loop.create_future()
            resolver.resolve(future, number)
            assert await future == number
        assert len(wake_ups) == 2

    async def test_skips_a_cancelled_future(self) -> None:
        loop = asyncio.get_running_loop()
        resolver = ThreadsafeResolver[int](loop)
        cancelled: asyncio.Future[int] = loop.create_future()
        other: asyncio.Future[int] = loop.create_future()
        cancelled.cancel()
        resolver.resolve(cancelled, 1)
        resolver.resolve(other, 2)
        assert await other == 2

    def test_does_nothing_after_the_loop_is_closed(self) -> None:
        loop = asyncio.new_event_loop()
        future: asyncio.Future[int] = loop.create_future()
        resolver = ThreadsafeResolver[int](loop)
        loop.close()
        resolver.resolve(future, 1)
        assert not future.done()
