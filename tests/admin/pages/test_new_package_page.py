"""The New package tab: notes below fields, plans, and sent messages."""

import html
import json
import re
import shlex
from typing import Any, ClassVar
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import msgspec
import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.errors import (
    Explanation,
    HeldForReview,
    InvalidCrate,
    InvalidMetadata,
    Rejected,
)
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.requests.messages import Message
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.app import ALLOWED_WHEN_READ_ONLY, make_app
from quilt_packager.admin.model import caching, links
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages import message_options, new_package_page
from quilt_packager.admin.pages.package_form import DEFAULT, OTHER, Draft, check_draft, read_message
from quilt_packager.admin.pages.package_verdict import Planned, Verdict, judge
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.known_metadata import Known
from quilt_packager.operations.deployment.known_workflows import KnownWorkflows
from quilt_packager.operations.deployment.messages import check
from quilt_packager.operations.discovery.packaged import Packaged
from quilt_packager.operations.discovery.recognition import Recognised
from quilt_packager.operations.discovery.subfolders import Subfolder, Subfolders
from quilt_packager.operations.plans.estimates import Estimate
from quilt_packager.operations.plans.plan import Checksums, Contents, Plan, Route
from quilt_packager.operations.plans.sampling import Basis
from tests.admin.browser import Answer, Browser
from tests.admin.engine import IDENTITY, Engine, make_job
from tests.admin.letters import Letters, make_letter

FOLDER = "s3://raw-runs/nf/run-8842/"
SETTINGS = Settings(
    source_buckets=("raw-runs", "imaging"), registry_buckets=("quilt-prod", "quilt-imaging")
)
HOSTILE = [
    "<script>alert(1)</script>",
    "\"quoted\" 'both' `tick` $(id)",
    "שלום עולם",
    "🧬 👩‍🔬",
    "{{ 7 * 7 }} a&amp;b",
]
PLAN = Plan(
    source=FOLDER,
    registry="quilt-prod",
    package_name="nf/run-8842",
    revision=4,
    workflow="ngs-v3",
    contents=Contents(12_408, 3 * 2**40, 2**38, 2),
    checksums=Checksums(5, 12_391, 12, 2**20, Basis.LISTING, 0),
    route=Route(),
    estimate=Estimate({"HEAD": 12_408, "LIST": 13, "PUT": 3}, (110.0, 250.0), 0.0093),
    notes=("2 objects are archived; their stored checksums are sufficient",),
)


class Plans:
    """A scripted plan; may be an error instead."""

    def __init__(self) -> None:
        self.plan: Plan | Exception = PLAN
        self.asked: list[dict[str, Any]] = []

    async def make(self, request: object, **options: Any) -> Plan:
        self.asked.append({"request": request, **options})
        if isinstance(self.plan, Exception):
            raise self.plan
        return self.plan


class Lookups:
    """Scripted metadata of folders."""

    def __init__(self) -> None:
        self.facts: dict[str, Any] = {}
        self.asked: list[str] = []

    def find(self, body: str, settings: Settings, **_: object) -> Known:
        self.asked.append(body)
        return Known(body=body, request=check(body, settings), **self.facts)


class Sender:
    """Records sent messages."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.error: Exception | None = None

    def send(self, _: object, body: str) -> str:
        if self.error is not None:
            raise self.error
        self.sent.append(json.loads(body))
        return "new-1"


@pytest.fixture(autouse=True)
def known(monkeypatch: pytest.MonkeyPatch) -> Lookups:
    found = Lookups()
    monkeypatch.setattr(new_package_page, "find_in_form", found.find)
    return found


@pytest.fixture(autouse=True)
def kinds(monkeypatch: pytest.MonkeyPatch) -> list[Recognised]:
    """The kind of each folder, if there is one."""
    known: list[Recognised] = []
    monkeypatch.setattr(
        new_package_page, "recognise_in_form", lambda *_, **__: known[0] if known else None
    )
    return known


@pytest.fixture(autouse=True)
def workflows(monkeypatch: pytest.MonkeyPatch) -> dict[str, KnownWorkflows]:
    """The workflows of each registry."""
    found: dict[str, KnownWorkflows] = {}
    monkeypatch.setattr(
        new_package_page,
        "find_workflows_in_form",
        lambda registry, **_: found.get(registry, KnownWorkflows()),
    )
    return found


@pytest.fixture(autouse=True)
def below(monkeypatch: pytest.MonkeyPatch) -> dict[str, Subfolders | Exception]:
    """The folders below each folder."""
    found: dict[str, Subfolders | Exception] = {}

    def find(wanted: new_package_page.FolderQuery, **_: object) -> Subfolders:
        answer = found.get(str(wanted.folder), Subfolders(()))
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(new_package_page, "find_subfolders_in_form", find)
    return found


@pytest.fixture
def plans(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Plans:
    made = Plans()
    monkeypatch.setattr(new_package_page, "plan_in_process", made.make)
    engine.configuration = Configuration(SETTINGS)
    return made


@pytest.fixture
def sender(monkeypatch: pytest.MonkeyPatch) -> Sender:
    taken = Sender()
    monkeypatch.setattr(new_package_page, "send", taken.send)
    return taken


def note_of(field: str, settings: Settings = SETTINGS, **fields: Any) -> tuple[str, str]:
    """Return the kind and the text of the note below a field."""
    given = {"source_prefix": FOLDER, "registry": "quilt-prod", **fields}
    note = check_draft(Draft.read(given), settings).notes[field]
    return note.kind, f"{note.text} {note.code}".strip() + note.rest


def form(access: Access, **fields: str) -> dict[str, str]:
    return {"csrf": access.csrf_token, "source_prefix": FOLDER, "registry": "quilt-prod", **fields}


def commands_of(answer: Answer) -> list[str]:
    """Return the arguments of the command on a page."""
    found = re.search(r'<pre tabindex="0">(quilt-packager [^<]*)</pre>', answer.text)
    assert found is not None
    return shlex.split(html.unescape(found[1]))


@pytest.mark.parametrize(
    ("field", "fields", "kind", "text"),
    [
        ("source_prefix", {}, "ok", f"Packages {FOLDER}"),
        ("source_prefix", {"source_prefix": f"{FOLDER}last.txt"}, "warn", f"Packages {FOLDER}, as"),
        ("source_prefix", {"source_prefix": f"{FOLDER}ro-crate-metadata.json"}, "ok", "Packages"),
        ("source_prefix", {"source_prefix": ""}, "bad", "Enter the folder to package"),
        ("source_prefix", {"source_prefix": "http://raw/"}, "bad", "s3://"),
        ("source_prefix", {"source_prefix": "s3://other/a/"}, "bad", "may not read “other”"),
        ("package_name", {}, "hint", "Default: nf/run-8842, from the folder."),
        ("package_name", {"package_name": "a/b"}, "ok", "Valid package name."),
        ("package_name", {"package_name": "a"}, "bad", "A package name is prefix/suffix"),
        ("registry", {}, "ok", "The package is pushed to this bucket."),
        ("registry", {"registry": "quilt-prd"}, "bad", "It may write to quilt-prod and quilt-imag"),
        ("registry", {"registry": "S3!"}, "bad", "A bucket's name has up to 255"),
        ("registry", {"registry": ""}, "bad", "may not write to “raw-runs”"),
        ("workflow", {}, "hint", "default workflow"),
        ("workflow", {"workflow": OTHER}, "bad", "It is missing"),
        ("workflow", {"workflow": "ngs"}, "hint", "The check shows its violations"),
        ("registry", {"registry": OTHER}, "bad", "It is missing"),
        ("registry", {"registry": OTHER, "registry_other": "quilt-prod"}, "ok", "pushed"),
        ("metadata", {}, "hint", "That of the RO-Crate"),
        ("metadata", {"metadata_kind": "none"}, "hint", "no metadata"),
        ("contents", {}, "hint", "The objects to package"),
        ("contents", {"contents": "crates"}, "bad", "Invalid value"),
        ("require", {"require": "/x"}, "bad", "A glob has"),
        ("require_timeout_seconds", {"require_timeout_seconds": "1 h"}, "bad", "not a whole"),
        ("require_timeout_seconds", {"require_timeout_seconds": "99999"}, "bad", "<= 43200"),
        ("metadata", {"metadata": '{"a": 1, "b": 2}'}, "ok", "A JSON object with 2 fields."),
        ("metadata", {"metadata": "[1]"}, "bad", "It is a list instead of an object."),
        ("metadata", {"metadata": "{"}, "bad", "It is not JSON"),
        ("metadata", {"metadata_uri": "m.json"}, "ok", f"Read from {FOLDER}m.json"),
        ("metadata", {"metadata_uri": "s3://other/m.json"}, "bad", "may not read “other”"),
        ("metadata", {"metadata_kind": "file"}, "bad", "It is missing"),
        ("exclude", {"exclude": "work/**\r\n\r\n*.tmp"}, "ok", "2 patterns."),
        ("exclude", {"exclude": "/x"}, "bad", "."),
        ("commit_message", {}, "hint", f"Default: Packaged from {FOLDER}"),
        ("commit_message", {"commit_message": "New"}, "ok", "The revision gets this message."),
    ],
)
def test_note_below_each_field(field: str, fields: dict[str, Any], kind: str, text: str) -> None:
    note = note_of(field, **fields)
    assert note[0] == kind
    assert text in note[1]


def test_all_errors_are_shown_at_once() -> None:
    given = {"source_prefix": FOLDER, "package_name": "a", "registry": "B", "metadata": "{"}
    checked = check_draft(Draft.read(given), SETTINGS)
    assert checked.wrong == ["package name", "registry", "metadata"]
    assert not checked.is_good


def test_error_in_one_field_leaves_the_notes_of_the_others() -> None:
    assert note_of("source_prefix", package_name="a") == ("ok", f"Packages {FOLDER}")
    assert note_of("package_name", registry="B") == (
        "hint",
        "Default: nf/run-8842, from the folder.",
    )
    assert "may not write to" in note_of("registry", registry="other", metadata="{")[1]


def test_default_registry_is_named() -> None:
    settings = Settings(default_registry="quilt-prod")
    assert note_of("registry", settings, registry="") == (
        "hint",
        "Default: quilt-prod, the engine's default.",
    )


def test_new_empty_form_has_no_errors() -> None:
    checked = check_draft(Draft(), SETTINGS, is_new=True)
    assert (checked.wrong, checked.is_good) == ([], False)


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({}, {}),
        ({"workflow": "", "workflow_other": "left over"}, {"workflow": ""}),
        ({"workflow": "ngs"}, {"workflow": "ngs"}),
        ({"workflow": DEFAULT}, {}),
        ({"workflow": OTHER, "workflow_other": "ngs"}, {"workflow": "ngs"}),
        ({"registry": OTHER, "registry_other": "quilt-lims"}, {"registry": "quilt-lims"}),
        ({"metadata": '{"a": 1}'}, {"metadata": {"a": 1}}),
        ({"metadata_kind": "none", "metadata": '{"a": 1}'}, {}),
        (
            {"metadata_uri": "c.json", "metadata_format": "ro-crate"},
            {"metadata_uri": "c.json", "metadata_format": "ro-crate"},
        ),
        ({"exclude": "a\nb "}, {"exclude": ["a", "b"]}),
        ({"package_name": " a/b "}, {"package_name": "a/b"}),
        (
            {"contents": "crate", "missing_parts": "leave_out", "require": ""},
            {"contents": "crate", "missing_parts": "leave_out"},
        ),
        (
            {"require": "done.txt\ncrate\n*.fq", "require_timeout_seconds": "60"},
            {
                "require": ["crate", {"files": ["done.txt", "*.fq"]}],
                "require_timeout_seconds": 60,
            },
        ),
        ({"verify_checksums": "auto"}, {"verify_checksums": "auto"}),
        ({"verify_checksums": "false"}, {"verify_checksums": False}),
        ({"verify_checksums": "auto\n*.md5"}, {"verify_checksums": ["auto", "*.md5"]}),
        ({"on_foreign_revision": "hold"}, {"on_foreign_revision": "hold"}),
    ],
)
def test_message_contains_the_visible_fields(given: dict[str, str], fields: dict[str, Any]) -> None:
    checked = check_draft(Draft.read({"source_prefix": FOLDER, **given}), Settings())
    assert json.loads(checked.body) == {"source_prefix": FOLDER, **fields}


def test_frame_asks_nothing_of_aws(browser: Browser, engine: Engine) -> None:
    answer = browser.get("/new")
    assert (answer.status, engine.asked) == (200, [])
    assert 'class="say bad"' not in answer.text
    assert "Which folder?" in answer.text


def test_form_of_a_job_lists_the_missing_fields(
    browser: Browser, plans: Plans, sender: Sender, access: Access
) -> None:
    lacks = "Filled in from the log, which contains the folder, the registry and the name"
    link = links.again(make_job(source=FOLDER, registry="quilt-prod"))
    assert link is not None
    assert lacks in browser.get(link).text
    assert "Filled in" not in browser.get(f"/new?source_prefix={FOLDER}").text
    # Without JavaScript, the plan's page is a new one.
    assert lacks in browser.get(f"{link}&plan=1&whole=1").text
    browser.post("/new", form(access, job="3f9a61c2-1"))
    assert sender.sent == [{"source_prefix": FOLDER, "registry": "quilt-prod"}]


def test_query_fills_the_form_in(browser: Browser) -> None:
    text = browser.get(f"/new?source_prefix={FOLDER}&registry=quilt-prod&metadata_uri=m.json").text
    assert f'name="source_prefix" value="{FOLDER}"' in text
    assert "<option selected>quilt-prod</option>" in text
    assert '<option value="file" data-file selected>' in text


def test_fields_are_checked_as_one_types(browser: Browser, plans: Plans, access: Access) -> None:
    text = browser.post("/new/check", form(access, registry="x"), hx_request="true").text
    part = text.split('hx-target="#note-registry">')[1].split("</hx-partial>")[0]
    assert "It may write to quilt-prod and quilt-imaging." in part
    assert 'aria-disabled="true" aria-describedby="verdict-title"' in text
    assert "Correct first: registry." in text
    assert plans.asked == []


def test_plan_previews_the_job(browser: Browser, plans: Plans, access: Access) -> None:
    text = browser.post("/new/plan", form(access), hx_request="true").text
    for words in ("Creates revision 4", "ngs-v3 finds no violations", "12,408", "2 to 4 min"):
        assert words in text
    for words in ("$0.0093", "12,424 requests", "5 reused", "2 objects are archived"):
        assert words in text
    assert plans.asked[0]["settings"] == SETTINGS


def test_plan_shows_every_reason_for_rejection(
    browser: Browser, plans: Plans, access: Access
) -> None:
    plans.plan = Plan(
        source=FOLDER,
        registry="quilt-prod",
        package_name="a/b",
        refusals=(
            Explanation("InvalidKeys", "Keys collide.", "Twice a.", "Rename one."),
            Explanation("WorkflowViolations", "It lacks x.", "y wants it.", "Add it."),
        ),
    )
    text = browser.post("/new/plan", form(access), hx_request="true").text
    for words in (
        "This would be rejected",
        "Keys collide.",
        "For 2 reasons.",
        "It lacks x.",
        "Add it.",
    ):
        assert words in text


DENIED = Explanation(
    "AccessDenied",
    "The packager may not do ListObjectsV2 on s3://raw-runs/.",
    "A policy of its role does not allow it.",
    "Allow it there, deploy, and retry.",
)


def test_plan_attributes_denied_requests_to_the_user(
    browser: Browser, plans: Plans, access: Access
) -> None:
    plans.plan = Plan(source=FOLDER, registry="quilt-prod", package_name="a/b", refusals=(DENIED,))
    text = browser.post("/new/plan", form(access), hx_request="true").text
    for words in (
        "Your permissions are not sufficient",
        "ListObjectsV2",
        "the engine has its own permissions",
        "Package with 1 warning",
    ):
        assert words in text
    for words in ("This would be rejected", "Can be packaged", "its role", "deploy"):
        assert words not in text


def test_plan_separates_denied_requests_from_rejections(
    browser: Browser, plans: Plans, access: Access
) -> None:
    other = Explanation("InvalidKeys", "Keys collide.", "Twice a.", "Rename one.")
    plans.plan = Plan(
        source=FOLDER, registry="quilt-prod", package_name="a/b", refusals=(DENIED, other)
    )
    text = browser.post("/new/plan", form(access), hx_request="true").text
    assert "This would be rejected" in text
    assert '<li class="k-bad">' in text.partition("Keys collide.")[0]
    assert '<li class="k-warn">' in text.partition("AWS denied you")[0]


def test_unreadable_settings_are_reported_and_requested_again(
    browser: Browser, plans: Plans, access: Access, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = engine.configuration
    engine.configuration = ClientError(
        {"Error": {"Code": "ExpiredToken", "Message": "Expired."}}, "GetFunctionConfiguration"
    )
    for path, words in (
        ("/new/check", "Sign in (aws sso login"),
        ("/new/plan", "This assumes default settings"),
    ):
        text = browser.post(path, form(access), hx_request="true").text
        assert "settings are unknown." in text
        assert words in text
    # Forbidden buckets are unknown as well.
    elsewhere = form(access, registry="quilt-prd")
    assert "It may write to" not in browser.post("/new/check", elsewhere, hx_request="true").text
    engine.configuration = known
    monkeypatch.setattr(caching, "interval_seconds", lambda **_: 0)
    text = browser.post("/new/check", elsewhere, hx_request="true").text
    assert "settings are unknown" not in text
    assert "It may write to" in text


def test_plan_of_an_unchanged_package(browser: Browser, plans: Plans, access: Access) -> None:
    plans.plan = Plan(
        source=FOLDER, registry="quilt-prod", package_name="a/b", unchanged=True, revision=3
    )
    text = browser.post("/new/plan", form(access), hx_request="true").text
    assert "Already packaged" in text


def test_plan_that_fails_says_why(browser: Browser, plans: Plans, access: Access) -> None:
    plans.plan = ClientError({"Error": {"Code": "AccessDenied", "Message": "No."}}, "ListObjects")
    text = browser.post("/new/plan", form(access), hx_request="true").text
    assert "AWS denied ListObjects." in text


def test_plan_of_an_invalid_form_asks_nothing(
    browser: Browser, plans: Plans, access: Access
) -> None:
    text = browser.post("/new/plan", form(access, package_name="a"), hx_request="true").text
    assert "This cannot be packaged" in text
    assert plans.asked == []


def test_edit_replaces_the_verdict_of_a_plan(
    browser: Browser, plans: Plans, access: Access
) -> None:
    text = browser.post("/new/plan", form(access), hx_request="true").text
    planned = re.search(r'name="planned" form="new" value="([^"]*)"', text)
    assert planned is not None
    same = browser.post("/new/check", form(access, planned=planned[1]), hx_request="true").text
    assert 'hx-target="#verdict"' not in same
    edited = form(access, planned=planned[1], commit_message="New")
    text = browser.post("/new/check", edited, hx_request="true").text
    assert 'hx-target="#verdict"' in text
    assert "Ready to check" in text


def test_plan_checks_whether_the_form_was_edited_meanwhile(
    browser: Browser, plans: Plans, access: Access
) -> None:
    text = browser.post("/new/plan", form(access), hx_request="true").text
    assert re.search(r'name="planned"[^>]* hx-post="/new/check" hx-trigger="load"', text)


def test_page_without_javascript_plans_too(browser: Browser, plans: Plans) -> None:
    address = f"/new?source_prefix={FOLDER}&registry=quilt-prod&commit_message=Mine&plan=1"
    framed = browser.get(address).text
    assert f"url=?whole=1&amp;{html.escape(urlsplit(address).query)}" in framed
    assert plans.asked == []
    text = browser.get(f"{address}&whole=1").text
    assert 'value="Mine"' in text
    assert "Creates revision 4" in text


def test_package_sends_the_message_and_opens_the_job(
    browser: Browser, plans: Plans, sender: Sender, access: Access
) -> None:
    answer = browser.post("/new", form(access, metadata='{"a": 1}'))
    assert (answer.status, answer.headers["location"]) == (303, "/jobs/new-1")
    wanted = {"source_prefix": FOLDER, "registry": "quilt-prod", "metadata": {"a": 1}}
    assert sender.sent == [wanted]
    body = browser.htmx("/jobs/new-1/body").text
    assert "nf/run-8842" in body
    assert "every 5s" in body


def test_package_of_an_invalid_form_is_not_sent(
    browser: Browser, plans: Plans, sender: Sender, access: Access
) -> None:
    answer = browser.post("/new", form(access, package_name="a", commit_message="Mine"))
    assert (answer.status, sender.sent) == (422, [])
    assert re.search(r'name="package_name"[^>]* aria-invalid="true" autofocus', answer.text)
    assert 'value="Mine"' in answer.text


def test_package_that_cannot_be_sent_keeps_the_form(
    browser: Browser, plans: Plans, sender: Sender, access: Access
) -> None:
    sender.error = ClientError({"Error": {"Code": "Throttling", "Message": ""}}, "SendMessage")
    answer = browser.post("/new", form(access, commit_message="Mine"))
    assert answer.status == 502
    # Outside the part that the check replaces on load.
    before, _ = answer.text.split('<div id="form-problem">')
    assert "SendMessage failed with Throttling." in before
    assert 'value="Mine"' in answer.text


def test_command_does_the_same(browser: Browser, plans: Plans, access: Access) -> None:
    given = form(access, commit_message='it\'s "mine"; $(id)')
    text = browser.post("/new/check", given, hx_request="true")
    *command, body, option, stack = commands_of(text)
    assert (command, option, stack) == (["quilt-packager", "send"], "--stack", "prod-packager")
    assert json.loads(body) == {
        "source_prefix": FOLDER,
        "registry": "quilt-prod",
        "commit_message": 'it\'s "mine"; $(id)',
    }


def test_command_of_a_message_without_metadata_finds_none(
    browser: Browser, plans: Plans, access: Access
) -> None:
    given = form(access, metadata_kind="none")
    text = browser.post("/new/check", given, hx_request="true")
    assert "--no-metadata" in commands_of(text)


def test_metadata_of_the_folder_is_filled_in(
    browser: Browser, plans: Plans, sender: Sender, access: Access, known: Lookups
) -> None:
    fields = {"metadata_uri": f"{FOLDER}ro-crate-metadata.json", "metadata_format": "ro-crate"}
    known.facts = {"fields": fields, "found": f"{fields['metadata_uri']} (RO-Crate)"}
    answer = browser.post("/new/check", form(access), hx_request="true")
    assert f"Read from <code>{fields['metadata_uri']} (RO-Crate)</code>" in answer.text
    assert fields["metadata_uri"] in commands_of(answer)[2]
    browser.post("/new", form(access))
    assert sender.sent == [{"source_prefix": FOLDER, "registry": "quilt-prod", **fields}]
    assert len(known.asked) == 1


def test_kind_of_the_folder_is_named_and_suggests_what_to_require(
    browser: Browser, plans: Plans, access: Access, kinds: list[Recognised]
) -> None:
    fields = {"require": [{"files": ["CopyComplete.txt"]}]}
    kinds.append(Recognised("Illumina run", ("CopyComplete.txt",), fields))
    text = browser.post("/new/check", form(access), hx_request="true").text
    assert f"<code>{FOLDER}</code>: Illumina run without CopyComplete.txt." in text
    assert "Of this Illumina run: <code>CopyComplete.txt</code>" in text


@pytest.mark.parametrize(
    "given",
    [
        {"metadata_kind": "none"},
        {"metadata": "{}"},
        {"source_prefix": FOLDER.rstrip("/")},
        {"package_name": "a"},
    ],
)
def test_metadata_is_not_looked_up(
    browser: Browser, plans: Plans, access: Access, known: Lookups, given: dict[str, str]
) -> None:
    browser.post("/new/check", form(access, **given), hx_request="true")
    assert known.asked == []


def test_metadata_that_cannot_be_looked_up_is_no_obstacle(
    browser: Browser, plans: Plans, access: Access, known: Lookups
) -> None:
    known.facts = {"warnings": ("Access denied: GetObject.",)}
    text = browser.post("/new/check", form(access), hx_request="true").text
    assert "Access denied: GetObject." in text
    assert "quilt-packager send" in text


def test_options_of_a_message_need_no_javascript(browser: Browser, plans: Plans) -> None:
    text = browser.get("/new").text
    assert '<details class="mini gapt"><summary>' in text
    for name in message_options.NAMES:
        assert f'name="{name}"' in text
    given = "contents=crate&require=done.txt&registry=quilt-prod&plan=1&whole=1"
    text = browser.get(f"/new?source_prefix={FOLDER}&{given}").text
    assert '<details class="mini gapt" open>' in text
    assert '<option value="crate" selected>' in text
    assert plans.asked[0]["request"].contents == "crate"


def test_every_field_of_a_message_is_in_the_form() -> None:
    fields = {field.name for field in msgspec.structs.fields(Message)}
    in_form = set(message_options.NAMES) | set(Draft._fields)
    assert fields - in_form == {"sources"}  # a form has one folder


def test_invalid_form_shows_no_command(browser: Browser, plans: Plans, access: Access) -> None:
    # The command would lack the unreadable part.
    text = browser.post("/new/check", form(access, metadata="{"), hx_request="true").text
    assert "quilt-packager send" not in text


def test_page_that_is_read_only_plans_and_does_not_package(
    engine: Engine, plans: Plans, sender: Sender
) -> None:
    access = Access(8765, read_only=True, allowed_when_read_only=ALLOWED_WHEN_READ_ONLY)
    browser = Browser(make_app(Views(engine), IDENTITY, access))  # type: ignore[arg-type]
    browser.get(f"/?token={access.start_token}")
    assert ">Package<" not in browser.get("/new").text
    planned = browser.post("/new/plan", form(access), hx_request="true").text
    assert "Creates revision 4" in planned
    assert ">Package<" not in planned
    assert browser.post("/new", form(access)).status == 403
    assert sender.sent == []


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_is_text(  # noqa: PLR0917 - fixtures
    browser: Browser,
    plans: Plans,
    engine: Engine,
    access: Access,
    workflows: dict[str, KnownWorkflows],
    text: str,
) -> None:
    plans.plan = Plan(
        source=FOLDER,
        registry=text,
        package_name=text,
        revision=1,
        workflow=text,
        notes=(text,),
        route=Route(why=text),
    )
    engine.configuration = Configuration(Settings(registry_buckets=(text, "quilt-prod")))
    workflows["quilt-prod"] = KnownWorkflows((text,), text)
    fields = {name: text for name in Draft._fields if not name.endswith(("kind", "registry"))}
    fields |= dict.fromkeys(message_options.NAMES, text)
    given = form(access, **(fields | {"metadata_kind": "here", "planned": text}))
    answers = [
        browser.post("/new/check", given, hx_request="true"),
        browser.post("/new", given),
        browser.get(f"/new?{urlencode(form(access, commit_message=text))}&plan=1&whole=1"),
        browser.post("/new/plan", form(access, commit_message=text), hx_request="true"),
    ]
    for answer in answers:
        assert "<script>alert" not in answer.text
        assert text in html.unescape(answer.text)


@pytest.mark.parametrize("planned", ["x", ":", "a:b c:d", "registry"])
def test_unusual_fields_are_shown_literally(
    browser: Browser, plans: Plans, access: Access, planned: str
) -> None:
    given = form(access, planned=planned, workflow="*odd", metadata_kind="odd")
    assert browser.post("/new/check", given, hx_request="true").status == 200


class TestVerdict:
    """The answer, with a cure for each warning."""

    @staticmethod
    def judge(plan: Plan | None = None, **given: str) -> Verdict:
        checked = check_draft(
            Draft.read({"source_prefix": FOLDER, "registry": "quilt-prod", **given}), Settings()
        )
        planned = Planned(plan, None, checked.fingerprint, origin="ro-crate-metadata.json")
        return judge(checked, planned if plan is not None else None)

    @staticmethod
    def read_cure(verdict: Verdict, subject: str) -> dict[str, list[str]]:
        """Return the query of the first cure of a finding."""
        (found,) = [each for each in verdict.findings if each.subject.startswith(subject)]
        return parse_qs(urlsplit(found.cures[0].url).query)

    def test_package_without_a_warning_is_green(self) -> None:
        verdict = self.judge(PLAN)
        assert (verdict.kind, verdict.title, verdict.button) == ("ok", "Can be packaged", "Package")

    def test_form_without_a_check_is_not_green(self) -> None:
        assert (self.judge().kind, self.judge().title) == ("run", "Ready to check")

    def test_warnings_are_counted_on_the_button(self) -> None:
        plan = msgspec.structs.replace(PLAN, metadata_lost=("assay",), replaced="f" * 64)
        verdict = self.judge(plan)
        assert (verdict.kind, verdict.button) == ("warn", "Package with 2 warnings")

    def test_folder_above_is_cured_by_a_slash(self) -> None:
        verdict = self.judge(source_prefix=FOLDER.rstrip("/"), exclude="work/**")
        changed = self.read_cure(verdict, "This is the folder above.")
        assert changed["source_prefix"] == [FOLDER]
        assert (changed["exclude"], changed["plan"]) == (["work/**"], ["1"])

    def test_file_is_not_offered_as_a_folder(self) -> None:
        verdict = self.judge(PLAN, source_prefix=f"{FOLDER}last.txt")
        (found,) = [each for each in verdict.findings if each.kind == "warn"]
        assert found.cures == ()

    def test_plan_without_permissions_offers_the_folder_still(self) -> None:
        plan = msgspec.structs.replace(PLAN, refusals=(DENIED,))
        verdict = self.judge(plan, source_prefix=FOLDER.rstrip("/"))
        changed = self.read_cure(verdict, "This is the folder above.")
        assert changed["source_prefix"] == [FOLDER]

    def test_lost_metadata_is_cured_by_that_of_the_folder(self) -> None:
        plan = msgspec.structs.replace(PLAN, metadata_lost=("assay", "operator", "plate", "x", "y"))
        verdict = self.judge(plan, metadata_kind="none")
        changed = self.read_cure(verdict, "5 metadata fields would be lost.")
        assert "metadata_kind" not in changed  # that of the folder is the default
        (found,) = [each for each in verdict.findings if each.kind == "warn"]
        assert found.text.endswith("assay, operator, plate, 2 more.")
        assert found.cures[0].label == "Take them from ro-crate-metadata.json"

    def test_changes_of_a_person_are_cured_by_carrying_them(self) -> None:
        verdict = self.judge(msgspec.structs.replace(PLAN, replaced="f" * 64))
        changed = self.read_cure(verdict, "A person changed the newest revision.")
        assert verdict.findings[0].text == "The changes would be replaced, and stay in"
        assert changed["on_foreign_revision"] == ["carry"]

    @pytest.mark.parametrize(
        ("error", "changes"),
        [
            (HeldForReview("x", why="y", remedy="z"), {"on_foreign_revision": ["carry"]}),
            (
                InvalidCrate("x", why="y", remedy="or set missing_parts to leave_out."),
                {"missing_parts": ["leave_out"]},
            ),
            (InvalidCrate("x", why="y", remedy="Correct the crate."), {}),
            (InvalidMetadata("x", why="y", remedy="z"), {"metadata_kind": ["none"]}),
        ],
    )
    def test_refusal_is_cured_by_a_change_of_the_form(
        self, error: Rejected, changes: dict[str, list[str]]
    ) -> None:
        verdict = self.judge(msgspec.structs.replace(PLAN, refusals=(error.explanation,)))
        assert (verdict.kind, verdict.button) == ("bad", "Package anyway")
        (found,) = [each for each in verdict.findings if each.kind == "bad"]
        query = parse_qs(urlsplit(found.cures[0].url).query) if found.cures else {}
        assert changes.items() <= query.items()
        assert bool(changes) == bool(found.cures)

    def test_remarks_are_no_warnings(self) -> None:
        left_out = "Left out parts of the crate that are missing: a.txt"
        plan = msgspec.structs.replace(
            PLAN, notes=(left_out, "It compares the files of md5sum.txt"), warnings=(left_out,)
        )
        assert [(each.kind, each.subject, each.text) for each in self.judge(plan).findings] == [
            ("warn", "Left out parts of the crate that are missing:", "a.txt."),
            ("info", "", "It compares the files of md5sum.txt."),
        ]

    def test_whole_bucket_is_named_on_the_button(self) -> None:
        verdict = self.judge(source_prefix="s3://raw-runs/", package_name="a/b")
        assert (verdict.title, verdict.button) == ("This is a whole bucket", "Package the bucket")
        plan = msgspec.structs.replace(PLAN, source="s3://raw-runs/", metadata_lost=("a",))
        verdict = self.judge(plan, source_prefix="s3://raw-runs/", package_name="a/b")
        assert verdict.button == "Package the bucket with 1 warning"


@pytest.mark.parametrize("is_confirmed", [True, False])
def test_whole_bucket_is_packaged_only_with_a_tick(
    browser: Browser, plans: Plans, sender: Sender, access: Access, *, is_confirmed: bool
) -> None:
    given = form(access, source_prefix="s3://raw-runs/", package_name="a/b")
    tick = {"whole_bucket": "yes"} if is_confirmed else {}
    answer = browser.post("/new", given | tick)
    assert (answer.status, len(sender.sent)) == ((303, 1) if is_confirmed else (422, 0))
    assert ("tick this first" in answer.text) != is_confirmed


def test_tick_stays_while_one_types_and_is_not_in_the_address(
    browser: Browser, plans: Plans, access: Access
) -> None:
    given = form(access, source_prefix="s3://raw-runs/", whole_bucket="yes")
    answer = browser.post("/new/check", given, hx_request="true")
    assert re.search(r'name="whole_bucket"[^>]* checked>', answer.text)
    assert "whole_bucket" not in answer.headers["hx-replace-url"]
    address = "/new?source_prefix=s3://raw-runs/&whole_bucket=yes&whole=1"
    assert not re.search(r'name="whole_bucket"[^>]* checked>', browser.get(address).text)


class TestAddress:
    """All state is in the address."""

    @pytest.mark.parametrize(
        "given",
        [
            {},
            {"registry": OTHER, "registry_other": "quilt-lims", "workflow": ""},
            {"workflow": OTHER, "workflow_other": "ngs", "package_name": "a/b"},
            {"registry": OTHER, "workflow": OTHER},
            {"metadata_kind": "none", "exclude": "work/**\n*.tmp", "commit_message": "A & B"},
            {"metadata_kind": "here", "metadata": '{"a": "ü"}'},
            {"metadata_kind": "file", "metadata_uri": "m.json", "metadata_format": "ro-crate"},
            {"contents": "crate", "verify_checksums": "false", "job": "j1", "message": "m1"},
        ],
    )
    def test_address_has_the_whole_form(self, given: dict[str, str]) -> None:
        draft = Draft.read({"source_prefix": f"{FOLDER}ä b+c/", **given})
        query = dict(parse_qsl(urlsplit(draft.address()).query, keep_blank_values=True))
        assert Draft.read(query) == draft

    def test_address_is_short(self) -> None:
        given = {"source_prefix": FOLDER, "workflow": DEFAULT, "metadata_kind": "found"}
        given |= dict.fromkeys(("registry", "registry_other", "package_name", "require"), "")
        assert Draft.read(given).address() == f"/new?source_prefix={FOLDER}"

    def test_address_follows_while_one_types(
        self, browser: Browser, plans: Plans, access: Access
    ) -> None:
        answer = browser.post("/new/check", form(access, exclude="*.tmp"), hx_request="true")
        address = answer.headers["hx-replace-url"]
        assert address == f"/new?source_prefix={FOLDER}&registry=quilt-prod&exclude=%2A.tmp"
        assert "*.tmp</textarea>" in browser.get(address).text

    def test_address_of_a_plan_plans_again(
        self, browser: Browser, plans: Plans, access: Access
    ) -> None:
        address = browser.post("/new/plan", form(access), hx_request="true").headers[
            "hx-replace-url"
        ]
        assert address.endswith("&plan=1")
        text = browser.get(address).text
        assert "Checking…" in text
        assert re.search(r'hx-post="/new/plan"[^>]* hx-trigger="load"', text)

    def test_metadata_that_is_too_long_stays_out_of_it(
        self, browser: Browser, plans: Plans, access: Access
    ) -> None:
        given = form(access, metadata_kind="here", metadata=json.dumps({"a": "x" * 9000}))
        answer = browser.post("/new/check", given, hx_request="true")
        assert "hx-replace-url" not in answer.headers

    def test_job_alone_fills_in_the_form(self, browser: Browser, engine: Engine) -> None:
        engine.jobs = [make_job("j1", source=FOLDER, registry="quilt-prod", package_name="a/b")]
        text = browser.get("/new?job=j1").text
        assert f'name="source_prefix" value="{FOLDER}"' in text
        assert 'name="package_name" value="a/b"' in text
        assert 'name="job" value="j1"' in text

    def test_secret_of_the_page_is_not_in_it(self, browser: Browser, access: Access) -> None:
        # A form with the method GET sends its fields in the address, its buttons only if used.
        fields = re.findall(r"<(?:input|select|textarea)[^>]*>", browser.get("/new").text)
        assert not [each for each in fields if access.csrf_token in each and "theme" not in each][
            1:
        ]


class TestChoices:
    """Registries and workflows are those that are known, and another one."""

    @staticmethod
    def options(text: str, name: str) -> list[str]:
        part = text.partition(f'id="{name}"')[2].partition("</select>")[0]
        return re.findall(r"<option[^>]*>([^<]*)</option>", part)

    def show(self, browser: Browser, query: str = "") -> str:
        return browser.get(f"/new?source_prefix={FOLDER}{query}&whole=1").text

    def test_registries_are_those_that_the_engine_may_write(
        self, browser: Browser, plans: Plans, engine: Engine
    ) -> None:
        settings = msgspec.structs.replace(SETTINGS, default_registry="quilt-prod")
        engine.configuration = Configuration(settings)
        assert self.options(self.show(browser), "registry") == [
            "quilt-prod (default)",
            "quilt-imaging",
            "Another…",
        ]

    def test_registries_of_jobs_are_offered_if_the_engine_may_write_all(
        self, browser: Browser, engine: Engine
    ) -> None:
        engine.jobs = [make_job(registry="quilt-lims")]
        browser.get("/jobs?whole=1")
        found = self.options(self.show(browser), "registry")
        assert found == ["The bucket of the folder (default)", "quilt-lims", "Another…"]

    def test_workflows_are_those_of_the_registry(
        self, browser: Browser, plans: Plans, workflows: dict[str, KnownWorkflows]
    ) -> None:
        workflows["quilt-prod"] = KnownWorkflows(("elisa-v2", "ngs-v3"), "elisa-v2", True)
        text = self.show(browser, "&registry=quilt-prod&workflow=ngs-v3")
        assert self.options(text, "workflow") == [
            "elisa-v2 (registry\N{RIGHT SINGLE QUOTATION MARK}s default)",
            "ngs-v3",
            "None",
            "Another…",
        ]
        assert "<option selected>ngs-v3</option>" in text

    def test_unknown_workflow_is_offered_with_a_warning(
        self, browser: Browser, plans: Plans, workflows: dict[str, KnownWorkflows]
    ) -> None:
        workflows["quilt-prod"] = KnownWorkflows(("elisa-v2",), None, True)
        text = self.show(browser, "&registry=quilt-prod&workflow=old")
        assert "<option selected>old</option>" in text
        assert "no workflow of this name" in text
        assert "requires a workflow" in self.show(browser, "&registry=quilt-prod")

    def test_workflows_follow_the_registry_while_one_types(
        self, browser: Browser, plans: Plans, access: Access, workflows: dict[str, KnownWorkflows]
    ) -> None:
        workflows["quilt-imaging"] = KnownWorkflows(("dicom",))
        given = form(access, registry="quilt-imaging")
        text = browser.post("/new/check", given, hx_request="true").text
        assert "<option>dicom</option>" in text.partition('hx-target="#workflow"')[2]

    def test_workflows_of_a_bucket_that_the_engine_may_not_read_are_not_read(
        self, browser: Browser, plans: Plans, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        monkeypatch.setattr(
            new_package_page, "find_workflows_in_form", lambda name, **_: asked.append(name)
        )
        self.show(browser, "&registry=other-bucket")
        assert asked == []

    def test_another_one_stays_chosen_while_one_types(
        self, browser: Browser, plans: Plans, access: Access
    ) -> None:
        given = form(access, registry=OTHER, registry_other="quilt-imaging")
        text = browser.post("/new/check", given, hx_request="true").text
        part = text.partition('hx-target="#registry"')[2]
        assert "<option>quilt-imaging</option>" in part
        assert "data-other selected>" in part

    def test_error_elsewhere_leaves_the_workflows(
        self, browser: Browser, plans: Plans, access: Access, workflows: dict[str, KnownWorkflows]
    ) -> None:
        workflows["quilt-prod"] = KnownWorkflows(("elisa-v2", "ngs-v3"), "elisa-v2", True)
        for given in ({"metadata": "{"}, {"package_name": "a"}):
            sent = form(access, workflow="ngs-v3", **given)
            text = browser.post("/new/check", sent, hx_request="true").text
            assert "<option selected>ngs-v3</option>" in text.partition('hx-target="#workflow"')[2]

    def test_known_buckets_are_offered_for_the_folder(self, browser: Browser, plans: Plans) -> None:
        assert '<option value="s3://imaging/">' in self.show(browser)


class TestFoundFolders:
    """The folders below, each with a link that fills in the form."""

    ABOVE = "s3://raw-runs/nf/"
    CRATE: ClassVar = {"metadata_uri": "ro-crate-metadata.json", "metadata_format": "ro-crate"}
    OPTIONS: ClassVar = {"require": [{"files": ["Done.txt"]}], "exclude": ["tmp/**"]}

    @staticmethod
    def make(name: str, **facts: Any) -> Subfolder:
        usual: dict[str, Any] = {"kind": None, "objects": 31, "size_bytes": 2048}
        usual |= {"is_counted": True, "package_name": f"nf/{name}", "packaged": Packaged()}
        folder = SourceFolder("raw-runs", f"nf/{name}/")
        return Subfolder(**{"folder": folder, **usual, **facts})

    def show(self, browser: Browser, query: str = "") -> str:
        return browser.get(f"/new/found?source_prefix={self.ABOVE}&registry=quilt-prod{query}").text

    @pytest.mark.parametrize(
        ("facts", "words"),
        [
            ({}, ("Folder of files", ">31<", "2.0 KiB", "Not packaged")),
            ({"is_counted": False}, (">31+<", "2.0 KiB+")),
            ({"packaged": Packaged("nf/x")}, ("Packaged", "As nf/x in quilt-prod.")),
            ({"packaged": Packaged(None, "s3://o/nf/x/")}, ("Name taken", "of s3://o/nf/x/.")),
            ({"packaged": None}, ("Unknown", "You may not read quilt-prod.")),
            ({"kind": Recognised("BIDS", ("dataset.json",), {})}, ("BIDS", "Lacks dataset.json")),
        ],
    )
    def test_folder_has_its_kind_and_its_state(
        self,
        browser: Browser,
        plans: Plans,
        below: dict[str, Subfolders | Exception],
        facts: dict[str, Any],
        words: tuple[str, ...],
    ) -> None:
        below[self.ABOVE] = Subfolders((self.make("x", **facts),))
        text = self.show(browser)
        assert [each for each in words if each not in text] == []

    def test_folder_that_a_recent_job_packaged_is_packaged(
        self,
        browser: Browser,
        plans: Plans,
        engine: Engine,
        below: dict[str, Subfolders | Exception],
    ) -> None:
        source = f"{self.ABOVE}x/"
        engine.jobs = [make_job(source=source, registry="quilt-prod", package_name="lims/7")]
        browser.get("/jobs?whole=1")
        below[self.ABOVE] = Subfolders((self.make("x"),))
        assert "As lims/7 in quilt-prod." in self.show(browser)

    def test_choice_fills_in_the_form(
        self, browser: Browser, plans: Plans, below: dict[str, Subfolders | Exception]
    ) -> None:
        below[self.ABOVE] = Subfolders(
            (self.make("x", kind=Recognised("Run", (), self.CRATE | self.OPTIONS)),)
        )
        text = self.show(browser, query="&package_name=a/b&workflow=ngs&message=1")
        found = re.search(r'href="([^"]*)">x/</a>', text)
        assert found is not None
        query = parse_qs(urlsplit(html.unescape(found[1])).query)
        assert query == {
            "source_prefix": [f"{self.ABOVE}x/"],
            "registry": ["quilt-prod"],
            "workflow": ["ngs"],
            "exclude": ["tmp/**"],
            "require": ["Done.txt"],
            "plan": ["1"],
        }

    def test_many_folders_come_in_pages(
        self, browser: Browser, plans: Plans, below: dict[str, Subfolders | Exception]
    ) -> None:
        below[self.ABOVE] = Subfolders((self.make("x"),), "nf/x/")
        address = f"/new?source_prefix={self.ABOVE}&registry=quilt-prod&found_after=nf/x/#found"
        assert html.escape(address) in self.show(browser)

    def test_page_without_javascript_has_them(
        self, browser: Browser, plans: Plans, below: dict[str, Subfolders | Exception]
    ) -> None:
        below[self.ABOVE] = Subfolders((self.make("x"),))
        address = f"/new?source_prefix={self.ABOVE}x&registry=quilt-prod"
        assert 'hx-get="/new/found?source_prefix=' in browser.get(address).text
        assert ">x/</a>" in browser.get(f"{address}&whole=1").text

    def test_failed_search_says_why(
        self, browser: Browser, plans: Plans, below: dict[str, Subfolders | Exception]
    ) -> None:
        below[self.ABOVE] = ClientError({"Error": {"Code": "AccessDenied"}}, "ListObjects")
        assert "AWS denied ListObjects." in self.show(browser)

    def test_they_are_requested_again_for_another_folder_only(
        self, browser: Browser, plans: Plans, access: Access
    ) -> None:
        shown = f"{FOLDER} quilt-prod"
        for given, is_requested in (
            (form(access, found=shown, exclude="x"), False),
            (form(access, found=shown, source_prefix=f"{FOLDER}x"), False),
            (form(access, found=shown, source_prefix=f"{FOLDER}x/"), True),
            (form(access, found=shown, package_name="invalid"), False),
        ):
            text = browser.post("/new/check", given, hx_request="true").text
            assert ('hx-target="#found"' in text) == is_requested

    def test_buckets_are_offered_without_a_folder(self, browser: Browser, plans: Plans) -> None:
        text = browser.get("/new?whole=1").text
        assert 'href="/new?source_prefix=s3://imaging/">s3://imaging/</a>' in text


class TestEditing:
    BODY = json.dumps(
        {
            "source_prefix": FOLDER,
            "package_name": "plate 94",
            "packge_name": "x",
            "exclude": ["work/**", "*.tmp"],
            "verify_checksums": False,
            "metadata": {"a": 1},
            "workflow": "",
            "sources": [{"prefix": FOLDER}],
        }
    )

    @pytest.fixture
    def letters(self, monkeypatch: pytest.MonkeyPatch) -> Letters:
        scripted = Letters()
        scripted.install(monkeypatch)
        scripted.letters = [make_letter("1", "InvalidMessage", body=self.BODY)]
        return scripted

    def test_failed_message_fills_in_the_form(self, browser: Browser, letters: Letters) -> None:
        text = browser.get("/new?message=1").text
        assert 'name="message" value="1"' in text
        assert 'value="plate 94"' in text
        assert 'aria-invalid="true"' in text
        assert "<code>packge_name</code>, <code>sources</code>. The new message is sent" in text
        assert letters.discarded == []

    def test_fields_keep_their_values(self) -> None:
        edited = read_message(self.BODY)
        assert edited is not None
        checked = check_draft(edited.draft._replace(package_name=""), Settings())
        known = json.loads(self.BODY)
        lost = ("package_name", "packge_name", "sources")
        assert checked.fields == {each: known[each] for each in known if each not in lost}

    def test_unknown_message_is_an_error(self, browser: Browser, letters: Letters) -> None:
        assert letters.reads == 0
        assert browser.get("/new?message=2").status == 404

    @pytest.mark.parametrize("is_sent", [True, False])
    def test_failed_message_is_discarded_once_the_new_one_is_sent(
        self, browser: Browser, letters: Letters, sender: Sender, access: Access, *, is_sent: bool
    ) -> None:
        if not is_sent:
            sender.error = ClientError({"Error": {"Code": "Throttling"}}, "SendMessage")
        form = {"csrf": access.csrf_token, "source_prefix": FOLDER, "message": "1"}
        browser.post("/new", form)
        assert letters.discarded == (["1"] if is_sent else [])

    def test_message_that_is_not_discarded_is_reported(
        self, browser: Browser, letters: Letters, sender: Sender, access: Access
    ) -> None:
        letters.stop = ClientError({"Error": {"Code": "Throttling"}}, "DeleteMessage")
        form = {"csrf": access.csrf_token, "source_prefix": FOLDER, "message": "1"}
        answer = browser.post("/new", form)
        assert len(sender.sent) == 1
        assert "could not be discarded" in browser.get(answer.headers["location"]).text
