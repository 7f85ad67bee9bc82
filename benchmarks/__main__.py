"""Run the benchmarks: `python -m benchmarks`, or `make bench`."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from benchmarks import (
    discovery,
    import_time,
    listings,
    manifests,
    million,
    promotion,
    requests,
    scenarios,
    ten_million,
)
from benchmarks.progress import Progress
from benchmarks.report import Section, write_section

DOCUMENT = Path("docs/performance.md")
QUICK_DIVISOR = 20


class Benchmark(msgspec.Struct, frozen=True):
    """One of the benchmarks.

    Attributes:
        steps: Number of progress lines.
        run: The measurement.
    """

    steps: int
    run: Callable[[Progress], Section]


def choose(*, quick: bool) -> dict[str, Benchmark]:
    """Return the benchmarks by name, with full or small numbers of objects."""
    sizes = (2_000,) if quick else (1_000, 10_000, 100_000)
    divisor = QUICK_DIVISOR if quick else 1
    entries = manifests.GOAL_ENTRIES // divisor
    listed = listings.OBJECTS // divisor
    packaged = million.GOAL_OBJECTS // divisor
    discovered = discovery.GOAL_OBJECTS // divisor
    promoted = promotion.GOAL_OBJECTS // divisor
    generated = ten_million.GOAL_OBJECTS // divisor
    requested = requests.OBJECTS // divisor
    return {
        "imports": Benchmark(1, import_time.run),
        "manifest": Benchmark(manifests.STEPS, lambda p: manifests.run(entries, p)),
        "listing": Benchmark(listings.STEPS, lambda p: listings.run(listed, p)),
        "discovery": Benchmark(discovery.STEPS, lambda p: discovery.run(discovered, p)),
        "promotion": Benchmark(promotion.STEPS, lambda p: promotion.run(promoted, p)),
        "requests": Benchmark(requests.STEPS, lambda p: requests.run(requested, p)),
        "scenarios": Benchmark(len(scenarios.plan(sizes)), lambda p: scenarios.run(sizes, p)),
        "million": Benchmark(million.STEPS, lambda p: million.run(packaged, p)),
        "ten-million": Benchmark(ten_million.STEPS, lambda p: ten_million.run(generated, p)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the selected benchmarks."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = list(choose(quick=False))
    parser.add_argument(
        "benchmarks",
        nargs="*",
        metavar="NAME",
        help=f"benchmarks to run: {', '.join(names)}; default: all, which takes about an hour",
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="use few objects, about three minutes; do not update the document",
    )
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.benchmarks) - set(names))
    if unknown:
        parser.error(f"unknown benchmark: {', '.join(unknown)}")
    chosen = {
        name: benchmark
        for name, benchmark in choose(quick=options.quick).items()
        if name in (options.benchmarks or names)
    }
    progress = Progress(sum(benchmark.steps for benchmark in chosen.values()))
    for benchmark in chosen.values():
        section = benchmark.run(progress)
        sys.stdout.write(f"\n## {section.name}\n\n{section.to_markdown()}\n\n")
        sys.stdout.flush()
        if not options.quick:
            write_section(DOCUMENT, section)


if __name__ == "__main__":
    main()
