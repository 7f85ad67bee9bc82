"""Where requests stop until a test lets them go on: how schedules of several writers are made."""

import asyncio
import queue
from threading import Lock

from tests.s3_stub.protocol import Request

WAIT_SECONDS = 10.0
"""How long a test waits for a request to arrive at a pause before it fails."""


class Held:
    """A request that waits at a pause.

    Attributes:
        request: What waits. Its `status` tells whether it was applied already.
    """

    def __init__(self, request: Request, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self._loop = loop
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let it go on, from any thread."""
        self._loop.call_soon_threadsafe(self._released.set)

    async def wait(self) -> None:
        """Wait, in the stub's own loop, until it may go on."""
        await self._released.wait()


class Pause:
    """Where matching requests stop, each until it is released."""

    def __init__(self) -> None:
        self._arrived: queue.SimpleQueue[Held] = queue.SimpleQueue()
        self._held: list[Held] = []
        self._lock = Lock()
        self._is_open = False

    def wait(self, timeout_seconds: float = WAIT_SECONDS) -> Held:
        """The next request that stops here.

        Raises:
            TimeoutError: None came.
        """
        try:
            return self._arrived.get(timeout=timeout_seconds)
        except queue.Empty:
            raise TimeoutError(f"no request came within {timeout_seconds} s") from None

    async def reached(self, timeout_seconds: float = WAIT_SECONDS) -> Held:
        """As `wait`, for coroutines."""
        return await asyncio.to_thread(self.wait, timeout_seconds)

    def open(self) -> None:
        """Release every request that waits, and stop no more."""
        with self._lock:
            self._is_open = True
            for held in self._held:
                held.release()

    async def hold(self, request: Request) -> None:
        """Keep a request, in the stub's own loop, until it is released."""
        held = Held(request, asyncio.get_running_loop())
        with self._lock:
            if self._is_open:
                return
            self._held.append(held)
        self._arrived.put(held)
        await held.wait()
