"""The page of a scripted engine."""

from collections.abc import Iterator
from typing import Any

import pytest

from quilt_packager.admin.app import make_app
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.web.security import Access
from tests.admin.browser import PORT, Browser
from tests.admin.engine import IDENTITY, Engine


@pytest.fixture
def engine() -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        scripted = Engine()
        scripted.install(patch)
        yield scripted


@pytest.fixture
def access() -> Access:
    return Access(PORT)


@pytest.fixture
def browser(engine: Any, access: Access) -> Browser:
    """Sign a browser in."""
    views = Views(engine)
    engine.views.append(views)
    browser = Browser(make_app(views, IDENTITY, access))
    browser.get(f"/?token={access.start_token}")
    return browser
