"""A job's own page: how it went, why it failed, and what is in its package."""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages.job_log_view import ShownLog, show_log
from quilt_packager.admin.pages.jobs_page import tell_seconds
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import Renderer
from quilt_packager.operations.errors import LookupFailed
from quilt_packager.operations.jobs.job import Job, Phase, State
from quilt_packager.operations.jobs.labels import tell_phase
from quilt_packager.operations.jobs.links import catalog, execution
from quilt_packager.operations.jobs.listing import JobRecord

MIN_BAR = 0.8
"""The narrowest bar that can be seen, of 100."""

NOT_FOUND = 404


class Bar(NamedTuple):
    """A phase as a bar of a width of 100 in all.

    Attributes:
        name: The phase.
        x: Where it begins.
        width: How long it is.
        seconds: How long it took; None while it lasts.
    """

    name: str
    x: float
    width: float
    seconds: float | None


class JobPage:
    """The page of one job.

    Args:
        views: What is known of the engine.
        renderer: Makes pages.
    """

    def __init__(self, views: Views, renderer: Renderer) -> None:
        self._views = views
        self._renderer = renderer

    def routes(self) -> list[Route]:
        """What this page answers."""
        return [
            Route("/jobs/{job_id}", self.show),
            Route("/jobs/{job_id}/body", self.show_body),
            Route("/jobs/{job_id}/contents", self.show_contents),
        ]

    def show(self, request: Request) -> Response:
        """The frame, and what is known already."""
        job_id = request.path_params["job_id"]
        whole = "whole" in request.query_params
        knows_all = whole or self._views.knows_job(job_id)
        problem, values = self._look(request, job_id) if knows_all else (None, {})
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
            contents=self._look_inside(values["job"]) if whole else None,
            **values,
        )

    def show_body(self, request: Request) -> Response:
        """All that the log knows; or that nothing changed."""
        job_id = request.path_params["job_id"]
        problem, values = self._look(request, job_id)
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
        """What is in the package, from its manifest."""
        answer = self._views.job(request.path_params["job_id"])
        if answer.value is None:
            return self._renderer.problem(request, describe_problem(answer.error or LookupError()))
        return self._renderer.part(
            request,
            "job_contents.html",
            contents=self._look_inside(answer.value.job),
            job=answer.value.job,
        )

    def _look(self, request: Request, job_id: str) -> tuple[Problem | None, dict[str, Any]]:
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
            "seconds": tell_seconds,
            "catalog": catalog(job, catalog_url),
            "log_link": links.log(self._views.deployment, job),
            "execution_link": execution(self._views.deployment, job),
            "again": links.again(job),
            "rebuilt": links.REBUILT,
            "message": rebuild_message(job),
            "command": self._views.deployment.command(
                "send", rebuild_message(job, indent=None), names_stack=True
            ),
        }

    def _look_inside(self, job: Job) -> dict[str, Any] | None:
        if not (job.registry and job.top_hash):
            return None
        answer = self._views.revision(job.registry, job.top_hash)
        return {
            "revision": answer.value,
            "problem": describe_problem(answer.error)
            if answer.error and answer.value is None
            else None,
        }


def draw_phases(phases: Sequence[Phase]) -> list[Bar]:
    """Lay the phases of a job out on one line of time.

    Args:
        phases: The phases, in their order.
    """
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
                tell_phase(phase.name),
                round(min(x, 100 - width), 1),
                round(width, 1),
                phase.seconds,
            )
        )
    return bars


def rebuild_message(job: Job, *, indent: int | None = 2) -> str:
    """A message for the folder of a job: of what the job was asked for, the log keeps no more.

    It leaves metadata, workflow and exclusions to the engine's defaults, whatever the job had.

    Args:
        job: The job.
        indent: As of `json.dumps`.
    """
    fields = {
        "source_prefix": job.source,
        "registry": job.registry,
        "package_name": job.package_name,
    }
    known = {name: value for name, value in fields.items() if value}
    return json.dumps(known, indent=indent, ensure_ascii=False)


def _version(record: JobRecord, log: ShownLog, interval: int, error: Exception | None) -> str:
    job = record.job
    # The seconds of a running job alone are no change.
    state = (job.outcome, job.updated, job.progress, len(record.lines), log.level, interval, error)
    running = job.outcome is State.RUNNING
    return hashlib.sha256(repr((running, state)).encode()).hexdigest()[:16]
