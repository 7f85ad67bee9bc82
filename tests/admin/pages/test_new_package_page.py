"""The New package tab: notes below fields, plans, and sent messages."""

import html
import json
import re
import shlex
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.errors import Explanation
from quilt_packager_runtime.requests.messages import Message
from quilt_packager_runtime.settings import Settings

from quilt_packager.admin.app import ALLOWED_WHEN_READ_ONLY, make_app
from quilt_packager.admin.model import caching, links
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages import message_options, new_package_page
from quilt_packager.admin.pages.package_form import Draft, check_draft, read_message
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.known_metadata import Known
from quilt_packager.operations.deployment.messages import check
from quilt_packager.operations.discovery.recognition import Recognised
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
    found = re.search(r'<pre class="box" tabindex="0">(quilt-packager [^<]*)</pre>', answer.text)
    assert found is not None
    return shlex.split(html.unescape(found[1]))


@pytest.mark.parametrize(
    ("field", "fields", "kind", "text"),
    [
        ("source_prefix", {}, "ok", f"Packages {FOLDER}"),
        ("source_prefix", {"source_prefix": f"{FOLDER}last.txt"}, "warn", f"packages {FOLDER}. To"),
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
        ("workflow", {"workflow_kind": "named"}, "bad", "It is missing"),
        ("workflow", {"workflow_kind": "named", "workflow": "ngs"}, "hint", "Plan checks"),
        ("metadata", {}, "hint", "That of the RO-Crate"),
        ("metadata", {"metadata_kind": "none"}, "hint", "no metadata"),
        ("contents", {}, "hint", "The objects to package"),
        ("contents", {"contents": "crates"}, "bad", "Invalid enum value"),
        ("require", {"require": "/x"}, "bad", "A glob has"),
        ("require_timeout_seconds", {"require_timeout_seconds": "1 h"}, "bad", "not a whole"),
        ("require_timeout_seconds", {"require_timeout_seconds": "99999"}, "bad", "<= 43200"),
        ("metadata", {"metadata": '{"a": 1, "b": 2}'}, "ok", "A JSON object with 2 fields."),
        ("metadata", {"metadata": "[1]"}, "bad", "Expected `object | null`, got `array`"),
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
        ({"workflow_kind": "none", "workflow": "left over"}, {"workflow": ""}),
        ({"workflow": "ngs"}, {"workflow": "ngs"}),
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
    assert 'class="note bad"' not in answer.text


def test_form_of_a_job_lists_the_missing_fields(
    browser: Browser, plans: Plans, sender: Sender, access: Access
) -> None:
    lacks = "Filled in from the log, which contains the folder, the registry and the name"
    link = links.again(make_job(source=FOLDER, registry="quilt-prod"))
    assert link is not None
    assert lacks in browser.get(link).text
    assert "Filled in" not in browser.get(f"/new?source_prefix={FOLDER}").text
    # Without JavaScript, the plan's page is a new one.
    assert lacks in browser.post("/new/plan", form(access, job="3f9a61c2-1")).text
    browser.post("/new", form(access, job="3f9a61c2-1"))
    assert sender.sent == [{"source_prefix": FOLDER, "registry": "quilt-prod"}]


def test_query_fills_the_form_in(browser: Browser) -> None:
    text = browser.get(f"/new?source_prefix={FOLDER}&registry=quilt-prod&metadata_uri=m.json").text
    assert f'name="source_prefix" value="{FOLDER}"' in text
    assert 'name="registry" value="quilt-prod"' in text
    assert re.search(r'value="file" checked', text)


def test_fields_are_checked_as_one_types(browser: Browser, plans: Plans, access: Access) -> None:
    text = browser.post("/new/check", form(access, registry="x"), hx_request="true").text
    part = text.split('hx-target="#note-registry">')[1].split("</hx-partial>")[0]
    assert "It may write to quilt-prod and quilt-imaging." in part
    assert 'aria-disabled="true" aria-describedby="why-not"' in text
    assert "Correct first: registry." in text
    assert plans.asked == []


def test_plan_previews_the_job(browser: Browser, plans: Plans, access: Access) -> None:
    text = browser.post("/new/plan", form(access), hx_request="true").text
    for words in ("Creates revision 4", "ngs-v3 finds no violations", "12,408", "2 to 4 min"):
        assert words in text
    for words in ("$0.0093", "12,408 HEAD, 13 LIST", "12,391 stored", "2 objects are archived"):
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
        "This message would be rejected.",
        "Keys collide.",
        "Also:",
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
    ):
        assert words in text
    for words in ("This message would be rejected", "This can be packaged", "its role", "deploy"):
        assert words not in text


def test_plan_separates_denied_requests_from_rejections(
    browser: Browser, plans: Plans, access: Access
) -> None:
    other = Explanation("InvalidKeys", "Keys collide.", "Twice a.", "Rename one.")
    plans.plan = Plan(
        source=FOLDER, registry="quilt-prod", package_name="a/b", refusals=(DENIED, other)
    )
    text = browser.post("/new/plan", form(access), hx_request="true").text
    denied, rejected = text.split("This message would be rejected.</strong>")
    assert "Your permissions" in denied
    assert "Keys collide." in rejected


def test_unreadable_settings_are_reported_and_requested_again(
    browser: Browser, plans: Plans, access: Access, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = engine.configuration
    engine.configuration = ClientError(
        {"Error": {"Code": "ExpiredToken", "Message": "Expired."}}, "GetFunctionConfiguration"
    )
    for path, words in (
        ("/new/check", "Sign in (aws sso login"),
        ("/new/plan", "This plan assumes"),
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
    assert "Already packaged." in text


def test_plan_that_fails_says_why(browser: Browser, plans: Plans, access: Access) -> None:
    plans.plan = ClientError({"Error": {"Code": "AccessDenied", "Message": "No."}}, "ListObjects")
    text = browser.post("/new/plan", form(access), hx_request="true").text
    assert "AWS denied ListObjects." in text


def test_plan_of_an_invalid_form_asks_nothing(
    browser: Browser, plans: Plans, access: Access
) -> None:
    text = browser.post("/new/plan", form(access, package_name="a"), hx_request="true").text
    assert "No plan:" in text
    assert plans.asked == []


def test_edit_marks_the_plan_out_of_date(browser: Browser, plans: Plans, access: Access) -> None:
    text = browser.post("/new/plan", form(access), hx_request="true").text
    planned = re.search(r'name="planned" form="new" value="([^"]*)"', text)
    assert planned is not None
    same = browser.post("/new/check", form(access, planned=planned[1]), hx_request="true").text
    assert "Out of date" not in same
    edited = form(access, planned=planned[1], registry="quilt-imaging", commit_message="New")
    text = browser.post("/new/check", edited, hx_request="true").text
    assert "Out of date: registry, message changed" in text


def test_page_without_javascript_plans_too(browser: Browser, plans: Plans, access: Access) -> None:
    text = browser.post("/new/plan", form(access, commit_message="Mine")).text
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


def test_options_of_a_message_need_no_javascript(
    browser: Browser, plans: Plans, access: Access
) -> None:
    text = browser.get("/new").text
    assert '<details class="more"><summary>' in text
    for name in message_options.NAMES:
        assert f'name="{name}"' in text
    text = browser.post("/new/plan", form(access, contents="crate", require="done.txt")).text
    assert '<details class="more" open>' in text
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
    assert "Creates revision 4" in browser.post("/new/plan", form(access)).text
    assert browser.post("/new", form(access)).status == 403
    assert sender.sent == []


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_others_is_text(
    browser: Browser, plans: Plans, engine: Engine, access: Access, text: str
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
    fields = {name: text for name in Draft._fields if not name.endswith(("kind", "registry"))}
    fields |= dict.fromkeys(message_options.NAMES, text)
    kinds = {"workflow_kind": "named", "metadata_kind": "here"}
    given = form(access, **(fields | kinds | {"planned": text}))
    answers = [
        browser.post("/new/check", given, hx_request="true"),
        browser.post("/new", given),
        browser.post("/new/plan", form(access, commit_message=text)),
        browser.post("/new/plan", form(access, commit_message=text), hx_request="true"),
    ]
    for answer in answers:
        assert "<script>alert" not in answer.text
        assert text in html.unescape(answer.text)


@pytest.mark.parametrize("planned", ["x", ":", "a:b c:d", "registry"])
def test_unusual_fields_are_shown_literally(
    browser: Browser, plans: Plans, access: Access, planned: str
) -> None:
    given = form(access, planned=planned, workflow_kind="odd", metadata_kind="odd")
    assert browser.post("/new/check", given, hx_request="true").status == 200


@pytest.mark.parametrize(
    ("folder", "kind", "words"),
    [
        ("s3://raw-runs/nf/run-1/", "ok", "Packages"),
        ("s3://raw-runs/nf/run-1", "warn", "This is the folder above."),
        ("s3://raw-runs/", "warn", "Everything in this bucket"),
    ],
)
def test_folder_that_may_not_be_meant_is_a_warning(folder: str, kind: str, words: str) -> None:
    note = check_draft(Draft(source_prefix=folder, package_name="a/b"), Settings()).notes[
        "source_prefix"
    ]
    assert (note.kind, words in note.text) == (kind, True)


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
