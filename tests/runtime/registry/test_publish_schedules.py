"""The guarantees of docs/adr/0020 in every schedule of jobs that publish one package."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from itertools import pairwise

import msgspec
import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import PackageNameTaken
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.registry.publish import LATEST, MANIFESTS, NAMED_PACKAGES, Message
from quilt_packager_runtime.requests.delivery import Delivery

from tests.other_writers import README, Line, Lines, add, edit
from tests.package_requests import package_request, request_of
from tests.schedules import REGISTRY, SOURCE, Jobs, Registry, Scenario, State, Stored, explore
from tests.schedules.states import START_SECONDS

AtEnd = Callable[[State], Awaitable[None]]

FOLDER = "runs/42/"
POINTERS = f"{NAMED_PACKAGES}runs/42/"
NEWEST = POINTERS + LATEST


def holding(*names: str) -> frozenset[str]:
    return frozenset(FOLDER + name for name in names)


A, B, C = holding("a"), holding("b"), holding("c", "d")

MANY = 250
"""Minimum number of states: fewer mean that the schedules are not as intended."""

OVERLAPPING = {
    "one message twice, a crash": Scenario(changes=(B,), messages=(1, 1), crashes=1),
    "one message twice, a lost reply": Scenario(changes=(B,), messages=(1, 1), lost_replies=1),
    "A to B to C": Scenario(changes=(B, C), messages=(1, 2)),
    "A to B to A": Scenario(changes=(B, A), messages=(1, 2)),
}
LARGE = {
    "one message twice": Scenario(changes=(B,), messages=(1, 1), crashes=1, lost_replies=1),
    "A to B to C": Scenario(changes=(B, C), messages=(1, 2), crashes=1, lost_replies=1),
    "A to B to A": Scenario(changes=(B, A), messages=(1, 2), crashes=1, ticks=1),
}
"""More than a test has time for: `make torture` explores them."""

SERIAL = {
    "one message twice": Scenario(changes=(B,), messages=(1, 1), crashes=1, ticks=1, serial=True),
    "A to B to C": Scenario(
        changes=(B, C), messages=(1, 2), crashes=1, lost_replies=1, serial=True
    ),
    "A to B to A": Scenario(
        changes=(B, A), messages=(1, 2), crashes=1, lost_replies=1, serial=True
    ),
    "A to B to A, out of order": Scenario(
        changes=(B, A), messages=(2, 1), crashes=1, ticks=1, serial=True
    ),
}
LARGE_SERIAL = {
    name: msgspec.structs.replace(scenario, crashes=2) for name, scenario in SERIAL.items()
}
"""A second crash, for `make torture`."""


async def job(s3: S3, begin_pass: Callable[[], None], message: Message) -> object:
    return await package_folder(s3, begin_pass, message, FOLDER)


async def package_folder(
    s3: S3, begin_pass: Callable[[], None], message: Message, folder: str, **fields: str
) -> Outcome:
    source = f"s3://{SOURCE}/{folder}"
    body = json.dumps({"source_prefix": source, "registry": REGISTRY, **fields})

    def on_progress(phase: str, done: int, _total: int | None) -> None:
        if (phase, done) == ("listing", 0):
            begin_pass()

    delivery = Delivery(
        body=body, message_id=message.id, sent_seconds=message.due_ms / 1000, started_seconds=0
    )
    return await package_request(s3, request_of(body), on_progress=on_progress, delivery=delivery)


JOBS = Jobs(job)


async def publish_alone(source: frozenset[str], registry: Registry) -> dict[str, Stored]:
    state = await JOBS.run_another(State(source=source, registry=registry))
    return dict(state.registry)


async def top_hash_of(source: frozenset[str]) -> bytes:
    return (await publish_alone(source, {}))[NEWEST].data


def pointers_of(registry: Registry) -> list[bytes]:
    """Return the content of the pointers, the oldest first."""
    keys = (key for key in registry if key.startswith(POINTERS) and key != NEWEST)
    return [registry[key].data for key in sorted(keys, key=lambda key: int(key.rpartition("/")[2]))]


def is_pointer(key: str) -> bool:
    return key.startswith(POINTERS)


def check_always(before: Registry, after: Registry) -> None:
    for key, value in after.items():
        if is_pointer(key):
            assert MANIFESTS + value.data.decode() in after, f"{key} points to nothing"
        if is_pointer(key) and key != NEWEST:
            assert before.get(key, value) == value, f"{key} was overwritten"
    assert before.keys() <= after.keys()
    if NEWEST in after:
        assert after[NEWEST].data in pointers_of(after), "latest has no pointer"


async def check_settled(state: State) -> None:
    pointers = pointers_of(state.registry)
    latest = state.registry[NEWEST].data
    assert latest == await top_hash_of(state.source), "latest is not the source"
    assert pointers[-1] == latest, "the newest pointer is not latest"


async def check_settled_without_repeats(state: State) -> None:
    await check_settled(state)
    for older, newer in pairwise(pointers_of(state.registry)):
        assert older != newer, "two pointers in a row announce one revision"


async def explore_from(source: frozenset[str], scenario: Scenario, at_end: AtEnd) -> int:
    """Visit all states that follow a package's first revision."""
    start = State(source=source, registry=await publish_alone(source, {}))
    return await explore(JOBS, scenario, start, always=check_always, at_end=at_end)


async def explore_overlapping(scenario: Scenario) -> int:
    return await explore_from(A, scenario, check_settled)


@pytest.mark.parametrize("scenario", OVERLAPPING.values(), ids=OVERLAPPING)
async def test_overlapping_jobs_leave_the_source_as_the_newest_revision(scenario: Scenario) -> None:
    assert await explore_overlapping(scenario) > MANY


async def test_overlapping_jobs_of_a_new_package_leave_the_source_as_the_newest_revision() -> None:
    scenario = Scenario(changes=(), messages=(0, 0), crashes=1)
    states = await explore(
        JOBS,
        scenario,
        State(source=A, registry={}),
        always=check_always,
        at_end=check_settled,
    )
    assert states > MANY


FOLDERS_OF_ONE_NAME = ("a/b/c/", "a_b/c/")


async def job_of_one_name(s3: S3, begin_pass: Callable[[], None], message: Message) -> object:
    """Package one of two folders without a name, by the parity of the message."""
    folder = FOLDERS_OF_ONE_NAME[int(message.id) % 2]
    with suppress(PackageNameTaken):
        return await package_folder(s3, begin_pass, message, folder)
    return None


async def test_overlapping_jobs_of_two_folders_announce_the_first_of_them() -> None:
    pointers = f"{NAMED_PACKAGES}a_b/c/"

    async def check_announced(state: State) -> None:
        newest = max(key for key in state.registry if key.startswith(pointers + "1"))
        assert state.registry[newest].data == state.registry[pointers + LATEST].data

    def check_owner(before: Registry, after: Registry) -> None:
        if pointers + LATEST in before:
            assert after[pointers + LATEST].data == before[pointers + LATEST].data

    source = frozenset(folder + "x" for folder in FOLDERS_OF_ONE_NAME)
    states = await explore(
        Jobs(job_of_one_name),
        Scenario(changes=(), messages=(0, 0)),
        State(source=source, registry={}),
        always=check_owner,
        at_end=check_announced,
    )
    assert states > MANY


FOREIGN = "f" * 64
FOREIGN_REVISION = {
    MANIFESTS + FOREIGN: Stored(b'{"version": "v0"}\n'),
    f"{POINTERS}1600000000": Stored(FOREIGN.encode()),
    NEWEST: Stored(FOREIGN.encode()),
}


async def job_that_replaces(s3: S3, begin_pass: Callable[[], None], message: Message) -> object:
    outcome = await package_folder(s3, begin_pass, message, FOLDER)
    assert outcome.outcome is Result.CREATED
    assert outcome.foreign_top_hash == FOREIGN, "a revision was replaced silently"
    return outcome


REPLACING = {
    "a crash, a lost reply": Scenario(changes=(B,), messages=(0,), crashes=1, lost_replies=1),
    "a crash, a tick": Scenario(changes=(B,), messages=(0,), crashes=1, ticks=1),
}
REPLACING_AT_LENGTH = Scenario(changes=(B,), messages=(0,), crashes=1, lost_replies=1, ticks=1)
"""All faults of `REPLACING` in one schedule, for `make torture`."""


async def explore_replacing(scenario: Scenario) -> int:
    return await explore(
        Jobs(job_that_replaces),
        scenario,
        State(source=A, registry=FOREIGN_REVISION),
        always=check_always,
        at_end=lambda _state: asyncio.sleep(0),
    )


@pytest.mark.parametrize("scenario", REPLACING.values(), ids=REPLACING)
async def test_revision_of_another_writer_is_named_by_its_job_after_any_crash(
    scenario: Scenario,
) -> None:
    assert await explore_replacing(scenario) > MANY


async def explore_serial(scenario: Scenario) -> int:
    return await explore_from(A, scenario, check_settled_without_repeats)


@pytest.mark.parametrize("scenario", SERIAL.values(), ids=SERIAL)
async def test_one_job_at_a_time_ends_like_a_clean_run_after_any_crash(
    scenario: Scenario,
) -> None:
    assert await explore_serial(scenario) > MANY


async def test_the_schedules_detect_writes_without_conditions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put = S3.put_object
    monkeypatch.setattr(S3, "put_object", lambda self, uri, body, **_: put(self, uri, body))
    monkeypatch.setattr(sys.modules[__name__], "JOBS", Jobs(job))
    with pytest.raises(AssertionError, match=r"overwritten|no pointer"):
        await explore_overlapping(LARGE["A to B to C"])


def edit_revision(registry: Registry) -> dict[str, Stored]:
    """Add a README to the newest revision, and change a file of it, as a person does."""

    def change(entries: Lines, _header: Line) -> None:
        add(README)(entries, _header)
        entries["a"] |= {"hash": README["hash"], "size": 3}

    newest = registry[NEWEST].data.decode()
    top_hash, data = edit(registry[MANIFESTS + newest].data, change)
    pointer = Stored(top_hash.encode())
    return {
        **registry,
        MANIFESTS + top_hash: Stored(data),
        f"{POINTERS}{START_SECONDS + 1}": pointer,
        NEWEST: pointer,
    }


async def job_that_carries(s3: S3, _begin_pass: Callable[[], None], message: Message) -> object:
    # What a pass reads first is more than the last response.
    outcome = await package_folder(s3, lambda: None, message, FOLDER, on_foreign_revision="carry")
    if message.id == "0":
        assert outcome.outcome is Result.CREATED
        assert outcome.foreign_top_hash is not None
        assert outcome.carried_entries == 2 or outcome.conflicts == '"a"'
    return outcome


async def test_changes_of_another_writer_are_carried_or_named_after_any_crash() -> None:
    jobs = Jobs(job_that_carries)

    async def check_merged(state: State) -> None:
        state = await jobs.run_another(state)
        manifest = state.registry[MANIFESTS + state.registry[NEWEST].data.decode()].data
        keys = {json.loads(line)["logical_key"] for line in manifest.splitlines()[1:]}
        assert keys == {"README.md"} | {key.removeprefix(FOLDER) for key in state.source}
        assert pointers_of(state.registry)[-1] == state.registry[NEWEST].data

    states = await explore(
        jobs,
        Scenario(changes=(B,), messages=(0,), crashes=1),
        State(source=A, registry=edit_revision(await publish_alone(A, {}))),
        always=check_always,
        at_end=check_merged,
    )
    assert states > 100
