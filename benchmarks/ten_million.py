"""Measure the memory of one process that packages ten million objects without the network."""

import msgspec

from benchmarks.goals import Goal
from benchmarks.package_without_network import Route, Worked
from benchmarks.processes import MIB, Cost, run_module
from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import to_table

GOAL_OBJECTS = 10_000_000
GOAL_MIB = 2_048
LIMIT_SECONDS = 1_800
STEPS = len(Route)


def run(objects: int, progress: Progress) -> Section:
    """Measure a job of one invocation and the publishing of a large job."""
    costs: dict[Route, Cost] = {}
    worked: dict[Route, Worked] = {}
    for route in Route:
        with progress.step(f"{objects:,} objects without the network: {route}"):
            finished = run_module(
                "benchmarks.package_without_network",
                route,
                str(objects),
                limit_seconds=LIMIT_SECONDS,
            )
        costs[route] = finished.cost
        worked[route] = msgspec.json.decode(finished.output, type=Worked)
    inline, large = worked[Route.INLINE], worked[Route.LARGE]
    phases = {
        "listing into the inventory": inline.listing_seconds,
        "checksums into the inventory, one by one": inline.checksums_seconds,
        "or those of a large job's workers, from their results": large.checksums_seconds,
        "manifest and top hash": inline.manifest_seconds,
    }
    rows = [
        [phase, f"{seconds:.1f}", f"{seconds / objects * 1e6:.1f}"]
        for phase, seconds in phases.items()
    ]
    elsewhere = "" if objects == GOAL_OBJECTS else f"on {objects:,} objects, not {GOAL_OBJECTS:,}"
    wall_seconds = max(cost.wall_seconds for cost in costs.values())
    peak_mib = max(cost.peak_bytes for cost in costs.values()) / MIB
    return Section(
        "ten-million",
        f"{objects:,} generated objects: {wall_seconds:.0f} s on the clock, "
        f"{peak_mib:.0f} MiB peak, a manifest of {inline.manifest_bytes / MIB:,.0f} MiB.\n\n"
        + to_table(["phase", "CPU s", "µs per object"], rows),
        [Goal("peak memory", GOAL_MIB, peak_mib, "MiB", elsewhere=elsewhere)],
    )
