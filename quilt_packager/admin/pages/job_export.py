"""The jobs of a filter as a file: CSV for spreadsheets, JSON for programs."""

from collections.abc import Callable, Mapping, Sequence

import msgspec
from starlette.responses import Response

from quilt_packager.admin.model import labels
from quilt_packager.admin.pages.exports import download_csv, download_json
from quilt_packager.operations.jobs.job import Job
from quilt_packager.operations.jobs.labels import trigger_label

COLUMNS = (
    "id",
    "outcome",
    "package_name",
    "registry",
    "top_hash",
    "source",
    "trigger",
    "started",
    "ended",
    "seconds",
    "objects",
    "bytes",
    "code",
    "reason",
    "remark",
)


def export_csv(jobs: Sequence[Job]) -> Response:
    """Return the jobs as CSV."""
    rows = (
        msgspec.to_builtins(job)
        | {"outcome": labels.badge_name(job), "trigger": trigger_label(job)}
        for job in jobs
    )
    return download_csv(COLUMNS, rows, "jobs.csv")


def export_json(jobs: Sequence[Job]) -> Response:
    """Return the jobs as JSON, with all of their fields."""
    return download_json(msgspec.to_builtins(jobs), "jobs.json")


EXPORTS: Mapping[str, Callable[[Sequence[Job]], Response]] = {
    "csv": export_csv,
    "json": export_json,
}
"""The formats, by their names in a URL."""
