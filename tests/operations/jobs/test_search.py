"""A bounded search of the log for a text."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quilt_packager.operations.jobs.search import MAX_REQUESTS, find_logged

NOW = datetime.now(UTC)


class Logs:
    """Stands in for a deployment and its client of CloudWatch Logs."""

    class exceptions:  # noqa: N801 - as boto3 names it
        ResourceNotFoundException = KeyError

    def __init__(self, *lines: dict[str, Any]) -> None:
        self.logs = self
        self.asked: list[dict[str, Any]] = []
        self.events = [
            {"message": json.dumps(line), "timestamp": NOW.timestamp() * 1000} for line in lines
        ]
        self.has_more = False

    def log_group(self, _: str) -> str:
        return "/quilt/lab/packager"

    def filter_log_events(self, **query: Any) -> dict[str, Any]:
        self.asked.append(query)
        events = self.events if len(self.asked) == 1 else []
        return {"events": events, **({"nextToken": "more"} if self.has_more else {})}


def find(logs: Logs, text: str) -> frozenset[str]:
    return find_logged(logs, text, since=NOW - timedelta(hours=24))  # type: ignore[arg-type]


def test_finds_the_jobs_of_lines_with_the_text() -> None:
    logs = Logs({"message_id": "a1", "file": "L1_R2.fastq"}, {"message_id": "b2", "file": "x"})
    assert find(logs, "L1_R2.fastq") == {"a1"}
    assert {each["filterPattern"] for each in logs.asked} == {'"L1_R2.fastq"'}


def test_ends_at_its_limit_of_requests_with_the_jobs_found() -> None:
    logs = Logs({"message_id": "a1", "file": "L1_R2.fastq"})
    logs.has_more = True
    assert find(logs, "L1_R2.fastq") == {"a1"}
    assert len(logs.asked) == MAX_REQUESTS


@pytest.mark.parametrize("text", ["", "abc", 'a" || "b', "p/*"])
def test_short_texts_and_patterns_are_not_searched(text: str) -> None:
    logs = Logs()
    assert find(logs, text) == frozenset()
    assert logs.asked == []
