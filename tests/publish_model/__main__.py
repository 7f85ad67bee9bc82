"""Explore every scenario at its full size."""

import sys
import time

from tests.publish_model import HOLDS, SCENARIOS, check

MOST_STATES = 5_000_000

for name, scenario in SCENARIOS.items():
    began = time.perf_counter()
    result = check(HOLDS, scenario, most=MOST_STATES)
    faults = ", ".join(result.faults) or "holds"
    seconds = time.perf_counter() - began
    sys.stdout.write(f"{name:32}{result.states:>10,} states {seconds:6.1f} s  {faults}\n")
    for fault, way in result.faults.items():
        sys.stdout.write(f"  {fault}: {' | '.join(way)}\n")
