"""Rules for all pages: access, screen sizes and accessibility."""

import http.client
import http.server
import re
import threading
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from quilt_packager.local.engine import BUCKET
from quilt_packager.local.page import Page as Served
from tests.e2e.browsing import Person, settle
from tests.e2e.page_stack import HOSTILE_NAME, Stack
from tests.running import listening_addresses

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("page"), pytest.mark.timeout(300)]

TABS = ("/jobs", "/failures", "/packages", "/new", "/settings")
PHONE = {"width": 375, "height": 812}
AXE: Any = Axe()
SERIOUS = ("serious", "critical")


def show_job(person: Person, name: str) -> Page:
    person.go(f"/jobs?q={name}").locator("#rows a.pkg").first.click()
    expect(person.page.locator("#log")).to_be_visible()
    return person.page


def pages_of(person: Person) -> dict[str, Callable[[], Page]]:
    """Return all kinds of pages with the actions that open them."""

    def ask_to_discard() -> Page:
        page = settle(person.go("/failures"))
        page.get_by_role("button", name="Discard").first.click()
        expect(page.get_by_role("dialog")).to_be_visible()
        return page

    def show_package() -> Page:
        person.go(f"/packages/{BUCKET}/nextflow/rnaseq-7")
        expect(person.page.locator("#entries summary").first).to_be_visible()
        return person.page

    def plan(folder: str) -> Page:
        person.go(f"/new?source_prefix={folder}&plan=1")
        expect(person.page.locator("#verdict input[name=planned]")).to_be_attached()
        return person.page

    def check() -> Page:
        person.go("/settings").get_by_role("button", name=re.compile("^Check")).click()
        expect(person.page.locator("#check .checks")).to_be_visible(timeout=30_000)
        return person.page

    return {
        **{path: lambda path=path: person.go(path) for path in TABS},  # type: ignore[misc] # no two alike
        "no job matches": lambda: person.go("/jobs?q=nothing-has-this-name"),
        "a package": show_package,
        "a job": lambda: show_job(person, "nextflow/rnaseq-7"),
        "a failed job": lambda: show_job(person, "not_uploaded/yet"),
        "a question": ask_to_discard,
        "a check": check,
        "reasons": lambda: person.go(f"/settings?explain=s3://{BUCKET}/nextflow/rnaseq-7/"),
        "a plan": lambda: plan("s3://quilt-demo/nextflow/rnaseq-7/"),
        "a refused plan": lambda: plan("s3://quilt-demo/not/there/"),
    }


def find_serious(page: Page, **options: Any) -> list[tuple[str, list[str]]]:
    found = AXE.run(page, options={"resultTypes": ["violations"], **options})
    return [
        (each["id"], [node["html"] for node in each["nodes"]])
        for each in found.response["violations"]
        if each["impact"] in SERIOUS
    ]


def test_axe_finds_nothing_serious(person: Person) -> None:
    found = []
    for name, show in pages_of(person).items():
        page = settle(show())
        page.emulate_media(color_scheme="light")
        found += [(name, "light", *each) for each in find_serious(page)]
        # Dark mode differs in colours only.
        page.emulate_media(color_scheme="dark")
        in_the_dark = find_serious(page, runOnly=["color-contrast"])
        found += [(name, "dark", *each) for each in in_the_dark]
    assert found == []


def test_nothing_scrolls_sideways_on_a_phone(meet: Callable[..., Person], served: Served) -> None:
    person = meet(served, viewport=PHONE, has_touch=True, is_mobile=True)
    shown = pages_of(person)
    shown["a hostile job"] = lambda: show_job(person, HOSTILE_NAME)
    widths = {
        name: settle(show()).evaluate("document.scrollingElement.scrollWidth")
        for name, show in shown.items()
    }
    assert widths == dict.fromkeys(widths, PHONE["width"])


# Access.


def ask(page: Served, path: str = "/jobs", method: str = "GET", **headers: str) -> tuple[int, str]:
    """Send a request without the token, and return status and text."""
    host = urlsplit(page.url).netloc
    connection = http.client.HTTPConnection(host, timeout=10)
    sent: Mapping[str, str] = {name.replace("_", "-"): text for name, text in headers.items()}
    connection.request(method, path, body=b"" if method == "POST" else None, headers=sent)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_requests_without_the_token_are_refused(served: Served) -> None:
    for path in (*TABS, "/?token=wrong", "/jobs/list", "/settings/switch"):
        status, text = ask(served, path)
        assert status == 403
        assert "123456789012" not in text


def test_other_names_of_this_machine_are_refused(served: Served) -> None:
    assert ask(served, host="attacker.example")[0] == 421


def test_token_is_removed_from_the_address_and_hidden_from_scripts(
    person: Person,
) -> None:
    expect(person.page).to_have_url(re.compile("/jobs$"))
    (cookie,) = person.context.cookies()
    assert (cookie["sameSite"], cookie["httpOnly"]) == ("Strict", True)
    assert person.page.evaluate("document.cookie") == ""


def test_server_on_another_port_receives_neither_cookie_nor_address(person: Person) -> None:
    seen: list[Mapping[str, str]] = []

    class Neighbour(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({name.lower(): value for name, value in self.headers.items()})
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Neighbour) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            # A link on the page leads there, so the browser could send a Referer.
            url = f"http://127.0.0.1:{server.server_port}/jobs"
            person.page.evaluate(
                "url => document.body.append(Object.assign(document.createElement('a'),"
                " {href: url, textContent: 'Neighbour'}))",
                url,
            )
            person.page.get_by_role("link", name="Neighbour").click()
            person.page.wait_for_url(url)
        finally:
            server.shutdown()
    assert seen
    sent = str(seen)
    assert person.root.rpartition("/")[2] not in sent
    assert "quilt-packager-" not in sent
    # The neighbour has no icon.
    person.complaints.clear()


def test_form_of_another_site_changes_nothing(
    meet: Callable[..., Person], served: Served, stack: Stack
) -> None:
    person = meet(served)
    form = f"""<form method="post" action="{person.root}/settings/switch">
        <input name="name" value="omics"><input name="to" value="off"><button>Win</button></form>"""
    person.context.route(
        "http://attacker.example/", lambda route: route.fulfill(body=form, content_type="text/html")
    )
    page = person.open("http://attacker.example/")
    page.get_by_role("button").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("not signed in")
    assert stack.rule_state("aws.omics") == "ENABLED"
    # The browser reports the refusal.
    person.complaints.clear()


def test_server_listens_on_the_loopback_only(served: Served) -> None:
    assert {host for host, _ in listening_addresses(served.process_id)} == {"127.0.0.1"}


def test_read_only_page_has_no_actions(meet: Callable[..., Person], read_only: Served) -> None:
    person = meet(read_only)
    for path in TABS:
        page = settle(person.go(path))
        expect(page.locator(".readonly")).to_have_text("Read only")
        offered = page.get_by_role("switch").or_(
            page.get_by_role("button", name=re.compile("^(Retry|Discard|Package)"))
        )
        expect(offered).to_have_count(0)


def test_read_only_server_refuses_changes(
    meet: Callable[..., Person], served: Served, read_only: Served, stack: Stack
) -> None:
    person = meet(read_only)
    token = person.page.locator("input[name=csrf]").first.input_value()
    answer = person.context.request.post(
        f"{person.root}/settings/switch",
        form={"csrf": token, "name": "omics", "to": "off"},
        headers={"Origin": person.origin},
    )
    assert answer.status == 403
    assert "read only" in answer.text()
    assert stack.rule_state("aws.omics") == "ENABLED"
