"""What holds in every schedule of jobs that publish one package; docs/adr/0020 tells why."""

from collections.abc import Callable, Mapping
from itertools import pairwise

import pytest
from quilt_packager_runtime.messages import PackageRequest, parse_message
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.registry import LATEST, MANIFESTS, NAMED_PACKAGES
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.settings import Settings

from tests.schedules import REGISTRY, SOURCE, Scenario, World, explore

FOLDER = "runs/42/"
POINTERS = f"{NAMED_PACKAGES}runs/42/"
NEWEST = POINTERS + LATEST


def holding(*names: str) -> frozenset[str]:
    return frozenset(FOLDER + name for name in names)


A, B, C = holding("a"), holding("b"), holding("c", "d")

MANY = 500
"""Fewer states than this, and the schedules would not be what they are thought to be."""

TOP_HASHES: dict[frozenset[str], bytes] = {}

OVERLAPPING = {
    "one message twice": Scenario(changes=(B,), messages=(1, 1), crashes=1, lost_replies=1),
    "A to B to C": Scenario(changes=(B, C), messages=(1, 2), lost_replies=1),
    "A to B to A": Scenario(changes=(B, A), messages=(1, 2), crashes=1),
}
SERIAL = {
    "one message twice": Scenario(
        changes=(B,), messages=(1, 1), crashes=2, lost_replies=1, ticks=1, serial=True
    ),
    "A to B to C": Scenario(
        changes=(B, C), messages=(1, 2), crashes=2, lost_replies=1, serial=True
    ),
    "A to B to A": Scenario(
        changes=(B, A), messages=(1, 2), crashes=2, lost_replies=1, serial=True
    ),
    "A to B to A, out of order": Scenario(
        changes=(B, A), messages=(2, 1), crashes=2, ticks=1, serial=True
    ),
}


async def job(s3: S3, begin_pass: Callable[[], None]) -> object:
    body = f'{{"source_prefix": "s3://{SOURCE}/{FOLDER}", "registry": "{REGISTRY}"}}'
    request = parse_message(body)
    assert isinstance(request, PackageRequest)

    def on_progress(phase: str, _done: int, _total: int | None) -> None:
        if phase == "listing":
            begin_pass()

    return await package(request, settings=Settings(), s3=s3, on_progress=on_progress)


async def publish_alone(source: frozenset[str], registry: Mapping[str, bytes]) -> dict[str, bytes]:
    world = World(Scenario(changes=(), messages=()), job, source=source, registry=registry)
    await world.run_another()
    return world.registry


async def top_hash_of(source: frozenset[str]) -> bytes:
    if source not in TOP_HASHES:
        TOP_HASHES[source] = (await publish_alone(source, {}))[NEWEST]
    return TOP_HASHES[source]


def pointers_of(registry: Mapping[str, bytes]) -> list[bytes]:
    """What the pointers say, from the oldest on."""
    keys = (key for key in registry if key.startswith(POINTERS) and key != NEWEST)
    return [registry[key] for key in sorted(keys, key=lambda key: int(key.rpartition("/")[2]))]


def is_pointer(key: str) -> bool:
    return key.startswith(POINTERS)


def check_always(before: Mapping[str, bytes], after: Mapping[str, bytes]) -> None:
    for key, value in after.items():
        if is_pointer(key):
            assert MANIFESTS + value.decode() in after, f"{key} points to nothing"
        if is_pointer(key) and key != NEWEST:
            assert before.get(key, value) == value, f"{key} was overwritten"
    assert before.keys() <= after.keys()
    if NEWEST in after:
        assert after[NEWEST] in pointers_of(after), "latest has no pointer"


async def check_settled(world: World) -> None:
    pointers = pointers_of(world.registry)
    assert world.registry[NEWEST] == await top_hash_of(world.source), "latest is not the source"
    assert pointers[-1] == world.registry[NEWEST], "the newest pointer is not latest"


async def check_settled_without_repeats(world: World) -> None:
    await check_settled(world)
    for older, newer in pairwise(pointers_of(world.registry)):
        assert older != newer, "two pointers in a row announce one revision"


async def check_next_job_settles(world: World) -> None:
    """What an older listing published last is put right by whichever job comes next."""
    await world.run_another()
    check_always({}, world.registry)
    await check_settled(world)


@pytest.mark.parametrize("scenario", OVERLAPPING.values(), ids=OVERLAPPING)
async def test_overlapping_jobs_leave_only_whole_revisions(scenario: Scenario) -> None:
    registry = await publish_alone(A, {})

    def start() -> World:
        return World(scenario, job, source=A, registry=registry)

    assert await explore(start, always=check_always, at_rest=check_next_job_settles) > MANY


async def test_overlapping_jobs_of_a_new_package_leave_only_whole_revisions() -> None:
    scenario = Scenario(changes=(), messages=(0, 0), crashes=1, lost_replies=1)

    def start() -> World:
        return World(scenario, job, source=A, registry={})

    assert await explore(start, always=check_always, at_rest=check_next_job_settles) > MANY


@pytest.mark.parametrize("scenario", SERIAL.values(), ids=SERIAL)
async def test_one_job_at_a_time_ends_as_a_clean_run_wherever_jobs_crash(
    scenario: Scenario,
) -> None:
    registry = await publish_alone(A, {})

    def start() -> World:
        return World(scenario, job, source=A, registry=registry)

    assert await explore(start, always=check_always, at_rest=check_settled_without_repeats) > MANY


async def test_the_schedules_find_what_writing_without_conditions_breaks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = S3.put_object
    monkeypatch.setattr(S3, "put_object", lambda self, uri, body, **_: put(self, uri, body))
    registry = await publish_alone(A, {})

    def start() -> World:
        return World(OVERLAPPING["A to B to C"], job, source=A, registry=registry)

    with pytest.raises(AssertionError, match="overwritten"):
        await explore(start, always=check_always, at_rest=check_next_job_settles)
