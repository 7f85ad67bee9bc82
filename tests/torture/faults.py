"""Faults of each kind at each request of a job, once and for ever, with the real client of S3.

A job ends as a clean run after its redeliveries, or as a dead letter with a documented code. Its
package is then the one of a clean run, or the one from before.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from itertools import count, groupby, islice
from typing import Any, NamedTuple

from botocore.exceptions import ClientError
from quilt_packager_runtime.errors import PackagerError

from tests.runtime_s3 import connect_to
from tests.s3_stub import Rule, S3Stub
from tests.torture.kills import SHAPES, Shape, run
from tests.torture.world import MAX_ATTEMPTS, World

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "secret"}
HANG_SECONDS = 60
SHORT_INVOCATION_SECONDS = 10.5
"""Half a second more than the time that an invocation reserves for its end."""

MAX_REQUESTS = 600
"""Maximum number of requests of a job with its deliveries, each with six attempts of the client."""

FAULTS: Mapping[str, Callable[[Rule], Rule]] = {
    "403": lambda rule: rule.answer(403, "AccessDenied"),
    "404": lambda rule: rule.answer(404, "NoSuchKey"),
    "409": lambda rule: rule.answer(409, "ConditionalRequestConflict"),
    "412": lambda rule: rule.answer(412, "PreconditionFailed"),
    "500": lambda rule: rule.answer(500, "InternalError"),
    "503": lambda rule: rule.answer(503, "SlowDown"),
    "expired token": lambda rule: rule.answer(400, "ExpiredToken"),
    "reset before the reply": lambda rule: rule.drop_connection(),
    "reply lost after the effect": lambda rule: rule.lose_reply(),
    "cut body": lambda rule: rule.cut_body(10),
    "short body": lambda rule: rule.rewrite_body(lambda body: body[: len(body) // 2]),
    "long body": lambda rule: rule.rewrite_body(lambda body: body and body + b"x"),
    "error in a 200": lambda rule: rule.answer(200, "InternalError"),
    "malformed XML": lambda rule: rule.rewrite_body(lambda body: body and b"<a>&"),
    "no ETag": lambda rule: rule.rewrite_headers({"ETag": None}),
    "hang": lambda rule: rule.delay(HANG_SECONDS),
}
LIES = frozenset({"404", "short body", "long body", "malformed XML"})
"""Faults that make another document of one without a checksum: rules and crates have none."""

NAMES = tuple(name for name, shape in SHAPES.items() if not shape.as_command)
SERVICES = frozenset({"PutEvents", "SendMessage", "StartExecution"})
WITH_DOCUMENTS = frozenset(
    {"quarantine", "crate", "large job", "promotion of the next revision", "promotion, held"}
)
"""Kinds of jobs that a lie changes: a promotion without its pointer is the oldest, for example."""


class Cell(NamedTuple):
    """A job with a fault.

    Attributes:
        name: Kind of job.
        fault: Kind of fault.
        nth: The first request that has it.
        lasts: All later requests have it too.
    """

    name: str
    fault: str
    nth: int
    lasts: bool


def cells() -> Iterator[Cell]:
    """Yield each combination of a job, a request and a fault."""
    for name in NAMES:
        requests = sum(_run(SHAPES[name], None)[1].counts.values())
        for fault in FAULTS:
            if fault in LIES and name in WITH_DOCUMENTS:
                continue
            for nth in range(1, requests + 1):
                for lasts in (False, True):
                    yield Cell(name, fault, nth, lasts)


def check_each(*, every: int, first: int = 0) -> Counter[str]:
    """Run every nth cell, and return how often each outcome occurred.

    Raises:
        AssertionError: A job has another outcome than those that are documented.
    """
    outcomes: Counter[str] = Counter()
    clean = {name: _run(SHAPES[name], None)[0] for name in NAMES}
    for cell in islice(cells(), first, None, every):
        try:
            outcomes[check(cell, clean[cell.name])] += 1
        except BaseException as error:
            error.add_note(str(cell))
            raise
    return outcomes


def check(cell: Cell, clean: World) -> str:
    """Run a cell, check its outcome, and return it: `clean run` or the code of the dead letter."""
    world, stub = _run(SHAPES[cell.name], cell)
    assert stub.counts.total() <= MAX_REQUESTS
    world.check_whole()
    world.check_codes()
    if set(world.letters) == set(clean.letters) and _revisions(world) == _revisions(clean):
        # A pointer that cannot be read is announced again, as created.
        assert {top_hash for _, top_hash in clean.announced()} <= {
            top_hash for _, top_hash in world.announced()
        }
        is_same = world.state() == clean.state()
        # Announced again: the newest pointer could not be read.
        return "clean run" if is_same else "clean run, with a repeated pointer"
    if not world.letters:
        # A crate that cannot be read is optional.
        assert any(detail.get("remark") for _, detail in world.events)
        return "package with a remark"
    (letter,) = world.letters
    known = _revisions(clean)
    for registry, packages in _revisions(world).items():
        for name, values in packages.items():
            assert set(values) <= set(known[registry].get(name, ())), "an unknown revision"
    return letter[1]


def check_services() -> Counter[str]:
    """Fail each request to another service than S3 once, before and after its effect.

    Raises:
        AssertionError: After a redelivery, something differs from a run without a failure.
    """
    runs: Counter[str] = Counter()
    for name in NAMES:
        clean, points = run(SHAPES[name])
        for number, point in enumerate(points):
            operation = point.split()[1]
            if operation in SERVICES:
                world = _run_with_failure(SHAPES[name], number, operation)
                assert world.state() == clean.state(), (name, point)
                assert clean.announced() <= world.announced(), (name, point)
                assert set(clean.letters) == set(world.letters), (name, point)
                world.check_codes()
                runs[operation] += 1
    return runs


def _run_with_failure(shape: Shape, number: int, operation: str) -> World:
    points = count()

    def fail(_point: str) -> None:
        if next(points) == number:
            raise ClientError({"Error": {"Code": "InternalFailure"}}, operation)

    def retry(step: Callable[[], Any]) -> Any:
        try:
            return step()
        except PackagerError:
            return step()

    with World(shape.settings) as world:
        shape.prepare(world)
        created = world.events.pop()[1] if shape.promotes else {}
        world.hook = fail
        if shape.promotes:
            world.run_promotion(created, retry)
        else:
            _deliver(world, shape)
        for name in world.executions:
            world.run_execution(name, retry)
    return world


def _deliver(world: World, shape: Shape, *, remaining_seconds: float = 900) -> None:
    numbers = range(1, MAX_ATTEMPTS + 2)
    deliver = partial(world.deliver, shape.body, remaining_seconds=remaining_seconds)
    assert any(deliver(number=number) for number in numbers), world.log.getvalue()


def _promote(world: World, created: dict[str, Any], *, remaining_seconds: float) -> None:
    """Promote with the attempts of the state machine, and report the last failure."""

    def attempt(step: Callable[[], Any]) -> Any:
        for _ in range(MAX_ATTEMPTS - 1):
            try:
                return step()
            except PackagerError:
                continue
        return step()

    try:
        world.run_promotion(created, attempt, remaining_seconds=remaining_seconds)
    except PackagerError as error:
        world.report_promotion_failure(created, error)


def _revisions(world: World) -> dict[str, dict[str, list[str]]]:
    """Return the pointers of each package, without repetitions."""
    return {
        registry: {name: [each for each, _ in groupby(values)] for name, values in packages.items()}
        for registry, (packages, _) in world.state().items()
    }


def _run(shape: Shape, cell: Cell | None) -> tuple[World, S3Stub]:
    with S3Stub() as stub:
        s3 = connect_to(stub.url, CREDENTIALS, retry_base_ms=1)
        with World(shape.settings, service=stub, s3=s3) as world:
            shape.prepare(world)
            created = world.events.pop()[1] if shape.promotes else {}
            stub.forget_requests()
            seconds = 900.0
            if cell:
                FAULTS[cell.fault](stub.on(nth=cell.nth, times=None if cell.lasts else 1))
                seconds = SHORT_INVOCATION_SECONDS if cell.fault == "hang" else seconds
            if shape.promotes:
                _promote(world, created, remaining_seconds=seconds)
            else:
                _deliver(world, shape, remaining_seconds=seconds)
            for name in world.executions:
                stub.faults.clear()
                world.run_execution(name, lambda step: step())
        return world, stub
