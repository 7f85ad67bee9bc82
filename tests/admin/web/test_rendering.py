"""Templates, their filters and their rules."""

import gzip
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.requests import Request

from quilt_packager.admin.model.caching import DEADLINE_SECONDS
from quilt_packager.admin.web.filters import dom_id, moment, show
from quilt_packager.admin.web.problems import describe_problem
from quilt_packager.admin.web.rendering import (
    STATIC,
    TEMPLATES,
    Affected,
    Confirmation,
    Renderer,
    Tab,
)
from quilt_packager.admin.web.security import Access
from quilt_packager.operations.plans.planning_process import LIMIT_SECONDS as PLAN_SECONDS
from tests.admin.browser import Browser
from tests.admin.engine import IDENTITY

ADMIN = TEMPLATES.parent

ASKED = Confirmation(
    "Discard 2 messages?",
    "/failures/discard",
    [("id", "a1"), ("id", "<b2>")],
    "Discard 2 messages",
    "Keep them",
    "/failures",
    effects=["They are deleted from the dead-letter queue."],
    items=[Affected("s3://wgs/NA1/", "3f9a61c2, 2 h old"), Affected("<script>")],
    is_danger=True,
)


@pytest.fixture
def renderer(access: Access) -> Renderer:
    access.root = "/key"
    return Renderer(
        IDENTITY, access, [Tab("Jobs", "/jobs"), Tab("Failures", "/failures", lambda: 7)]
    )


def make_request(*headers: tuple[bytes, bytes], path: str = "/failures") -> Request:
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": f"/key{path}",
            "root_path": "/key",
            "headers": list(headers),
            "query_string": b"",
        }
    )


def text_of(body: bytes | memoryview) -> str:
    return bytes(body).decode()


def test_question_is_a_page_of_its_own_without_htmx(renderer: Renderer, access: Access) -> None:
    text = text_of(renderer.confirm(make_request(), ASKED).body)
    assert "<!doctype html>" in text
    assert "<dialog" not in text
    assert '<a class="btn" href="/key/failures">Keep them</a>' in text
    assert '<input type="hidden" name="id" value="&lt;b2&gt;">' in text
    assert f'name="csrf" value="{access.csrf_token}"' in text
    assert "<script>" not in text.replace('<script src="/static/', "")


def test_question_is_a_dialog_with_the_safe_button_first(renderer: Renderer) -> None:
    text = text_of(renderer.confirm(make_request((b"hx-request", b"true")), ASKED).body)
    assert text.strip().startswith("<dialog")
    assert '<button class="btn" formmethod="dialog" autofocus>Keep them</button>' in text
    assert '<button class="btn danger">Discard 2 messages</button>' in text


def test_tabs_show_counts_and_the_open_tab(renderer: Renderer) -> None:
    text = text_of(renderer.confirm(make_request(), ASKED).body)
    assert '<a href="/key/failures" aria-current="page">Failures<span id="count-failures">' in text
    assert '<span class="count bad">7<span class="vh"> need attention</span></span>' in text
    assert '<a href="/key/jobs">Jobs<span id="count-jobs"></span></a>' in text


def test_footer_shows_the_identity_once_known(access: Access) -> None:
    known: list[str] = []
    renderer = Renderer(IDENTITY, access, [], lambda: known[0] if known else None)
    assert "Signed in" not in text_of(renderer.confirm(make_request(), ASKED).body)
    known.append("arn:<x>")
    text = text_of(renderer.confirm(make_request(), ASKED).body)
    assert 'Signed in as <span class="mono">arn:&lt;x&gt;</span>' in text


def test_toast_is_shown_once(renderer: Renderer) -> None:
    renderer.toast("4 messages sent <again>.", url="/jobs", link="Follow")
    problem = describe_problem(OSError("No."))
    first = text_of(renderer.problem(make_request(), problem).body)
    assert "4 messages sent &lt;again&gt;." in first
    assert "4 messages" not in text_of(renderer.problem(make_request(), problem).body)


def test_unexpected_error_is_shown_with_its_name(renderer: Renderer) -> None:
    text = text_of(
        renderer.problem(make_request(), describe_problem(ZeroDivisionError("1/0"))).body
    )
    assert "Unexpected error: ZeroDivisionError: 1/0." in text


def test_moment_has_a_complete_tooltip() -> None:
    at = datetime(2026, 11, 22, 13, 0, tzinfo=UTC)
    assert re.fullmatch(
        r'<time datetime="2026-11-22T[\d:+-]+" title="2026-11-2[\d :-]+ [\w+-]+" data-age>.* ago'
        "</time>",
        moment(at),
    )
    assert str(moment(at, "<now>")).endswith(">&lt;now&gt;</time>")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("a\nb\tc", "a\nb\tc"),
        ("👩‍🔬 שלום", "👩‍🔬 שלום"),
        ("a\u202eb\u2066", "a\\u202eb\\u2066"),
        ("\x1b[31m\0", "\\x1b[31m\\x00"),
        ("\ud800", "\\ud800"),
    ],
)
def test_invisible_and_bidirectional_characters_are_escaped(text: str, shown: str) -> None:
    assert show(text) == shown


def test_ids_keep_their_differences() -> None:
    assert len({dom_id(text) for text in ("a b", "a-b", "a_b", "a_20_b", "aéb")}) == 5


@pytest.mark.parametrize(
    ("name", "kibibytes"), [("app.css", 10), ("app.js", 3), ("htmx.min.js", 14), ("icon.svg", 1)]
)
def test_files_are_small(name: str, kibibytes: int) -> None:
    assert len(gzip.compress((STATIC / name).read_bytes())) <= kibibytes * 1024


def test_browser_waits_until_the_page_has_an_answer() -> None:
    base, verdict = (
        (TEMPLATES / name).read_text("utf-8") for name in ("base.html", "new_verdict.html")
    )
    (page_ms,) = re.findall(r'"defaultTimeout": (\d+)', base)
    plan_ms = re.findall(r'"timeout": (\d+)', verdict)
    assert int(page_ms) > DEADLINE_SECONDS * 1000
    assert len(plan_ms) == verdict.count("/new/plan")
    assert min(map(int, plan_ms)) > PLAN_SECONDS * 1000


def test_own_styles_and_script_have_at_most_60_kib() -> None:
    written = sum((STATIC / name).stat().st_size for name in ("app.css", "app.js"))
    assert written <= 60 * 1024


def test_each_style_is_used() -> None:
    styles = re.sub(r"/\*.*?\*/", "", (STATIC / "app.css").read_text("utf-8"), flags=re.DOTALL)
    classes = set(re.findall(r"\.([a-z][\w-]*)", styles))
    files = [path for path in ADMIN.rglob("*") if path.suffix in {".html", ".py", ".js"}]
    text = "\n".join(path.read_text("utf-8") for path in files)
    # A class such as `k-{{ kind }}` is written when a page is rendered.
    beginnings = tuple(re.findall(r"([a-z]+-)\{\{", text))
    named = {each for each in classes if not each.startswith(beginnings)}
    assert named - set(re.findall(r"[\w-]+", text)) == set()


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_templates_need_no_exception_of_the_security_policy(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not re.search(r'\sstyle=|\son\w+="|hx-on|js:|javascript:|<style|\|safe', text)
    assert not re.search(r"<script(?! src=)", text)
    assert not re.search(r'hx-trigger="[^"]*\[', text)


@pytest.mark.parametrize("path", sorted(TEMPLATES.iterdir()), ids=lambda path: path.name)
def test_templates_link_below_the_root(path: Path) -> None:
    attributes = r'(?:href|action|formaction|hx-get|hx-post)="'
    urls = re.findall(attributes + r"((?:\{\{.*?\}\}|[^\"])*)", path.read_text("utf-8"))
    external = (
        "{{ log_link",
        "{{ execution_link",
        "{{ catalog",
        "{{ console",
        "{{ fact.url",
        "{{ run }}",
    )
    internal = ("{{ root }}", "{{ here }}", "/static/", "#")
    assert [each for each in urls if each and not each.startswith((*internal, *external))] == []


@pytest.mark.parametrize("path", ["/jobs", "/nowhere", "/static/nowhere", "/?token=wrong"])
def test_browser_that_is_not_signed_in_sees_nothing_of_the_engine(
    browser: Browser, access: Access, path: str
) -> None:
    stranger = Browser(browser.app)
    answer = stranger.get(path)
    assert answer.status in {403, 404}
    for secret in (*IDENTITY, access.root, access.csrf_token, access.start_token):
        assert secret not in answer.text
