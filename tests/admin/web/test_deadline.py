"""The deadline of a page reaches the threads that render it."""

import time

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from quilt_packager.admin.model.caching import DEADLINE_SECONDS, PAGE_DEADLINE
from quilt_packager.admin.web.deadline import OneDeadline
from tests.admin.browser import Browser


def show(_: Request) -> Response:
    return PlainTextResponse(str(PAGE_DEADLINE.get()))


def test_each_page_has_a_deadline_of_its_own() -> None:
    browser = Browser(OneDeadline(Starlette(routes=[Route("/", show)])))
    latest = time.monotonic() + DEADLINE_SECONDS
    first, second = (float(browser.get("/").text) for _ in range(2))
    assert latest <= first < second
