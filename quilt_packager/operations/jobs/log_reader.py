"""Reads lines of a deployed engine's log with FilterLogEvents."""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from quilt_packager.operations.jobs.log_lines import LogLine, read_lines

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""An id or its beginning, without characters that could alter a filter pattern."""

FIRST_WINDOW = timedelta(hours=1)
WINDOW_GROWTH = 8
"""Growth of each earlier window: most readers want the newest jobs."""

MAX_REQUESTS = 100
"""Maximum number of requests for one view. Each returns at most 1 MiB."""

IDS_IN_PATTERN = 15
"""A pattern has at most 1,024 characters, and the id of a message 36."""


class TooManyRequests(Exception):
    """Reading the rest would exceed the limit of requests for one view."""


class LogReader:
    """Reads the log of an engine for one view.

    Args:
        deployment: The engine.
        max_requests: Maximum number of requests; None for no limit.

    Attributes:
        requests: Number of requests made.
    """

    def __init__(
        self, deployment: "Deployment", *, max_requests: int | None = MAX_REQUESTS
    ) -> None:
        self._deployment = deployment
        self._max_requests = max_requests
        self.requests = 0

    def read(
        self,
        pattern: str,
        start: datetime,
        end: datetime | None = None,
        *,
        function: str = "packager",
    ) -> Iterator[LogLine]:
        """Read the lines that match a pattern. An emulated AWS may return others as well.

        Args:
            pattern: Filter pattern of CloudWatch Logs.
            start: Start of the time to read.
            end: End of the time to read, exclusive; None for no end.
            function: Name of the function in the log group.

        Raises:
            TooManyRequests: The limit of requests is reached.
        """
        group = self._deployment.log_group(function)
        if group is None:
            return
        client = self._deployment.logs
        query: dict[str, Any] = {
            "logGroupName": group,
            "filterPattern": pattern,
            "startTime": _milliseconds(start),
        }
        if end is not None:
            query["endTime"] = _milliseconds(end) - 1
        try:
            while True:
                if self.requests == self._max_requests:
                    raise TooManyRequests
                self.requests += 1
                page = client.filter_log_events(**query)
                for event in page["events"]:
                    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
                    yield from read_lines(event["message"], at, event.get("logStreamName", ""))
                if not page.get("nextToken"):
                    return
                query["nextToken"] = page["nextToken"]
        except client.exceptions.ResourceNotFoundException:
            # The group was deleted; Lambda creates it again with the next line.
            return


def windows(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Divide a time into windows, the last and smallest first.

    Example:
        >>> day = datetime(2026, 11, 22, tzinfo=UTC)
        >>> for start, end in windows(day, day + timedelta(hours=24)):
        ...     print(f"{start:%H:%M} {end:%H:%M}")
        23:00 00:00
        15:00 23:00
        00:00 15:00
    """
    span, end = FIRST_WINDOW, until
    while end > since:
        start = end - span if end - since > span else since
        yield start, end
        span, end = span * WINDOW_GROWTH, start


def any_message(messages: Collection[str]) -> str:
    """Return the pattern of lines with one of several messages, in which `*` is a wildcard.

    Example:
        >>> any_message(["package started", "message *"])
        '{ ($.message = "package started") || ($.message = "message *") }'
    """
    return _any("message", messages)


def any_job(ids: Sequence[str]) -> Iterator[str]:
    """Return the patterns of all lines of several jobs. In an id, `*` is a wildcard.

    Example:
        >>> list(any_job(["51c0*"]))
        ['{ ($.message_id = "51c0*") }']
    """
    for first in range(0, len(ids), IDS_IN_PATTERN):
        yield _any("message_id", ids[first : first + IDS_IN_PATTERN])


def _any(field: str, values: Collection[str]) -> str:
    terms = " || ".join(f'($.{field} = "{value}")' for value in values)
    return f"{{ {terms} }}"


def _milliseconds(at: datetime) -> int:
    return max(0, round(at.timestamp() * 1000))
