"""The page's application: its tabs and its error pages, behind the guard.

A new tab is a module `…_page.py` with a `TAB` and a class that has `routes()`. It is named here, in
`make_app`, and nowhere else.
"""

from os import PathLike, stat_result
from urllib.parse import urlsplit

from botocore.exceptions import BotoCoreError, ClientError
from quilt_packager_runtime.errors import PackagerError
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Scope

from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages import (
    failures_page,
    jobs_page,
    new_package_page,
    packages_page,
    settings_page,
)
from quilt_packager.admin.pages.failures_page import FailuresPage
from quilt_packager.admin.pages.job_page import JobPage
from quilt_packager.admin.pages.jobs_page import JobsPage
from quilt_packager.admin.pages.new_package_page import NewPackagePage
from quilt_packager.admin.pages.package_page import PackagePage
from quilt_packager.admin.pages.packages_page import PackagesPage
from quilt_packager.admin.pages.settings_page import SettingsPage
from quilt_packager.admin.pages.waiting_job_page import WaitingJobPage
from quilt_packager.admin.web.deadline import OneDeadline
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import (
    METHOD_NOT_ALLOWED,
    STATIC,
    THEME_COOKIE,
    THEMES,
    EngineIdentity,
    Renderer,
    route_of,
)
from quilt_packager.admin.web.security import Access, Guard, form_of
from quilt_packager.operations.errors import LookupFailed, OperationError

ALLOWED_WHEN_READ_ONLY = ("/theme", *new_package_page.ALLOWED_WHEN_READ_ONLY)
"""Forms that change nothing in AWS: a read-only page accepts them."""

EXPECTED = (OperationError, PackagerError, BotoCoreError, ClientError)
"""Errors of AWS and of the request, as opposed to defects of the page."""

YEAR_SECONDS = 365 * 24 * 3600


class VersionedFiles(StaticFiles):
    """Static files for the browser's cache: the URL of each contains the release."""

    def file_response(
        self,
        full_path: str | PathLike[str],
        stat_result: stat_result,
        scope: Scope,
        status_code: int = 200,
    ) -> Response:
        """Answer with a file that the browser may keep for a year."""
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers["Cache-Control"] = f"private, max-age={YEAR_SECONDS}"
        return response


def make_app(views: Views, engine: EngineIdentity, access: Access) -> ASGIApp:
    """Assemble the page.

    Args:
        views: The engine's data.
        engine: The engine's stack, region and account.
        access: The rules for requests.
    """
    tabs = [
        jobs_page.TAB,
        failures_page.make_tab(views),
        packages_page.TAB,
        new_package_page.TAB,
        settings_page.TAB,
    ]
    renderer = Renderer(engine, access, tabs, views.identity)
    pages = [
        page(views, renderer)
        for page in (
            JobsPage,
            JobPage,
            FailuresPage,
            PackagesPage,
            PackagePage,
            NewPackagePage,
            SettingsPage,
            WaitingJobPage,
        )
    ]

    def show_problem(request: Request, error: Exception) -> Response:
        return renderer.problem(
            request, describe_problem(error), status=404 if isinstance(error, LookupFailed) else 502
        )

    def show_defect(request: Request, error: Exception) -> Response:
        return renderer.problem(request, describe_problem(error))

    def show_missing(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        return renderer.problem(request, _missing(request, status), status=status)

    app = Starlette(
        routes=[
            *(route for page in pages for route in page.routes()),
            Route("/theme", set_theme, methods=["POST"]),
            Mount("/static", VersionedFiles(directory=STATIC)),
        ],
        exception_handlers={
            HTTPException: show_missing,
            **dict.fromkeys(EXPECTED, show_problem),
            Exception: show_defect,
        },
    )
    return Guard(OneDeadline(app), access, renderer.refusal)


def set_theme(request: Request) -> Response:
    """Store the theme in a cookie, so that each page is rendered in it from the start."""
    theme = form_of(request).get("theme", "")
    response = (
        Response(status_code=204)
        if "hx-request" in request.headers
        else RedirectResponse(_page_before(request), status_code=303)
    )
    if theme in THEMES:
        cookie = f"{THEME_COOKIE}={theme}; Path=/; Max-Age={YEAR_SECONDS}; HttpOnly; SameSite=Lax"
        response.headers["Set-Cookie"] = cookie
    return response


def _page_before(request: Request) -> str:
    before = urlsplit(request.headers.get("referer", f"{request.scope['root_path']}/"))
    # A path that begins with two slashes would be a URL of another host.
    path = "/" + before.path.lstrip("/")
    return f"{path}?{before.query}" if before.query else path


def _missing(request: Request, status: int) -> Problem:
    if status == METHOD_NOT_ALLOWED:
        return Problem(
            "MethodNotAllowed", "This action is not available here.", "", "Go back and try again."
        )
    return Problem(
        "NotFound",
        "Page not found.",
        f"There is no page at {route_of(request.scope)}.",
        "Choose one of the sections above.",
    )
