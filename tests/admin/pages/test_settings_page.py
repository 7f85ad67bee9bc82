"""The Settings tab: event sources, their switches, and the configuration."""

import html
import re
from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.app import make_app
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages import settings_page
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.jobs.job import State
from quilt_packager.operations.sources.sources import Source
from tests.admin.browser import Answer, Browser
from tests.admin.engine import IDENTITY, Engine, ago, make_job

DENIED = ClientError(
    {"Error": {"Code": "AccessDenied", "Message": "Not <b>you</b>."}}, "GetMetrics"
)
HOSTILE = [
    "<script>alert(1)</script>",
    "\"quoted\" 'both'",
    "שלום/עולם",
    "🧬 👩‍🔬",
    "{{ 7 * 7 }} a&amp;b",
]


def make_source(name: str = "omics", kind: str = "health_omics", **facts: Any) -> Source:
    """Make a source that is on, as deployed, unless `facts` differ."""
    known: dict[str, Any] = {
        "title": f"Runs of {name}",
        "matches": "A HealthOmics run reaches COMPLETED.",
        "enabled": True,
        "deployed": True,
        "rule": f"lab-{name}",
        "event_bus": "default",
        "description": "HealthOmics runs",
        "pattern": {"source": ["aws.omics"]},
        **facts,
    }
    return Source(name=name, kind=kind, **known)


class Sources:
    """Scripted answers of EventBridge; each may be an error instead."""

    def __init__(self) -> None:
        self.sources: list[Source] | Exception = [make_source()]
        self.events: dict[str, int] | Exception = {"omics": 42}
        self.switched: list[tuple[str, bool]] = []

    def list(self, _: object) -> list[Source]:
        if isinstance(self.sources, Exception):
            raise self.sources
        return self.sources

    def count(self, _: object, sources: Sequence[Source]) -> dict[str, int]:
        if isinstance(self.events, Exception):
            raise self.events
        return {name: count for name, count in self.events.items() if sources}

    def switch(self, _: object, name: str, *, enabled: bool) -> Source:
        self.switched.append((name, enabled))
        assert isinstance(self.sources, list)
        self.sources = [
            msgspec.structs.replace(each, enabled=enabled) if each.name == name else each
            for each in self.sources
        ]
        return next(each for each in self.sources if each.name == name)


@pytest.fixture
def sources(monkeypatch: pytest.MonkeyPatch) -> Sources:
    scripted = Sources()
    monkeypatch.setattr(settings_page, "list_sources", scripted.list)
    monkeypatch.setattr(settings_page, "count_events", scripted.count)
    monkeypatch.setattr(settings_page, "set_enabled", scripted.switch)
    return scripted


def activity_of(answer: Answer, name: str = "omics") -> str:
    """Return the text about the last day of a source."""
    found = re.search(rf"act-{name}\">(.*?)</(?:dd|hx-partial)>", answer.text, re.DOTALL)
    assert found is not None
    return " ".join(re.sub("<[^>]*>", " ", found[1]).split())


def test_frame_asks_nothing_of_aws(browser: Browser, engine: Engine, sources: Sources) -> None:
    sources.sources = AssertionError()
    answer = browser.get("/settings")
    assert (answer.status, engine.asked) == (200, [])
    assert 'hx-get="/settings/sources?at="' in answer.text


def test_page_is_complete_without_javascript(
    browser: Browser, engine: Engine, sources: Sources
) -> None:
    assert 'content="0; url=?whole=1&amp;"' in browser.get("/settings").text
    answer = browser.get("/settings?whole=1")
    assert "Runs of omics" in answer.text
    assert activity_of(answer) == "42 matched no jobs"
    assert "PackagerQueue-1A2B" in answer.text
    assert 'hx-trigger="load"' not in answer.text


def test_source_shows_its_rule_and_pattern(browser: Browser, sources: Sources) -> None:
    text = browser.htmx("/settings/sources").text
    for words in ("A HealthOmics run reaches", "lab-omics", "aws.omics", "same as now"):
        assert words in text


@pytest.mark.parametrize(
    ("enabled", "checked", "action"),
    [(True, "true", "/settings/ask"), (False, "false", "/settings/switch")],
)
def test_switch_shows_its_state(
    browser: Browser, sources: Sources, *, enabled: bool, checked: str, action: str
) -> None:
    sources.sources = [make_source(enabled=enabled)]
    text = browser.htmx("/settings/sources").text
    assert f'role="switch" aria-checked="{checked}" aria-label="Runs of omics"' in text
    assert f'action="{action}"' in text


def test_activity_is_loaded_separately(browser: Browser, engine: Engine, sources: Sources) -> None:
    engine.jobs = [
        make_job("1"),
        make_job("2", outcome=State.FAILED),
        make_job("3", started=ago(hours=24.5)),
        make_job("4", trigger="message"),
    ]
    first = browser.htmx("/settings/sources")
    assert activity_of(first) == "Counting"
    assert 'hx-get="/settings/activity" hx-trigger="load"' in first.text
    assert activity_of(browser.htmx("/settings/activity")) == "42 matched 2 jobs, 1 failed"


def test_unknown_activity_is_shown_as_unknown(
    browser: Browser, engine: Engine, sources: Sources
) -> None:
    sources.events = DENIED
    sources.sources = [make_source("lims", "custom")]
    answer = browser.htmx("/settings/activity")
    assert activity_of(answer, "lims").endswith("unknown")
    assert "AWS denied GetMetrics." in answer.text
    assert "Not &lt;b&gt;you&lt;/b&gt;." in answer.text


def test_difference_is_shown_with_the_flag_that_keeps_it(
    browser: Browser, sources: Sources
) -> None:
    sources.sources = [
        make_source(enabled=False, keep='"quilt:omics": false in the context of cdk.json')
    ]
    text = browser.htmx("/settings/sources").text
    assert "One source differs from what was deployed." in text
    assert "Runs of omics was turned off here or in the console" in text
    assert "<code>&#34;quilt:omics&#34;: false in the context of cdk.json</code>" in text
    assert "differs from now" in text


def test_rule_that_is_gone_has_no_switch(browser: Browser, sources: Sources) -> None:
    sources.sources = [make_source(enabled=False, pattern={}, description="")]
    assert 'role="switch"' not in browser.htmx("/settings/sources").text


def test_engine_without_sources_is_explained(browser: Browser, sources: Sources) -> None:
    sources.sources = []
    assert "No event sources" in browser.htmx("/settings/sources").text


def test_error_of_aws_is_explained_in_place(browser: Browser, sources: Sources) -> None:
    sources.sources = DENIED
    text = browser.htmx("/settings/sources").text
    assert "AWS denied GetMetrics." in text


def test_off_asks_first(browser: Browser, sources: Sources, access: Access) -> None:
    form = {"csrf": access.csrf_token, "name": "omics"}
    asked = browser.post("/settings/ask", form, hx_request="true").text
    assert asked.startswith("<dialog")
    assert "Turn off Runs of omics?" in asked
    assert "are lost; quilt-packager backfill can find their folders." in asked
    assert "autofocus>Leave it on<" in asked
    assert sources.switched == []


@pytest.mark.parametrize(("to", "enabled"), [("on", True), ("off", False)])
def test_switch_shows_the_new_state_in_eventbridge(
    browser: Browser, sources: Sources, access: Access, to: str, *, enabled: bool
) -> None:
    sources.sources = [make_source(enabled=not enabled)]
    form = {"csrf": access.csrf_token, "name": "omics", "to": to}
    answer = browser.post("/settings/switch", form)
    assert (answer.status, answer.headers["location"]) == (303, "/settings?at=omics")
    assert sources.switched == [("omics", enabled)]
    text = browser.get("/settings?at=omics").text
    assert f"Runs of omics: turned {to}." in text
    assert re.search(rf'aria-checked="{str(enabled).lower()}"[^>]* autofocus', text)


def test_success_is_shown_without_javascript(
    browser: Browser, sources: Sources, access: Access
) -> None:
    assert '<input type="hidden" name="whole" value="1">' in browser.get("/settings?whole=1").text
    form = {"csrf": access.csrf_token, "name": "omics", "whole": "1"}
    assert (
        '<input type="hidden" name="whole" value="1">' in browser.post("/settings/ask", form).text
    )
    answer = browser.post("/settings/switch", {**form, "to": "off"})
    assert "Runs of omics: turned off." in browser.get(answer.headers["location"]).text
    assert "whole=1" in answer.headers["location"]


def test_source_that_is_not_there_cannot_be_turned_off(
    browser: Browser, sources: Sources, access: Access
) -> None:
    answer = browser.post("/settings/ask", {"csrf": access.csrf_token, "name": "odd"})
    assert answer.status == 404
    assert "The event source does not exist." in answer.text


def test_read_only_page_shows_states_without_switches(engine: Engine, sources: Sources) -> None:
    access = Access(8765, read_only=True, allowed_when_read_only=["/theme"])
    browser = Browser(make_app(Views(engine), IDENTITY, access))  # type: ignore[arg-type]
    browser.get(f"/?token={access.start_token}")
    text = browser.get("/settings?whole=1").text
    assert '<span class="swrow">On</span>' in text
    assert 'role="switch"' not in text
    form = {"csrf": access.csrf_token, "name": "omics", "to": "off"}
    assert browser.post("/settings/switch", form).status == 403
    assert sources.switched == []


def test_engine_configuration_is_shown(browser: Browser, engine: Engine, sources: Sources) -> None:
    engine.configuration = Configuration(
        Settings(
            source_buckets=("raw",),
            registry_buckets=("quilt-prod", "quilt-imaging"),
            quarantine_registry="quarantine",
            state_machine_arn="arn",
            catalog_url="https://catalog.example.com",
            event_bus="arn:aws:events:us-east-1:123456789012:event-bus/outcomes",
            notifications_topic_arn="arn:aws:sns:us-east-1:123456789012:people",
        ),
        3008,
    )
    browser.htmx("/jobs/list")
    text = browser.htmx("/settings/engine").text
    for words in (
        "raw",
        "quilt-prod, quilt-imaging",
        "quarantine",
        "3,008 MiB",
        "outcomes",
        "people",
    ):
        assert words in text
    assert "PackagerDLQ-4D5E</a>, kept for 14 d" in text
    assert "more than 500,000 checksums, or 1.0 TiB to hash" in text
    assert "$252Fquilt$252Fprod-packager$252Fpackager" in text


def test_catalog_that_is_no_address_is_no_link(
    browser: Browser, engine: Engine, sources: Sources
) -> None:
    engine.configuration = Configuration(Settings(catalog_url="javascript:alert(1)"))
    assert 'href="javascript' not in browser.htmx("/settings/engine").text


def test_unreadable_configuration_is_explained(
    browser: Browser, engine: Engine, sources: Sources
) -> None:
    engine.configuration = DENIED
    assert "AWS denied GetMetrics." in browser.htmx("/settings/engine").text


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_is_text(
    browser: Browser, engine: Engine, sources: Sources, access: Access, text: str
) -> None:
    sources.sources = [
        make_source(
            text,
            title=text,
            matches=text,
            rule=text,
            event_bus=text,
            description=text,
            pattern={text: [text]},
            enabled=False,
            keep=text,
        ),
        make_source("on", title=text),
    ]
    engine.configuration = Configuration(Settings(source_buckets=(text,)))
    asked = browser.post("/settings/ask", {"csrf": access.csrf_token, "name": "on"})
    browser.post("/settings/switch", {"csrf": access.csrf_token, "name": text, "to": "on"})
    for answer in (
        asked,
        browser.get("/settings?whole=1"),
        browser.htmx("/settings/sources?at=%22%3E%3Cscript%3Ealert"),
    ):
        assert "<script>alert" not in answer.text
        assert text in html.unescape(answer.text)
    assert "<script>alert" not in browser.htmx("/settings/activity").text
    assert sources.switched == [(text, True)]
