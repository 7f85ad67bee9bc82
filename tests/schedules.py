"""Every schedule of several jobs on one S3: the real code, stopped before each of its requests.

Which job goes on, crashes or loses a reply, and when the source changes, is for the explorer to
choose. It visits each state that can be told apart once, so that all interleavings of two jobs are
some thousands of steps. Requests reach the stub without a socket.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from hashlib import sha256

import msgspec
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.s3_transport import Request, Response, S3Transport, error_of

from tests.s3_stub import Bucket, Versioning, protocol
from tests.s3_stub.operations import name_operation
from tests.s3_stub.service import Service

REGISTRY = "registry"
SOURCE = "raw"
START_SECONDS = 1_700_000_000
CONDITIONS = frozenset({"if-match", "if-none-match"})

Story = Callable[[S3, Callable[[], None]], Awaitable[object]]
"""What a job does with its S3. It calls the second argument when all that it remembers is the last
answer, and how often it came to that point."""


class Scenario(msgspec.Struct, frozen=True):
    """What happens around the jobs.

    Attributes:
        changes: The keys that the source holds after each change, in order.
        messages: One a job: how many changes there are when it is sent.
        crashes: How many jobs crash, each of them to be delivered again.
        lost_replies: How many conditional writes are applied but not answered, so that the client
            sends them again.
        ticks: How often the clock goes on by a second.
        serial: Never two jobs at a time.
    """

    changes: tuple[frozenset[str], ...]
    messages: tuple[int, ...]
    crashes: int = 0
    lost_replies: int = 0
    ticks: int = 0
    serial: bool = False


class Job(S3Transport):
    """A delivery of a message: its story's S3, which stops before each request.

    Attributes:
        waiting: The request that it stops before, and its body; None at the story's end.
        history: All that it remembers. The story is a function of this.
    """

    def __init__(self, story: Story) -> None:
        self.waiting: tuple[protocol.Request, bytes] | None = None
        self.history: tuple[bytes, ...] = ()
        self._beginnings = 0
        self._stopped = asyncio.Event()
        self._answer: asyncio.Future[protocol.Response]
        self._task = asyncio.create_task(self._run(story))

    async def stop(self) -> None:
        """Wait until it stops before a request, or at its end."""
        await self._stopped.wait()
        self._stopped.clear()
        if self._task.done():
            self._task.result()

    async def proceed(self, answer: protocol.Response) -> None:
        """Answer the request that it stops before."""
        self._answer.set_result(answer)
        await self.stop()

    async def kill(self) -> None:
        """End it where it stands."""
        self._task.cancel()
        await asyncio.wait([self._task])

    def begin(self) -> None:
        """Forget all but the last answer."""
        self._beginnings += 1
        self.history = (b"%d" % self._beginnings, *self.history[-1:])

    def region_of(self, bucket: str) -> str:
        return "us-east-1"

    async def send(self, request: Request) -> Response:
        headers = {name.lower(): value for name, value in request.headers}
        uri = request.uri
        asked = protocol.Request(request.method, uri.bucket, uri.key, {**request.query}, headers)
        asked.operation = name_operation(asked)
        self.waiting = asked, request.file.read_bytes() if request.file else request.body or b""
        self._answer = asyncio.get_running_loop().create_future()
        self._stopped.set()
        answer = await self._answer
        response = _to_response(answer)
        self.history += (_digest(asked.operation, asked.key, response),)
        if answer.status >= 300:
            raise error_of(request, response)
        return response

    async def _run(self, story: Story) -> object:
        try:
            return await story(S3(self), self.begin)
        finally:
            self.waiting = None
            # Whoever waits for the stop looks at the result of the task, which ends right after.
            asyncio.get_running_loop().call_soon(self._stopped.set)


class World:
    """S3, the source and the jobs, at one point of one schedule.

    Attributes:
        registry: What the registry holds, by key.
        source: The keys that the source holds.
    """

    def __init__(
        self,
        scenario: Scenario,
        story: Story,
        *,
        source: Iterable[str],
        registry: Mapping[str, bytes],
    ) -> None:
        self._scenario = scenario
        self._story = story
        self._service = Service()
        self._service.store.clock = self._clock
        self._source = self._service.store.create_bucket(SOURCE, versioning=Versioning.OFF)
        self._registry = self._service.store.create_bucket(REGISTRY, versioning=Versioning.OFF)
        self._changed = self._ticked = self._crashed = self._lost = 0
        self._jobs: list[Job | None] = [None for _ in scenario.messages]
        self._acknowledged: set[int] = set()
        for key in source:
            self._source.put(key)
        for key, data in registry.items():
            self._registry.put(key, data)

    @property
    def registry(self) -> dict[str, bytes]:
        return _contents(self._registry)

    @property
    def source(self) -> frozenset[str]:
        return frozenset(self._source.keys())

    def state(self) -> tuple[object, ...]:
        """What can be told apart."""
        return (
            self._changed,
            self._ticked,
            self._crashed,
            self._lost,
            frozenset(self.registry.items()),
            tuple(job and job.history for job in self._jobs),
            frozenset(self._acknowledged),
        )

    def actions(self) -> list[tuple[str, int]]:
        """What can happen next; nothing at rest."""
        scenario = self._scenario
        found = []
        busy = next((index for index, job in enumerate(self._jobs) if job), None)
        for index, job in enumerate(self._jobs):
            is_sent = scenario.messages[index] <= self._changed
            is_blocked = scenario.serial and busy not in (None, index)
            if index in self._acknowledged or not is_sent or is_blocked:
                continue
            found.append(("go", index))
            if job and self._crashed < scenario.crashes:
                found.append(("crash", index))
            if job and self._lost < scenario.lost_replies and _is_conditional(job.waiting):
                found.append(("lose reply", index))
        if self._changed < len(scenario.changes):
            found.append(("change", self._changed))
        if found and self._ticked < scenario.ticks:
            found.append(("tick", self._ticked))
        return found

    async def do(self, action: tuple[str, int]) -> None:
        """Let something happen."""
        kind, index = action
        if kind == "tick":
            self._ticked += 1
        elif kind == "change":
            self._change(self._scenario.changes[index])
        elif kind == "crash":
            self._crashed += 1
            await self._end(index)
        elif kind == "lose reply":
            self._lost += 1
            self._apply(self._jobs[index])
        else:
            await self._go(index)

    async def run_another(self) -> None:
        """Deliver one more message, and let nothing disturb its job."""
        self._jobs.append(None)
        index = len(self._jobs) - 1
        while index not in self._acknowledged:
            await self._go(index)

    async def close(self) -> None:
        """End every job."""
        for index in range(len(self._jobs)):
            await self._end(index)

    async def _go(self, index: int) -> None:
        job = self._jobs[index]
        if job is None:
            job = self._jobs[index] = Job(self._story)
            await job.stop()
        if job.waiting:
            await job.proceed(self._apply(job))
            while _reads_what_stays(job.waiting):
                await job.proceed(self._apply(job))
        else:
            self._acknowledged.add(index)
            await self._end(index)

    async def _end(self, index: int) -> None:
        job, self._jobs[index] = self._jobs[index], None
        if job:
            await job.kill()

    def _apply(self, job: Job | None) -> protocol.Response:
        assert job
        assert job.waiting
        answer = self._service.apply(*job.waiting)
        answer.headers["Date"] = protocol.http_date(int(self._clock()))
        return answer

    def _change(self, keys: frozenset[str]) -> None:
        self._changed += 1
        for key in self.source - keys:
            self._source.delete(key)
        for key in keys - self.source:
            self._source.put(key)

    def _clock(self) -> float:
        return START_SECONDS + self._ticked


async def explore(
    start: Callable[[], World],
    *,
    always: Callable[[Mapping[str, bytes], Mapping[str, bytes]], None],
    at_rest: Callable[[World], Awaitable[None]],
) -> int:
    """Visit every state that the actions of a world can lead to.

    Args:
        start: Makes the world anew.
        always: Checks the registry after each action, against what it held before.
        at_rest: Checks a world in which nothing happens any more.

    Returns:
        How many states there are.
    """
    seen = set()
    schedules: list[list[tuple[str, int]]] = [[]]
    while schedules:
        schedule = schedules.pop()
        world = start()
        try:
            for action in schedule:
                await world.do(action)
            while (state := world.state()) not in seen:
                seen.add(state)
                actions = world.actions()
                if not actions:
                    await at_rest(world)
                    break
                schedules += [[*schedule, action] for action in actions[1:]]
                schedule.append(actions[0])
                before = world.registry
                await world.do(actions[0])
                always(before, world.registry)
        except BaseException as error:
            error.add_note(f"schedule: {schedule}")
            raise
        finally:
            await world.close()
    return len(seen)


def _contents(bucket: Bucket) -> dict[str, bytes]:
    return {key: version.data for key in bucket.iterate() if (version := bucket.get(key))}


def _reads_what_stays(waiting: tuple[protocol.Request, bytes] | None) -> bool:
    """Whether a request's answer is the same whenever it is sent, so that it is no event.

    Of all objects, only `latest` is ever rewritten.
    """
    return (
        waiting is not None
        and waiting[0].operation == "GetObject"
        and not waiting[0].key.endswith("/latest")
    )


def _is_conditional(waiting: tuple[protocol.Request, bytes] | None) -> bool:
    return waiting is not None and not CONDITIONS.isdisjoint(waiting[0].headers)


def _to_response(answer: protocol.Response) -> Response:
    body = answer.body
    if not isinstance(body, bytes):
        body = body.read(*(answer.body_range or (0, body.size_bytes)))
    return Response(
        answer.status, {name.lower(): value for name, value in answer.headers.items()}, body
    )


def _digest(operation: str, key: str, response: Response) -> bytes:
    return sha256(repr((operation, key, response)).encode()).digest()
