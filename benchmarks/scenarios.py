"""Compare whole jobs of this engine and quilt3 on the S3 stub."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from http.client import HTTPConnection
from itertools import product
from urllib.parse import urlsplit

import msgspec

from benchmarks.goals import Goal
from benchmarks.jobs import Job, Side, registry_of, run_job
from benchmarks.processes import Overdue
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import JOB_COLUMNS, job_row, to_table
from tests.s3_stub.process import StubProcess
from tests.s3_stub.synthetic import key_of

LATENCIES_MS = (0, 20)
CHANGED_EVERY = 100
WRITERS = 32
LARGE_OBJECTS = 50_000
"""Number of objects from which a job of quilt3 takes minutes."""
GOAL_OBJECTS = 100_000
LIMIT_SECONDS = 900
"""Time limit of a Lambda function."""


class State(StrEnum):
    """State of the folder and the registry; each results from the one before."""

    STORED = "first time, checksums stored"
    UNUSABLE = "first time, no usable checksums"
    UNCHANGED = "unchanged"
    CHANGED = "1 % changed"


class Cell(msgspec.Struct, frozen=True):
    """One measurement.

    Attributes:
        objects: Number of objects.
        latency_ms: Latency of S3's responses.
        state: State before the job.
        side: The engine or quilt3.
    """

    objects: int
    latency_ms: int
    state: State
    side: Side


Results = dict[Cell, Job | None]
"""None for a job that did not end within `LIMIT_SECONDS`."""


def plan(sizes: Sequence[int]) -> list[Cell]:
    """Return the cells in order: the sides alternate in going first."""
    cells = []
    for objects, latency_ms in product(sizes, LATENCIES_MS):
        for number, state in enumerate(State):
            sides = list(reversed(Side)) if number % 2 else list(Side)
            cells += [Cell(objects, latency_ms, state, side) for side in sides]
    return [cell for cell in cells if not is_left_out(cell)]


def is_left_out(cell: Cell) -> bool:
    """Return whether a cell would take minutes without adding information.

    For quilt3, each state is the same work, since it always reads all bytes. Of the large cells,
    those that goals refer to remain, and one with latency.
    """
    if cell.side is not Side.QUILT3 or cell.objects < LARGE_OBJECTS:
        return False
    kept = [State.STORED] if cell.latency_ms else [State.STORED, State.UNUSABLE, State.UNCHANGED]
    return cell.state not in kept


def measure(sizes: Sequence[int], progress: Progress) -> Results:
    """Run the cells, with a new stub for each number of objects and latency.

    Raises:
        RuntimeError: The two sides created different packages.
    """
    results: Results = {}
    cells = plan(sizes)
    for objects, latency_ms in product(sizes, LATENCIES_MS):
        with _start_stub(objects, latency_ms) as stub:
            for state in State:
                if state is State.CHANGED:
                    _change_some(stub, objects)
                for cell in cells:
                    if (cell.objects, cell.latency_ms, cell.state) == (objects, latency_ms, state):
                        with progress.step(_describe(cell)):
                            results[cell] = _run(stub, cell)
    _check_same_work(results)
    return results


def _start_stub(objects: int, latency_ms: int) -> StubProcess:
    arguments = [f"--latency-ms={latency_ms}"]
    # What S3 stores by default does not serve packages with SHA-256.
    for bucket, checksums in (("stored", "sha256"), ("unusable", "crc64nvme")):
        arguments.append(f"--synthetic={bucket}={objects},{checksums}")
        arguments += [f"--bucket={registry_of(side, bucket)}" for side in Side]
    return StubProcess(*arguments)


def _run(stub: StubProcess, cell: Cell) -> Job | None:
    bucket = "unusable" if cell.state is State.UNUSABLE else "stored"
    try:
        return run_job(stub, cell.side, bucket, limit_seconds=LIMIT_SECONDS)
    except Overdue:
        return None


def _change_some(stub: StubProcess, objects: int) -> None:
    """Write new versions of some objects, spread over all folders, with stored checksums."""
    address = urlsplit(stub.url).netloc

    def write(first: int) -> None:
        connection = HTTPConnection(address)
        for index in range(first, objects, CHANGED_EVERY * WRITERS):
            headers = {"x-amz-checksum-algorithm": "SHA256"}
            connection.request("PUT", f"/stored/{key_of(index)}", f"changed {index}", headers)
            with connection.getresponse() as response:
                if response.read() or response.status != 200:  # noqa: PLR2004 - HTTP's OK
                    raise RuntimeError(f"The stub returned status {response.status}")
        connection.close()

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(write, range(0, CHANGED_EVERY * WRITERS, CHANGED_EVERY)))


def _check_same_work(results: Results) -> None:
    hashes: dict[tuple[int, int, State], set[str]] = {}
    for cell, job in results.items():
        if job is not None:
            key = (cell.objects, cell.latency_ms, cell.state)
            hashes.setdefault(key, set()).add(job.top_hash)
    differing = [key for key, found in hashes.items() if len(found) > 1]
    if differing:
        raise RuntimeError(f"The sides created different packages: {differing}")


def _describe(cell: Cell) -> str:
    return f"{cell.objects:,} objects, {cell.state}, {cell.latency_ms} ms latency: {cell.side}"


def run(sizes: Sequence[int], progress: Progress) -> Section:
    """Measure all cells, and format the results."""
    results = measure(sizes, progress)
    tables = [f"### {objects:,} objects\n\n{_to_table(results, objects)}" for objects in sizes]
    left_out = "" if max(sizes) < LARGE_OBJECTS else LEFT_OUT
    body = "\n\n".join([*tables, left_out]).strip()
    return Section("scenarios", body, _goals(results, sizes[-1]))


LEFT_OUT = (
    "Left out: at 100,000 objects, the jobs of quilt3 that take minutes and add no information. It "
    "reads all bytes each time, so its four states are one work, as the smaller sizes show."
)


def _to_table(results: Results, objects: int) -> str:
    rows = [
        [
            cell.state,
            f"{cell.latency_ms} ms",
            cell.side,
            *(job_row(job) if job else [f"ended after {LIMIT_SECONDS} s"]),
        ]
        # Sides in a fixed order, regardless of which ran first.
        for cell, job in sorted(results.items(), key=lambda item: _place(item[0]))
        if cell.objects == objects
    ]
    return to_table(["state", "latency", "side", *JOB_COLUMNS], rows, texts=3)


def _place(cell: Cell) -> tuple[int, int, int]:
    return cell.latency_ms, list(State).index(cell.state), list(Side).index(cell.side)


def _goals(results: Results, objects: int) -> list[Goal]:
    """Return the goals of jobs without latency, at the largest size."""
    elsewhere = "" if objects == GOAL_OBJECTS else f"on {objects:,} objects, not {GOAL_OBJECTS:,}"
    goals = []
    # Pages of 1,000 keys, listed again after publishing, and a HEAD or GET per object are already
    # 1.002 requests per object; rounding absorbs the few others.
    for state, least_ratio, most_requests, decimals in (
        (State.STORED, 13, 1.003, 3),
        (State.UNUSABLE, 7, 1.003, 3),
        (State.UNCHANGED, 100, 0.002, None),
    ):
        engine, quilt3 = (results.get(Cell(objects, 0, state, side)) for side in Side)
        if engine is None or quilt3 is None:
            continue
        ratio = quilt3.cost.cpu_seconds / engine.cost.cpu_seconds
        requests = sum(engine.requests.values()) / objects
        goals += [
            Goal(
                f"{state}: quilt3's CPU over this engine's",
                limit=least_ratio,
                measured=ratio,
                is_floor=True,
                elsewhere=elsewhere,
            ),
            Goal(
                f"{state}: requests per object",
                limit=most_requests,
                measured=requests,
                decimals=decimals,
                elsewhere=elsewhere,
            ),
        ]
    for state, most_cpu_ms in ((State.STORED, 0.16), (State.UNUSABLE, 0.3)):
        engine = results.get(Cell(objects, 0, state, Side.ENGINE))
        if engine is not None:
            cpu_ms = engine.cost.cpu_seconds / objects * 1000
            what = f"{state}: CPU per object"
            goals.append(Goal(what, most_cpu_ms, cpu_ms, "ms", elsewhere=elsewhere))
    return goals
