"""A process that dies before or after each request of a job, and the redelivery that follows.

The redelivery ends as a run without a death: the same packages, and the outcome is announced at
least once.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from functools import partial
from itertools import combinations, count
from typing import Any, NamedTuple

import msgspec
from quilt_packager_runtime.settings import Settings

from quilt_packager.cli.commands.package import package as package_command
from tests.packager_function import crate, crate_event
from tests.s3_stub import Pattern
from tests.torture.world import NAMED_PACKAGES, PACKAGES, SETTINGS, Killed, World, message

FOLDER = "runs/42/"
VISIBILITY_SECONDS = 60
PART_BYTES = 8 * 2**20
LARGE_BYTES = 9 * 2**20
LARGE = msgspec.structs.replace(
    SETTINGS,
    scratch_bucket="scratch",
    state_machine_arn="arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs",
    max_inline_objects=1,
    max_shard_objects=2,
)
RULES = b"version: '1'\nworkflows: {w: {name: w, handle_pattern: '^other/'}}\ndefault_workflow: w\n"


class Shape(NamedTuple):
    """A kind of job.

    Attributes:
        prepare: Fills the buckets.
        body: Message.
        settings: Settings of the engine.
        as_command: Runs the command `package` instead of the handler.
        promotes: Runs the promotion of the package that was created last.
    """

    prepare: Callable[[World], None]
    body: str = message()
    settings: Settings = SETTINGS
    as_command: bool = False
    promotes: bool = False


def _first(world: World) -> None:
    for name, stored in (("a.txt", ["SHA256"]), ("b.txt", []), ("c/d.txt", [])):
        world.raw.put(FOLDER + name, name, stored=stored)


def _unchanged(world: World) -> None:
    _first(world)
    assert world.deliver(message(), message_id="an earlier one")
    world.events.clear()


def _one_changed(world: World) -> None:
    _unchanged(world)
    world.now += 1
    world.raw.put(FOLDER + "b.txt", "changed", stored=[])


def _rejected(world: World) -> None:
    _first(world)
    world.raw.put(FOLDER + "cold", "cold", stored=[], storage_class="GLACIER")


def _refused_by_rules(world: World) -> None:
    _first(world)
    world.registry.put(".quilt/workflows/config.yml", RULES)


def _packaged(world: World) -> None:
    _first(world)
    # Copied in parts, the others whole.
    world.raw.put(
        FOLDER + "large",
        Pattern(LARGE_BYTES),
        stored=["SHA256"],
        part_sizes=[PART_BYTES, LARGE_BYTES - PART_BYTES],
    )
    assert world.deliver(message(), message_id="an earlier one")


def _promoted(world: World) -> None:
    _packaged(world)
    world.run_promotion(world.events.pop()[1], lambda step: step())
    world.events.clear()
    world.now += 1
    world.raw.put(FOLDER + "b.txt", "changed", stored=[])
    assert world.deliver(message(), message_id="a later one")


def _held(world: World) -> None:
    _packaged(world)
    world.registry.put(f"{NAMED_PACKAGES}runs/42/latest", "a" * 64)
    world.registry.put(f"{PACKAGES}{'a' * 64}", "{}")
    world.registry.put(f"{NAMED_PACKAGES}runs/42/1600000000", "a" * 64)


def _with_crate(world: World) -> None:
    _first(world)
    world.raw.put(FOLDER + "ro-crate-metadata.json", crate("42"))


QUARANTINE = msgspec.structs.replace(SETTINGS, quarantine_registry="quarantine")
SHAPES: Mapping[str, Shape] = {
    "first": Shape(_first),
    "unchanged": Shape(_unchanged),
    "one object changed": Shape(_one_changed),
    "rejected": Shape(_rejected),
    "quarantine": Shape(_refused_by_rules, message(registry="registry"), QUARANTINE),
    "crate": Shape(_with_crate, crate_event("42")),
    "large job": Shape(_first, settings=LARGE),
    "promotion": Shape(_packaged, promotes=True),
    "promotion of the next revision": Shape(_promoted, promotes=True),
    "promotion, held": Shape(_held, promotes=True),
    "command, first": Shape(_first, as_command=True),
    "command, unchanged": Shape(_unchanged, as_command=True),
    "command, one object changed": Shape(_one_changed, as_command=True),
}


class Death:
    """Kills a process at some points, counted over all requests; it makes no more of them.

    Attributes:
        passed: Names of the points, up to the end.
    """

    def __init__(self, points: Collection[int]) -> None:
        self.passed: list[str] = []
        self._points = points
        self._is_dead = False

    def __call__(self, name: str) -> None:
        if self._is_dead:
            raise Killed(name)
        self.passed.append(name)
        if len(self.passed) - 1 in self._points:
            self._is_dead = True
            raise Killed(name)

    def survive(self, step: Callable[[], Any], world: World) -> Any:
        """Repeat a step until no process dies in it, as SQS and Step Functions do."""
        while True:
            self._is_dead = False
            try:
                return step()
            except (Killed, BaseExceptionGroup) as error:
                if not self._is_dead or not _consists_of_deaths(error):
                    raise
                world.now += VISIBILITY_SECONDS


def _consists_of_deaths(error: BaseException) -> bool:
    return isinstance(error, Killed) or (
        isinstance(error, BaseExceptionGroup) and error.split(Killed)[1] is None
    )


def run(shape: Shape, points: Collection[int] = ()) -> tuple[World, list[str]]:
    """Run a job with deaths at some points, and return what is left and the points it passed."""
    with World(shape.settings) as world:
        shape.prepare(world)
        created = world.events.pop()[1] if shape.promotes else {}
        world.hook = death = Death(points)
        if shape.promotes:
            world.run_promotion(created, lambda step: death.survive(step, world))
        elif shape.as_command:
            death.survive(partial(package_command, shape.body, as_json=True), world)
        else:
            numbers = count(1)
            deliver = partial(world.deliver, shape.body)
            is_done = death.survive(lambda: deliver(number=next(numbers)), world)
            assert is_done, world.log.getvalue()
            for name in list(world.executions):
                world.run_execution(name, lambda step: death.survive(step, world))
        world.hook = lambda _point: None
    return world, death.passed


def check_all(name: str, *, deaths: int = 1) -> Counter[str]:
    """Kill a job at each combination of its points, and return the number of runs.

    Args:
        name: Kind of job.
        deaths: Number of deaths of each run; the attempts of a message limit it.

    Raises:
        AssertionError: After the redeliveries, something differs from a run without a death.
    """
    shape = SHAPES[name]
    clean, points = run(shape)
    clean.check_codes()
    runs = 0
    # A redelivery passes its points once more.
    for killed in combinations(range(len(points) * deaths), deaths):
        if killed[0] >= len(points):
            break
        world, passed = run(shape, killed)
        runs += 1
        place = f"{name}, killed {[passed[each] for each in killed if each < len(passed)]}"
        assert world.state() == clean.state(), place
        assert world.copies() == clean.copies(), place
        assert world.announced() == clean.announced(), place
        assert set(world.letters) == set(clean.letters), place
        world.check_whole()
        world.check_copies()
        world.check_codes()
    return Counter(runs=runs)
