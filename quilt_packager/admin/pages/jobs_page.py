"""The Jobs tab: past and running jobs, and the number of failures."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import charts, labels
from quilt_packager.admin.model.caching import Answer
from quilt_packager.admin.model.charts import Chart
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
from quilt_packager.admin.model.job_history import Jobs
from quilt_packager.admin.model.periods import PERIODS, sort_into_buckets
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Tab, is_whole
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
"""Maximum number of rows in an update."""

MAX_RUNNING = 40
"""Maximum number of running jobs whose end is announced."""

ID_CHARS = 8
"""Length of an id prefix that is unique among running jobs."""


class Shown(NamedTuple):
    """The job list of a page.

    Attributes:
        chosen: Jobs that match the filter; None if no job has been read.
        charts: Charts of all matching jobs.
        error: Error of the last request; None if it succeeded.
        at: Time of the answer; None without one.
        interval: Polling interval in seconds.
        version: Digest of this state.
        top: Key of the first row, as in a URL; empty without rows.
        newer: Number of jobs above the first row.
        is_cut_off: The period has older jobs that are not included.
        running: Id prefixes of the running jobs, as in a URL.
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
        queues: Counts of the queues.
        jobs: Jobs of the period.
        large: Number of running large jobs.
        created: Number of created packages.
        unchanged: Number of unchanged packages.
        problem: Error of the queues' counts; None if there is none.
    """

    queues: Answer[Queues]
    jobs: Answer[Jobs]
    large: int
    created: int
    unchanged: int
    problem: Problem | None


class JobsPage(Page):
    """The Jobs tab."""

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [
            Route("/", self.start),
            Route("/jobs", self.show),
            Route("/jobs/figures", self.show_figures),
            Route("/jobs/list", self.show_list),
            Route("/jobs/live", self.show_live),
        ]

    def start(self, _request: Request) -> Response:
        """Redirect to this tab, the most frequently used one."""
        return self._renderer.redirect(TAB.path)

    def show(self, request: Request) -> Response:
        """Show the frame, with the parts that are cached."""
        wanted = Filter.from_query(request.query_params)
        whole = is_whole(request)
        has_fresh_jobs = whole or self._views.has_fresh_jobs(wanted.period)
        has_fresh_figures = has_fresh_jobs and (whole or self._views.has_fresh_queues())
        return self._renderer.page(
            request,
            "jobs.html",
            whole=whole,
            shown=self._list(wanted) if has_fresh_jobs else None,
            figures=self._count(wanted) if has_fresh_figures else None,
            **_values(wanted),
        )

    def show_figures(self, request: Request) -> Response:
        """Show the figures."""
        wanted = Filter.from_query(request.query_params)
        return self._renderer.part(
            request, "jobs_figures_part.html", figures=self._count(wanted), **_values(wanted)
        )

    def show_list(self, request: Request) -> Response:
        """Show the list and the charts, at first or for another filter."""
        wanted = Filter.from_query(request.query_params)
        source = request.headers.get("hx-source", "")
        shown = self._list(wanted)
        is_asked = source.startswith(("form", "a"))
        response = self._renderer.part(
            request,
            "jobs_list_part.html",
            shown=shown,
            announced=_describe_count(shown.chosen) if is_asked and shown.chosen else "",
            **_values(wanted),
        )
        if is_asked:
            # Typed letters add no steps to the history.
            name = "HX-Replace-Url" if source.startswith("form") else "HX-Push-Url"
            response.headers[name] = self._renderer.root + wanted.url()
        return response

    def show_live(self, request: Request) -> Response:
        """Show the changes since the last update, or answer 304 if there are none."""
        query = request.query_params
        wanted = Filter.from_query(query)
        top, since = read_key(query.get("top", "")), read_moment(query.get("at", ""))
        ran = frozenset(filter(None, query.get("running", "").split(",")))
        figures = self._count(wanted)
        # In an empty list, no row can move under the pointer: it is filled at once.
        shown = self._list(wanted, top=top, is_update=top is not None, figures=figures)
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
            announced=_describe_finished([job for job in jobs if job.id[:ID_CHARS] in ran]),
            **_values(wanted),
        )
        response.headers["ETag"] = f'"{shown.version}"'
        return response

    def _list(
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
        buckets = sort_into_buckets(chosen.jobs, wanted.period, now)
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
        "duration": format_duration,
    }


def format_duration(job: Job) -> str:
    """Format the duration of a job, so far if it is running."""
    if job.outcome is State.RUNNING:
        return labels.format_seconds((datetime.now(UTC) - job.started).total_seconds())
    return "" if job.seconds is None else labels.format_seconds(job.seconds)


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


def _describe_finished(ran: Sequence[Job]) -> str:
    ended = Counter(str(job.outcome) for job in ran if job.outcome is not State.RUNNING)
    if not ended:
        return ""
    parts = ", ".join(f"{number} {outcome}" for outcome, number in ended.items())
    return f"{formats.count(ended.total(), 'job')} finished: {parts}."


def _describe_count(chosen: Chosen) -> str:
    return f"{formats.count(len(chosen.jobs), 'job')} shown."


def _digest(*state: object) -> str:
    return hashlib.sha256(repr(state).encode()).hexdigest()[:16]
