"""The Failures tab: failed messages by reason, with remedies and actions."""

import dataclasses
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, Self
from urllib.parse import urlencode

from quilt_packager_runtime.errors import HeldForReview
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model.caching import Cached
from quilt_packager.admin.model.periods import DAY
from quilt_packager.admin.model.views import Views, make_queued
from quilt_packager.admin.pages.failure_questions import (
    ALL,
    GROUP,
    PATH,
    Choice,
    ask_to_carry,
    ask_to_discard,
    ask_to_retry,
    can_succeed,
    exclude_later,
    not_retried,
    nothing_left,
    read_choice,
    read_decision,
    warn,
    was,
)
from quilt_packager.admin.pages.package_form import can_edit, read_message
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Confirmation, Renderer, Tab, is_whole
from quilt_packager.admin.web.security import form_of
from quilt_packager.operations import formats
from quilt_packager.operations.checks.retry_check import find_obstacles, is_checked
from quilt_packager.operations.dead_letters.error_codes import count_not_retried, describe_code
from quilt_packager.operations.dead_letters.mismatches import find_mismatches
from quilt_packager.operations.dead_letters.queue import (
    ActionResult,
    Failure,
    Failures,
    Group,
    expiring,
    group,
)
from quilt_packager.operations.jobs.job import State
from quilt_packager.operations.jobs.labels import TRIGGERS

MAX_ROWS = 50
"""Number of messages listed in a group, unless the page shows only that group."""

BODY_CHARS = 2000
"""Number of characters of a message that are shown."""

BAD_GATEWAY = 502

SOON = "soon"
"""The age of messages that SQS deletes soon."""

OLDER_THAN = {"1h": timedelta(hours=1), "1d": timedelta(days=1)}

OTHER = "Other"

AGES = {
    "": "Age",
    "1h": "Older than 1 hour",
    "1d": "Older than 1 day",
    SOON: "Deleted within 24 hours",
}

RETRY_CHECK_SECONDS = 8
"""Time after which the question before a retry is asked without its check."""

FOLDED_ROWS = 5
"""Number of messages above which a group is folded."""

POLL_SECONDS = 15
"""Interval for counting the letters of an open page; they are never listed by a poll."""


class Wanted(NamedTuple):
    """The filter of the list.

    Attributes:
        text: Text that the messages contain; empty for all.
        source: Label of their source; empty for all.
        age: Key of `AGES`.
        code: Their code; empty for all.
    """

    text: str = ""
    source: str = ""
    age: str = ""
    code: str = ""

    @classmethod
    def from_query(cls, query: Mapping[str, str]) -> Self:
        """Parse the query of a URL, ignoring unknown values."""
        text, source, code = (query.get(name, "").strip() for name in ("q", "source", "code"))
        age = SOON if "expiring" in query else query.get("age", "")
        return cls(text, source, age if age in AGES else "", code)

    def query(self) -> str:
        """Format the filter as the query of a URL, without defaults."""
        parameters = {"q": self.text, "source": self.source, "age": self.age, "code": self.code}
        return urlencode({name: value for name, value in parameters.items() if value})

    def matches(self, letter: Failure, now: datetime) -> bool:
        """Return True if all of the filter but the code matches."""
        return (
            _contains(letter, self.text)
            and self.source in ("", source_label(letter), letter.event_source)
            and self._matches_age(letter, now)
        )

    def _matches_age(self, letter: Failure, now: datetime) -> bool:
        if self.age == SOON:
            return bool(expiring([letter], now))
        return not self.age or letter.sent < now - OLDER_THAN[self.age]

    def describe(self) -> str:
        """Describe the filter; empty without one."""
        parts = [f"code {self.code}"] if self.code else []
        parts += [f"with “{self.text}”"] if self.text else []
        parts += [f"source {self.source}"] if self.source else []
        parts += [AGES[self.age].lower()] if self.age else []
        return ", ".join(parts)


class Listed(NamedTuple):
    """The failures on a page.

    Attributes:
        read: All letters that were read; None without an answer of SQS.
        groups: Visible groups.
        soon: Letters, of all, that SQS deletes soon.
        error: Error of the last request; None if it succeeded.
        at: Time of the answer; None without one.
        only: Description of the filter; empty without one.
        wanted: The filter.
        next: Message to focus after an action: empty if none is left, None without an action.
        sources: Labels of the sources of all messages.
        codes: Number of messages of each code, of those that the other filters match.
        created: Number of packages of the last day, without any message; None if unknown.
    """

    read: Failures | None
    groups: Sequence[Group]
    soon: Sequence[Failure]
    error: Problem | None
    at: datetime | None
    only: str
    wanted: Wanted
    next: str | None
    sources: Sequence[str] = ()
    codes: Sequence[tuple[str, str, int]] = ()
    created: int | None = None

    @property
    def shown(self) -> int:
        """Count the messages in the groups."""
        return sum(len(each.failures) for each in self.groups)

    @property
    def retriable(self) -> int:
        """Count the messages in the groups of which a retry can succeed."""
        return sum(count_retries(each.failures) for each in self.groups)


def make_tab(views: Views) -> Tab:
    """Create the tab, which shows the number of waiting messages."""
    return Tab("Failures", PATH, views.failures_waiting)


class FailuresPage(Page):
    """The Failures tab."""

    def __init__(self, views: Views, renderer: Renderer) -> None:
        super().__init__(views, renderer)
        self._letters = views.dead_letters

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [
            Route(PATH, self.show),
            Route(f"{PATH}/list", self.show_list),
            Route(f"{PATH}/count", self.show_count),
            Route(f"{PATH}/damaged", self.show_damaged),
            Route(f"{PATH}/ask", self.ask, methods=["POST"]),
            Route(f"{PATH}/retry", self.retry, methods=["POST"]),
            Route(f"{PATH}/discard", self.discard, methods=["POST"]),
        ]

    def show(self, request: Request) -> Response:
        """Show the frame, with the list if it is cached."""
        whole = is_whole(request)
        listed = self._list(request) if whole or self._letters.is_fresh() else None
        damaged = self._find_damaged() if whole else {}
        return self._renderer.page(
            request, "failures.html", whole=whole, listed=listed, **damaged, **_values()
        )

    def show_list(self, request: Request) -> Response:
        """Show the list."""
        listed = self._list(request)
        response = self._renderer.part(
            request, "failures_list_part.html", listed=listed, whole=False, **_values()
        )
        if request.headers.get("hx-source", "").startswith("form"):
            url = f"{PATH}?{listed.wanted.query()}".rstrip("?")
            response.headers["HX-Push-Url"] = self._renderer.root + url
        return response

    def show_count(self, request: Request) -> Response:
        """Show the current number of letters, which SQS returns without receiving any."""
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

    def show_damaged(self, request: Request) -> Response:
        """Show the packages that the last audits found damaged; nothing without damage."""
        return self._renderer.part(
            request, "failures_damaged.html", **self._find_damaged(), **_values()
        )

    def _find_damaged(self) -> dict[str, Any]:
        answer = self._views.damaged()
        problem = describe_problem(answer.error) if answer.error else None
        return {"damaged": answer.value, "problem": problem}

    def ask(self, request: Request) -> Response:
        """Ask for confirmation, with the exact ids of the messages on the page."""
        form = form_of(request)
        questions = {"retry": ask_to_retry, "carry": ask_to_carry, "discard": ask_to_discard}
        action = next((name for name in questions if name in form), "discard")
        wanted = form.get(action, "")
        chosen = read_choice(form, wanted)
        if not chosen.ids:
            raise nothing_left(0)
        known = self._letters.recall(chosen.ids)
        question = questions[action](chosen, known)
        if wanted.startswith((ALL, GROUP)):
            question = exclude_later(question, self._count_later())
        if action == "retry":
            question = self._check(question, [each for each in known if can_succeed(each)])
        return self._renderer.confirm(request, question)

    def _count_later(self) -> int:
        """Count the messages that came after the page was read."""
        read, queues = self._letters.last_read(), self._views.queues()
        if read.value is None or queues.value is None or read.at is None or queues.at is None:
            return 0
        # An older count may have messages that were discarded since.
        later = queues.value.dead_letters - read.value.total
        return max(later, 0) if queues.at > read.at else 0

    def _check(self, question: Confirmation, known: Sequence[Failure]) -> Confirmation:
        """Check whether the causes of the failures are still there."""
        if not any(map(is_checked, known)):
            return question
        deployment = self._views.deployment
        check = Cached(
            lambda: find_obstacles(deployment, known), deadline_seconds=RETRY_CHECK_SECONDS
        )
        return warn(question, known, check.get(0).value)

    def retry(self, request: Request) -> Response:
        """Send messages again."""
        form = form_of(request)
        chosen = read_choice(form, ALL)
        result = self._letters.retry(chosen.ids, on_foreign_revision=read_decision(form))
        for failure, job_id in result.sent:
            self._views.add_pending(
                make_queued(
                    job_id,
                    source=failure.source,
                    registry=failure.registry,
                    package_name=failure.package_name,
                )
            )
        url = f"/jobs/{result.sent[0][1]}" if len(result.sent) == 1 else "/jobs"
        action = "sent to the queue again"
        return self._report(request, chosen, result, action, url=url, link="Follow")

    def discard(self, request: Request) -> Response:
        """Delete messages permanently."""
        chosen = read_choice(form_of(request), ALL)
        return self._report(request, chosen, self._letters.discard(chosen.ids), "discarded")

    def _report(
        self,
        request: Request,
        chosen: Choice,
        result: ActionResult,
        action: str,
        *,
        url: str = "",
        link: str = "",
    ) -> Response:
        """Return to the list with a toast, or show the reason for which nothing was done."""
        self._views.invalidate()
        if result.error is not None:
            if not result.done:
                raise result.error
            problem = describe_partial(
                result, len(chosen.ids), action, describe_problem(result.error)
            )
            return self._renderer.problem(request, problem, status=BAD_GATEWAY)
        if not result.done:
            raise not_retried(len(result.kept)) if result.kept else nothing_left(len(chosen.ids))
        self._renderer.toast(describe(result, len(chosen.ids), action), url=url, link=link)
        query = {"next": chosen.next, **({"whole": "1"} if chosen.whole else {})}
        return self._renderer.redirect(f"{PATH}?{urlencode(query)}")

    def _list(self, request: Request) -> Listed:
        query = request.query_params
        wanted = Wanted.from_query(query)
        answer = self._letters.read()
        error = describe_problem(answer.error) if answer.error else None
        next_id, now = query.get("next"), datetime.now(UTC)
        if answer.value is None:
            return Listed(None, (), (), error, None, "", wanted, next_id)
        letters = answer.value.letters
        matching = [each for each in letters if wanted.matches(each, now)]
        codes = [
            (each.code, describe_code(each.code).title, len(each.failures))
            for each in group(matching)
        ]
        chosen = [each for each in matching if wanted.code in ("", each.code)]
        # Held jobs wait for a person, and stand first.
        groups = sorted(group(chosen), key=lambda each: each.code != HeldForReview.__name__)
        return Listed(
            answer.value,
            groups,
            expiring(letters, now),
            error,
            answer.at,
            wanted.describe(),
            wanted,
            next_id,
            sorted({source_label(each) for each in letters}),
            codes,
            None if letters else self._count_created(),
        )

    def _count_created(self) -> int | None:
        jobs = self._views.last_jobs(DAY)
        since = datetime.now(UTC) - DAY.span
        if jobs is None:
            return None
        return sum(job.outcome is State.CREATED and job.started >= since for job in jobs.jobs)


def count_retries(letters: Sequence[Failure]) -> int:
    """Count the messages of which a retry can succeed."""
    return sum(map(can_succeed, letters))


def source_label(letter: Failure) -> str:
    """Return the label of the source of a message, as that of a job; of an odd one `Other`."""
    if letter.trigger is not None:
        return TRIGGERS.get(letter.trigger, letter.trigger)
    return TRIGGERS["message"] if read_message(letter.body) is not None else OTHER


def _contains(letter: Failure, text: str) -> bool:
    known = (letter.id, letter.job_id, letter.code, letter.package_name, letter.source)
    words = (letter.happened, letter.why)
    return text.casefold() in "\n".join(filter(None, (*known, *words))).casefold()


def describe(result: ActionResult, chosen: int, action: str) -> str:
    """Describe an action on some of the chosen messages."""
    done, kept = len(result.done), len(result.kept)
    sentences = [f"{formats.count(done, 'message')} {action}."]
    if gone := chosen - done - kept:
        sentences.append(f"{gone:,} {was(gone)} deleted or held by another reader.")
    if kept:
        sentences.append(count_not_retried(kept))
    return " ".join(sentences)


def describe_partial(result: ActionResult, chosen: int, action: str, problem: Problem) -> Problem:
    """Describe an action that an error ended after some messages."""
    done = len(result.done)
    happened = f"{done:,} of {formats.count(chosen, 'message')} {was(done)} {action}."
    if rest := chosen - done:
        happened += f" The other {rest:,} may still exist."
    return dataclasses.replace(
        problem, happened=happened, why=f"{problem.happened} {problem.why}".strip()
    )


def _values() -> dict[str, Any]:
    return {
        "ages": AGES,
        "folded_rows": FOLDED_ROWS,
        "can_edit": can_edit,
        "can_succeed": can_succeed,
        "count_retries": count_retries,
        "describe_code": describe_code,
        "find_mismatches": find_mismatches,
        "max_rows": MAX_ROWS,
        "body_chars": BODY_CHARS,
        "poll_seconds": POLL_SECONDS,
        "now": datetime.now(UTC),
    }
