"""Access to the page, rule by rule: each test breaks one rule."""

import hashlib
import hmac

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from quilt_packager.admin.web.refusals import MAX_FORM_BYTES, Refusal
from quilt_packager.admin.web.rendering import route_of
from quilt_packager.admin.web.security import Access, Guard, form_of
from tests.admin.browser import HOST, ORIGIN, PORT, Browser


class Page:
    """An app behind the guard, and the requests that reached it."""

    def __init__(self, *, read_only: bool = False) -> None:
        self.access = Access(PORT, read_only=read_only, allowed_when_read_only=["/theme"])
        self.got: list[tuple[str, dict[str, str]]] = []
        routes = [
            Route("/", self.answer),
            Route("/jobs", self.answer),
            Route("/static/app.css", self.answer),
            Route("/send", self.answer, methods=["POST"]),
            Route("/theme", self.answer, methods=["POST"]),
        ]
        self.app = Guard(Starlette(routes=routes), self.access, self.explain)

    def answer(self, request: Request) -> Response:
        form = form_of(request) if request.method == "POST" else {}
        self.got.append((route_of(request.scope), dict(form)))
        return PlainTextResponse("answered")

    def explain(self, scope: Scope, refusal: Refusal) -> Response:
        return PlainTextResponse(refusal.happened, status_code=refusal.status)

    def browser(self) -> Browser:
        """Sign a browser in with the printed address."""
        browser = Browser(self.app)
        assert browser.get(f"/?token={self.access.start_token}").status == 303
        return browser


@pytest.fixture
def page() -> Page:
    return Page()


def test_start_token_is_exchanged_for_a_cookie_at_once(page: Page) -> None:
    answer = Browser(page.app).get(f"/?token={page.access.start_token}")
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"]
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")  # below the root
    assert page.access.start_token not in cookie


def test_cookie_is_bound_to_the_port_and_to_a_secret_path(page: Page) -> None:
    name, _, attributes = page.access.cookie.partition("=")
    assert name == f"quilt-packager-{PORT}"
    assert f"; Path={page.access.root}/;" in attributes
    assert len(page.access.root) > 20
    assert page.access.root not in attributes.partition(";")[0]


def test_server_on_another_port_receives_no_cookie(page: Page) -> None:
    browser = page.browser()
    page.got.clear()
    seen: list[str | None] = []

    async def other(scope: Scope, receive: Receive, send: Send) -> None:
        seen.append(Request(scope).headers.get("cookie"))
        await PlainTextResponse("other")(scope, receive, send)

    neighbour = Browser(other)
    neighbour.cookies, neighbour.cookie_paths = browser.cookies, browser.cookie_paths
    for path in ("/", "/jobs", "/static/app.css"):
        neighbour.get(path)
    assert seen == [None, None, None]


def test_cookie_without_the_secret_path_is_refused(page: Page) -> None:
    (cookie,) = [f"{name}={value}" for name, value in page.browser().cookies.items()]
    program = Browser(page.app)
    for root in ("", "/wrong"):
        program.root = root
        assert program.get("/jobs", cookie=cookie).status == 403
        form = {"csrf": page.access.csrf_token}
        assert program.post("/send", form, cookie=cookie).status == 403
    assert not page.got


def test_secret_path_without_the_cookie_is_refused(page: Page) -> None:
    program = Browser(page.app)
    program.root = page.browser().root
    assert program.get("/jobs").status == 403
    assert not page.got


def test_form_token_does_not_follow_from_the_cookie(page: Page) -> None:
    session = page.access.cookie.partition("=")[2].partition(";")[0]
    derived = hmac.new(session.encode(), b"form", hashlib.sha256).hexdigest()
    assert page.access.csrf_token not in (session, derived)


def test_browser_with_the_cookie_is_answered(page: Page) -> None:
    assert page.browser().get("/jobs").text == "answered"


def test_browser_without_the_cookie_is_refused(page: Page) -> None:
    answer = Browser(page.app).get("/jobs")
    assert answer.status == 403
    assert "not signed in" in answer.text
    assert not page.got


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_wrong_token_is_refused_from_a_signed_in_browser(page: Page, token: str) -> None:
    answer = page.browser().get(f"/?token={token}")
    assert answer.status == 403
    assert "set-cookie" not in answer.headers


def test_token_for_a_browser_that_we_start_works_once(page: Page) -> None:
    token = page.access.make_token()
    assert Browser(page.app).get(f"/?token={token}").status == 303
    assert Browser(page.app).get(f"/?token={token}").status == 403


def test_token_opens_only_the_start(page: Page) -> None:
    assert Browser(page.app).get(f"/jobs?token={page.access.start_token}").status == 403


@pytest.mark.parametrize("cookie", ["", "wrong", "=;;,\x01"])
def test_wrong_cookie_is_refused(page: Page, cookie: str) -> None:
    browser = page.browser()
    assert browser.get("/jobs", cookie=f"{page.access.cookie_name}={cookie}").status == 403


@pytest.mark.parametrize("other", ['prefs={"a":1,"b":2}', "a=b c", "k(1)=v", "flag", "é=1", ";;=,"])
@pytest.mark.parametrize("order", ["{other}; {ours}", "{ours}; {other}"])
def test_cookies_of_other_programs_on_this_host_are_ignored(
    page: Page, other: str, order: str
) -> None:
    browser = page.browser()
    (ours,) = [f"{name}={value}" for name, value in browser.cookies.items()]
    cookie = order.format(other=other, ours=ours)
    assert browser.get("/jobs", cookie=cookie).status == 200


def test_cookie_of_another_run_is_refused(page: Page) -> None:
    browser = page.browser()
    browser.cookies = Page().browser().cookies
    browser.cookie_paths.clear()
    assert browser.get("/jobs").status == 403


@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}", f"[::1]:{PORT}"])
def test_names_of_this_machine_are_answered(page: Page, host: str) -> None:
    assert page.browser().get("/jobs", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:1", "127.0.0.1", None]
)
@pytest.mark.parametrize("path", ["/jobs", "/static/app.css"])
def test_other_hosts_are_refused_against_dns_rebinding(
    page: Page, host: str | None, path: str
) -> None:
    answer = page.browser().get(path, host=host)
    assert answer.status == 421
    assert not page.got


def test_start_token_under_another_host_gives_no_cookie(page: Page) -> None:
    answer = Browser(page.app).get(f"/?token={page.access.start_token}", host="evil.example")
    assert answer.status == 421
    assert "set-cookie" not in answer.headers


def test_static_files_need_no_cookie(page: Page) -> None:
    assert Browser(page.app).get("/static/app.css").status == 200


def test_form_with_its_token_is_answered_and_read(page: Page) -> None:
    form = {"csrf": page.access.csrf_token, "name": "a&b", "empty": ""}
    assert page.browser().post("/send", form).status == 200
    assert page.got == [("/send", form)]


@pytest.mark.parametrize("origin", ["http://evil.example", "null", None, f"https://{HOST}", ""])
def test_form_of_another_origin_is_refused(page: Page, origin: str | None) -> None:
    answer = page.browser().post("/send", {"csrf": page.access.csrf_token}, origin=origin)
    assert answer.status == 403
    assert not page.got


def test_form_under_another_name_of_this_machine_is_of_another_origin(page: Page) -> None:
    answer = page.browser().post(
        "/send", {"csrf": page.access.csrf_token}, host=f"localhost:{PORT}", origin=ORIGIN
    )
    assert answer.status == 403


@pytest.mark.parametrize("form", [{}, {"csrf": ""}, {"csrf": "wrong"}, {"csrf": "é"}])
def test_form_without_its_token_is_refused(page: Page, form: dict[str, str]) -> None:
    answer = page.browser().post("/send", form)
    assert answer.status == 403
    assert "another run" in answer.text
    assert not page.got


def test_form_without_the_cookie_is_refused(page: Page) -> None:
    browser = page.browser()
    browser.cookies.clear()
    answer = browser.post("/send", {"csrf": page.access.csrf_token})
    assert answer.status == 403
    assert not page.got


@pytest.mark.parametrize("kind", ["text/plain", "application/json", "multipart/form-data", None])
def test_body_of_another_kind_is_refused(page: Page, kind: str | None) -> None:
    answer = page.browser().post("/send", {"csrf": page.access.csrf_token}, content_type=kind)
    assert answer.status == 415


def test_form_that_is_too_long_is_refused(page: Page) -> None:
    form = {"csrf": page.access.csrf_token, "metadata": "x" * MAX_FORM_BYTES}
    assert page.browser().post("/send", form).status == 413


def test_other_methods_are_writes(page: Page) -> None:
    headers: dict[str, str | None] = {"origin": None}
    assert page.browser().send("DELETE", "/jobs", b"", headers).status == 403


def test_read_only_refuses_every_form_on_the_server() -> None:
    page = Page(read_only=True)
    answer = page.browser().post("/send", {"csrf": page.access.csrf_token})
    assert answer.status == 403
    assert "read only" in answer.text
    assert not page.got


def test_read_only_takes_forms_that_change_nothing_in_aws() -> None:
    page = Page(read_only=True)
    assert page.browser().post("/theme", {"csrf": page.access.csrf_token}).status == 200


@pytest.mark.parametrize("path", ["/jobs", "/static/app.css", "/nowhere"])
def test_every_answer_has_the_headers_that_keep_other_sites_out(page: Page, path: str) -> None:
    headers = page.browser().get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert headers["x-frame-options"] == "DENY"
    assert headers["cache-control"] == "no-store"


def test_refusals_have_them_too(page: Page) -> None:
    assert "content-security-policy" in Browser(page.app).get("/jobs").headers
