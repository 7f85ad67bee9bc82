"""Pages and parts of pages, from templates: all text of others is escaped, and none is hidden."""

import importlib.metadata
import json
import unicodedata
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from quilt_packager_runtime.errors import printable
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import Scope

from quilt_packager.admin.model import labels
from quilt_packager.admin.model.job_filters import key_of, milliseconds, write_key
from quilt_packager.admin.web.problems import Problem
from quilt_packager.admin.web.security import SAFE_METHODS, Access, Refusal
from quilt_packager.operations import formats
from quilt_packager.operations.jobs.labels import trigger_label

TEMPLATES = Path(__file__).parents[1] / "templates"
STATIC = Path(__file__).parents[1] / "static"

THEMES = ("system", "light", "dark")
THEME_COOKIE = "theme"

METHOD_NOT_ALLOWED = 405

KEPT = frozenset("\n\t\u200c\u200d\ufe0f")
"""Characters without a look of their own that text may have: lines, and what joins emoji."""


class Tab(NamedTuple):
    """A section of the page.

    Attributes:
        name: Its name.
        path: Where it is.
        waiting: How much waits there; None: nothing, or that is not known.
    """

    name: str
    path: str
    waiting: Callable[[], int | None] = lambda: None


class EngineIdentity(NamedTuple):
    """Which engine the page is of.

    Attributes:
        stack_name: Its stack.
        region: Where it is.
        account: Whose it is.
    """

    stack_name: str
    region: str
    account: str


class Toast(NamedTuple):
    """A success, told once on the next page.

    Attributes:
        words: What was done.
        url: Where to go on; empty: nowhere.
        link: What that is called.
    """

    words: str
    url: str = ""
    link: str = ""


class Confirmation(NamedTuple):
    """What is asked before something is done that cannot be undone, or costs something.

    Attributes:
        title: The question, with its count.
        action: The path that the form is sent to.
        fields: What the form says: exact ids, never a filter that may find others later.
        act: What the button does, as a verb with its object.
        keep: What the other button does.
        keep_url: Where that leads, on a page of its own.
        words: What will happen, a paragraph each.
        names: What it happens to.
        note: What does not happen.
        is_danger: Something is lost.
    """

    title: str
    action: str
    fields: Sequence[tuple[str, str]]
    act: str
    keep: str
    keep_url: str
    words: Sequence[str] = ()
    names: Sequence[str] = ()
    note: str = ""
    is_danger: bool = False


class Renderer:
    """Makes pages of an engine.

    Args:
        place: Which engine.
        access: Who may do what.
        tabs: The sections, in their order.
        identity: Tells the ARN that acts, as far as it is known.
    """

    def __init__(
        self,
        place: EngineIdentity,
        access: Access,
        tabs: Sequence[Tab],
        identity: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._access = access
        self._tabs = tabs
        self._toasts: deque[Toast] = deque()
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=show,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "size": formats.size,
            "duration": labels.tell_seconds,
            "age": formats.age,
            "counted": formats.count,
            "moment": moment,
            "clock": clock,
            "dom_id": dom_id,
            "as_json": as_json,
            "look": lambda job: labels.BADGES[job.outcome],
            "label": labels.label,
            "source_words": trigger_label,
            "second_line": labels.second_line,
            "key": lambda job: write_key(key_of(job)),
            "milliseconds": milliseconds,
        }
        self._environment.globals |= {
            "place": place,
            "tabs": tabs,
            "identity": identity,
            "read_only": access.read_only,
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
        """A whole page.

        Args:
            request: What asked for it.
            template: Its file.
            status: The status of HTTP.
            values: What the template shows.
        """
        toasts = [self._toasts.popleft() for _ in range(len(self._toasts))]
        return self._answer(request.scope, template, status, {"toasts": toasts, **values})

    def part(self, request: Request, template: str, **values: Any) -> Response:  # noqa: ANN401 - what a template takes
        """A part of a page, for htmx.

        Args:
            request: What asked for it.
            template: Its file.
            values: What the template shows.
        """
        return self._answer(request.scope, template, 200, values)

    def toast(self, words: str, *, url: str = "", link: str = "") -> None:
        """Tell of a success on the next page.

        Args:
            words: What was done.
            url: Where to go on.
            link: What that is called.
        """
        self._toasts.append(Toast(words, url, link))

    def confirm(self, request: Request, asked: Confirmation) -> Response:
        """Ask: in a dialog, which htmx puts into `#dialog`, or on a page of its own.

        Args:
            request: What asked for it.
            asked: The question.
        """
        if "hx-request" in request.headers:
            return self.part(request, "confirm_part.html", asked=asked)
        return self.page(request, "confirm.html", asked=asked)

    def problem(self, request: Request, problem: Problem, *, status: int = 500) -> Response:
        """A page, or a part, that tells of an error and has nothing else.

        Args:
            request: What led to it.
            problem: The error.
            status: The status of HTTP.
        """
        if "hx-request" in request.headers:
            return self.part(request, "problem_part.html", problem=problem)
        # A link can repeat only what a link can ask for: what a form did, it would not do again.
        repeats = request.method in SAFE_METHODS and status != METHOD_NOT_ALLOWED
        return self.page(
            request,
            "problem.html",
            status=status,
            problem=problem,
            back=None if repeats else self._tab_of(request.url.path),
        )

    def refusal(self, scope: Scope, refusal: Refusal) -> Response:
        """The page that tells why a request is refused. It shows nothing of the engine.

        Args:
            scope: The request.
            refusal: Why.
        """
        response = self._answer(scope, "refused.html", refusal.status, {"refusal": refusal})
        # What htmx asked for would go into the middle of a page: show it whole.
        response.headers["HX-Refresh"] = "true"
        return response

    def _tab_of(self, path: str) -> Tab:
        return next((tab for tab in self._tabs if path.startswith(tab.path)), self._tabs[0])

    def _answer(
        self, scope: Scope, template: str, status: int, values: dict[str, Any]
    ) -> HTMLResponse:
        request = Request(scope)
        theme = request.cookies.get(THEME_COOKIE)
        text = self._environment.get_template(template).render(
            theme=theme if theme in THEMES else THEMES[0],
            path=scope["path"],
            csrf=self._access.csrf_token,
            **values,
        )
        # A lone surrogate, which JSON may bring, has no bytes of its own.
        return HTMLResponse(text.encode("utf-8", "backslashreplace"), status_code=status)


def show(value: object) -> object:
    r"""Make visible what would be hidden, or would turn the text around it.

    Args:
        value: What a template shows.

    Example:
        >>> print(show("a\u202eb"), show("שלום 🧬"))
        a\u202eb שלום 🧬
    """
    if type(value) is not str or value.isprintable():
        return value
    return "".join(
        char if char in KEPT or unicodedata.category(char) == "Zs" else printable(char)
        for char in value
    )


def moment(at: datetime, words: str | None = None) -> Markup:
    """A moment as an element of HTML: its time of day, and all of it where one points at it.

    Args:
        at: The moment.
        words: What to show instead. Default: how long ago it was, which a script keeps true.
    """
    local = at.astimezone()
    ticks = Markup(" data-age") if words is None else Markup("")
    if words is None:
        words = f"{formats.age((datetime.now(local.tzinfo) - local).total_seconds())} ago"
    return Markup('<time datetime="{}" title="{}"{}>{}</time>').format(
        local.isoformat(timespec="seconds"), local.strftime("%Y-%m-%d %H:%M:%S %Z"), ticks, words
    )


def clock(at: datetime) -> str:
    """A moment as people say it: the time of day, with the day where that is another.

    Args:
        at: The moment.
    """
    local, today = at.astimezone(), datetime.now().astimezone().date()
    if local.date() == today:
        return f"Today {local:%H:%M:%S}"
    return f"{local:%Y-%m-%d %H:%M:%S}"


def dom_id(text: str) -> str:
    """An id for HTML that no text can break out of a selector.

    Args:
        text: What it is made of.

    Example:
        >>> dom_id("3f9a-é b")
        '3f9a-_e9__20_b'
    """
    return "".join(
        char if (char.isascii() and char.isalnum()) or char == "-" else f"_{ord(char):x}_"
        for char in text
    )


def as_json(value: object) -> str:
    """A value as people read JSON.

    Args:
        value: The value.
    """
    return json.dumps(value, indent=2, ensure_ascii=False)
