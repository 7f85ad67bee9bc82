"""Ten million objects in one process, without the network: how much memory they need."""

import msgspec

from benchmarks.goals import Goal
from benchmarks.package_without_network import Worked
from benchmarks.processes import MIB, run_module
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import to_table

GOAL_OBJECTS = 10_000_000
GOAL_MIB = 2_048
LIMIT_SECONDS = 1_800
STEPS = 1


def run(objects: int, progress: Progress) -> Section:
    """Measure, and report."""
    with progress.step(f"{objects:,} objects without the network"):
        finished = run_module(
            "benchmarks.package_without_network", str(objects), limit_seconds=LIMIT_SECONDS
        )
    worked = msgspec.json.decode(finished.output, type=Worked)
    phases = {
        "listing into the inventory": worked.listing_seconds,
        "checksums into the inventory": worked.checksums_seconds,
        "manifest and top hash": worked.manifest_seconds,
    }
    rows = [
        [phase, f"{seconds:.1f}", f"{seconds / objects * 1e6:.1f}"]
        for phase, seconds in phases.items()
    ]
    elsewhere = "" if objects == GOAL_OBJECTS else f"on {objects:,} objects, not {GOAL_OBJECTS:,}"
    peak_mib = finished.cost.peak_bytes / MIB
    return Section(
        "ten-million",
        f"{objects:,} generated objects: {finished.cost.wall_seconds:.0f} s on the clock, "
        f"{peak_mib:.0f} MiB peak, a manifest of {worked.manifest_bytes / MIB:,.0f} MiB.\n\n"
        + to_table(["phase", "CPU s", "µs per object"], rows),
        [Goal("peak memory", GOAL_MIB, peak_mib, "MiB", elsewhere=elsewhere)],
    )
