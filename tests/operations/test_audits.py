"""Damaged packages, as the lines of the audits' log say."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from quilt_packager.operations import audits
from quilt_packager.operations.audits import find_damaged
from quilt_packager.operations.jobs.log_lines import LogLine, read_lines

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DEPLOYMENT = cast("Deployment", SimpleNamespace())
FINDING = {"code": "ObjectMissing", "happened": "Gone.", "remedy": "Restore it."}


class Log:
    """The lines of audits, one a day, up to now."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._lines: list[LogLine] = []
        patch.setattr(audits, "LogReader", lambda _deployment: self)

    def read(self, _pattern: str, _start: datetime, *, function: str) -> Iterator[LogLine]:
        assert function == "audit"
        return iter(self._lines)

    def add(self, days_ago: int, damaged: int, **fields: Any) -> None:
        place = {"registry": "packages", "package_name": "runs/42", "level": "INFO"}
        audited = {"message": "package audited", "entries": 9, "seconds": 1, "damaged": damaged}
        found = {"message": "package damaged", "damaged": damaged, "findings": [FINDING] * damaged}
        for line in [audited | fields, *([found] if damaged else [])]:
            at = NOW - timedelta(days=days_ago)
            self._lines += read_lines(json.dumps(place | line), at)


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Log:
    return Log(monkeypatch)


def test_a_package_is_damaged_since_the_first_audit_in_a_row(log: Log) -> None:
    for days_ago, damaged in [(9, 1), (8, 0), (7, 2), (6, 1)]:
        log.add(days_ago, damaged)
    [found] = find_damaged(DEPLOYMENT, now=NOW)
    assert (found.package_name, found.damaged, len(found.findings)) == ("runs/42", 1, 1)
    assert (found.since, found.audited) == (NOW - timedelta(days=7), NOW - timedelta(days=6))


def test_a_package_that_is_whole_again_is_not_listed(log: Log) -> None:
    log.add(2, 1)
    log.add(1, 0)
    assert find_damaged(DEPLOYMENT, now=NOW) == []


def test_the_continuation_of_an_audit_adds_to_its_damage(log: Log) -> None:
    log.add(1, 2)
    log.add(1, 0, block=800)
    log.add(1, 1, block=1600)
    [found] = find_damaged(DEPLOYMENT, now=NOW)
    assert (found.damaged, len(found.findings)) == (3, 3)
