"""Damaged packages, as the lines of the audits' log say."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from quilt_packager.operations import audits
from quilt_packager.operations.audits import AuditState, find_damaged, read_audits
from quilt_packager.operations.jobs.log_lines import LogLine, read_lines
from quilt_packager.operations.jobs.log_reader import TooManyRequests

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
DEPLOYMENT = cast("Deployment", SimpleNamespace())
FINDING = {"code": "ObjectMissing", "happened": "Gone.", "remedy": "Restore it."}


class Log:
    """The lines of audits, one a day, up to now."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._lines: list[LogLine] = []
        self.readable = timedelta(days=100)
        patch.setattr(audits, "LogReader", lambda _deployment: self)

    def read(
        self, _pattern: str, start: datetime, end: datetime, *, function: str
    ) -> Iterator[LogLine]:
        assert function == "audit"
        if end < NOW - self.readable:
            raise TooManyRequests
        return (line for line in self._lines if start <= line.at < end)

    def add(self, days_ago: int, damaged: int = 0, **fields: Any) -> None:
        place = {"registry": "packages", "package_name": "runs/42", "level": "INFO"}
        audited = {"message": "package audited", "entries": 9, "seconds": 1, "damaged": damaged}
        found = {"message": "package damaged", "damaged": damaged, "findings": [FINDING] * damaged}
        for line in [audited | fields, *([found] if damaged else [])]:
            self._lines += read_lines(json.dumps(place | line), NOW - timedelta(days=days_ago))

    def skip(self, days_ago: int) -> None:
        line = {"message": "package not audited", "code": "ServiceUnavailable", "reason": "S3."}
        place = {"registry": "packages", "package_name": "runs/42", "level": "WARNING"}
        self._lines += read_lines(json.dumps(place | line), NOW - timedelta(days=days_ago))


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


@pytest.mark.parametrize(
    ("fields", "published_days_ago", "state"),
    [
        ({}, 3, AuditState.SOUND),
        ({}, None, AuditState.SOUND),
        ({"expiring": 4, "first_loss": "2026-12-04"}, 3, AuditState.LOSING),
        ({"damaged": 1, "expiring": 4}, 3, AuditState.DAMAGED),
        ({"unchecked": 2}, 3, AuditState.UNAUDITED),
        # The audit was of the revision before it.
        ({}, 1, AuditState.UNAUDITED),
        ({"damaged": 1}, 1, AuditState.DAMAGED),
    ],
)
def test_state_follows_from_the_last_audit(
    log: Log, fields: dict[str, Any], published_days_ago: int | None, state: AuditState
) -> None:
    log.add(2, **{"damaged": 0, **fields})
    [audit] = read_audits(DEPLOYMENT, now=NOW)
    days = published_days_ago
    assert audit.state(None if days is None else NOW - timedelta(days=days)) is state


def test_attempts_that_failed_are_no_audit(log: Log) -> None:
    log.skip(3)
    [never] = read_audits(DEPLOYMENT, now=NOW)
    log.add(2, 0)
    [audited] = read_audits(DEPLOYMENT, now=NOW)
    log.skip(1)
    [skipped] = read_audits(DEPLOYMENT, now=NOW)
    states = [each.state(None) for each in (never, audited, skipped)]
    assert states == [AuditState.UNAUDITED, AuditState.SOUND, AuditState.UNAUDITED]
    assert skipped.not_audited == "S3."


def test_of_a_long_log_the_newest_audits_are_read(log: Log) -> None:
    log.add(30, 1)
    log.add(1, 2)
    log.readable = timedelta(days=10)
    [found] = read_audits(DEPLOYMENT, now=NOW)
    assert (found.damaged, found.since) == (2, NOW - timedelta(days=1))
