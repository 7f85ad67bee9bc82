"""Run every benchmark and print its table: `python -m benchmarks`."""

from benchmarks import import_time

import_time.main()
