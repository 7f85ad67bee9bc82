"""The actions on a job that waits for required files."""

from quilt_packager_runtime.settings import Settings
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from quilt_packager.admin.pages.page import Page
from quilt_packager.admin.web.rendering import Affected, Confirmation
from quilt_packager.operations import formats
from quilt_packager.operations.deployment.messages import send
from quilt_packager.operations.jobs.job import Job
from quilt_packager.operations.jobs.waiting import (
    announcement_for,
    is_waiting,
    not_waiting,
    stop_waiting,
)


class WaitingJobPage(Page):
    """The actions on a waiting job."""

    def routes(self) -> list[Route]:
        """Return the routes of the actions."""
        return [
            Route("/jobs/{job_id}/look", self.look, methods=["POST"]),
            Route("/jobs/{job_id}/stop", self.ask),
            Route("/jobs/{job_id}/stop", self.stop, methods=["POST"]),
        ]

    def look(self, request: Request) -> Response:
        """Let the engine look for the files now."""
        job = self._find(request)
        configuration = self._views.configuration().value
        settings = configuration.settings if configuration else Settings()
        body = announcement_for(job, settings)
        if body is None:
            raise not_waiting(job)
        look_id = send(self._views.deployment, body)
        self._views.invalidate()
        self._renderer.toast(
            "The engine looks for the files now.", url=f"/jobs/{look_id}", link="Follow"
        )
        return self._renderer.redirect(f"/jobs/{job.id}")

    def ask(self, request: Request) -> Response:
        """Ask whether to stop the wait."""
        job = self._find(request)
        question = Confirmation(
            "Stop waiting for the files?",
            f"/jobs/{job.id}/stop",
            (),
            "Stop waiting",
            "Keep waiting",
            f"/jobs/{job.id}",
            effects=[
                "The job fails with the code LargeJobFailed, and its message moves to Failures.",
                "Retry it there once the files are in the folder, or discard it.",
            ],
            items=[
                Affected(job.source or job.id, f"{job.id[:8]}, {formats.age(job.seconds or 0)} old")
            ],
            note="No package is made, and no file is changed.",
            is_danger=True,
        )
        return self._renderer.confirm(request, question)

    def stop(self, request: Request) -> Response:
        """Stop the wait."""
        job = self._find(request)
        stop_waiting(self._views.deployment, job)
        self._views.invalidate()
        self._renderer.toast("The job no longer waits.", url="/failures", link="Show Failures")
        return self._renderer.redirect(f"/jobs/{job.id}")

    def _find(self, request: Request) -> Job:
        answer = self._views.job(request.path_params["job_id"])
        if answer.value is None:
            raise answer.error or LookupError(request.path_params["job_id"])
        job = answer.value.job
        if not is_waiting(job):
            raise not_waiting(job)
        return job
