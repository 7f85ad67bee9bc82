"""Format results of jobs as Markdown."""

from collections.abc import Iterable, Sequence

from benchmarks.jobs import Job
from benchmarks.processes import MIB
from quilt_packager.operations.plans.prices import count_kinds, price_lambda_usd, price_requests_usd

JOB_COLUMNS = (
    *("CPU s", "wall s", "peak MiB", "LIST", "HEAD", "GET", "PUT, COPY"),
    *("requests $", "Lambda $", "stub's CPU s"),
)


def to_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, texts: int = 1) -> str:
    """Format rows as a Markdown table, with `texts` left-aligned columns.

    Example:
        >>> print(to_table(["side", "s"], [["quilt3", "1.0"]]))
        | side | s |
        |---|--:|
        | quilt3 | 1.0 |
    """
    rule = ["---"] * texts + ["--:"] * (len(head) - texts)
    lines = [f"| {' | '.join(head)} |", f"|{'|'.join(rule)}|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)])


def job_row(job: Job) -> list[str]:
    """Return the values of `JOB_COLUMNS`."""
    cost = job.cost
    kinds = count_kinds(job.requests)
    lambda_usd = price_lambda_usd(cpu_seconds=cost.cpu_seconds, wall_seconds=cost.wall_seconds)
    return [
        f"{cost.cpu_seconds:.2f}",
        f"{cost.wall_seconds:.2f}",
        f"{cost.peak_bytes / MIB:.0f}",
        *(f"{kinds[kind]:,}" for kind in ("LIST", "HEAD", "GET")),
        f"{kinds['PUT'] + kinds['COPY']:,}",
        f"{price_requests_usd(job.requests):.6f}",
        f"{lambda_usd:.6f}",
        f"{job.stub_cpu_seconds:.2f}",
    ]
