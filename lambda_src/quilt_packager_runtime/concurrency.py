"""Bounded concurrency of coroutines, and long work in slices that let other tasks run."""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from enum import Enum, auto
from itertools import islice
from typing import TypeAlias, TypeVar

Item = TypeVar("Item")

UNIT_BYTES = 256 * 1024


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
    take = _take_from(items)

    async def worker(first: Item) -> None:
        await work(first)
        while (item := await take()) is not _End.END:
            await work(item)

    async with task_group() as workers:
        for _ in range(at_once):
            if (first := await take()) is _End.END:
                break
            workers.create_task(worker(first))


def _take_from(items: Iterable[Item] | AsyncIterable[Item]) -> Take[Item]:
    """Return a function that takes the next item and that several workers can share."""
    if isinstance(items, AsyncIterable):
        async_items = aiter(items)
        lock = asyncio.Lock()

        async def take() -> Item | _End:
            async with lock:
                return await anext(async_items, _End.END)
    else:
        sync_items = iter(items)

        async def take() -> Item | _End:
            return next(sync_items, _End.END)

    return take


class ByteBudget:
    """Limits the number of bytes held at a time; waiters are served in order of arrival.

    Args:
        size_bytes: The budget, rounded down to units of `UNIT_BYTES`; each hold is rounded up.
    """

    def __init__(self, size_bytes: int) -> None:
        self._units = asyncio.Semaphore(size_bytes // UNIT_BYTES)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until the bytes fit into the budget, and hold them.

        More bytes than the whole budget would wait forever.
        """
        units_held = 0
        try:
            async with self._turn:  # otherwise holders of partial shares could deadlock
                while units_held * UNIT_BYTES < size_bytes:
                    await self._units.acquire()
                    units_held += 1
            yield
        finally:
            for _ in range(units_held):
                self._units.release()
