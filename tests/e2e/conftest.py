"""Fixtures of the tests of the page: one engine, one browser, and users of the page."""

from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from quilt_packager.local.engine import DeployedEngine
from quilt_packager.local.page import Page as Served
from tests.e2e import browsing, page_stack
from tests.e2e.browsing import Person
from tests.e2e.page_stack import HOSTILE, HOSTILE_MESSAGE, HOSTILE_NAME, Stack, wait_until

expect.set_options(timeout=browsing.TIMEOUT_MS)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add MiniStack's log to the report of a failure."""
    report = yield
    if report.failed:
        for value in getattr(item, "funcargs", {}).values():
            engine = getattr(value, "engine", value)
            if isinstance(engine, DeployedEngine):
                report.sections.append(("The end of MiniStack's log", engine.aws.log()))
    return report


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    # Without a browser no test needs it.
    browsing.find_chromium()
    with page_stack.deployed(tmp_path_factory.mktemp("aws")) as stack:
        yield stack


@pytest.fixture(scope="session")
def failed(stack: Stack) -> Stack:
    """The engine with a hostile package, and a failed message for each test that needs one."""
    stack.engine.upload(HOSTILE)
    stack.engine.send_message(HOSTILE_MESSAGE)
    for name in (
        "late/folder-0",
        "late/folder-1",
        "unwanted/folder-0",
        "unwanted/folder-1",
        "typed/folder",
    ):
        stack.fail(f"{name}/")
    wait_until(lambda: stack.has_package(HOSTILE_NAME), "the hostile package")
    return stack


# One for each module: while Playwright runs, the process cannot run another event loop.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    yield from browsing.start_chromium()


@pytest.fixture(scope="session")
def served(failed: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of the command."""
    with Served(tmp_path_factory.mktemp("page"), failed.environment) as page:
        yield page


@pytest.fixture(scope="session")
def read_only(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The page of the command with --read-only."""
    folder = tmp_path_factory.mktemp("read-only")
    with Served(folder, stack.environment, ("--read-only",)) as page:
        yield page


@pytest.fixture
def meet(chromium: Browser) -> Iterator[Callable[..., Person]]:
    """Creates users. Complaints of their browsers fail the test."""
    people: list[Person] = []

    def make(page: Served, **options: Any) -> Person:
        people.append(Person(chromium, page.url, **options))
        return people[-1]

    yield make
    complaints = [each for person in people for each in person.complaints]
    for person in people:
        person.context.close()
    assert complaints == []


@pytest.fixture
def person(meet: Callable[..., Person], served: Served) -> Person:
    """A user of the page that allows all changes."""
    return meet(served)
