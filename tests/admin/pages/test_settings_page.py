"""The Settings tab: event sources, their switches, and the configuration."""

import html
import re
import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.admin.app import make_app
from quilt_packager.admin.model import caching, settings_views
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.checks.finding import Finding, notice, ok, unconfirmed, wrong
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.queues import Queues
from quilt_packager.operations.folders.contents import Contents
from quilt_packager.operations.folders.history import FolderHistory
from quilt_packager.operations.folders.verdicts import SourceVerdict, Verdict
from quilt_packager.operations.jobs.job import State
from quilt_packager.operations.sources.sources import Source
from tests.admin.browser import Answer, Browser
from tests.admin.engine import IDENTITY, Engine, ago, make_failed, make_job

if TYPE_CHECKING:
    from datetime import datetime

    from quilt_packager_runtime.settings.upload_settings import UploadSettings

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


def make_history(**facts: Any) -> FolderHistory:
    """Make the history of a folder that no source packages, unless `facts` differ."""
    known: dict[str, Any] = {
        "folder": "s3://raw/run-9/",
        "contents": Contents(3, "run-9/a.csv", ago(hours=1)),
        "sources": (
            SourceVerdict("wrroc", "Nextflow runs", Verdict.IGNORES, "It does not watch raw."),
        ),
        "jobs": (),
        "covered_by": (),
        "failures": (),
        "package_name": "run-9",
        "registry": "raw",
        "revision": None,
        "since": ago(days=7),
        **facts,
    }
    return FolderHistory(**known)


class Sources:
    """Scripted answers of EventBridge; each may be an error instead."""

    def __init__(self) -> None:
        self.sources: list[Source] | Exception = [make_source()]
        self.events: dict[str, int] | Exception = {"omics": 42}
        self.switched: list[tuple[str, bool]] = []
        self.last: dict[str, datetime] = {}
        self.flags: dict[str, Any] | None = {}
        self.uploads: list[UploadSettings] = []
        self.findings: Sequence[Finding] | Exception = ()
        self.checks = 0
        self.history: FolderHistory | Exception = make_history()
        self.explained: list[str] = []

    def list(self, _: object) -> list[Source]:
        if isinstance(self.sources, Exception):
            raise self.sources
        return self.sources

    def count(self, _: object, sources: Sequence[Source]) -> dict[str, int]:
        if isinstance(self.events, Exception):
            raise self.events
        return {name: count for name, count in self.events.items() if sources}

    def check(self) -> Sequence[Finding]:
        self.checks += 1
        if isinstance(self.findings, Exception):
            raise self.findings
        return self.findings

    async def explain(self, _: object, folder: SourceFolder, *__: object, **___: object) -> Any:
        self.explained.append(str(folder))
        if isinstance(self.history, Exception):
            raise self.history
        return self.history

    def switch(self, _: object, name: str, *, enabled: bool) -> Source:
        self.switched.append((name, enabled))
        assert isinstance(self.sources, list)
        self.sources = [
            msgspec.structs.replace(each, enabled=enabled) if each.name == name else each
            for each in self.sources
        ]
        return next(each for each in self.sources if each.name == name)


def set_dead_letters(engine: Engine, count: int) -> None:
    assert isinstance(engine.queues, Queues)
    engine.queues = msgspec.structs.replace(engine.queues, dead_letters=count)


@pytest.fixture
def sources(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Sources:
    scripted = Sources()
    set_dead_letters(engine, 0)
    for name, answer in (
        ("list_sources", scripted.list),
        ("count_events", scripted.count),
        ("find_last_events", lambda *_: scripted.last),
        ("set_enabled", scripted.switch),
        ("read_deployed_flags", lambda _: scripted.flags),
        ("read_upload_settings", lambda _: scripted.uploads),
        ("check", lambda _: scripted.check()),
        ("connect_s3", lambda *_: None),
        ("read_history", scripted.explain),
    ):
        monkeypatch.setattr(settings_views, name, answer)
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
    assert activity_of(answer) == "0 packages 0 jobs, 42 events none needs attention"
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
    text = activity_of(browser.htmx("/settings/activity"))
    assert text == "1 package 2 jobs, 42 events none needs attention"


def test_unknown_activity_is_shown_as_unknown(
    browser: Browser, engine: Engine, sources: Sources
) -> None:
    sources.events = DENIED
    sources.sources = [make_source("lims", "custom")]
    answer = browser.htmx("/settings/activity")
    assert activity_of(answer, "lims").endswith("unknown")
    assert "AWS denied GetMetrics." in answer.text
    assert "<b>you" not in answer.text


def test_difference_is_shown_with_the_flag_that_keeps_it(
    browser: Browser, sources: Sources
) -> None:
    sources.sources = [
        make_source(enabled=False, keep='"quilt:omics": false in the context of cdk.json')
    ]
    text = browser.htmx("/settings/sources").text
    assert "Runs of omics is off here, and on in the last deployment." in text
    assert "unless cdk.json says <code>&#34;quilt:omics&#34;: false</code>" in text
    assert 'data-copy="&#34;quilt:omics&#34;: false"' in text
    assert "differs from now" in text


def test_difference_that_no_flag_keeps_is_shown_with_the_code_that_keeps_it(
    browser: Browser, sources: Sources
) -> None:
    sources.flags = None
    sources.sources = [make_source(enabled=False, keep="enabled=False of the event source")]
    text = browser.htmx("/settings/sources").text
    assert "unless it has <code>enabled=False of the event source</code>" in text
    assert "data-copy" not in text


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
    browser.htmx("/settings/sources")
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


def test_source_shows_what_it_leaves_out_and_waits_for(
    browser: Browser, engine: Engine, sources: Sources
) -> None:
    options = SourceOptions(
        kind="health_omics",
        include_prefixes=("runs/**",),
        exclude=("**/work/**",),
        require=("healthomics_outputs",),
    )
    engine.configuration = Configuration(Settings(sources=(options,)))
    text = re.sub("<[^>]*>", "", browser.htmx("/settings/sources").text)
    assert "Only runs/**. Leaves out **/work/**." in text
    assert "Waits for each output that the run names, at most 15 min." in text


def test_source_without_options_leaves_out_nothing(browser: Browser, sources: Sources) -> None:
    text = re.sub("<[^>]*>", "", browser.htmx("/settings/sources").text)
    assert "Leaves out nothing." in text
    assert "Waits for" not in text


def test_last_event_is_that_of_the_last_job_or_the_hour_of_the_metric(
    browser: Browser, engine: Engine, sources: Sources
) -> None:
    sources.sources = [
        make_source(),
        make_source("wrroc", "workflow_run_crate"),
        make_source("edp", "objects_ready"),
    ]
    sources.last = {"omics": ago(hours=3), "wrroc": ago(days=3)}
    engine.jobs = [make_job(started=ago(minutes=10))]
    text = browser.htmx("/settings/activity").text
    last = {
        name: " ".join(re.sub("<[^>]*>", " ", found).split())
        for name, found in re.findall(r'last-(\w+)">(.*?)</hx-partial>', text, re.DOTALL)
    }
    assert last["omics"].endswith("10 min ago")
    assert last["wrroc"].startswith("After ")
    assert last["wrroc"].endswith("3 d ago")
    assert last["edp"] == "None in 30 days"


def test_source_links_to_its_failures(
    browser: Browser, engine: Engine, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_dead_letters(engine, 3)
    letters = SimpleNamespace(
        letters=[
            SimpleNamespace(trigger="health_omics", event_source=None),
            SimpleNamespace(trigger="health_omics", event_source=None),
            SimpleNamespace(trigger="message", event_source=None),
        ]
    )
    for views in engine.views:
        monkeypatch.setattr(views.dead_letters, "read", lambda: caching.Answer(letters))
    text = browser.htmx("/settings/activity").text
    assert '<a href="/failures?source=HealthOmics">2 need attention</a>' in text


def test_dead_letters_are_not_read_if_there_are_none(
    browser: Browser, engine: Engine, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    for views in engine.views:
        monkeypatch.setattr(views.dead_letters, "read", None)
    assert "none needs attention" in browser.htmx("/settings/activity").text


class TestCheck:
    """The check of the engine."""

    FINDINGS = (
        wrong("my-runs", "It does not exist.", "Correct quilt:source_buckets."),
        notice("lab-plates", "It is not versioned.", "Turn versioning on."),
        unconfirmed("edp", "No event in 30 days."),
        *(ok(f"bucket-{number}", f"It is right, {number}.") for number in range(5)),
    )

    def check(self, browser: Browser, access: Access) -> Answer:
        """Check the engine, and return the list."""
        browser.post("/settings/check", {"csrf": access.csrf_token}, hx_request="true")
        return browser.htmx("/settings/check?announce=1")

    def test_runs_only_on_request(self, browser: Browser, sources: Sources) -> None:
        assert "Check the engine" in browser.get("/settings?whole=1").text
        assert sources.checks == 0

    def test_shows_the_worst_first_with_its_remedy(
        self, browser: Browser, sources: Sources, access: Access
    ) -> None:
        sources.findings = self.FINDINGS
        text = self.check(browser, access).text
        shown = re.findall(r'<li class="k-(\w+)', text)
        assert shown == ["bad", "warn", "info", "ok", "ok", "ok"]
        assert "<b>my-runs</b> It does not exist." in text
        assert "Correct quilt:source_buckets." in text
        assert "1 wrong, 1 to know, 1 not confirmed, 5 right" in text
        assert "Check again" in text

    def test_shows_all_on_request(self, browser: Browser, sources: Sources, access: Access) -> None:
        sources.findings = self.FINDINGS
        folded = self.check(browser, access).text
        assert 'href="/settings?check=all#check"' in folded
        for answer in (
            browser.htmx("/settings/check?check=all"),
            browser.get("/settings?whole=1&check=all"),
        ):
            assert answer.text.count('class="k-ok"') == 5
            assert "check=all#check" not in answer.text

    def test_announces_its_result(self, browser: Browser, sources: Sources, access: Access) -> None:
        sources.findings = self.FINDINGS
        announced = '<hx-partial hx-target="#announce">8 checks: 1 wrong.</hx-partial>'
        assert announced in self.check(browser, access).text
        assert "#announce" not in browser.htmx("/settings/check").text

    def test_waits_for_its_end_in_a_second_request(
        self, browser: Browser, sources: Sources, access: Access, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        may_end = threading.Event()
        monkeypatch.setattr(settings_views, "check", lambda _: may_end.wait() and self.FINDINGS)
        form = {"csrf": access.csrf_token}
        asked = browser.post("/settings/check", form, hx_request="true").text
        assert 'hx-get="/settings/check?announce=1" hx-trigger="load"' in asked
        assert 'aria-disabled="true"' in browser.get("/settings").text
        may_end.set()
        assert "hx-trigger" not in browser.htmx("/settings/check").text

    def test_works_without_javascript(
        self, browser: Browser, sources: Sources, access: Access
    ) -> None:
        sources.findings = self.FINDINGS
        answer = browser.post("/settings/check", {"csrf": access.csrf_token})
        assert (answer.status, answer.headers["location"]) == (303, "/settings?whole=1#check")
        assert "1 wrong" in browser.get("/settings?whole=1").text

    def test_error_is_explained_above_the_last_list(
        self, browser: Browser, sources: Sources, access: Access
    ) -> None:
        sources.findings = self.FINDINGS
        self.check(browser, access)
        sources.findings = DENIED
        text = self.check(browser, access).text
        assert "AWS denied GetMetrics." in text
        assert "my-runs" in text

    def test_read_only_page_runs_none(self, engine: Engine, sources: Sources) -> None:
        access = Access(8765, read_only=True, allowed_when_read_only=["/theme"])
        browser = Browser(make_app(Views(engine), IDENTITY, access))  # type: ignore[arg-type]
        browser.get(f"/?token={access.start_token}")
        assert 'action="/settings/check"' not in browser.get("/settings").text
        assert browser.post("/settings/check", {"csrf": access.csrf_token}).status == 403
        assert sources.checks == 0


class TestExplain:
    """The reasons for which a folder is not packaged."""

    def test_has_an_answer_for_each_source(self, browser: Browser, sources: Sources) -> None:
        answer = browser.htmx("/settings/explain?explain=s3%3A%2F%2Fraw%2Frun-9")
        assert sources.explained == ["s3://raw/run-9/"]
        assert "<b>No event source packages this folder as it is.</b>" in answer.text
        assert "<b>Nextflow runs</b> It does not watch raw." in answer.text
        assert 'href="/new?source_prefix=s3%3A%2F%2Fraw%2Frun-9%2F"' in answer.text
        assert answer.headers["hx-replace-url"] == "/settings?explain=s3%3A%2F%2Fraw%2Frun-9"

    def test_links_to_the_last_job(self, browser: Browser, sources: Sources) -> None:
        job = make_failed("f1")
        sources.history = make_history(jobs=(job,))
        text = browser.htmx("/settings/explain?explain=s3://raw/run-9/").text
        assert '<li class="k-bad">' in text
        assert 'href="/jobs/f1"' in text

    def test_address_asks_again(self, browser: Browser, sources: Sources) -> None:
        frame = browser.get("/settings?explain=s3://raw/run-9/").text
        assert 'hx-get="/settings/explain?explain=s3%3A//raw/run-9/" hx-trigger="load"' in frame
        assert sources.explained == []
        assert "Nextflow runs" in browser.get("/settings?whole=1&explain=s3://raw/run-9/").text

    def test_unusable_folder_is_explained_at_its_field(
        self, browser: Browser, sources: Sources
    ) -> None:
        text = browser.htmx("/settings/explain?explain=raw/run-9").text
        assert 'aria-invalid="true"' in text
        assert "raw/run-9" in text
        assert sources.explained == []

    def test_error_of_aws_is_explained(self, browser: Browser, sources: Sources) -> None:
        sources.history = DENIED
        text = browser.htmx("/settings/explain?explain=s3://raw/run-9/").text
        assert "AWS denied GetMetrics." in text


class TestFlags:
    """The flags in force."""

    def test_switched_source_changes_its_flag(self, browser: Browser, sources: Sources) -> None:
        sources.sources = [make_source(enabled=False)]
        sources.flags = {"quilt:source_buckets": ["raw", "runs"]}
        text = html.unescape(browser.htmx("/settings/engine").text)
        lines = '"quilt:source_buckets": ["raw", "runs"],\n"quilt:omics": false'
        assert f"{lines}</pre>" in text
        assert f'data-copy="{lines}"' in text
        assert "<code>quilt:omics</code> was switched" in text

    @pytest.mark.parametrize(
        ("flags", "words"),
        [({}, "All flags have their defaults."), (None, "made in the code of a stack")],
    )
    def test_engine_without_flags_says_so(
        self, browser: Browser, sources: Sources, flags: dict[str, Any] | None, words: str
    ) -> None:
        sources.flags = flags
        assert words in browser.htmx("/settings/engine").text
