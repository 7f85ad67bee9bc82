import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
from quilt_packager_runtime.concurrency import UNIT_BYTES, ByteBudget, for_each, slices

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
        budget = ByteBudget(8 * UNIT_BYTES)
        held_bytes, most_bytes = 0, 0

        async def hold(size_bytes: int) -> None:
            nonlocal held_bytes, most_bytes
            async with budget.hold(size_bytes):
                held_bytes += size_bytes
                most_bytes = max(most_bytes, held_bytes)
                await asyncio.sleep(0)
                held_bytes -= size_bytes

        sizes = [1 + n * UNIT_BYTES // 3 for n in range(20)] * 3
        await asyncio.gather(*[hold(size_bytes) for size_bytes in sizes])
        assert 6 * UNIT_BYTES < most_bytes <= 8 * UNIT_BYTES

    async def test_serves_large_and_small_holds_in_order_of_arrival(self) -> None:
        budget = ByteBudget(2 * UNIT_BYTES)
        served: list[int] = []

        async def hold(size_bytes: int) -> None:
            async with budget.hold(size_bytes):
                await asyncio.sleep(0)
                served.append(size_bytes)

        sizes = [1, 1, 2 * UNIT_BYTES, 1, 1, 1]
        await asyncio.gather(*[hold(size_bytes) for size_bytes in sizes])
        assert served == sizes

    async def test_a_cancelled_wait_holds_nothing(self) -> None:
        budget = ByteBudget(2 * UNIT_BYTES)
        release = asyncio.Event()
        first = asyncio.create_task(self.hold(budget, UNIT_BYTES, release))
        waiting = asyncio.create_task(self.hold(budget, 2 * UNIT_BYTES, release))
        for _ in range(3):
            await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.wait([waiting])
        release.set()
        await first
        async with asyncio.timeout(1), budget.hold(2 * UNIT_BYTES):
            pass

    async def test_a_failure_releases_the_held_bytes(self) -> None:
        budget = ByteBudget(UNIT_BYTES)
        with pytest.raises(ValueError, match="failed"):
            async with budget.hold(UNIT_BYTES):
                raise ValueError("failed")
        async with asyncio.timeout(1), budget.hold(UNIT_BYTES):
            pass
