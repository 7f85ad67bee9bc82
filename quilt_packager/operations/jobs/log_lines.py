"""Lines of the engine's log, decoded into the types that wrote them.

`python -m quilt_packager.operations.jobs.log_lines` prints the table of `docs/reference/logs.md`.
"""

import inspect
import logging
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import get_args

import msgspec
from quilt_packager_runtime.reporting.log_events import AnyLogEvent, JobStep, LogEvent


class LogLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the log that is a JSON object.

    Attributes:
        at: Time at which it was written.
        text: The line as it was written.
        level: `INFO`, `WARNING` or `ERROR`; empty if the line has none.
        message_id: Id of the job's message; None for a line that belongs to no job.
        event: The decoded event; None if the line has none of the known types.
        exception: Traceback of an unforeseen exception.
        stream: The log stream; empty if unknown.
    """

    at: datetime
    text: str
    level: str = ""
    message_id: str | None = None
    event: AnyLogEvent | None = None
    exception: str | None = None
    stream: str = ""

    @property
    def message(self) -> str:
        """The event's `message`, such as `package started`; empty without an event."""
        return message_of(type(self.event)) if self.event is not None else ""


class _Header(msgspec.Struct):
    """The fields of every line that a reader needs besides the event."""

    level: str = ""
    timestamp: str = ""
    message_id: str | None = None
    exception: str | None = None


_read_header = msgspec.json.Decoder(_Header).decode
_read_event: Callable[[str], AnyLogEvent] = msgspec.json.Decoder(AnyLogEvent).decode


def message_of(kind: type[LogEvent]) -> str:
    """Return the `message` of a type of event."""
    return str(kind.__struct_config__.tag)


JOB_MESSAGES = frozenset(map(message_of, get_args(JobStep)))
"""The messages of the events that determine the state of a job."""


def read_lines(text: str, at: datetime, stream: str = "") -> Iterator[LogLine]:
    """Read the JSON objects among the lines of a CloudWatch log event.

    Args:
        text: Message of the log event. Lines of Lambda itself and malformed lines are skipped.
        at: Time of the log event, for lines without a timestamp of their own.
        stream: The log stream.
    """
    for line in text.split("\n"):
        if not line.startswith("{"):
            continue
        try:
            header = _read_header(line)
        except msgspec.ValidationError:
            header = _Header()
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            continue
        yield LogLine(
            at=_parse_time(header.timestamp) or at,
            text=line,
            level=header.level,
            message_id=header.message_id,
            event=_find_event(line),
            exception=header.exception,
            stream=stream,
        )


def _find_event(line: str) -> AnyLogEvent | None:
    try:
        return _read_event(line)
    except msgspec.ValidationError:
        return None


def _parse_time(timestamp: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(timestamp)
        return at.astimezone(UTC) if at.tzinfo else None
    except (ValueError, OverflowError):
        return None


def lines_table() -> str:
    """Write the lines of the log as a table in Markdown, with the first sentence on each."""
    rows = ["| `message` | level | when | fields |", "|---|---|---|---|"]
    for kind in get_args(AnyLogEvent):
        level = logging.getLevelName(kind.level)
        when = inspect.cleandoc(kind.__doc__).partition("\n")[0]
        rows.append(f"| `{message_of(kind)}` | {level} | {when} | {_fields_of(kind)} |")
    return "\n".join(rows) + "\n"


def _fields_of(kind: type[LogEvent]) -> str:
    fields = msgspec.structs.fields(kind)
    always = " ".join(f"`{field.name}`" for field in fields if field.required)
    optional = " ".join(f"`{field.name}`" for field in fields if not field.required)
    return f"{always} · {optional}" if optional else always


if __name__ == "__main__":
    sys.stdout.write(lines_table())
