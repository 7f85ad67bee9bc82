"""The Jobs tab: what happened, what happens now, and what needs attention."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from quilt_packager.admin.model import charts, labels
from quilt_packager.admin.model.caching import Answer
from quilt_packager.admin.model.charts import PERIODS, Chart
from quilt_packager.admin.model.job_filters import (
    Chosen,
    Filter,
    choose,
    count_newer,
    key_of,
    read_key,
    read_moment,
    write_key,
)
from quilt_packager.admin.model.views import Jobs, Views
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Renderer, Tab
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.queues import Queues
from quilt_packager.operations.jobs.job import Job, State

TAB = Tab("Jobs", "/jobs")

CHIPS = (
    (None, "All"),
    *(
        (state, labels.BADGES[state].word)
        for state in (
            State.RUNNING,
            State.CREATED,
            State.UNCHANGED,
            State.REJECTED,
            State.FAILED,
        )
    ),
)

MAX_CHANGED = 200
"""How many rows an update brings at most."""

MAX_RUNNING = 40
"""Of how many running jobs a page remembers that they ran, to tell when they end."""

ID_CHARS = 8
"""How much of an id tells it from others, among those that run."""


class Shown(NamedTuple):
    """The list of jobs, as a page shows it.

    Attributes:
        chosen: The jobs; None if they are not known.
        charts: The charts of all that match.
        error: Why the last question went unanswered; None: it was answered.
        at: When the jobs were read; None if they never were.
        interval: After how many seconds to look again.
        version: What tells this state from others.
        top: The place of the first row, as in a URL; empty without one.
        newer: How many jobs came since.
        is_cut_off: Older jobs of the period are not known.
        running: The beginnings of the ids of what runs, as in a URL.
    """

    chosen: Chosen | None
    charts: Sequence[Chart]
    error: Problem | None
    at: datetime | None
    interval: int
    version: str
    top: str = ""
    newer: int = 0
    is_cut_off: bool = False
    running: str = ""


class Figures(NamedTuple):
    """The four figures above the list.

    Attributes:
        queues: How full the queues are.
        jobs: The jobs of the period.
        large: How many large jobs run.
        created: How many packages were created.
        unchanged: How many were found unchanged.
        problem: Why the queues could not be counted.
    """

    queues: Answer[Queues]
    jobs: Answer[Jobs]
    large: int
    created: int
    unchanged: int
    problem: Problem | None


class JobsPage:
    """The Jobs tab.

    Args:
        views: What is known of the engine.
        renderer: Makes pages.
    """

    def __init__(self, views: Views, renderer: Renderer) -> None:
        self._views = views
        self._renderer = renderer

    def routes(self) -> list[Route]:
        """What this tab answers."""
        return [
            Route("/", self.start),
            Route("/jobs", self.show),
            Route("/jobs/figures", self.show_figures),
            Route("/jobs/list", self.show_list),
            Route("/jobs/live", self.show_live),
        ]

    def start(self, _request: Request) -> Response:
        """What happened is asked more often than what is set."""
        return RedirectResponse(TAB.path, status_code=303)

    def show(self, request: Request) -> Response:
        """The frame, which needs no AWS; what is known already stands in it."""
        wanted = Filter.from_query(request.query_params)
        # Without JavaScript, nothing would load the parts.
        whole = "whole" in request.query_params
        has_fresh_jobs = whole or self._views.has_fresh_jobs(wanted.period)
        knows_all = has_fresh_jobs and (whole or self._views.knows_queues())
        return self._renderer.page(
            request,
            "jobs.html",
            whole=whole,
            shown=self._look(wanted) if has_fresh_jobs else None,
            figures=self._count(wanted) if knows_all else None,
            **_values(wanted),
        )

    def show_figures(self, request: Request) -> Response:
        """The figures, when AWS has told them."""
        wanted = Filter.from_query(request.query_params)
        return self._renderer.part(
            request, "jobs_figures_part.html", figures=self._count(wanted), **_values(wanted)
        )

    def show_list(self, request: Request) -> Response:
        """The list and the charts, when AWS has told them, or for another filter."""
        wanted = Filter.from_query(request.query_params)
        source = request.headers.get("hx-source", "")
        shown = self._look(wanted)
        is_asked = source.startswith(("form", "a"))
        response = self._renderer.part(
            request,
            "jobs_list_part.html",
            shown=shown,
            told=_tell_count(shown.chosen) if is_asked and shown.chosen else "",
            **_values(wanted),
        )
        if is_asked:
            # Each letter typed is no step to go back to.
            name = "HX-Replace-Url" if source.startswith("form") else "HX-Push-Url"
            response.headers[name] = wanted.url()
        return response

    def show_live(self, request: Request) -> Response:
        """What changed since the page was made, or last asked this."""
        query = request.query_params
        wanted = Filter.from_query(query)
        top, since = read_key(query.get("top", "")), read_moment(query.get("at", ""))
        ran = frozenset(filter(None, query.get("running", "").split(",")))
        figures = self._count(wanted)
        # Where no rows were, none can move under a pointer.
        shown = self._look(wanted, top=top, is_update=top is not None, figures=figures)
        if request.headers.get("if-none-match") == f'"{shown.version}"':
            return Response(status_code=304)
        jobs = figures.jobs.value.jobs if figures.jobs.value else ()
        response = self._renderer.part(
            request,
            "jobs_live_part.html",
            shown=shown,
            figures=figures,
            is_first=top is None,
            changed=_find_changed(jobs, since, ran),
            told=_tell_finished([job for job in jobs if job.id[:ID_CHARS] in ran]),
            **_values(wanted),
        )
        response.headers["ETag"] = f'"{shown.version}"'
        return response

    def _look(
        self,
        wanted: Filter,
        *,
        top: tuple[int, str] | None = None,
        is_update: bool = False,
        figures: Figures | None = None,
    ) -> Shown:
        answer = self._views.jobs(wanted.period)
        interval = self._views.jobs_interval(wanted.period)
        error = describe_problem(answer.error) if answer.error else None
        if answer.value is None:
            version = _digest(error, interval, figures and figures.queues.value)
            return Shown(None, (), error, None, interval, version)
        jobs = answer.value.jobs
        chosen = choose(jobs, wanted)
        if not is_update:
            top = key_of(chosen.jobs[0]) if chosen.jobs else None
        now = datetime.now().astimezone()
        buckets = charts.cut(chosen.jobs, wanted.period, now)
        newer = count_newer(chosen.jobs, top) if wanted.before is None else 0
        running = [job.id[:ID_CHARS] for job in jobs if job.outcome is State.RUNNING]
        return Shown(
            chosen,
            [
                make(buckets, wanted.period)
                for make in (charts.jobs_chart, charts.bytes_chart, charts.seconds_chart)
            ],
            error,
            answer.at,
            interval,
            _digest(
                [(job.id, job.updated, job.outcome) for job in jobs],
                wanted,
                newer,
                buckets[-1].start,
                error,
                interval,
                figures and figures.queues.value,
            ),
            write_key(top) if top else "",
            newer,
            answer.value.is_cut_off,
            ",".join(running[:MAX_RUNNING]),
        )

    def _count(self, wanted: Filter) -> Figures:
        queues = self._views.queues()
        jobs = self._views.jobs(wanted.period)
        counts = Counter(job.outcome for job in jobs.value.jobs) if jobs.value else Counter()
        return Figures(
            queues,
            jobs,
            sum(_is_large(job) for job in jobs.value.jobs) if jobs.value else 0,
            counts[State.CREATED],
            counts[State.UNCHANGED],
            describe_problem(queues.error) if queues.error else None,
        )


def _values(wanted: Filter) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "periods": list(PERIODS.values()),
        "chips": CHIPS,
        "seconds": tell_seconds,
    }


def tell_seconds(job: Job) -> str:
    """How long a job took, or has been running.

    Args:
        job: The job.
    """
    if job.outcome is State.RUNNING:
        return labels.tell_seconds((datetime.now(UTC) - job.started).total_seconds())
    return "" if job.seconds is None else labels.tell_seconds(job.seconds)


def _is_large(job: Job) -> bool:
    return job.outcome is State.RUNNING and job.execution is not None


def _find_changed(
    jobs: Sequence[Job], since: datetime | None, ran: frozenset[str]
) -> Sequence[Job]:
    return [
        job
        for job in jobs
        if job.outcome is State.RUNNING
        or job.id[:ID_CHARS] in ran
        or (since is not None and job.updated > since)
    ][:MAX_CHANGED]


def _tell_finished(ran: Sequence[Job]) -> str:
    ended = Counter(str(job.outcome) for job in ran if job.outcome is not State.RUNNING)
    if not ended:
        return ""
    parts = ", ".join(f"{number} {outcome}" for outcome, number in ended.items())
    return f"{formats.count(ended.total(), 'job')} finished: {parts}."


def _tell_count(chosen: Chosen) -> str:
    return f"{formats.count(len(chosen.jobs), 'job')} shown."


def _digest(*state: object) -> str:
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]
