"""What a cold start pays for imports: the packager's handler beside quilt3.

Each import runs in a process of its own, the two sides in turn, so that a noisy moment of the
machine hits both.
"""

import subprocess
import sys
from statistics import median

ROUNDS = 7
STATEMENTS = {
    "packager handler": "import quilt_packager_runtime.handlers.packager",
    "quilt3": "import quilt3",
}


def measure_seconds(statement: str) -> float:
    """Time a statement in a new interpreter, the interpreter's own start left out."""
    script = (
        f"import time; start = time.perf_counter()\n{statement}\nprint(time.perf_counter() - start)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True
    )
    return float(done.stdout)


def main() -> None:
    """Print the median of each side."""
    for statement in STATEMENTS.values():
        measure_seconds(statement)  # compiles bytecode, and warms the disk's cache
    seconds: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    for _ in range(ROUNDS):
        for name, statement in STATEMENTS.items():
            seconds[name].append(measure_seconds(statement))
    print(f"Import time, median (fastest) of {ROUNDS} processes")
    for name, values in seconds.items():
        print(f"  {name:20} {median(values):6.3f} s  ({min(values):.3f} s)")


if __name__ == "__main__":
    main()
