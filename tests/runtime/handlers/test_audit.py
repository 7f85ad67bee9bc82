"""The scheduled audit: its events and log, and its way from invocation to invocation."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.auditing import revision_audit
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError
from quilt_packager_runtime.handlers import audit, invocations
from quilt_packager_runtime.settings import Settings

from tests.audits import PACKAGE, entry_of, publish, put
from tests.job_log import JobLog
from tests.lambda_context import invocation
from tests.runtime_s3 import connect_to
from tests.s3_stub import Bucket, S3Stub, Version

SETTINGS = Settings(
    registry_buckets=("packages",), engine="lab", event_bus="bus", notifications_topic_arn="topic"
)
KEYS = ["f/a", "f/b", "f/c"]
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIATESTTESTTESTTEST", "AWS_SECRET_ACCESS_KEY": "secret"}


class Published:
    """The events and notifications, with the refusals of EventBridge and SNS."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.notices: list[tuple[str, str]] = []
        self.refused = False

    def put_event(self, bus: str, **event: Any) -> None:
        self._refuse()
        self.events.append({**event, "detail": json.loads(event["detail"])})

    def publish_notice(self, topic_arn: str, subject: str, text: str) -> None:
        self._refuse()
        self.notices.append((subject, text))

    def _refuse(self) -> None:
        if self.refused:
            raise AwsError("Refused.", why="Throttled.", remedy="Retry.")


@pytest.fixture
def published(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> Published:
    """The function's surroundings."""
    found = Published()
    monkeypatch.setattr(clients, "put_event", found.put_event)
    monkeypatch.setattr(clients, "publish_notice", found.publish_notice)
    monkeypatch.setattr(invocations, "load_settings", lambda: SETTINGS)
    monkeypatch.setattr(
        invocations, "connect", lambda: connect_to(s3_stub.url, CREDENTIALS, retry_base_ms=1)
    )
    return found


@pytest.fixture
def log(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> JobLog:
    return JobLog(capsys, monkeypatch)


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


@pytest.fixture
def versions(s3_stub: S3Stub, raw: Bucket) -> dict[str, Version]:
    """A package of three versions."""
    found = {key: put(raw, key, key.encode()) for key in KEYS}
    entries = [entry_of(raw, key, version) for key, version in found.items()]
    publish(s3_stub.create_bucket("packages"), entries)
    return found


def run(**event: Any) -> dict[str, Any]:
    return audit.handler(event, invocation())


@pytest.mark.usefixtures("versions")
def test_an_intact_package_is_only_logged(published: Published, log: JobLog) -> None:
    assert run()["done"]
    line = log.read_line()
    assert (line["message"], line["entries"], line["damaged"]) == ("package audited", 3, 0)
    assert (published.events, published.notices) == ([], [])


RULE = (
    "<Rule><ID>{0}</ID><Filter/><Status>Enabled</Status><Transition><Days>{1}</Days>"
    "<StorageClass>GLACIER</StorageClass></Transition></Rule>"
)


@pytest.mark.usefixtures("published")
def test_losses_to_come_are_logged_with_the_first_date(
    log: JobLog, raw: Bucket, s3_stub: S3Stub
) -> None:
    version = put(raw, "f/a", b"a", last_modified=1_700_000_000.0)  # 2023-11-14
    publish(s3_stub.create_bucket("packages"), [entry_of(raw, "f/a", version)])
    raw.lifecycle = RULE.format("late", 90) + RULE.format("soon", 30)
    run()
    line = log.read_line()
    assert (line["expiring"], line["first_loss"], line["damaged"]) == (2, "2023-12-15", 0)


def test_damage_is_an_event_a_notification_and_a_log_line(
    published: Published, log: JobLog, raw: Bucket, versions: dict[str, Version]
) -> None:
    raw.delete("f/b", versions["f/b"].version_id)
    assert run()["done"]
    [event] = published.events
    assert (event["source"], event["detail_type"]) == ("quilt.packager", "Package Damaged")
    detail = event["detail"]
    assert (detail["engine"], detail["package_name"]) == ("lab", PACKAGE.name)
    assert (detail["damaged"], detail["codes"]) == (1, {"ObjectMissing": 1})
    assert detail["findings"][0]["logical_key"] == "f/b"
    [(subject, text)] = published.notices
    assert subject == "Package Damaged: runs/42"
    assert '"f/b" does not exist' in text
    _, damaged = log.read_lines()
    assert (damaged["message"], damaged["level"]) == ("package damaged", "ERROR")
    assert damaged["findings"] == detail["findings"]


def test_packages_are_counted(
    published: Published, log: JobLog, raw: Bucket, versions: dict[str, Version]
) -> None:
    raw.delete("f/b", versions["f/b"].version_id)
    run()
    assert log.read_metrics() == [{"PackagesAudited": [1], "PackagesDamaged": [1]}]


@pytest.mark.usefixtures("versions")
def test_a_damaged_pointer_is_damage_of_the_package(published: Published, s3_stub: S3Stub) -> None:
    s3_stub.store.buckets["packages"].delete(PACKAGE.pointer("latest").key)
    run()
    assert published.events[0]["detail"]["codes"] == {"LatestMissing": 1}


def test_refused_notifications_end_no_audit(
    published: Published, log: JobLog, raw: Bucket, versions: dict[str, Version]
) -> None:
    published.refused = True
    raw.delete("f/b", versions["f/b"].version_id)
    assert run()["done"]
    refused = [line for line in log.read_lines() if line["message"] == "damage not published"]
    assert [line["destination"] for line in refused] == ["event bus", "topic"]


@pytest.mark.usefixtures("versions")
def test_a_failure_of_s3_skips_a_package(
    published: Published, log: JobLog, s3_stub: S3Stub
) -> None:
    s3_stub.on("ListObjectVersions", times=None).answer(503, "SlowDown")
    assert run()["done"]
    line = log.read_line()
    assert (line["message"], line["code"]) == ("package not audited", "ServiceUnavailable")
    assert published.events == []


def test_an_audit_continues_within_a_package(
    published: Published,
    raw: Bucket,
    versions: dict[str, Version],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revision_audit, "BLOCK_ENTRIES", 1)
    for key in KEYS:
        raw.delete(key, versions[key].version_id)
    result = run(cursor={"registry": "packages", "package_name": PACKAGE.name, "block": 2})
    assert result["done"]
    assert published.events[0]["detail"]["damaged"] == 1


@pytest.mark.parametrize(
    ("cursor", "is_done", "code"),
    [
        # The next invocation begins with it.
        ({}, False, None),
        # It had all of this one.
        ({"registry": "packages", "package_name": PACKAGE.name}, True, "DeadlineExceeded"),
    ],
)
@pytest.mark.usefixtures("published", "versions")
def test_a_package_is_skipped_only_if_a_whole_invocation_is_too_short(
    log: JobLog,
    s3_stub: S3Stub,
    monkeypatch: pytest.MonkeyPatch,
    *,
    cursor: dict[str, str],
    is_done: bool,
    code: str | None,
) -> None:
    packages = s3_stub.store.buckets["packages"]
    latest = packages.get(PACKAGE.pointer("latest").key)
    assert latest is not None
    packages.put(".quilt/named_packages/runs/43/latest", latest.data)
    is_late = property(lambda audit: audit._revision.package.name == "runs/43")
    monkeypatch.setattr(revision_audit.RevisionAudit, "_is_over", is_late)
    result = run(cursor=cursor)
    assert result["done"] is is_done
    assert result["cursor"]["package_name"] == ("" if is_done else PACKAGE.name)
    *_, last = log.read_lines()
    assert last.get("code") == code


@pytest.mark.usefixtures("versions")
def test_an_invocation_without_time_returns_where_to_continue(
    published: Published, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit, "SHARE_OF_TIME", -1)
    result = run(cursor={"registry": "packages", "package_name": "runs/41"})
    expected = {"registry": "packages", "package_name": "runs/41", "block": 0}
    assert result == {"done": False, "cursor": expected}
