"""Lines of the engine's log: which there are, and what can be read of one, whoever wrote it."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from quilt_packager_runtime.formats.outcome import Result

STARTED = "package started"
PROGRESS = "package progress"
HANDED_OVER = ("large job started", "large job redelivered", "another round started")
PUT_OFF = "message deferred"
IGNORED = "message ignored"
OUTCOME_BY_MESSAGE = {f"package {result}": result for result in Result}
JOB_MESSAGES = frozenset({STARTED, PROGRESS, *HANDED_OVER, PUT_OFF, IGNORED, *OUTCOME_BY_MESSAGE})
"""The lines that make a job what it is. Others of its lines are only there to be read."""


class LogLine(msgspec.Struct, frozen=True):
    """A line of the log that is a JSON object.

    Attributes:
        at: When it was written.
        text: As it was written.
        fields: What it says.
        stream: The log stream that holds it; empty if that is not known.
    """

    at: datetime
    text: str
    fields: dict[str, Any]
    stream: str = ""

    @property
    def message(self) -> str:
        """What the line is about, as `package started`."""
        return text_of(self.fields, "message") or ""

    @property
    def level(self) -> str:
        """As `INFO`; empty if it has none."""
        return text_of(self.fields, "level") or ""

    @property
    def message_id(self) -> str | None:
        """The job that it is about."""
        return text_of(self.fields, "message_id")


def read_lines(text: str, at: datetime, stream: str = "") -> Iterator[LogLine]:
    """Take the JSON objects among the lines of a log event.

    Args:
        text: The event's text. Lambda's own lines, and what is broken, are left out.
        at: When the event was written. A line that tells its own time is believed.
        stream: The log stream.
    """
    for line in text.split("\n"):
        if not line.startswith("{"):
            continue
        try:
            fields = msgspec.json.decode(line)
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        yield LogLine(_read_time(fields) or at, line, fields, stream)


def text_of(fields: dict[str, Any], name: str) -> str | None:
    """The text of a field; None if it has none."""
    value = fields.get(name)
    return value if isinstance(value, str) else None


def number_of(fields: dict[str, Any], name: str) -> float | None:
    """The number of a field; None if it has none that makes sense."""
    value = fields.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
        return None
    return float(value)


def count_of(fields: dict[str, Any], name: str) -> int | None:
    """The count of a field; None if it has none that makes sense."""
    value = fields.get(name)
    return value if type(value) is int and value >= 0 else None


def _read_time(fields: dict[str, Any]) -> datetime | None:
    text = text_of(fields, "timestamp")
    try:
        at = datetime.fromisoformat(text) if text else None
        return at.astimezone(UTC) if at and at.tzinfo else None
    except (ValueError, OverflowError):
        return None
