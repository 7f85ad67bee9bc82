"""The stub as a server on the loopback, in a thread of its own."""

import asyncio
import threading
from collections import Counter
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import uvloop

from tests.s3_stub.connection import Connection
from tests.s3_stub.faults import Rule
from tests.s3_stub.protocol import Request
from tests.s3_stub.service import Service
from tests.s3_stub.store import Bucket, Versioning

HOST = "127.0.0.1"
_BACKLOG = 4096
_QUIET_ROUNDS = 5
"""After so many rounds of the event loop without a connection, none will come."""


async def listen(service: Service, port: int = 0) -> asyncio.Server:
    """Begin to serve.

    Args:
        service: What answers.
        port: 0 for a free one.
    """
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(service, loop), HOST, port, backlog=_BACKLOG)


def url_of(server: asyncio.Server) -> str:
    """Where a server listens, as `AWS_ENDPOINT_URL` takes it."""
    return f"http://{HOST}:{server.sockets[0].getsockname()[1]}"


class S3Stub(Service):
    """S3 in a thread of this process. Use it as a context manager.

    Attributes:
        url: Its endpoint.
        crashes: Errors of the stub itself, which no test provokes.
    """

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.crashes: list[BaseException] = []
        self._loop = uvloop.new_event_loop()
        self._loop.set_exception_handler(self._keep_crash)
        self._thread = threading.Thread(target=self._run, name="s3-stub", daemon=True)
        self._is_ready = threading.Event()
        self._stop = asyncio.Event()

    def __enter__(self) -> Self:
        """Start, and wait until it listens."""
        self._thread.start()
        self._is_ready.wait()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop, and drop every connection."""
        self.faults.clear()
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def create_bucket(
        self,
        name: str,
        *,
        versioning: Versioning = Versioning.ENABLED,
        region: str | None = None,
    ) -> Bucket:
        """Make an empty bucket."""
        return self.store.create_bucket(name, versioning=versioning, region=region)

    def on(
        self,
        operation: str = "*",
        *,
        bucket: str = "*",
        key: str = "*",
        access_key: str | None = None,
        nth: int = 1,
        times: int | None = 1,
    ) -> Rule:
        """Script what happens to some requests: see `Faults.on`."""
        return self.faults.on(
            operation, bucket=bucket, key=key, access_key=access_key, nth=nth, times=times
        )

    def deny(self, operation: str = "*", *, bucket: str = "*", key: str = "*") -> Rule:
        """Answer 403 AccessDenied to every such request."""
        rule = self.on(operation, bucket=bucket, key=key, times=None)
        return rule.answer(403, "AccessDenied")

    def requests_of(self, operation: str) -> Sequence[Request]:
        """The logged requests of one operation."""
        return [request for request in self.requests if request.operation == operation]

    @property
    def distinct_counts(self) -> Counter[str]:
        """How many different things were asked for, by operation.

        Where `counts` has each request, this has one for all that ask for the same range of the
        same key, the same part, or the same page: awscrt asks again by itself when a connection
        fails, which happens on a loaded machine.
        """
        asked = {
            (
                each.operation,
                each.bucket,
                each.key,
                frozenset(each.query.items()),
                each.headers.get("range"),
            )
            for each in self.requests
        }
        return Counter(operation for operation, *_ in asked)

    def _keep_crash(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.crashes.append(context.get("exception") or RuntimeError(context["message"]))

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    async def _serve(self) -> None:
        server = await listen(self)
        self.url = url_of(server)
        self._is_ready.set()
        await self._stop.wait()
        server.close()
        # uvloop waits for no connection, and one that it has just accepted is not known yet.
        quiet_rounds = 0
        while quiet_rounds < _QUIET_ROUNDS:
            tasks = asyncio.all_tasks() - {asyncio.current_task()}
            for task in tasks:
                task.cancel()
            for connection in list(self.connections):
                connection.abort()
            quiet_rounds = 0 if tasks or self.connections else quiet_rounds + 1
            await asyncio.sleep(0)
