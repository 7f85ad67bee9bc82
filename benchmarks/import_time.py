"""Cost of imports in a cold start: the packager's handler beside quilt3.

Each import runs in its own process. The sides alternate, so that noise affects both.
"""

import subprocess
import sys
from itertools import product
from statistics import median

from benchmarks.progress import Progress
from benchmarks.report import Section
from benchmarks.tables import to_table

ROUNDS = 7
STATEMENTS = {
    "packager handler": "import quilt_packager_runtime.handlers.packager",
    "quilt3": "import quilt3",
}


def measure_seconds(statement: str) -> float:
    """Time a statement in a new interpreter, without the interpreter's start."""
    script = (
        f"import time; start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def run(progress: Progress) -> Section:
    """Measure both sides several times, in turn, and report the medians."""
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    with progress.step("imports"):
        for statement in STATEMENTS.values():
            measure_seconds(statement)  # compiles bytecode and warms the disk cache
        for _, (name, statement) in product(range(ROUNDS), STATEMENTS.items()):
            seconds[name].append(measure_seconds(statement))
    rows = [[name, f"{median(found):.3f}", f"{min(found):.3f}"] for name, found in seconds.items()]
    return Section("imports", to_table(["import of", "median s", "fastest s"], rows))
