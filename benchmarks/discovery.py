"""Measure the CPU time and the memory of a discovery of a million objects."""

import asyncio

import msgspec

from benchmarks.discover_bucket import Discovered, write_markers
from benchmarks.goals import Goal
from benchmarks.processes import CREDENTIALS, MIB, run_module
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import to_table
from tests.runtime_s3 import connect_to
from tests.s3_stub.process import StubProcess

GOAL_OBJECTS = 1_000_000
GOAL_CPU_SECONDS = 60
GOAL_MIB = 256
LIMIT_SECONDS = 600
OBJECTS_PER_FOLDER = 1000
BUCKET = "raw"
STEPS = 1


def run(objects: int, progress: Progress) -> Section:
    """Measure one discovery."""
    with StubProcess(f"--synthetic={BUCKET}={objects}") as stub:
        s3 = connect_to(stub.url, CREDENTIALS)
        asyncio.run(write_markers(s3, BUCKET, objects // OBJECTS_PER_FOLDER))
        with progress.step(f"discovery of {objects:,} objects"):
            finished = run_module(
                "benchmarks.discover_bucket",
                BUCKET,
                limit_seconds=LIMIT_SECONDS,
                environment={"AWS_ENDPOINT_URL": stub.url},
            )
    found = msgspec.json.decode(finished.output, type=Discovered)
    cost = finished.cost
    peak_mib = cost.peak_bytes / MIB
    row = [
        f"{found.objects:,}",
        f"{found.ready:,}",
        f"{found.incomplete:,}",
        f"{cost.cpu_seconds:.1f}",
        f"{cost.wall_seconds:.1f}",
        f"{peak_mib:.0f}",
    ]
    columns = ["objects", "ready", "incomplete", "CPU s", "wall s", "peak MiB"]
    elsewhere = "" if objects == GOAL_OBJECTS else f"on {objects:,} objects, not {GOAL_OBJECTS:,}"
    return Section(
        "discovery",
        to_table(columns, [row]),
        [
            Goal("CPU", GOAL_CPU_SECONDS, cost.cpu_seconds, "s", elsewhere=elsewhere),
            Goal("peak memory", GOAL_MIB, peak_mib, "MiB", elsewhere=elsewhere),
        ],
    )
