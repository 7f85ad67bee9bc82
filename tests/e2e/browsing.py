"""The Chromium of this machine, with the errors that it reports."""

import os
import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.conftest import NEEDS_BROWSER

NAMES = ("chromium", "chromium-browser", "google-chrome")

ARGUMENTS = [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]

TIMEOUT_MS = 20_000
"""Time limit of every wait, for a busy machine. The page polls every 15 s."""


def find_chromium() -> str:
    """Return the program. Without one, skip the test if that is allowed."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        why = f"There is no browser: none of {', '.join(NAMES)}. `make browser` installs one."
        if os.environ.get(NEEDS_BROWSER):
            pytest.fail(why)
        pytest.skip(why)
    return found


def start_chromium() -> Iterator[Browser]:
    """Start Chromium, and end it."""
    program = find_chromium()
    # Its sandbox does not work for root.
    arguments = [*ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        yield browser
        browser.close()


MAX_TABS = 100


class Person:
    """A user with a separate browser context and the page's address.

    Args:
        browser: The browser.
        url: The address, with its token.
        options: Options of the context, such as the viewport or `java_script_enabled`.

    Attributes:
        complaints: Errors and warnings of the browser: scripts, policy violations.
    """

    def __init__(self, browser: Browser, url: str, **options: Any) -> None:
        self.complaints: list[str] = []
        self.origin = url.partition("/?")[0]
        self.root = self.origin
        self.context: BrowserContext = browser.new_context(
            **{"viewport": {"width": 1440, "height": 900}, **options}
        )
        self.context.set_default_timeout(TIMEOUT_MS)
        self.context.on("weberror", lambda error: self.complaints.append(str(error.error)))
        self.context.on("console", self._record_message)
        self._has_scripts = options.get("java_script_enabled", True)
        self.page = self.open(url)
        self.root = self.page.url.partition("/jobs")[0]

    def open(self, url: str) -> Page:
        """Open a window at a URL or at a path of the page."""
        page = self.context.new_page()
        self._visit(page, self.root + url if url.startswith("/") else url)
        return page

    def go(self, path: str) -> Page:
        """Go to a part of the page, in the first window."""
        self._visit(self.page, self.root + path)
        return self.page

    def arrive(self, page: Page) -> None:
        """Wait for the redirect of a page without scripts."""
        if not self._has_scripts:
            page.wait_for_url(re.compile("whole=1"))

    def _visit(self, page: Page, url: str) -> None:
        page.goto(url)
        self.arrive(page)

    def _record_message(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)


def settle(page: Page) -> Page:
    """Wait until all parts of a page are loaded."""
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    return page


def tab_to(page: Page, wanted: Locator) -> None:
    """Press Tab until an element has the focus. Fail if the keyboard cannot reach it."""
    expect(wanted).to_be_visible()
    for _ in range(MAX_TABS):
        if wanted.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    expect(wanted).to_be_focused()
