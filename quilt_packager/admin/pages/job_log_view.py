"""A job's log as the page shows it: time, level, kind of event, and fields."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from quilt_packager.operations.jobs.log_lines import LogLine

LEVELS = {"error": ("ERROR", "CRITICAL"), "warning": ("WARNING", "WARN", "ERROR", "CRITICAL")}
"""The levels of lines that each filter of the page includes."""

CSS = {"ERROR": "ERROR", "CRITICAL": "ERROR", "WARNING": "WARN", "WARN": "WARN"}

HIDDEN = ("message", "message_id")
"""Fields that are shown elsewhere on the page."""

ORIGIN = ("source", "trigger", "event_id", "registry", "package_name")
"""Fields that repeat the origin of the job: they come last."""

MAX_LINES = 500


class ShownLine(NamedTuple):
    """A line of the log.

    Attributes:
        at: Time at which it was written.
        level: Its level.
        css: CSS class of the level.
        message: The event; empty for a line of no known type.
        fields: Fields of the event, by their names.
        text: The traceback of an event, or a line of no known type as it was written.
    """

    at: datetime
    level: str
    css: str
    message: str
    fields: Sequence[tuple[str, str]]
    text: str


class ShownLog(NamedTuple):
    """The log of a job.

    Attributes:
        lines: Lines that match the filter.
        level: The filter: `error`, `warning`, or empty for all lines.
        query: Text that the lines contain.
        counts: Number of lines for each level.
        left_out: Number of earlier lines that are not shown.
    """

    lines: Sequence[ShownLine]
    level: str
    query: str
    counts: dict[str, int]
    left_out: int


def show_log(lines: Sequence[LogLine], level: str = "", query: str = "") -> ShownLog:
    """Format the lines that contain a text, filtered by level. An unknown level means all."""
    wanted = level if level in LEVELS else ""
    lines = [line for line in lines if query.casefold() in line.text.casefold()]
    chosen = list(_of_level(lines, wanted))
    counts = {"": len(lines), **{name: len(list(_of_level(lines, name))) for name in LEVELS}}
    shown = [show_line(line) for line in chosen[-MAX_LINES:]]
    return ShownLog(shown, wanted, query, counts, len(chosen) - len(shown))


def show_line(line: LogLine) -> ShownLine:
    """Format a line; one that is no known event is shown as it was written."""
    level, css = line.level or "INFO", CSS.get(line.level, "INFO")
    if line.event is None:
        return ShownLine(line.at, level, css, "", (), line.text)
    return ShownLine(line.at, level, css, line.message, _show_fields(line), line.exception or "")


def _show_fields(line: LogLine) -> list[tuple[str, str]]:
    fields: dict[str, Any] = msgspec.to_builtins(line.event)
    for name in HIDDEN:
        fields.pop(name, None)
    fields |= {name: fields.pop(name) for name in ORIGIN if name in fields}
    return [(name, _show_value(value)) for name, value in fields.items()]


def _of_level(lines: Iterable[LogLine], level: str) -> Iterable[LogLine]:
    return (line for line in lines if not level or line.level in LEVELS[level])


def _show_value(value: object) -> str:
    if isinstance(value, str):
        return value if value and not set(' "=\n') & set(value) else json.dumps(value)
    return json.dumps(value)
