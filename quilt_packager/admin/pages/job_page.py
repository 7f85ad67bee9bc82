"""The page of a job: what was checked, where its time went, its package, its log and lineage."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import msgspec
from quilt_packager_runtime.formats.outcome import OutcomeFields
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.reporting.log_events import FilesAwaited
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.model import links
from quilt_packager.admin.model.labels import badge_name
from quilt_packager.admin.model.package_views import Pair
from quilt_packager.admin.model.views import Views
from quilt_packager.admin.pages.job_checks import list_checks, summarize
from quilt_packager.admin.pages.job_log_view import show_log
from quilt_packager.admin.pages.job_timeline import format_exactly, make_timeline
from quilt_packager.admin.pages.package_details import browse_lines, list_differences
from quilt_packager.admin.pages.packages_page import may_read
from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.problems import Problem, describe_problem
from quilt_packager.admin.web.rendering import is_whole
from quilt_packager.operations.errors import LookupFailed
from quilt_packager.operations.jobs.job import Job
from quilt_packager.operations.jobs.links import execution_link
from quilt_packager.operations.jobs.record import JobRecord
from quilt_packager.operations.jobs.waiting import announcement_for, is_waiting
from quilt_packager.operations.lineage.steps import read_inputs
from quilt_packager.operations.revisions.contents import RevisionContents

NOT_FOUND = 404

LEVELS = (("", "All"), ("warning", "Warnings"), ("error", "Errors"))

MAX_COMPARED = 100_000
"""Number of entries above which two revisions are only compared on request."""

MAX_CHANGES = 10
"""Number of differences that are shown."""


class Look(NamedTuple):
    """A look for required files, of which some were missing.

    Attributes:
        title: The number of missing files, as far as it is known.
        happened: The missing files.
        next: Time of the next look.
        gives_up: Time at which the job is rejected if files are still missing; None if unknown.
    """

    title: str
    happened: str
    next: datetime
    gives_up: datetime | None


class JobPage(Page):
    """The page of one job."""

    def routes(self) -> list[Route]:
        """Return the routes of the page."""
        return [
            Route("/jobs/{job_id}", self.show),
            Route("/jobs/{job_id}/body", self.show_body),
            Route("/jobs/{job_id}/related", self.show_related),
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
            log_query=request.url.query,
            related=self._relate(values["job"], values["contents"]) if whole else None,
            **values,
        )

    def show_body(self, request: Request) -> Response:
        """Show everything in the log."""
        job_id = request.path_params["job_id"]
        problem, values = self._read(request, job_id)
        if problem is not None:
            return self._renderer.part(request, "job_problem.html", problem=problem, job_id=job_id)
        return self._renderer.part(
            request, "job_body_part.html", job_id=job_id, related=None, **values
        )

    def show_related(self, request: Request) -> Response:
        """Show the revision before, and the packages one step away."""
        answer = self._views.job(request.path_params["job_id"])
        if answer.value is None:
            return self._renderer.problem(request, describe_problem(answer.error or LookupError()))
        job = answer.value.job
        contents, _ = self._read_contents(job)
        return self._renderer.part(
            request, "job_related.html", job=job, related=self._relate(job, contents)
        )

    def _read(self, request: Request, job_id: str) -> tuple[Problem | None, dict[str, Any]]:
        answer = self._views.job(job_id)
        record = answer.value
        if record is None:
            return describe_problem(answer.error or LookupError(job_id)), {}
        job, wanted = record.job, request.query_params
        contents, problem = self._read_contents(job)
        checks = list_checks(record, contents)
        return None, {
            "record": record,
            "job": job,
            "state": badge_name(job),
            "look": _find_look(record),
            "checks": checks,
            "summary": summarize(checks),
            "time": make_timeline(record, datetime.now(UTC)),
            "exactly": format_exactly,
            "log": show_log(record.lines, wanted.get("level", ""), wanted.get("q", "").strip()),
            "levels": LEVELS,
            "interval": self._views.job_interval(job_id),
            "error": describe_problem(answer.error) if answer.error else None,
            "contents": contents,
            "contents_problem": problem,
            **self._link(job, contents),
            "rebuilt": links.REBUILT,
            "message": rebuild_message(job),
            "command": self._views.deployment.command(
                "send", rebuild_message(job, indent=None), names_stack=True
            ),
        }

    def _link(self, job: Job, contents: RevisionContents | None) -> dict[str, Any]:
        deployment, configuration = self._views.deployment, self._views.configuration().value
        return {
            "catalog": job.catalog_link(
                configuration.settings.catalog_url if configuration else None
            ),
            "package_page": package_page(self._views, job),
            "before_page": package_page(
                self._views, msgspec.structs.replace(job, top_hash=job.previous_top_hash)
            ),
            "lines": browse_lines(Package(job.registry, job.package_name), job.top_hash)
            if job.registry and job.package_name and job.top_hash
            else None,
            "folder_link": links.folder(deployment, job),
            "run_link": links.omics_run(deployment, contents.metadata) if contents else None,
            "log_link": links.log(deployment, job),
            "execution_link": execution_link(deployment, job),
            "can_look": configuration is not None
            and is_waiting(job)
            and announcement_for(job, configuration.settings) is not None,
            "again": links.again(job),
            "without_missing": links.without_missing(job),
        }

    def _read_contents(self, job: Job) -> tuple[RevisionContents | None, Problem | None]:
        """Return the metadata and the workflow of the revision, if there is one."""
        if not (job.registry and job.top_hash):
            return None, None
        answer = self._views.contents(job.registry, job.top_hash)
        problem = describe_problem(answer.error) if answer.error and not answer.value else None
        return answer.value, problem

    def _relate(self, job: Job, contents: RevisionContents | None) -> dict[str, Any]:
        lineage = read_lineage(self._views, job, contents.metadata) if contents else None
        return {"comparison": self._compare(job), "lineage": lineage}

    def _compare(self, job: Job) -> dict[str, Any] | None:
        before, after = job.previous_top_hash, job.top_hash
        page = package_page(self._views, job)
        if page is None or not (before and after) or before == after:
            return None
        found: dict[str, Any] = {
            "before": before,
            "page": f"{page.partition('?')[0]}?a={before}&b={after}#compare",
            "summary": None,
            "rows": [],
            "problem": None,
        }
        if (job.objects or 0) > MAX_COMPARED:
            return found
        package = Package(job.registry or "", job.package_name or "")
        answer = self._views.packages.comparison(Pair(package, before, after))
        if answer.value is None:
            return found | {"problem": describe_problem(answer.error or LookupError(before))}
        rows = list_differences(answer.value)[:MAX_CHANGES]
        return found | {"summary": answer.value.summary, "rows": rows}


def package_page(views: Views, revision: OutcomeFields) -> str | None:
    """Return the page of a revision's package; None if the page may not read its registry."""
    registry, name = revision.registry, revision.package_name
    if not (registry and name) or not may_read(views, registry):
        return None
    return links.package(registry, name, revision.top_hash)


def _find_look(record: JobRecord) -> Look | None:
    """Return the last look of a job that waits for files; None for other jobs."""
    if not is_waiting(record.job):
        return None
    for line in reversed(record.lines):
        event = line.event
        if isinstance(event, FilesAwaited):
            title = "Required files are missing"
            if event.missing is not None:
                is_one = event.missing == 1
                title = f"{event.missing:,} required {'file is' if is_one else 'files are'} missing"
            left = event.gives_up_seconds
            return Look(
                title,
                event.happened,
                line.at + timedelta(seconds=event.seconds),
                None if left is None else line.at + timedelta(seconds=left),
            )
    return None


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
        "page": lambda each: package_page(views, each),
    }


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
