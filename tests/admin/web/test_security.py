"""Who may see the page and use it, rule by rule; each rule alone is what refuses."""

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Scope

from quilt_packager.admin.web.security import MAX_FORM_BYTES, Access, Guard, Refusal, form_of
from tests.admin.browser import HOST, ORIGIN, PORT, Browser


class Page:
    """An app behind the guard, and what got through to it."""

    def __init__(self, *, read_only: bool = False) -> None:
        self.access = Access(PORT, read_only=read_only, harmless=["/theme"])
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
        self.got.append((request.url.path, dict(form)))
        return PlainTextResponse("answered")

    def explain(self, scope: Scope, refusal: Refusal) -> Response:
        return PlainTextResponse(refusal.happened, status_code=refusal.status)

    def browser(self) -> Browser:
        """A browser that has opened the address that the command printed."""
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
    assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
    assert page.access.start_token not in cookie


def test_browser_with_the_cookie_is_answered(page: Page) -> None:
    assert page.browser().get("/jobs").text == "answered"


def test_browser_without_the_cookie_is_refused(page: Page) -> None:
    answer = Browser(page.app).get("/jobs")
    assert answer.status == 403
    assert "not signed in" in answer.text
    assert not page.got


@pytest.mark.parametrize("token", ["", "wrong", "é"])
def test_wrong_token_is_refused_even_of_a_known_browser(page: Page, token: str) -> None:
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
    browser = Browser(page.app)
    assert browser.get("/jobs", cookie=f"{page.access.cookie_name}={cookie}").status == 403


@pytest.mark.parametrize("other", ['prefs={"a":1,"b":2}', "a=b c", "k(1)=v", "flag", "é=1", ";;=,"])
@pytest.mark.parametrize("order", ["{other}; {ours}", "{ours}; {other}"])
def test_cookies_of_other_programs_on_this_host_lock_nobody_out(
    page: Page, other: str, order: str
) -> None:
    (ours,) = [f"{name}={value}" for name, value in page.browser().cookies.items()]
    cookie = order.format(other=other, ours=ours)
    assert Browser(page.app).get("/jobs", cookie=cookie).status == 200


def test_cookie_of_another_run_is_refused(page: Page) -> None:
    other = Page().browser()
    browser = Browser(page.app)
    browser.cookies = other.cookies
    assert browser.get("/jobs").status == 403


@pytest.mark.parametrize("host", [HOST, f"localhost:{PORT}", f"[::1]:{PORT}"])
def test_names_of_this_machine_are_answered(page: Page, host: str) -> None:
    assert page.browser().get("/jobs", host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", f"evil.example:{PORT}", "127.0.0.1:1", "127.0.0.1", None]
)
@pytest.mark.parametrize("path", ["/jobs", "/static/app.css"])
def test_other_hosts_are_refused_so_that_no_name_can_be_rebound(
    page: Page, host: str | None, path: str
) -> None:
    answer = page.browser().get(path, host=host)
    assert answer.status == 421
    assert not page.got


def test_start_token_under_another_host_gives_no_cookie(page: Page) -> None:
    answer = Browser(page.app).get(f"/?token={page.access.start_token}", host="evil.example")
    assert answer.status == 421
    assert "set-cookie" not in answer.headers


def test_static_files_need_no_cookie_since_refusals_use_them(page: Page) -> None:
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
    answer = Browser(page.app).post("/send", {"csrf": page.access.csrf_token})
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
