"""The Jobs tab: past and running jobs, and the number of failures."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import charts, labels
from quilt_packager.admin.model.caching import Answer
from quilt_packager.admin.model.charts import Chart
from quilt_packager.admin.model.job_filters import (
    OLDEST_FIRST,
    WITH_WARNINGS,
    Chosen,
    Filter,
    choose,
    count_newer,
    key_of,
    read_key,
    read_moment,
    write_key,
)
from quilt_packager.admin.model.periods import MONTH, RANGES, sort_into_buckets
from quilt_packager.admin.pages.job_export import EXPORTS
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Tab, is_whole
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.queues import Queues
from quilt_packager.operations.jobs.job import Job, State

TAB = Tab("Jobs", "/jobs")

CHIPS = (
    ("", "All"),
    *(
        (name, labels.BADGES[name].word)
        for name in ("running", "waiting", "created", "unchanged", "rejected", "held", "failed")
    ),
    (WITH_WARNINGS, "With warnings"),
)

MAX_CHANGED = 200
"""Maximum number of rows in an update."""

MAX_RUNNING = 40
"""Maximum number of running jobs whose end is announced."""

AGAIN = "again"
"""Query parameter of a page that repeats failed requests at once."""

ATTENTION = "attention"
"""Value of the filter of outcomes that leads to the Failures tab."""

PARAMETERS = {"whole", "format", AGAIN}
"""Query parameters of the page that are no filter."""

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
        sources_on: Number of event sources that are on, of a list without jobs; None if unknown.
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
    sources_on: int | None = None

    @property
    def next_try(self) -> datetime:
        """The time of the next update."""
        return _now() + timedelta(seconds=self.interval)


class Figures(NamedTuple):
    """The figures of the strip that are not those of the filter.

    Attributes:
        queues: Counts of the queues.
        running: Number of running jobs; None if no job has been read.
        waiting: Number of jobs that wait for files.
        problem: Error of the queues' counts; None if there is none.
    """

    queues: Answer[Queues]
    running: int | None
    waiting: int
    problem: Problem | None


class JobsPage(Page):
    """The Jobs tab."""

    def routes(self) -> list[Route]:
        """Return the routes of the tab."""
        return [
            Route("/", self.start),
            Route("/jobs", self.show),
            Route("/jobs/list", self.show_list),
            Route("/jobs/live", self.show_live),
            Route("/jobs/month", self.show_month),
        ]

    def start(self, _request: Request) -> Response:
        """Redirect to this tab, the most frequently used one."""
        return self._renderer.redirect(TAB.path)

    def show(self, request: Request) -> Response:
        """Show the frame, with the parts that are cached; or export the jobs of the filter."""
        self._retry(request)
        query = request.query_params
        wanted = Filter.from_query(query)
        if query.get("outcome") == ATTENTION:
            return self._renderer.redirect(_failures_url(wanted))
        whole, now = is_whole(request), _now()
        export = EXPORTS.get(request.query_params.get("format", ""))
        if export and (chosen := self._list(wanted, now).chosen):
            return export(chosen.jobs)
        is_fresh = self._views.has_fresh_queues() and self._views.has_fresh_jobs(
            wanted.window(now).history
        )
        has_parts = whole or is_fresh
        figures = self._count(wanted, now) if has_parts else None
        return self._renderer.page(
            request,
            "jobs.html",
            whole=whole,
            shown=self._list(wanted, now) if has_parts else None,
            figures=figures,
            ignored=_find_ignored(wanted, query),
            **_values(wanted, now),
        )

    def show_month(self, request: Request) -> Response:
        """Show the number of jobs of 30 days that match a filter, for an empty list."""
        wanted = Filter.from_query(request.query_params)
        answer = self._views.jobs(MONTH)
        count = choose(answer.value.jobs, wanted).jobs if answer.value else None
        return self._renderer.part(
            request,
            "jobs_month.html",
            count=None if count is None else len(count),
        )

    def show_list(self, request: Request) -> Response:
        """Show the list, the strip and the charts, at first or for another filter."""
        self._retry(request)
        wanted, now = Filter.from_query(request.query_params), _now()
        source = request.headers.get("hx-source", "")
        figures = self._count(wanted, now)
        shown = self._list(wanted, now)
        is_asked = source.startswith(("form", "a"))
        response = self._renderer.part(
            request,
            "jobs_list_part.html",
            shown=shown,
            figures=figures,
            announced=_describe_count(shown.chosen) if is_asked and shown.chosen else "",
            **_values(wanted, now),
        )
        if is_asked:
            # Typed letters add no steps to the history.
            name = "HX-Replace-Url" if source.startswith("form") else "HX-Push-Url"
            response.headers[name] = self._renderer.root + wanted.url()
        return response

    def show_live(self, request: Request) -> Response:
        """Show the changes since the last update: only the time of the answer without any."""
        query = request.query_params
        wanted, now = Filter.from_query(query), _now()
        top, since = read_key(query.get("top", "")), read_moment(query.get("at", ""))
        ran = frozenset(filter(None, query.get("running", "").split(",")))
        figures = self._count(wanted, now)
        # In an empty list, no row can move under the pointer: it is filled at once.
        shown = self._list(wanted, now, top=top, is_update=top is not None, figures=figures)
        is_known = request.headers.get("if-none-match") == f'"{shown.version}"'
        if is_known and shown.error is None:
            return self._renderer.part(
                request, "jobs_live.html", shown=shown, **_values(wanted, now)
            )
        answer = self._views.jobs(wanted.window(now).history)
        jobs = answer.value.jobs if answer.value else ()
        response = self._renderer.part(
            request,
            "jobs_live_part.html",
            shown=shown,
            figures=figures,
            is_first=top is None,
            changed=_find_changed(jobs, since, ran),
            announced=_describe_finished([job for job in jobs if job.id[:ID_CHARS] in ran]),
            **_values(wanted, now),
        )
        response.headers["ETag"] = f'"{shown.version}"'
        return response

    def _retry(self, request: Request) -> None:
        if AGAIN in request.query_params:
            self._views.retry()

    def _list(
        self,
        wanted: Filter,
        now: datetime,
        *,
        top: tuple[int, str] | None = None,
        is_update: bool = False,
        figures: Figures | None = None,
    ) -> Shown:
        window = wanted.window(now)
        answer = self._views.jobs(window.history)
        interval = self._views.jobs_interval(window.history)
        error = describe_problem(answer.error) if answer.error else None
        if answer.value is None:
            version = _digest(error, interval, figures and figures.queues.value)
            return Shown(None, (), error, None, interval, version)
        jobs = [job for job in answer.value.jobs if window.contains(job.started)]
        logged = self._views.logged(wanted.text, window.history)
        chosen = choose(jobs, wanted, logged)
        if not is_update:
            top = key_of(chosen.jobs[0]) if chosen.jobs else None
        buckets = sort_into_buckets(chosen.jobs, window)
        is_top = wanted.before is None and not wanted.is_oldest_first
        newer = count_newer(chosen.jobs, top) if is_top else 0
        running = [job.id[:ID_CHARS] for job in jobs if job.outcome is State.RUNNING]
        return Shown(
            chosen,
            [
                make(buckets, window)
                for make in (charts.jobs_chart, charts.bytes_chart, charts.seconds_chart)
            ],
            error,
            answer.at,
            interval,
            _digest(
                [(job.id, job.updated, job.outcome) for job in jobs],
                wanted,
                sorted(logged),
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
            None if jobs or is_update else self._count_sources(),
        )

    def _count_sources(self) -> int | None:
        sources = self._views.settings.sources().value
        return None if sources is None else sum(each.enabled for each in sources)

    def _count(self, wanted: Filter, now: datetime) -> Figures:
        # Both are read at the same time, and have one deadline.
        self._views.start_queues()
        jobs = self._views.jobs(wanted.window(now).history)
        queues = self._views.queues()
        badges = Counter(map(labels.badge_name, jobs.value.jobs)) if jobs.value else Counter()
        return Figures(
            queues,
            badges["running"] if jobs.value else None,
            badges["waiting"],
            describe_problem(queues.error) if queues.error else None,
        )


def _find_ignored(wanted: Filter, query: Mapping[str, str]) -> list[str]:
    """List the parameters of a page that are unknown, or whose values are not used."""
    known = {name: query[name] for name in query if name not in PARAMETERS}
    if query.get("format") and query["format"] not in EXPORTS:
        known["format"] = query["format"]
    return wanted.find_ignored(known)


def _failures_url(wanted: Filter) -> str:
    """Return the address of the messages that need attention, with the parts of a filter."""
    query = {"q": wanted.text, "code": wanted.code, "source": wanted.source}
    given = urlencode({name: value for name, value in query.items() if value})
    return f"/failures?{given}" if given else "/failures"


def _now() -> datetime:
    """Return the current time, in the time zone of this machine."""
    return datetime.now().astimezone()


def _values(wanted: Filter, now: datetime) -> dict[str, Any]:
    return {
        "wanted": wanted,
        "window": wanted.window(now),
        "zone": now.tzname(),
        "ranges": RANGES,
        "month": MONTH.name,
        "oldest": OLDEST_FIRST,
        "again": {AGAIN: "1"},
        "chips": CHIPS,
        "duration": format_duration,
    }


def format_duration(job: Job) -> str:
    """Format the duration of a job, so far if it is running."""
    if job.outcome is State.RUNNING:
        return labels.format_seconds((datetime.now(UTC) - job.started).total_seconds())
    return "" if job.seconds is None else labels.format_seconds(job.seconds)


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
