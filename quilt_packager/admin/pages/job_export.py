"""The jobs of a filter as a file: CSV for spreadsheets, JSON for programs."""

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence

import msgspec
from starlette.responses import Response

from quilt_packager.admin.model import labels
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

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that a spreadsheet would run."""


def export_csv(jobs: Sequence[Job]) -> Response:
    """Return the jobs as CSV."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for job in jobs:
        fields = msgspec.to_builtins(job) | {
            "outcome": labels.badge_name(job),
            "trigger": trigger_label(job),
        }
        writer.writerow(_cell(fields.get(name)) for name in COLUMNS)
    return _download(text.getvalue(), "text/csv", "jobs.csv")


def export_json(jobs: Sequence[Job]) -> Response:
    """Return the jobs as JSON, with all of their fields."""
    return _download(
        json.dumps(msgspec.to_builtins(jobs), indent=1), "application/json", "jobs.json"
    )


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def _download(text: str, media_type: str, name: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=media_type, headers=disposition)


EXPORTS: Mapping[str, Callable[[Sequence[Job]], Response]] = {
    "csv": export_csv,
    "json": export_json,
}
"""The formats, by their names in a URL."""
