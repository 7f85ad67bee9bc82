"""Bounded concurrency of coroutines, and long work in slices that let other tasks run."""

import asyncio
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from enum import Enum, auto
from itertools import islice
from typing import Generic, TypeAlias, TypeVar

Item = TypeVar("Item")


class _End(Enum):
    END = auto()


Take: TypeAlias = Callable[[], Awaitable[Item | _End]]


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """Create a group of tasks. The first failure cancels the rest and is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except ExceptionGroup as failures:
        first_failure = failures.exceptions[0]
        raise first_failure from first_failure.__cause__


async def slices(items: Iterable[Item], size: int) -> AsyncIterator[list[Item]]:
    """Yield items in slices. Between slices, other tasks run and cancellation takes effect.

    Example:
        >>> async def show() -> None:
        ...     async for taken in slices("abc", 2):
        ...         print(taken)
        >>> asyncio.run(show())
        ['a', 'b']
        ['c']
    """
    rest = iter(items)
    while taken := list(islice(rest, size)):
        yield taken
        await asyncio.sleep(0)


async def for_each(
    items: Iterable[Item] | AsyncIterable[Item],
    work: Callable[[Item], Awaitable[None]],
    *,
    at_once: int,
) -> None:
    """Process items concurrently. The first failure cancels the rest and is raised.

    Args:
        items: Consumed one at a time, when a worker is free.
        work: Processes an item.
        at_once: Maximum number of concurrent items.

    Example:
        >>> async def show(item: int) -> None:
        ...     print(item)
        >>> asyncio.run(for_each(range(3), show, at_once=3))
        0
        1
        2
    """
    take = _take_async(items) if isinstance(items, AsyncIterable) else _take_sync(items)
    await _share(take, work, at_once)


async def for_each_in_blocks(
    blocks: AsyncIterable[Iterable[Item]],
    work: Callable[[Item], Awaitable[None]],
    *,
    at_once: int,
) -> None:
    """Process the items of blocks as `for_each` does; a worker fetches a block when none is left.

    Workers wait for each other only at the end of a block, not for each item.
    """
    await _share(_take_from_blocks(blocks), work, at_once)


async def _share(take: Take[Item], work: Callable[[Item], Awaitable[None]], at_once: int) -> None:
    async def worker(first: Item) -> None:
        await work(first)
        while (item := await take()) is not _End.END:
            await work(item)

    async with task_group() as workers:
        for _ in range(at_once):
            if (first := await take()) is _End.END:
                break
            workers.create_task(worker(first))


def _take_sync(items: Iterable[Item]) -> Take[Item]:
    sync_items = iter(items)

    async def take() -> Item | _End:
        return next(sync_items, _End.END)

    return take


def _take_async(items: AsyncIterable[Item]) -> Take[Item]:
    async_items = aiter(items)
    lock = asyncio.Lock()

    async def take() -> Item | _End:
        async with lock:
            return await anext(async_items, _End.END)

    return take


def _take_from_blocks(blocks: AsyncIterable[Iterable[Item]]) -> Take[Item]:
    async_blocks = aiter(blocks)
    block: Iterator[Item] = iter(())
    lock = asyncio.Lock()

    async def take() -> Item | _End:
        nonlocal block
        if (item := next(block, _End.END)) is not _End.END:
            return item
        async with lock:
            while (item := next(block, _End.END)) is _End.END:
                following = await anext(async_blocks, None)
                if following is None:
                    return _End.END
                block = iter(following)
        return item

    return take


class ByteBudget:
    """Limits the number of bytes held at a time; waiters are served in order of arrival."""

    def __init__(self, size_bytes: int) -> None:
        self._free_bytes = size_bytes
        self._turn = asyncio.Lock()
        self._released = asyncio.Event()

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until the bytes fit into the budget, and hold them.

        More bytes than the whole budget would wait forever.
        """
        async with self._turn:
            while size_bytes > self._free_bytes:
                self._released.clear()
                await self._released.wait()
            self._free_bytes -= size_bytes
        try:
            yield
        finally:
            self._free_bytes += size_bytes
            self._released.set()


class ThreadsafeResolver(Generic[Item]):
    """Sets the results of an event loop's futures from other threads.

    A wake-up of the loop costs system calls, so one serves all results that arrive before it.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._arrived: deque[tuple[asyncio.Future[Item], Item]] = deque()
        self._is_waking = False

    def resolve(self, future: "asyncio.Future[Item]", result: Item) -> None:
        """Set the result of a future, unless it is cancelled or the loop is closed."""
        self._arrived.append((future, result))
        if not self._is_waking:
            self._is_waking = True
            with suppress(RuntimeError):  # the loop is closed
                self.loop.call_soon_threadsafe(self._deliver)

    def _deliver(self) -> None:
        self._is_waking = False  # first: a result that misses this delivery wakes the loop again
        while self._arrived:
            future, result = self._arrived.popleft()
            if not future.done():
                future.set_result(result)
