"""Many coroutines at once, within bounds; and long work in slices, so that they all go on."""

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
    """A group of tasks, awaited at its end. The first failure cancels the rest, and is raised."""
    try:
        async with asyncio.TaskGroup() as tasks:
            yield tasks
    except ExceptionGroup as failures:
        first_failure = failures.exceptions[0]
        raise first_failure from first_failure.__cause__


async def slices(items: Iterable[Item], size: int) -> AsyncIterator[list[Item]]:
    """Take items so many at a time. In between others run, and deadlines and cancelling are heard.

    Args:
        items: Taken when their slice is.
        size: How many are taken at a time.

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
    """How to take the next item, when many want one."""
    if isinstance(items, AsyncIterable):
        coming = aiter(items)
        turn = asyncio.Lock()

        async def take() -> Item | _End:
            async with turn:
                return await anext(coming, _End.END)
    else:
        present = iter(items)

        async def take() -> Item | _End:
            return next(present, _End.END)

    return take


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
