"""Many coroutines at once, within bounds."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import TypeVar

Item = TypeVar("Item")

UNIT_BYTES = 256 * 1024


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A group of tasks, awaited at its end. The first failure cancels the rest, and is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except ExceptionGroup as failures:
        first_failure = failures.exceptions[0]
        raise first_failure from first_failure.__cause__


async def for_each(
    items: Iterable[Item], work: Callable[[Item], Awaitable[None]], *, at_once: int
) -> None:
    """Work on items, so many at once. The first failure cancels the rest, and is raised.

    Args:
        items: Taken one at a time, when there is room for one more.
        work: What to do with one.
        at_once: How many to work on at a time.

    Example:
        >>> async def show(item: int) -> None:
        ...     print(item)
        >>> asyncio.run(for_each(range(3), show, at_once=3))
        0
        1
        2
    """
    shared = iter(items)

    async def worker(first: Item) -> None:
        await work(first)
        for item in shared:
            await work(item)

    async with task_group() as workers:
        for _, first in zip(range(at_once), shared, strict=False):
            workers.create_task(worker(first))


class ByteBudget:
    """Lets so many bytes be held at a time; who comes first is served first.

    Args:
        size_bytes: How many, in units of `UNIT_BYTES`, rounded down; each hold is rounded up.
    """

    def __init__(self, size_bytes: int) -> None:
        """Nothing is held yet."""
        self._units = asyncio.Semaphore(size_bytes // UNIT_BYTES)
        self._turn = asyncio.Lock()

    @asynccontextmanager
    async def hold(self, size_bytes: int) -> AsyncIterator[None]:
        """Wait until there is room, and hold it.

        Args:
            size_bytes: At most the whole budget: for more one would wait forever.
        """
        units_held = 0
        try:
            async with self._turn:  # or several would wait, each for the share that others hold
                while units_held * UNIT_BYTES < size_bytes:
                    await self._units.acquire()
                    units_held += 1
            yield
        finally:
            for _ in range(units_held):
                self._units.release()
