"""The page of a job: its phases, its failure, its log and the contents of its package."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
from quilt_packager_runtime.formats.outcome import OutcomeFields
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages.job_log_view import ShownLog, show_log
from quilt_packager.admin.pages.jobs_page import format_duration
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import is_whole
from quilt_packager.operations.errors import LookupFailed
from quilt_packager.operations.jobs.job import Job, Phase, State
from quilt_packager.operations.jobs.labels import phase_label
from quilt_packager.operations.jobs.links import execution_link
from quilt_packager.operations.jobs.record import JobRecord
from quilt_packager.operations.lineage.steps import read_inputs

MIN_BAR = 0.8
"""Minimum width of a bar, of 100."""

NOT_FOUND = 404


class Bar(NamedTuple):
    """A phase as a bar, on a scale from 0 to 100.

    Attributes:
        name: Name of the phase.
        x: Start.
        width: Width.
        seconds: Duration; None while the phase lasts.
    """

    name: str
    x: float
    width: float
    seconds: float | None


class JobPage(Page):
    """The page of one job."""

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        return [
            Route("/jobs/{job_id}", self.show),
            Route("/jobs/{job_id}/body", self.show_body),
            Route("/jobs/{job_id}/contents", self.show_contents),
        ]

    def show(self, request: Request) -> Response:
        """Show the frame, with the job if it is cached."""
        job_id = request.path_params["job_id"]
        whole = is_whole(request)
        is_cached = whole or self._views.has_fresh_job(job_id)
        problem, values = self._read(request, job_id) if is_cached else (None, {})
        if problem is not None:
            status = NOT_FOUND if isinstance(self._views.job(job_id).error, LookupFailed) else 502
            return self._renderer.problem(request, problem, status=status)
        return self._renderer.page(
            request,
            "job.html",
            whole=whole,
            job_id=job_id,
            known=bool(values),
            listed=self._views.listed_job(job_id),
            contents=self._read_contents(values["job"]) if whole else None,
            **values,
        )

    def show_body(self, request: Request) -> Response:
        """Show everything in the log, or answer 304 if nothing has changed."""
        job_id = request.path_params["job_id"]
        problem, values = self._read(request, job_id)
        if problem is not None:
            return self._renderer.part(request, "job_problem.html", problem=problem, job_id=job_id)
        version = values["version"]
        if request.headers.get("if-none-match") == f'"{version}"':
            return Response(status_code=304)
        response = self._renderer.part(
            request, "job_body_part.html", job_id=job_id, contents=None, **values
        )
        response.headers["ETag"] = f'"{version}"'
        return response

    def show_contents(self, request: Request) -> Response:
        """Show the contents of the package, from its manifest."""
        answer = self._views.job(request.path_params["job_id"])
        if answer.value is None:
            return self._renderer.problem(request, describe_problem(answer.error or LookupError()))
        return self._renderer.part(
            request,
            "job_contents.html",
            contents=self._read_contents(answer.value.job),
            job=answer.value.job,
        )

    def _read(self, request: Request, job_id: str) -> tuple[Problem | None, dict[str, Any]]:
        answer = self._views.job(job_id)
        record = answer.value
        if record is None:
            return describe_problem(answer.error or LookupError(job_id)), {}
        job = record.job
        log = show_log(record.lines, request.query_params.get("level", ""))
        interval = self._views.job_interval(job_id)
        configuration = self._views.configuration().value
        catalog_url = configuration.settings.catalog_url if configuration else None
        return None, {
            "record": record,
            "job": job,
            "log": log,
            "levels": (("", "All"), ("warning", "Warnings"), ("error", "Errors")),
            "bars": draw_phases(job.phases),
            "interval": interval,
            "error": describe_problem(answer.error) if answer.error else None,
            "version": _version(record, log, interval, answer.error),
            "duration": format_duration,
            "catalog": job.catalog_link(catalog_url),
            "log_link": links.log(self._views.deployment, job),
            "execution_link": execution_link(self._views.deployment, job),
            "again": links.again(job),
            "rebuilt": links.REBUILT,
            "message": rebuild_message(job),
            "command": self._views.deployment.command(
                "send", rebuild_message(job, indent=None), names_stack=True
            ),
        }

    def _read_contents(self, job: Job) -> dict[str, Any] | None:
        if not (job.registry and job.top_hash):
            return None
        answer = self._views.contents(job.registry, job.top_hash)
        return {
            "revision": answer.value,
            "lineage": read_lineage(self._views, job, answer.value.metadata)
            if answer.value
            else None,
            "problem": describe_problem(answer.error)
            if answer.error and answer.value is None
            else None,
        }


def read_lineage(
    views: Views, revision: OutcomeFields, metadata: dict[str, Any]
) -> dict[str, Any] | None:
    """Return the packages one step away; None for an engine without lineage."""
    configuration = views.configuration().value
    inputs = read_inputs(metadata)
    table = configuration.settings.lineage_table if configuration else None
    if revision.link is None or (table is None and not inputs):
        return None
    users = views.users(table, revision.link) if table else None
    return {
        "inputs": inputs,
        "users": (users.value if users else None) or [],
        "problem": describe_problem(users.error) if users and users.error else None,
        "catalog_url": configuration.settings.catalog_url if configuration else None,
    }


def draw_phases(phases: Sequence[Phase]) -> list[Bar]:
    """Place the phases of a job on one time scale."""
    if not phases:
        return []
    first = phases[0].started
    ends = [(each.started - first).total_seconds() + (each.seconds or 0) for each in phases]
    total = max(ends) or 1.0
    bars = []
    for phase in phases:
        x = (phase.started - first).total_seconds() / total * 100
        width = max((phase.seconds or 0) / total * 100, MIN_BAR)
        bars.append(
            Bar(
                phase_label(phase.name),
                round(min(x, 100 - width), 1),
                round(width, 1),
                phase.seconds,
            )
        )
    return bars


def rebuild_message(job: Job, *, indent: int | None = 2) -> str:
    """Build a message for the folders of a job from the fields that the log contains.

    Metadata, workflow and exclusions are those of the engine's defaults.
    """
    fields = {
        "source_prefix": None if job.sources else job.source,
        "sources": msgspec.to_builtins(job.sources),
        "registry": job.registry,
        "package_name": job.package_name,
    }
    known = {name: value for name, value in fields.items() if value}
    return json.dumps(known, indent=indent, ensure_ascii=False)


def _version(record: JobRecord, log: ShownLog, interval: int, error: Exception | None) -> str:
    job = record.job
    # The elapsed time of a running job is not a change.
    state = (job.outcome, job.updated, job.progress, len(record.lines), log.level, interval, error)
    running = job.outcome is State.RUNNING
    return hashlib.sha256(repr((running, state)).encode()).hexdigest()[:16]
