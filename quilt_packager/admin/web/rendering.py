"""Pages and parts of pages, rendered from templates that escape all text."""

import importlib.metadata
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.types import Scope

from quilt_packager.admin.model import labels
from quilt_packager.admin.model.job_filters import key_of, milliseconds, write_key
from quilt_packager.admin.web import filters
from quilt_packager.admin.web.problems import Problem
from quilt_packager.admin.web.refusals import Refusal
from quilt_packager.admin.web.security import SAFE_METHODS, Access
from quilt_packager.operations import formats
from quilt_packager.operations.jobs.labels import trigger_label

TEMPLATES = Path(__file__).parents[1] / "templates"
STATIC = Path(__file__).parents[1] / "static"

THEMES = ("system", "light", "dark")
THEME_COOKIE = "theme"

METHOD_NOT_ALLOWED = 405


class Tab(NamedTuple):
    """A section of the page.

    Attributes:
        name: Visible name.
        path: Path of its page.
        waiting: Returns the number of items that need attention; None if unknown.
    """

    name: str
    path: str
    waiting: Callable[[], int | None] = lambda: None


class EngineIdentity(NamedTuple):
    """The stack, region and account of an engine."""

    stack_name: str
    region: str
    account: str


class Toast(NamedTuple):
    """A success, shown once on the next page.

    Attributes:
        text: The completed action.
        url: Target of its link; empty for none.
        link: Text of the link.
    """

    text: str
    url: str = ""
    link: str = ""


class Affected(NamedTuple):
    """Something that an action affects.

    Attributes:
        name: Its name, such as a folder.
        detail: Its id and its age.
    """

    name: str
    detail: str = ""


class Confirmation(NamedTuple):
    """A question before an action that cannot be undone, or that costs something.

    Attributes:
        title: The question, with its count.
        action: Path of the form.
        fields: Fields of the form: exact ids, never a filter that may match others later.
        confirm: Label of the button that acts: a verb with its object.
        cancel: Label of the other button.
        cancel_url: Target of the other button on a page of its own.
        effects: Effects of the action, one paragraph each.
        items: Affected items.
        note: Parts that the action leaves unchanged.
        warning: Fact for which the action cannot succeed, as a sentence; empty without one.
        consequence: Consequence of the warning, as a sentence.
        is_danger: The action deletes something.
    """

    title: str
    action: str
    fields: Sequence[tuple[str, str]]
    confirm: str
    cancel: str
    cancel_url: str
    effects: Sequence[str] = ()
    items: Sequence[Affected] = ()
    note: str = ""
    warning: str = ""
    consequence: str = ""
    is_danger: bool = False


class Renderer:
    """Renders the pages of an engine.

    Args:
        engine: The engine.
        access: The rules for requests, with the path that all pages are below.
        tabs: The sections, in their order.
        identity: Returns the ARN whose credentials are used; None while it is unknown.

    Attributes:
        root: Path that all pages are below.
    """

    def __init__(
        self,
        engine: EngineIdentity,
        access: Access,
        tabs: Sequence[Tab],
        identity: Callable[[], str | None] = lambda: None,
    ) -> None:
        self.root = access.root
        self._access = access
        self._tabs = tabs
        self._toasts: deque[Toast] = deque()
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=filters.show,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "size": formats.size,
            "duration": labels.format_seconds,
            "age": formats.age,
            "counted": formats.count,
            "moment": filters.moment,
            "until": filters.until,
            "time_of_day": filters.time_of_day,
            "clock": filters.clock,
            "dom_id": filters.dom_id,
            "as_json": filters.as_json,
            "short": filters.short,
            "badge": labels.badge,
            "label": labels.label,
            "trigger": trigger_label,
            "second_line": labels.second_line,
            "key": lambda job: write_key(key_of(job)),
            "milliseconds": milliseconds,
        }
        self._environment.globals |= {
            "engine": engine,
            "root": access.root,
            "tabs": tabs,
            "identity": identity,
            "read_only": access.read_only,
            "zone_name": filters.zone_name,
            "release": importlib.metadata.version("quilt-packager"),
        }

    def page(
        self,
        request: Request,
        template: str,
        *,
        status: int = 200,
        **values: Any,  # noqa: ANN401 - what a template takes
    ) -> Response:
        """Render a complete page."""
        toasts = [self._toasts.popleft() for _ in range(len(self._toasts))]
        return self._answer(request.scope, template, status, {"toasts": toasts, **values})

    def part(self, request: Request, template: str, **values: Any) -> Response:  # noqa: ANN401 - what a template takes
        """Render a part of a page, for htmx."""
        return self._answer(request.scope, template, 200, values)

    def redirect(self, url: str) -> Response:
        """Send the browser to another part of the page."""
        return RedirectResponse(self.root + url, status_code=303)

    def toast(self, text: str, *, url: str = "", link: str = "") -> None:
        """Report a success on the next page."""
        self._toasts.append(Toast(text, url, link))

    def confirm(self, request: Request, question: Confirmation) -> Response:
        """Ask for confirmation in a dialog, or without JavaScript on a page of its own."""
        if "hx-request" in request.headers:
            return self.part(request, "confirm_part.html", question=question)
        return self.page(request, "confirm.html", question=question)

    def problem(self, request: Request, problem: Problem, *, status: int = 500) -> Response:
        """Render an error as a page or as a part of one."""
        if not self._access.root_of(request.scope["path"]):
            # A static file: its readers are not signed in, and see nothing of the engine.
            return Response(status_code=status)
        if "hx-request" in request.headers:
            return self.part(request, "problem_part.html", problem=problem)
        # A link can only repeat a GET.
        repeats = request.method in SAFE_METHODS and status != METHOD_NOT_ALLOWED
        return self.page(
            request,
            "problem.html",
            status=status,
            problem=problem,
            back=None if repeats else self._tab_of(route_of(request.scope)),
        )

    def refusal(self, scope: Scope, refusal: Refusal) -> Response:
        """Render a refusal. It shows nothing of the engine, and no secret."""
        values = {"refusal": refusal, "root": scope["root_path"], "csrf": ""}
        response = self._answer(scope, "refused.html", refusal.status, values)
        # As the answer to htmx it would replace a part of a page: show it as a page.
        response.headers["HX-Refresh"] = "true"
        return response

    def _tab_of(self, path: str) -> Tab:
        return next((tab for tab in self._tabs if path.startswith(tab.path)), self._tabs[0])

    def _answer(
        self, scope: Scope, template: str, status: int, values: dict[str, Any]
    ) -> HTMLResponse:
        request = Request(scope)
        theme = request.cookies.get(THEME_COOKIE)
        known = {
            "theme": theme if theme in THEMES else THEMES[0],
            "path": route_of(scope),
            "query": request.url.query,
            "csrf": self._access.csrf_token,
        }
        text = self._environment.get_template(template).render(known | values)
        # JSON may contain lone surrogates, which UTF-8 cannot encode.
        return HTMLResponse(text.encode("utf-8", "backslashreplace"), status_code=status)


def route_of(scope: Scope) -> str:
    """Return the path of a request below the page's root."""
    path: str = scope["path"]
    return path.removeprefix(scope["root_path"])


def is_whole(request: Request) -> bool:
    """Return True if a page must be complete: without JavaScript, no part is loaded later."""
    return "whole" in request.query_params
