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
MESSAGE_COLUMNS = 21


class ShownLine(NamedTuple):
    """A line of the log.

    Attributes:
        at: Time at which it was written.
        level: Its level.
        css: CSS class of the level.
        text: The event with its fields, or the line as it was written.
    """

    at: datetime
    level: str
    css: str
    text: str


class ShownLog(NamedTuple):
    """The log of a job.

    Attributes:
        lines: Lines that match the filter.
        level: The filter: `error`, `warning`, or empty for all lines.
        counts: Number of lines for each filter.
        left_out: Number of earlier lines that are not shown.
    """

    lines: Sequence[ShownLine]
    level: str
    counts: dict[str, int]
    left_out: int


def show_log(lines: Sequence[LogLine], level: str) -> ShownLog:
    """Format a log, filtered by level. An unknown level means all lines."""
    wanted = level if level in LEVELS else ""
    chosen = list(_of_level(lines, wanted))
    counts = {"": len(lines), **{name: len(list(_of_level(lines, name))) for name in LEVELS}}
    shown = [show_line(line) for line in chosen[-MAX_LINES:]]
    return ShownLog(shown, wanted, counts, len(chosen) - len(shown))


def show_line(line: LogLine) -> ShownLine:
    """Format a line; one that is no known event is shown as it was written."""
    text = line.text if line.event is None else _show_event(line)
    return ShownLine(line.at, line.level or "INFO", CSS.get(line.level, "INFO"), text)


def _show_event(line: LogLine) -> str:
    fields: dict[str, Any] = msgspec.to_builtins(line.event)
    for name in HIDDEN:
        fields.pop(name, None)
    fields |= {name: fields.pop(name) for name in ORIGIN if name in fields}
    shown = " ".join(f"{name}={_show_value(value)}" for name, value in fields.items())
    first = f"{line.message:<{MESSAGE_COLUMNS}} {shown}".rstrip()
    return "\n".join([first, *([line.exception] if line.exception else [])])


def _of_level(lines: Iterable[LogLine], level: str) -> Iterable[LogLine]:
    return (line for line in lines if not level or line.level in LEVELS[level])


def _show_value(value: object) -> str:
    if isinstance(value, str):
        return value if value and not set(' "=\n') & set(value) else json.dumps(value)
    return json.dumps(value)
