"""The actions on a job that waits for required files."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.app import make_app
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.jobs.job import Job, Progress
from tests.admin.browser import PORT, Browser
from tests.admin.engine import IDENTITY, Engine, make_job, make_line, make_running

AWAITED = make_line(
    "files awaited",
    seconds=120,
    gives_up_seconds=800,
    missing=3,
    happened="s3://raw/runs/42/ is incomplete.",
    execution="a1",
)


def make_waiting(**facts: Any) -> Job:
    known = {"source": "s3://raw/runs/42/", "registry": "raw", "package_name": "runs/42", **facts}
    return make_running("a1", progress=Progress("waiting", 0), execution="a1", **known)


@pytest.fixture
def sent(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The bodies that are sent, and the executions that are stopped."""
    sent: list[str] = []

    class Client:
        def send_message(self, **given: str) -> dict[str, str]:
            sent.append(given["MessageBody"])
            return {"MessageId": "look-1"}

        def stop_execution(self, **given: str) -> None:
            sent.append(given["executionArn"])

    monkeypatch.setattr(Engine, "sqs", Client(), raising=False)
    monkeypatch.setattr(Engine, "states", Client(), raising=False)
    engine.jobs, engine.lines = [make_waiting()], [AWAITED]
    return sent


def test_missing_files_and_the_next_look_are_named(browser: Browser, sent: list[str]) -> None:
    text = browser.htmx("/jobs/a1/body").text
    assert "<b>3 required files are missing</b>" in text
    assert "s3://raw/runs/42/ is incomplete." in text
    assert "the job is rejected as <code>Incomplete</code>" in text
    assert "&amp;missing_parts=leave_out" in text


def test_engine_looks_at_once(browser: Browser, sent: list[str]) -> None:
    token = browser.csrf("/jobs/a1?whole=1")
    answer = browser.post("/jobs/a1/look", {"csrf": token})
    assert (answer.status, answer.headers["location"]) == (303, "/jobs/a1")
    assert json.loads(sent[0])["detail"] == {"bucket": "raw", "prefix": "runs/42/"}
    assert 'href="/jobs/look-1"' in browser.get("/jobs/a1").text


def test_look_that_would_make_another_package_is_not_offered(
    browser: Browser, engine: Engine, sent: list[str]
) -> None:
    engine.configuration = Configuration(Settings(default_registry="packages"))
    text = browser.get("/jobs/a1?whole=1").text
    assert "Stop waiting" in text
    assert "Look now" not in text
    assert browser.post("/jobs/a1/look", {"csrf": browser.csrf("/jobs/a1?whole=1")}).status == 404
    assert sent == []


def test_wait_is_stopped_after_a_question(browser: Browser, sent: list[str]) -> None:
    question = browser.get("/jobs/a1/stop").text
    assert "Stop waiting for the files?" in question
    assert "<code>s3://raw/runs/42/</code>" in question
    assert "Keep waiting" in question
    assert sent == []
    answer = browser.post("/jobs/a1/stop", {"csrf": browser.csrf("/jobs/a1/stop")})
    assert answer.headers["location"] == "/jobs/a1"
    assert sent == ["arn:aws:states:us-east-1:123456789012:execution:LargeJobs:a1"]


def test_job_that_no_longer_waits_is_left_alone(
    browser: Browser, engine: Engine, sent: list[str]
) -> None:
    token = browser.csrf("/jobs/a1/stop")
    engine.jobs = [make_job("a1")]
    engine.views[0]._job.of("a1").invalidate()
    for action in ("look", "stop"):
        answer = browser.post(f"/jobs/a1/{action}", {"csrf": token})
        assert answer.status == 404
        assert "does not wait for files" in answer.text
    assert sent == []


def test_page_that_is_read_only_offers_no_action(engine: Engine, sent: list[str]) -> None:
    access = Access(PORT, read_only=True)
    engine.views.append(Views(engine))  # type: ignore[arg-type]
    browser = Browser(make_app(engine.views[-1], IDENTITY, access))
    browser.get(f"/?token={access.start_token}")
    text = browser.get("/jobs/a1?whole=1").text
    assert "files are missing" in text
    for words in ("Stop waiting", "Look now", "Package without"):
        assert words not in text
