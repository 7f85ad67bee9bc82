"""Run everything at a large size, and print figures: `python -m tests.torture [SCALE]`.

A scale of 1 takes about a quarter of an hour on one core. Exits with the first failure.
"""

import asyncio
import logging
import sys
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from functools import partial
from typing import Any

from tests.conftest import pytest_configure
from tests.runtime.registry.test_publish_schedules import (
    LARGE,
    LARGE_SERIAL,
    REPLACING_AT_LENGTH,
    explore_overlapping,
    explore_replacing,
    explore_serial,
)
from tests.schedules import Scenario
from tests.torture.faults import check_each, check_services
from tests.torture.fuzz import INPUTS, fuzz
from tests.torture.kills import SHAPES, check_all
from tests.torture.overlaps import SCENARIOS, run_all

EXAMPLES = 5000
TRIALS = 1000
PAIRED = ("first", "one object changed")
"""Jobs that die twice: a thousand combinations of points each."""

Run = Callable[[], Mapping[str, int]]


def parts(scale: float) -> Iterator[tuple[str, Run]]:
    """Yield the name of each part, and a function that runs it."""
    number = round(time.time())
    examples, trials = round(EXAMPLES * scale), round(TRIALS * scale)
    for name in INPUTS:
        yield (
            f"fuzz, seed {number}: {name}",
            partial(fuzz, name, examples=examples, number=number),
        )
    for name in SHAPES:
        yield f"one death: {name}", partial(check_all, name)
    for name in PAIRED if scale >= 1 else ():
        yield f"two deaths: {name}", partial(check_all, name, deaths=2)
    yield "schedules: another writer", partial(count, explore_replacing, REPLACING_AT_LENGTH)
    for name, scenario in LARGE_SERIAL.items():
        yield f"schedules of one job at a time: {name}", partial(count, explore_serial, scenario)
    for name, scenario in LARGE.items() if scale >= 1 else ():
        yield f"schedules: {name}", partial(count, explore_overlapping, scenario)
    yield "faults", partial(check_each, every=max(1, round(1 / scale)))
    yield "faults of other services", check_services
    for name in SCENARIOS:
        yield f"overlaps, {trials} trials: {name}", partial(run_all, name, trials=trials)


def count(
    explore: Callable[[Scenario], Coroutine[Any, Any, int]], scenario: Scenario
) -> Mapping[str, int]:
    return {"states": asyncio.run(explore(scenario))}


def main(scale: float) -> None:
    """Run each part, and print its figures."""
    for name, run in parts(scale):
        began = time.perf_counter()
        figures = ", ".join(f"{value:,} {figure}" for figure, value in sorted(run().items()))
        seconds = time.perf_counter() - began
        sys.stdout.write(f"{name:46} {seconds:7.1f} s  {figures}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    pytest_configure()
    logging.getLogger("quilt_packager_runtime").addHandler(logging.NullHandler())
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 1.0)
