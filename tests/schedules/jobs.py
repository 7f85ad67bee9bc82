"""The real code of a job, run up to the end of a script of responses."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from hashlib import sha256

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import Request, Response, S3Transport, error_of
from quilt_packager_runtime.registry.publish import NO_ETAG, Message

from tests.s3_stub import protocol
from tests.s3_stub.operations import name_operation
from tests.schedules.states import START_SECONDS, Asked, Memory, Moment, State

Story = Callable[[S3, Callable[[], None], Message], Awaitable[object]]
"""The code of a job. It calls the second argument when its memory is reduced to the last response
and the number of these calls."""


class Jobs:
    """Jobs that run the same code."""

    def __init__(self, story: Story) -> None:
        self._story = story
        self._known: dict[tuple[Message, Memory, bytes], Moment] = {}

    async def go(self, state: State, index: int, *, sent_at: int) -> State:
        """Advance a job by one request, or acknowledge it at its end.

        Args:
            state: The state.
            index: The job, whose messages are sent in this order if they are sent at once.
            sent_at: Number of changes of the source before the message was sent.
        """
        message = Message(START_SECONDS * 1000 + 100 * sent_at + index, str(index))
        moment = state.jobs.get(index) or await self._look_up(message, ((), b""), ())
        if moment.asked is None:
            return state.acknowledge(index)
        state, response = state.apply(moment.asked)
        moment = await self._go_on(message, moment, response)
        while moment.asked and _is_no_event(moment.asked):
            _, response = state.apply(moment.asked)
            moment = await self._go_on(message, moment, response)
        return state.move(index, moment)

    async def run_another(self, state: State) -> State:
        """Run the job of one more message without interruption."""
        index = max(state.acknowledged, default=-1) + 1
        while index not in state.acknowledged:
            state = await self.go(state, index, sent_at=state.changed)
        return state

    async def _go_on(self, message: Message, moment: Moment, response: Response) -> Moment:
        digest = sha256(repr(response).encode()).digest()
        answers = (*moment.answers, response)
        return await self._look_up(message, (moment.memory, digest), answers)

    async def _look_up(
        self, message: Message, at: tuple[Memory, bytes], answers: tuple[Response, ...]
    ) -> Moment:
        key = (message, *at)
        if key not in self._known:
            self._known[key] = await _Run(self._story, message).answer(answers)
        return self._known[key]


class _Run(S3Transport):
    """One run of a job with scripted responses."""

    def __init__(self, story: Story, message: Message) -> None:
        self._asked: deque[tuple[Asked, asyncio.Future[Response]]] = deque()
        self._memory: Memory = ()
        self._beginnings = 0
        self._stopped = asyncio.Event()
        self._task = asyncio.create_task(self._run(story, message))

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
        self.last_date = response.headers["date"]
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

    async def _run(self, story: Story, message: Message) -> object:
        try:
            return await story(S3(self), self._begin, message)
        finally:
            # `_stop` reads the result of the task, which ends right after this.
            asyncio.get_running_loop().call_soon(self._stopped.set)

    def _begin(self) -> None:
        self._beginnings += 1
        self._memory = (b"%d" % self._beginnings, *self._memory[-1:])


def _is_no_event(asked: Asked) -> bool:
    """Return whether the response is the same at any time, so that the request is not an event.

    Of all objects, only `latest` is rewritten, for the source has no versions. A write that needs
    an impossible ETag only checks a permission.
    """
    request = asked.request
    if request.operation == "PutObject":
        return request.headers.get("if-match") == NO_ETAG
    return request.operation == "GetObject" and not request.key.endswith("/latest")
