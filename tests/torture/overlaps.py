"""Overlapping jobs of one package, with the latencies of S3, on a clock that jumps over the waits.

Each trial draws its own latencies and moments. At rest, when each message is acknowledged, `latest`
must be the revision of a fresh listing, with the newest pointer.
"""

import asyncio
import random
import selectors
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import msgspec
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.settings import ChecksumAlgorithm, Settings

from tests.s3_stub import protocol
from tests.torture.world import NAMED_PACKAGES, SETTINGS, START_SECONDS, World, message, pointers_of

FOLDER = "runs/42/"
PACKAGE = "runs/42"
MEDIAN_SECONDS: Mapping[str, float] = {"PutObject": 0.035, "ListObjectVersions": 0.04}
"""Median latency by operation; others take 20 ms. Half of it passes before the effect."""

READ_SECONDS = 0.2
"""Median latency of reading an object to hash it, whose size varies more."""

SIGMA = 0.6
"""Of the logarithm of latencies: one in a hundred takes four times the median."""

DELIVERY_SECONDS = 0.1
REDELIVERY_SECONDS = 5.0
MAX_DELIVERIES = 20


ENGINES = tuple(
    msgspec.structs.replace(SETTINGS, checksum_algorithms=(algorithm,))
    for algorithm in ChecksumAlgorithm
)
"""The default engine, and one that accepts none of its checksums."""


class _JumpingSelector(selectors.DefaultSelector):
    """Waits for nothing: lets the clock jump to the end of each wait."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready:
            if timeout is None:
                raise RuntimeError("all tasks wait for each other")
            self.now += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only while all tasks wait, and then at once."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


class Trial:
    """One package, its source and its messages.

    Attributes:
        world: The engine.
        random: Source of latencies and moments.
    """

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.random = random.Random(number)  # noqa: S311 - no secret
        self._ids = iter(range(100))
        loop = asyncio.get_running_loop()
        world.service.store.clock = lambda: START_SECONDS + loop.time()
        world.travel = self._travel

    def put(self, name: str, body: str) -> None:
        self.world.raw.put(FOLDER + name, body, stored=[])

    def wait(self, low: float, high: float) -> Awaitable[None]:
        return asyncio.sleep(self.random.uniform(low, high))

    async def send(self, settings: Settings = SETTINGS) -> None:
        """Send a message to an engine, and handle its deliveries until it is acknowledged."""
        name = f"m{next(self._ids)}"
        sent = START_SECONDS + asyncio.get_running_loop().time()
        await self.wait(0, 2 * DELIVERY_SECONDS)
        for number in range(1, MAX_DELIVERIES):
            # Read before the first request.
            self.world.settings = settings
            try:
                await self.world.handle(name, message(), sent=sent, number=number)
            except PackagerError:
                await asyncio.sleep(REDELIVERY_SECONDS)
            else:
                return
        raise AssertionError("a message is never acknowledged")

    async def _travel(self, request: protocol.Request) -> None:
        is_read = request.operation == "GetObject" and request.key.startswith(FOLDER)
        median, sigma = MEDIAN_SECONDS.get(request.operation, 0.02), SIGMA
        if is_read:
            median, sigma = READ_SECONDS, 2 * SIGMA
        await asyncio.sleep(median / 2 * self.random.lognormvariate(0, sigma))


async def alone(trial: Trial) -> None:
    """Change a file, with one writer."""
    trial.put("a", "one")
    await trial.send()


async def changed_back(trial: Trial) -> None:
    """Change a file and change it back within 0.6 s, with three writers."""
    trial.put("a", "one")
    await trial.send()
    await trial.wait(1, 2)
    async with asyncio.TaskGroup() as group:
        trial.put("a", "two")
        group.create_task(trial.send())
        await trial.wait(0.05, 0.6)
        trial.put("a", "one")
        group.create_task(trial.send())
        group.create_task(trial.send())


async def temporary_file(trial: Trial) -> None:
    """Upload files and a temporary one, which is deleted while two writers overlap."""
    trial.put("a", "one")
    await trial.send()
    await trial.wait(1, 2)
    async with asyncio.TaskGroup() as group:
        trial.put("b.tmp", "part")
        group.create_task(trial.send())
        await trial.wait(0.05, 0.6)
        trial.world.raw.delete(FOLDER + "b.tmp")
        group.create_task(trial.send())


async def equal_messages(trial: Trial) -> None:
    """Send eight equal messages at once."""
    trial.put("a", "one")
    async with asyncio.TaskGroup() as group:
        for _ in range(8):
            group.create_task(trial.send())


async def two_engines(trial: Trial) -> None:
    """Send each change to two engines whose checksums differ."""
    for body in ("one", "two", "one"):
        trial.put("a", body)
        async with asyncio.TaskGroup() as group:
            for settings in ENGINES:
                group.create_task(trial.send(settings))


SCENARIOS: Mapping[str, Callable[[Trial], Awaitable[None]]] = {
    "alone": alone,
    "changed back": changed_back,
    "temporary file": temporary_file,
    "equal messages": equal_messages,
    "two engines": two_engines,
}


def run(name: str, number: int) -> tuple[Counter[str], float]:
    """Run a trial of a scenario.

    Returns:
        The faults and figures of its end, and the seconds from the last change to `latest`.
    """
    with World() as world, asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(_run(name, world, number))


async def _run(name: str, world: World, number: int) -> tuple[Counter[str], float]:
    await SCENARIOS[name](Trial(world, number))
    world.check_whole()
    world.check_codes()
    figures: Counter[str] = Counter()
    figures["created"] = sum(kind == "Package Created" for kind, _ in world.events)
    figures["requests"] = len(world.service.requests)
    newest, latest = pointers_of(world.raw)[PACKAGE][-2:]
    figures["newest pointer is not latest"] = newest != latest
    # A clean run of each engine, in a registry of its own, has the revision of a fresh listing.
    for world.settings in ENGINES:
        await world.handle("clean", message(registry="registry"), sent=START_SECONDS, number=1)
    *fresh, _ = pointers_of(world.registry)[PACKAGE]
    figures["latest is stale"] = latest not in fresh
    written = world.raw.get(f"{NAMED_PACKAGES}{PACKAGE}/latest")
    assert written
    return figures, written.last_modified - _last_change(world)


def _last_change(world: World) -> float:
    versions = (world.raw.versions(key) for key in world.raw.iterate(FOLDER))
    return max(each.last_modified for found in versions for each in found)


def run_all(name: str, *, trials: int) -> Counter[str]:
    """Run many trials of a scenario, and return the sums of their faults and figures."""
    total: Counter[str] = Counter()
    settled: list[float] = []
    for number in range(trials):
        figures, seconds = run(name, number)
        total += figures
        if not figures["latest is stale"]:
            settled.append(max(0, seconds))
    for percent in (50, 99):
        place = sorted(settled)[len(settled) * percent // 100]
        total[f"ms to latest, p{percent}"] = round(place * 1000)
    return total
