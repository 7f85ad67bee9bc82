"""Measure the time and memory of one process that packages a million objects."""

from benchmarks.goals import Goal
from benchmarks.jobs import Side, registry_of, run_job
from benchmarks.processes import MIB
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import JOB_COLUMNS, job_row, to_table
from tests.s3_stub.process import StubProcess

GOAL_OBJECTS = 1_000_000
LATENCY_MS = 20
LIMIT_SECONDS = 1_800
GOAL_SECONDS = 600
GOAL_MIB = 700
STATES = ("first time, checksums stored", "unchanged")
STEPS = len(STATES)


def run(objects: int, progress: Progress) -> Section:
    """Measure a first job with stored checksums and one of the unchanged folder."""
    jobs = []
    with StubProcess(
        f"--latency-ms={LATENCY_MS}",
        f"--synthetic=stored={objects},sha256",
        f"--bucket={registry_of(Side.ENGINE, 'stored')}",
    ) as stub:
        for state in STATES:
            with progress.step(f"{objects:,} objects, {state}, {LATENCY_MS} ms latency"):
                jobs.append(run_job(stub, Side.ENGINE, "stored", limit_seconds=LIMIT_SECONDS))
    rows = [[state, *job_row(job)] for state, job in zip(STATES, jobs, strict=True)]
    elsewhere = "" if objects == GOAL_OBJECTS else f"on {objects:,} objects, not {GOAL_OBJECTS:,}"
    first = jobs[0].cost
    return Section(
        "million",
        f"{objects:,} objects, {LATENCY_MS} ms latency.\n\n"
        + to_table(["state", *JOB_COLUMNS], rows),
        [
            Goal("time on the clock", GOAL_SECONDS, first.wall_seconds, "s", elsewhere=elsewhere),
            Goal("peak memory", GOAL_MIB, first.peak_bytes / MIB, "MiB", elsewhere=elsewhere),
        ],
    )
