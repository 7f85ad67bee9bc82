"""Exploration of all states that a scenario leads to."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping

import msgspec

from tests.schedules.jobs import Jobs
from tests.schedules.states import Asked, Registry, State

logger = logging.getLogger(__name__)

CONDITIONS = frozenset({"if-match", "if-none-match"})


class Scenario(msgspec.Struct, frozen=True):
    """The events around the jobs.

    Attributes:
        changes: The keys that the source holds after each change, in order.
        messages: Number of changes of the source before the message of each job.
        crashes: Number of jobs that crash, whose messages are delivered again.
        lost_replies: Number of conditional writes whose reply is lost, so that the client repeats
            them.
        ticks: Number of seconds that pass.
        serial: Run one job at a time.
    """

    changes: tuple[frozenset[str], ...]
    messages: tuple[int, ...]
    crashes: int = 0
    lost_replies: int = 0
    ticks: int = 0
    serial: bool = False


class Action(msgspec.Struct, frozen=True):
    """An event.

    Attributes:
        kind: `go`, `crash` or `lose reply` of a job; `change` of the source; `tick` of the clock.
        index: Number of the job, change or second.
    """

    kind: str
    index: int


async def explore(
    jobs: Jobs,
    scenario: Scenario,
    start: State,
    *,
    always: Callable[[Registry, Registry], None],
    at_end: Callable[[State], Awaitable[None]],
) -> int:
    """Visit every state that a scenario can lead to.

    Args:
        jobs: Code of the jobs.
        scenario: Events around them.
        start: First state.
        always: Checks the registry after each action, against the one before.
        at_end: Checks a state in which no further event is possible.

    Returns:
        The number of states.
    """
    came_from: dict[object, tuple[object, Action | None]] = {start.key(): (None, None)}
    waiting = deque([start])
    while waiting:
        state = waiting.popleft()
        actions = list(_actions(scenario, state))
        action = None
        try:
            if not actions:
                await at_end(state)
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
    logger.info("%d states", len(came_from))
    return len(came_from)


def _actions(scenario: Scenario, state: State) -> Iterator[Action]:
    """Yield the possible next events; none at the end."""
    is_at_end = state.changed == len(scenario.changes)
    for index, sent_at in enumerate(scenario.messages):
        if index in state.acknowledged:
            continue
        is_at_end = False
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
    if state.ticked < scenario.ticks and not is_at_end:
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
    return await jobs.go(state, action.index, sent_at=scenario.messages[action.index])


def _trace(
    came_from: Mapping[object, tuple[object, Action | None]], key: object
) -> list[Action | None]:
    """Return the events that led to a state."""
    actions: list[Action | None] = []
    while (step := came_from[key])[1]:
        key, action = step
        actions.append(action)
    return actions[::-1]


def _is_conditional(asked: Asked) -> bool:
    return not CONDITIONS.isdisjoint(asked.request.headers)
