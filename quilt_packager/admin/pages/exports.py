"""Lists as files: CSV for spreadsheets, JSON for programs."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence

from starlette.responses import Response

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""First characters of a cell that a spreadsheet would run."""


def download_csv(
    columns: Sequence[str], rows: Iterable[Mapping[str, object]], name: str
) -> Response:
    """Return rows as a file of CSV; a row may have other fields as well."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    for row in rows:
        writer.writerow(_cell(row.get(column)) for column in columns)
    return _download(text.getvalue(), "text/csv", name)


def download_json(value: object, name: str) -> Response:
    """Return a value as a file of JSON."""
    return _download(json.dumps(value, indent=1), "application/json", name)


def _cell(value: object) -> object:
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def _download(text: str, media_type: str, name: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, media_type=media_type, headers=disposition)
