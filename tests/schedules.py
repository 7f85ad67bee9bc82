"""Every schedule of several jobs on one S3: the real code, stopped before each of its requests.

Which job goes on, crashes or loses a reply, and when the source changes, is for the explorer to
choose. It visits each state that can be told apart once. A job is a function of what it remembers,
so what it does next is run once for each memory, and looked up whenever that comes again.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from hashlib import sha256
from typing import NamedTuple, Self

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

Memory = tuple[bytes, ...]


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


class Action(msgspec.Struct, frozen=True):
    """Something that happens.

    Attributes:
        kind: `go`, `crash` or `lose reply` of a job; `change` of the source; `tick` of the clock.
        index: Which job, change or second.
    """

    kind: str
    index: int


class Asked(NamedTuple):
    """A request that a job stops before, and its body."""

    request: protocol.Request
    body: bytes


class Moment(NamedTuple):
    """A job between two requests.

    Attributes:
        memory: What it remembers.
        asked: The request that it stops before; None at its end.
        answers: Some answers that lead here.
    """

    memory: Memory
    asked: Asked | None
    answers: tuple[Response, ...]


class State(msgspec.Struct, frozen=True):
    """S3, the source and the jobs, at one point of one schedule.

    Attributes:
        source: The keys that the source holds.
        registry: What the registry holds, by key.
        jobs: Those that are at work, by index.
        acknowledged: The jobs that are done.
        changed: How many changes of the source there were.
        ticked: How many seconds went by.
        crashed: How many jobs crashed.
        lost: How many replies were lost.
    """

    source: frozenset[str]
    registry: Mapping[str, bytes]
    jobs: Mapping[int, Moment] = {}
    acknowledged: frozenset[int] = frozenset()
    changed: int = 0
    ticked: int = 0
    crashed: int = 0
    lost: int = 0

    def key(self) -> tuple[object, ...]:
        """What can be told apart."""
        return (
            frozenset(self.registry.items()),
            frozenset((index, moment.memory) for index, moment in self.jobs.items()),
            self.acknowledged,
            (self.changed, self.ticked, self.crashed, self.lost),
        )

    def apply(self, asked: Asked) -> tuple[Self, Response]:
        """Let S3 answer a request."""
        service = Service()
        service.store.clock = lambda: START_SECONDS + self.ticked
        raw = service.store.create_bucket(SOURCE, versioning=Versioning.OFF)
        for key in self.source:
            raw.put(key, last_modified=0)
        registry = service.store.create_bucket(REGISTRY, versioning=Versioning.OFF)
        for key, data in self.registry.items():
            registry.put(key, data, last_modified=0)
        answer = service.apply(*asked)
        answer.headers["Date"] = protocol.http_date(int(service.store.clock()))
        return self._with(registry=_contents(registry)), _to_response(answer)

    def tick(self) -> Self:
        return self._with(ticked=self.ticked + 1)

    def change(self, source: frozenset[str]) -> Self:
        return self._with(source=source, changed=self.changed + 1)

    def crash(self, index: int) -> Self:
        return self._without_job(index)._with(crashed=self.crashed + 1)

    def lose_reply(self, index: int) -> Self:
        asked = self.jobs[index].asked
        assert asked
        after, _ = self.apply(asked)
        return after._with(lost=self.lost + 1)

    def acknowledge(self, index: int) -> Self:
        return self._without_job(index)._with(acknowledged=self.acknowledged | {index})

    def move(self, index: int, moment: Moment) -> Self:
        return self._with(jobs={**self.jobs, index: moment})

    def _without_job(self, index: int) -> Self:
        return self._with(jobs={each: job for each, job in self.jobs.items() if each != index})

    def _with(self, **changes: object) -> Self:
        return msgspec.structs.replace(self, **changes)


class Jobs:
    """What jobs of one story do.

    Args:
        story: The story.
    """

    def __init__(self, story: Story) -> None:
        self._story = story
        self._known: dict[tuple[Memory, bytes], Moment] = {}

    async def go(self, state: State, index: int) -> State:
        """Let a job send its next request, or be acknowledged at its end."""
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
        """Deliver one more message, and let nothing disturb its job."""
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
    """One run of a story, answered from a script as far as that goes."""

    def __init__(self, story: Story) -> None:
        self._asked: deque[tuple[Asked, asyncio.Future[Response]]] = deque()
        self._memory: Memory = ()
        self._beginnings = 0
        self._stopped = asyncio.Event()
        self._task = asyncio.create_task(self._tell(story))

    async def answer(self, answers: tuple[Response, ...]) -> Moment:
        """Answer its first requests, and say where it stops then."""
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
        """Wait until it waits for an answer, or has ended."""
        if not self._asked:
            await self._stopped.wait()
        self._stopped.clear()
        if self._task.done():
            self._task.result()

    async def _tell(self, story: Story) -> object:
        try:
            return await story(S3(self), self._begin)
        finally:
            # Whoever waits for the stop looks at the result of the task, which ends right after.
            asyncio.get_running_loop().call_soon(self._stopped.set)

    def _begin(self) -> None:
        self._beginnings += 1
        self._memory = (b"%d" % self._beginnings, *self._memory[-1:])


async def explore(
    jobs: Jobs,
    scenario: Scenario,
    start: State,
    *,
    always: Callable[[Mapping[str, bytes], Mapping[str, bytes]], None],
    at_rest: Callable[[State], Awaitable[None]],
) -> int:
    """Visit every state that a scenario can lead to.

    Args:
        jobs: What jobs do.
        scenario: What happens around them.
        start: How it begins.
        always: Checks the registry after each action, against what it held before.
        at_rest: Checks a state in which nothing happens any more.

    Returns:
        How many states there are.
    """
    came_from: dict[object, tuple[object, Action | None]] = {start.key(): (None, None)}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        actions = list(_actions(scenario, state))
        action = None
        try:
            if not actions:
                await at_rest(state)
            for action in actions:
                after = await _do(jobs, scenario, state, action)
                always(state.registry, after.registry)
                key = after.key()
                if key not in came_from:
                    came_from[key] = state.key(), action
                    waiting.append(after)
        except BaseException as error:
            error.add_note(f"schedule: {[*_trace(came_from, state.key()), action]}")
            raise
    return len(came_from)


def _actions(scenario: Scenario, state: State) -> Iterator[Action]:
    """What can happen next; nothing at rest."""
    is_at_rest = state.changed == len(scenario.changes)
    for index, sent_at in enumerate(scenario.messages):
        if index in state.acknowledged:
            continue
        is_at_rest = False
        is_blocked = scenario.serial and not state.jobs.keys() <= {index}
        if sent_at > state.changed or is_blocked:
            continue
        yield Action("go", index)
        if index in state.jobs:
            if state.crashed < scenario.crashes:
                yield Action("crash", index)
            asked = state.jobs[index].asked
            if state.lost < scenario.lost_replies and asked and _is_conditional(asked):
                yield Action("lose reply", index)
    if state.changed < len(scenario.changes):
        yield Action("change", state.changed)
    if state.ticked < scenario.ticks and not is_at_rest:
        yield Action("tick", state.ticked)


async def _do(jobs: Jobs, scenario: Scenario, state: State, action: Action) -> State:
    if action.kind == "tick":
        return state.tick()
    if action.kind == "change":
        return state.change(scenario.changes[action.index])
    if action.kind == "crash":
        return state.crash(action.index)
    if action.kind == "lose reply":
        return state.lose_reply(action.index)
    return await jobs.go(state, action.index)


def _trace(
    came_from: Mapping[object, tuple[object, Action | None]], key: object
) -> list[Action | None]:
    """What led to a state."""
    actions: list[Action | None] = []
    while (step := came_from[key])[1]:
        key, action = step
        actions.append(action)
    return actions[::-1]


def _reads_what_stays(asked: Asked) -> bool:
    """Whether a request's answer is the same whenever it is sent, so that it is no event.

    Of all objects, only `latest` is ever rewritten.
    """
    request = asked.request
    return request.operation == "GetObject" and not request.key.endswith("/latest")


def _is_conditional(asked: Asked) -> bool:
    return not CONDITIONS.isdisjoint(asked.request.headers)


def _contents(bucket: Bucket) -> dict[str, bytes]:
    return {key: version.data for key in bucket.iterate() if (version := bucket.get(key))}


def _to_response(answer: protocol.Response) -> Response:
    body = answer.body
    if not isinstance(body, bytes):
        body = body.read(*(answer.body_range or (0, body.size_bytes)))
    names = {name.lower(): value for name, value in answer.headers.items()}
    return Response(answer.status, names, body)
