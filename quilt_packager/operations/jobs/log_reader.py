"""Reads lines of a deployed engine's log, by FilterLogEvents and its patterns."""

import re
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from quilt_packager.operations.jobs.log_lines import LogLine, read_lines

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

JOB_ID = re.compile(r"[A-Za-z0-9_-]{1,100}")
"""What may be an id, or its beginning; nothing that could change a pattern."""

FIRST_WINDOW = timedelta(hours=1)
WINDOW_GROWTH = 8
"""Who looks at jobs mostly wants the last ones: the windows are small there, and grow behind."""

MAX_REQUESTS = 100
"""How often AWS is asked for one view. Each request brings a MiB at most."""

IDS_IN_PATTERN = 15
"""A pattern has 1,024 characters at most, and a message's id 36."""


class TooManyRequests(Exception):
    """Not an error: what is left to read is more than a view is worth."""


class LogReader:
    """Reads the log of an engine for one view.

    Args:
        deployment: The engine.
        max_requests: How many requests it may take; None: as many as there are to make.

    Attributes:
        requests: How many requests it took so far.
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
        """Read the lines that a pattern matches, and maybe more: not every AWS knows patterns.

        Args:
            pattern: A filter pattern of CloudWatch Logs.
            start: The time of the first of them.
            end: The time before which the last of them is; None: no matter how late.
            function: Whose log.

        Raises:
            TooManyRequests: There would be more than there may be.
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
            # A group that somebody deleted: the next line makes it anew.
            return


def windows(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    """Cut a time into windows, the last and smallest first.

    Args:
        since: Where the time begins.
        until: Where it ends.

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
    """The pattern of lines that are about one of these.

    Args:
        messages: As `package started`; with `*` for what may follow.

    Example:
        >>> any_message(["package started", "message *"])
        '{ ($.message = "package started") || ($.message = "message *") }'
    """
    return _any("message", messages)


def any_job(ids: Sequence[str]) -> Iterator[str]:
    """The patterns of all lines of some jobs.

    Args:
        ids: The jobs' ids; with `*` for what may follow.

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
