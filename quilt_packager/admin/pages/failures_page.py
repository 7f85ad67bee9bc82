"""The Failures tab: what failed, by its reason, what to do about it, and doing it."""

import dataclasses
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quilt_packager.admin.model.dead_letters import DeadLetters, Did
from quilt_packager.admin.model.views import Views, make_queued
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Confirmation, Renderer, Tab
from quilt_packager.admin.web.security import Form, form_of
from quilt_packager.operations import formats
from quilt_packager.operations.dead_letters.error_codes import count_not_retried
from quilt_packager.operations.dead_letters.queue import (
    Failure,
    Failures,
    Group,
    NotRetried,
    expiring,
    group,
)
from quilt_packager.operations.errors import UnknownFailure

PATH = "/failures"

MAX_ROWS = 50
"""How many messages of a group are listed, unless the page is of that group alone."""

MAX_NAMES = 20
"""How many messages a question names before it only counts them."""

BODY_CHARS = 2000
"""How much of a message is shown."""

ALL = "all"
"""The choice of all messages that a page shows."""

BAD_GATEWAY = 502

POLL_SECONDS = 15
"""How often the letters are counted while somebody looks; listing them is never a poll."""


class Listed(NamedTuple):
    """The failures, as a page shows them.

    Attributes:
        read: What was read; None if SQS did not answer.
        groups: The groups that are shown.
        soon: Of all messages, those that are about to be deleted.
        error: Why SQS did not answer; None: it did.
        at: When they were read; None if they never were.
        only: What the page is limited to, in words; empty: nothing.
        code: The code of the only group that is wanted.
        next: The message that the keyboard goes on at, if others were just dealt with; empty: there
            is none behind them. None: nothing was done.
    """

    read: Failures | None
    groups: Sequence[Group]
    soon: Sequence[Failure]
    error: Problem | None
    at: datetime | None
    only: str
    code: str
    next: str | None

    @property
    def shown(self) -> int:
        """How many messages the groups have."""
        return sum(len(each.failures) for each in self.groups)

    @property
    def retriable(self) -> int:
        """How many of these can be retried."""
        return sum(len(each.retriable) for each in self.groups)


class Choice(NamedTuple):
    """What somebody chose from a page, and what stood there after it.

    Attributes:
        ids: Exactly these messages.
        next: The id of the message behind the last of them; empty: none was.
        whole: `1` if the page was one without JavaScript.
    """

    ids: Sequence[str]
    next: str
    whole: str


def make_tab(views: Views) -> Tab:
    """The tab, which tells how many messages wait.

    Args:
        views: What is known of the engine.
    """
    return Tab("Failures", PATH, views.failures_waiting)


class FailuresPage:
    """The Failures tab.

    Args:
        views: What is known of the engine.
        renderer: Makes pages.
    """

    def __init__(self, views: Views, renderer: Renderer) -> None:
        self._views = views
        self._renderer = renderer
        self._letters = DeadLetters(views.deployment)

    def routes(self) -> list[Route]:
        """What this tab answers."""
        return [
            Route(PATH, self.show),
            Route(f"{PATH}/list", self.show_list),
            Route(f"{PATH}/count", self.show_count),
            Route(f"{PATH}/ask", self.ask, methods=["POST"]),
            Route(f"{PATH}/retry", self.retry, methods=["POST"]),
            Route(f"{PATH}/discard", self.discard, methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """The frame, which needs no AWS; what is known already stands in it."""
        whole = "whole" in request.query_params
        listed = self._look(request) if whole or self._letters.knows() else None
        return self._renderer.page(
            request,
            "failures.html",
            whole=whole,
            listed=listed,
            query=request.url.query,
            **_values(),
        )

    def show_list(self, request: Request) -> Response:
        """The failures, when SQS has told them."""
        listed = self._look(request)
        return self._renderer.part(
            request, "failures_list_part.html", listed=listed, whole=False, **_values()
        )

    def show_count(self, request: Request) -> Response:
        """How many there are now, of which SQS tells without handing one out."""
        known = request.query_params.get("known", "")
        queues = self._views.queues().value
        count = queues.dead_letters if queues else None
        return self._renderer.part(
            request,
            "failures_count_part.html",
            count=count,
            known=int(known) if known.isdecimal() else None,
            **_values(),
        )

    def ask(self, request: Request) -> Response:
        """Ask before anything is done: by the exact ids of what the reader saw."""
        form = form_of(request)
        is_retry = "retry" in form
        chosen = read_choice(form, form.get("retry" if is_retry else "discard", ""))
        if not chosen.ids:
            raise _nothing_left(0)
        known = self._letters.recall(chosen.ids)
        make = ask_to_retry if is_retry else ask_to_discard
        return self._renderer.confirm(request, make(chosen, list(known.values())))

    def retry(self, request: Request) -> Response:
        """Send messages again."""
        chosen = read_choice(form_of(request), ALL)
        did = self._letters.retry(chosen.ids)
        for failure, job_id in did.sent:
            self._views.expect(
                make_queued(
                    job_id,
                    source=failure.source,
                    registry=failure.registry,
                    package_name=failure.package_name,
                )
            )
        url = _follow([job_id for _, job_id in did.sent])
        return self._go_on(request, chosen, did, "sent to the queue again", url=url, link="Follow")

    def discard(self, request: Request) -> Response:
        """Delete messages for good."""
        chosen = read_choice(form_of(request), ALL)
        return self._go_on(request, chosen, self._letters.discard(chosen.ids), "discarded")

    def _go_on(
        self,
        request: Request,
        chosen: Choice,
        did: Did,
        what: str,
        *,
        url: str = "",
        link: str = "",
    ) -> Response:
        self._views.forget()
        if did.error is not None:
            return self._stop(request, chosen, did, did.error, what)
        gone = len(chosen.ids) - did.done - did.kept
        if not did.done:
            raise _not_retried(did.kept) if did.kept else _nothing_left(gone)
        words = f"{formats.count(did.done, 'message')} {what}."
        if gone:
            words += f" {gone:,} {_was(gone)} no longer there, or in other hands."
        if did.kept:
            words += f" {count_not_retried(did.kept)}"
        self._renderer.toast(words, url=url, link=link)
        query = {"next": chosen.next, **({"whole": "1"} if chosen.whole else {})}
        return RedirectResponse(f"{PATH}?{urlencode(query)}", status_code=303)

    def _stop(
        self, request: Request, chosen: Choice, did: Did, error: Exception, what: str
    ) -> Response:
        if not did.done:
            raise error
        problem = describe_problem(error)
        count, rest = formats.count(len(chosen.ids), "message"), len(chosen.ids) - did.done
        happened = f"{did.done:,} of {count} {_was(did.done)} {what}."
        if rest:
            happened += f" The other {rest:,} may still be there."
        problem = dataclasses.replace(
            problem, happened=happened, why=f"{problem.happened} {problem.why}".strip()
        )
        return self._renderer.problem(request, problem, status=BAD_GATEWAY)

    def _look(self, request: Request) -> Listed:
        query = request.query_params
        answer = self._letters.read()
        error = describe_problem(answer.error) if answer.error else None
        code, next_id = query.get("code", ""), query.get("next")
        if answer.value is None:
            return Listed(None, (), (), error, None, "", code, next_id)
        letters: Sequence[Failure] = answer.value.letters
        soon = expiring(letters, datetime.now(UTC))
        only = ""
        if "expiring" in query:
            letters, only = soon, "what is deleted soon"
        if code:
            letters, only = [each for each in letters if each.code == code], f"code {code}"
        return Listed(answer.value, group(letters), soon, error, answer.at, only, code, next_id)


def read_choice(form: Form, what: str) -> Choice:
    """Read what was chosen: the page lists its messages in the form, each as `group/id`.

    Args:
        form: The form.
        what: `all`, `group:` with the number of a group, or an id.
    """
    listed = [each.partition("/")[::2] for each in form.getlist("letter")]
    chosen = [
        place
        for place, (number, letter_id) in enumerate(listed)
        if what in (ALL, f"group:{number}", letter_id)
    ]
    ids = [listed[place][1] for place in chosen]
    after = listed[chosen[-1] + 1 :][:1] if chosen else []
    behind = after[0][1] if after else ""
    return Choice(ids, form.get("next", behind), form.get("whole", ""))


def ask_to_retry(chosen: Choice, known: Sequence[Failure]) -> Confirmation:
    """Ask whether to send messages again.

    Args:
        chosen: Which.
        known: What is known of them. What cannot be retried is told of, and left out.

    Raises:
        NotRetried: None of them can be retried.
    """
    kept = {each.id for each in known if not each.can_retry}
    chosen = chosen._replace(ids=[each for each in chosen.ids if each not in kept])
    if not chosen.ids:
        raise _not_retried(len(kept))
    known = [each for each in known if each.can_retry]
    count = formats.count(len(chosen.ids), "message")
    hopeless = sum(each.needs_change for each in known)
    words = ["They go to the queue again, and leave this list."]
    if len(chosen.ids) == 1:
        words = ["It goes to the queue again, and leaves this list."]
    if hopeless:
        were = "It was" if len(chosen.ids) == 1 else f"{hopeless:,} {_was(hopeless)}"
        words.append(f"{were} rejected and will fail again unless something changed.")
    if kept:
        words.append(count_not_retried(len(kept)))
    return Confirmation(
        f"Retry {count}?",
        f"{PATH}/retry",
        _fields(chosen),
        f"Retry {count}",
        "Not now",
        PATH,
        words=words,
        names=_names(chosen, known),
    )


def ask_to_discard(chosen: Choice, known: Sequence[Failure]) -> Confirmation:
    """Ask whether to delete messages.

    Args:
        chosen: Which.
        known: What is known of them.
    """
    count = formats.count(len(chosen.ids), "message")
    one = len(chosen.ids) == 1
    leave = "It leaves" if one else "They leave"
    made = "this package will not be made" if one else "these packages will not be made"
    return Confirmation(
        f"Discard {count}?",
        f"{PATH}/discard",
        _fields(chosen),
        f"Discard {count}",
        "Keep it" if one else "Keep them",
        PATH,
        words=[f"{leave} the dead-letter queue for good, and {made}:"],
        names=_names(chosen, known),
        note="The files in S3 stay. You can package the folders later from New package, or with "
        "quilt-packager backfill.",
        is_danger=True,
    )


def _values() -> dict[str, Any]:
    return {
        "max_rows": MAX_ROWS,
        "body_chars": BODY_CHARS,
        "poll_seconds": POLL_SECONDS,
        "now": datetime.now(UTC),
    }


def _fields(chosen: Choice) -> list[tuple[str, str]]:
    letters = [("letter", f"/{each}") for each in chosen.ids]
    return [*letters, ("next", chosen.next), *([("whole", "1")] if chosen.whole else [])]


def _names(chosen: Choice, known: Sequence[Failure]) -> list[str]:
    labels = {each.id: each.label for each in known}
    names = [labels.get(each, each) for each in chosen.ids[:MAX_NAMES]]
    rest = len(chosen.ids) - len(names)
    return [*names, f"and {rest:,} more"] if rest else names


def _was(number: int) -> str:
    return "was" if number == 1 else "were"


def _follow(sent: Sequence[str]) -> str:
    return f"/jobs/{sent[0]}" if len(sent) == 1 else "/jobs"


def _not_retried(kept: int) -> NotRetried:
    return NotRetried(
        "Nothing was changed.",
        why=count_not_retried(kept),
        remedy="New package sends a message.",
    )


def _nothing_left(gone: int) -> UnknownFailure:
    return UnknownFailure(
        "Nothing was changed: no such message is there."
        if gone <= 1
        else f"Nothing was changed: none of the {gone:,} messages is there.",
        why="It was retried or discarded already, it expired, or somebody else reads it right now.",
        remedy="Look at the list again; what somebody else reads comes back within two minutes.",
    )
