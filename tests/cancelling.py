"""Work on items that hardly end, cancelled while it goes through them."""

import asyncio
from collections.abc import Coroutine, Iterator
from typing import Any, Generic, TypeVar

import pytest

Item = TypeVar("Item")

MANY = 1_000_000
"""More items than any work goes through at one go."""


class ManyItems(Generic[Item]):
    """One item, many times.

    Attributes:
        begun: Set when the first is taken.
        exhausted: Whether the last was taken.
    """

    def __init__(self, item: Item) -> None:
        self.begun = asyncio.Event()
        self.exhausted = False
        self._item = item

    def __iter__(self) -> Iterator[Item]:
        self.begun.set()
        for _ in range(MANY):
            yield self._item
        self.exhausted = True


async def check_is_cancelled_within(items: ManyItems[Any], work: Coroutine[Any, Any, Any]) -> None:
    """Cancel work, as its deadline does, once it has begun to take items: it ends among them."""
    job = asyncio.create_task(work)
    begun = asyncio.create_task(items.begun.wait())
    await asyncio.wait({job, begun}, return_when=asyncio.FIRST_COMPLETED)
    begun.cancel()
    job.cancel()
    with pytest.raises(asyncio.CancelledError):
        await job
    assert items.begun.is_set()
    assert not items.exhausted
