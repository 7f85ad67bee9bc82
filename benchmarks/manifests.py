"""Compare the CPU time that this engine and quilt3 need for a manifest and its top hash."""

from itertools import product
from statistics import median

import msgspec

from benchmarks.goals import Goal
from benchmarks.jobs import Side
from benchmarks.processes import MIB, run_module
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import to_table
from benchmarks.write_manifest import Written

GOAL_ENTRIES = 1_000_000
GOAL_CPU_SECONDS = 5
LIMIT_SECONDS = 600
ROUNDS = 3
STEPS = ROUNDS * len(Side)


def run(entries: int, progress: Progress) -> Section:
    """Measure the sides alternately, and report the medians.

    Raises:
        RuntimeError: The sides wrote different manifests.
    """
    found: dict[Side, list[Written]] = {side: [] for side in Side}
    for _, side in product(range(ROUNDS), Side):
        with progress.step(f"manifest of {entries:,} entries: {side}"):
            found[side].append(write_entries(side, entries))
    hashes = {written.top_hash for side in Side for written in found[side]}
    if len(hashes) > 1:
        raise RuntimeError(f"the sides have different top hashes: {hashes}")
    seconds = {side: median(written.cpu_seconds for written in found[side]) for side in Side}
    rows = [
        [side, f"{seconds[side]:.2f}", f"{found[side][0].manifest_bytes / MIB:.0f}"]
        for side in Side
    ]
    elsewhere = "" if entries == GOAL_ENTRIES else f"on {entries:,} entries, not {GOAL_ENTRIES:,}"
    return Section(
        "manifest",
        f"{entries:,} entries, from memory into a file, median of {ROUNDS} runs.\n\n"
        + to_table(["side", "CPU s", "manifest MiB"], rows),
        [Goal("CPU", GOAL_CPU_SECONDS, seconds[Side.ENGINE], "s", elsewhere=elsewhere)],
    )


def write_entries(side: Side, entries: int) -> Written:
    """Write a manifest of generated entries with one side."""
    finished = run_module(
        "benchmarks.write_manifest", side, str(entries), limit_seconds=LIMIT_SECONDS
    )
    return msgspec.json.decode(finished.output, type=Written)
