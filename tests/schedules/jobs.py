"""The real code of a job, run up to the end of a script of responses."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from hashlib import sha256

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import Request, Response, S3Transport, error_of

from tests.s3_stub import protocol
from tests.s3_stub.operations import name_operation
from tests.schedules.states import Asked, Memory, Moment, State

Story = Callable[[S3, Callable[[], None]], Awaitable[object]]
"""The code of a job. It calls the second argument when its memory is reduced to the last response
and the number of these calls."""


class Jobs:
    """Jobs that run the same code."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._known: dict[tuple[Memory, bytes], Moment] = {}

    async def go(self, state: State, index: int) -> State:
        """Advance a job by one request, or acknowledge it at its end."""
        moment = state.jobs.get(index) or await self._begin()
        if moment.asked is None:
            return state.acknowledge(index)
        state, response = state.apply(moment.asked)
        moment = await self._go_on(moment, response)
        while moment.asked and _reads_what_stays(moment.asked):
            _, response = state.apply(moment.asked)
            moment = await self._go_on(moment, response)
        return state.move(index, moment)

    async def run_another(self, state: State) -> State:
        """Run the job of one more message without interruption."""
        index = max(state.acknowledged, default=-1) + 1
        while index not in state.acknowledged:
            state = await self.go(state, index)
        return state

    async def _begin(self) -> Moment:
        return await self._look_up(((), b""), ())

    async def _go_on(self, moment: Moment, response: Response) -> Moment:
        digest = sha256(repr(response).encode()).digest()
        return await self._look_up((moment.memory, digest), (*moment.answers, response))

    async def _look_up(self, key: tuple[Memory, bytes], answers: tuple[Response, ...]) -> Moment:
        if key not in self._known:
            self._known[key] = await _Run(self._story).answer(answers)
        return self._known[key]


class _Run(S3Transport):
    """One run of a job with scripted responses."""

    def __init__(self, story: Story) -> None:
        self._asked: deque[tuple[Asked, asyncio.Future[Response]]] = deque()
        self._memory: Memory = ()
        self._beginnings = 0
        self._stopped = asyncio.Event()
        self._task = asyncio.create_task(self._run(story))

    async def answer(self, answers: tuple[Response, ...]) -> Moment:
        """Answer the first requests, and return the point where the job stops."""
        try:
            await self._stop()
            for response in answers:
                asked, answer = self._asked.popleft()
                self._memory += (sha256(repr((asked.request, response)).encode()).digest(),)
                answer.set_result(response)
                await self._stop()
            return Moment(self._memory, self._asked[0][0] if self._asked else None, answers)
        finally:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def send(self, request: Request) -> Response:
        uri = request.uri
        headers = {name.lower(): value for name, value in request.headers}
        asked = protocol.Request(request.method, uri.bucket, uri.key, {**request.query}, headers)
        asked.operation = name_operation(asked)
        body = request.file.read_bytes() if request.file else request.body or b""
        answer = asyncio.get_running_loop().create_future()
        self._asked.append((Asked(asked, body), answer))
        self._stopped.set()
        response: Response = await answer
        if response.status >= 300:
            raise error_of(request, response)
        return response

    def region_of(self, bucket: str) -> str:
        return "us-east-1"

    async def _stop(self) -> None:
        """Wait until the job waits for a response, or has ended."""
        if not self._asked:
            await self._stopped.wait()
        self._stopped.clear()
        if self._task.done():
            self._task.result()

    async def _run(self, story: Story) -> object:
        try:
            return await story(S3(self), self._begin)
        finally:
            # `_stop` reads the result of the task, which ends right after this.
            asyncio.get_running_loop().call_soon(self._stopped.set)

    def _begin(self) -> None:
        self._beginnings += 1
        self._memory = (b"%d" % self._beginnings, *self._memory[-1:])


def _reads_what_stays(asked: Asked) -> bool:
    """Return whether the response is the same at any time, so that the request is not an event.

    Of all objects, only `latest` is ever rewritten.
    """
    request = asked.request
    return request.operation == "GetObject" and not request.key.endswith("/latest")
