"""Finds the jobs whose log lines contain a text, such as the name of a file."""

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from quilt_packager.operations.jobs.log_reader import LogReader, TooManyRequests, windows

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

TEXT = re.compile(r"[\w./@:=+ -]{4,100}")
"""Texts that are searched: without characters that could alter a filter pattern."""

MAX_REQUESTS = 6
"""Maximum number of requests for one search, the newest hours first."""


def find_logged(deployment: "Deployment", text: str, *, since: datetime) -> frozenset[str]:
    """Find the ids of jobs with a text in their log, as far as a few requests reach.

    Args:
        deployment: The engine.
        text: The text, in its exact case. Texts that are not searched find nothing.
        since: Start of the time to search.
    """
    found: set[str] = set()
    if not TEXT.fullmatch(text):
        return frozenset()
    reader = LogReader(deployment, max_requests=MAX_REQUESTS)
    try:
        for start, end in windows(since, datetime.now(UTC)):
            for line in reader.read(f'"{text}"', start, end):
                # An emulated AWS may return other lines as well.
                if line.message_id and text in line.text:
                    found.add(line.message_id)
    except TooManyRequests:
        pass
    return frozenset(found)
