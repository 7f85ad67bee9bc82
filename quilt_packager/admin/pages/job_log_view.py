"""A job's log as the page shows it: a level, a time, the line's kind, and its fields."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import NamedTuple

from quilt_packager.operations.jobs.log_lines import LogLine

LEVELS = {"error": ("ERROR", "CRITICAL"), "warning": ("WARNING", "WARN", "ERROR", "CRITICAL")}
"""What the levels of the page hold."""

CSS = {"ERROR": "ERROR", "CRITICAL": "ERROR", "WARNING": "WARN", "WARN": "WARN"}

HIDDEN = frozenset(
    {
        "cold_start",
        "function_arn",
        "function_memory_size",
        "function_name",
        "function_request_id",
        "level",
        "location",
        "message",
        "message_id",
        "service",
        "timestamp",
        "xray_trace_id",
    }
)
"""Fields that are the same in every line, or stand elsewhere."""

ORIGIN = ("source", "trigger", "event_id", "registry", "package_name")
"""Fields that say of each line whose it is: they stand behind those that say what it is about."""

LAST = ("exception", "stack_trace")
"""Fields of many lines, which stand below."""

MAX_LINES = 500
MESSAGE_COLUMNS = 20


class ShownLine(NamedTuple):
    """A line of the log.

    Attributes:
        at: When it was written.
        level: As it is known.
        css: The class of its level.
        text: Its kind and its fields.
    """

    at: datetime
    level: str
    css: str
    text: str


class ShownLog(NamedTuple):
    """The log of a job.

    Attributes:
        lines: The lines of the level.
        level: `error`, `warning`, or empty for all.
        counts: How many lines each of these has.
        left_out: How many lines before these are not shown.
    """

    lines: Sequence[ShownLine]
    level: str
    counts: dict[str, int]
    left_out: int


def show_log(lines: Sequence[LogLine], level: str) -> ShownLog:
    """Make a log readable.

    Args:
        lines: The lines.
        level: As `ShownLog.level`; anything else is as empty.
    """
    wanted = level if level in LEVELS else ""
    chosen = list(_of_level(lines, wanted))
    counts = {"": len(lines), **{name: len(list(_of_level(lines, name))) for name in LEVELS}}
    shown = [show_line(line) for line in chosen[-MAX_LINES:]]
    return ShownLog(shown, wanted, counts, len(chosen) - len(shown))


def show_line(line: LogLine) -> ShownLine:
    """Make a line readable.

    Args:
        line: The line.
    """
    fields = {name: value for name, value in line.fields.items() if name not in HIDDEN}
    last = [str(fields.pop(name)) for name in LAST if fields.get(name)]
    fields |= {name: fields.pop(name) for name in ORIGIN if name in fields}
    told = " ".join(f"{name}={_tell(value)}" for name, value in fields.items())
    first = f"{line.message:<{MESSAGE_COLUMNS}} {told}".rstrip()
    return ShownLine(
        line.at, line.level or "INFO", CSS.get(line.level, "INFO"), "\n".join([first, *last])
    )


def _of_level(lines: Iterable[LogLine], level: str) -> Iterable[LogLine]:
    return (line for line in lines if not level or line.level in LEVELS[level])


def _tell(value: object) -> str:
    if isinstance(value, str):
        return value if value and not set(' "=\n') & set(value) else json.dumps(value)
    return json.dumps(value)
