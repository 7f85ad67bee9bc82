"""Compare the listed keys per CPU second of this engine and quilt3."""

from itertools import product
from statistics import median

import msgspec

from benchmarks.goals import Goal
from benchmarks.list_folder import Listed, Way
from benchmarks.processes import run_module
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import to_table
from tests.s3_stub.process import StubProcess

OBJECTS = 100_000
GOAL_KEYS_PER_SECOND = 80_000
LIMIT_SECONDS = 600
ROUNDS = 3
STEPS = ROUNDS * len(Way)
BUCKET = "stored"


def run(objects: int, progress: Progress) -> Section:
    """Measure the ways alternately, and report the medians.

    Raises:
        RuntimeError: A way did not find all keys.
    """
    seconds: dict[Way, list[float]] = {way: [] for way in Way}
    with StubProcess(f"--synthetic={BUCKET}={objects},sha256") as stub:
        for _, way in product(range(ROUNDS), Way):
            with progress.step(f"listing of {objects:,} objects, {way}"):
                listed = list_keys(stub, BUCKET, way)
            if listed.keys != objects:
                raise RuntimeError(f"{way} found {listed.keys:,} of {objects:,} keys")
            seconds[way].append(listed.cpu_seconds)
    rates = {way: objects / median(found) for way, found in seconds.items()}
    rows = [[way, f"{median(seconds[way]):.2f}", f"{rates[way]:,.0f}"] for way in Way]
    return Section(
        "listing",
        f"{objects:,} objects without noncurrent versions, median of {ROUNDS} runs.\n\n"
        + to_table(["way", "CPU s", "keys per CPU s"], rows),
        [
            Goal(way, GOAL_KEYS_PER_SECOND, rates[way], "keys per CPU s", is_floor=True)
            for way in (Way.PAGES, Way.INVENTORY)
        ],
    )


def list_keys(stub: StubProcess, bucket: str, way: Way) -> Listed:
    """List a bucket's generated objects in one way."""
    finished = run_module(
        "benchmarks.list_folder",
        way,
        bucket,
        limit_seconds=LIMIT_SECONDS,
        environment={"AWS_ENDPOINT_URL": stub.url},
    )
    return msgspec.json.decode(finished.output, type=Listed)
