"""Jobs that wait for required files: let them look at once, or end the wait."""

import json
from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import InvalidMessage
from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.requests.events import OBJECTS_READY
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.deployment.messages import check
from quilt_packager.operations.errors import NoPackageRequested, NotWaiting
from quilt_packager.operations.jobs.executions import execution_arn
from quilt_packager.operations.jobs.fold import WAITING
from quilt_packager.operations.jobs.job import Job, State

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment


def is_waiting(job: Job) -> bool:
    """Return whether a job waits for required files."""
    is_running = job.outcome is State.RUNNING and job.execution is not None
    return is_running and job.progress is not None and job.progress.phase == WAITING


def announcement_for(job: Job, settings: Settings) -> str | None:
    """Return the announcement of uploads for which the engine looks for the files of a job.

    It takes over the request of the job if it names the same package; otherwise it would make
    another one.

    Args:
        job: A job that waits.
        settings: Settings of the engine.

    Returns:
        The body of a message; None if the engine would make another package.
    """
    if job.source is None or job.sources is not None:
        return None
    folder = S3Uri.parse(job.source)
    event = {
        "source": UPLOADS_SOURCE,
        "detail-type": OBJECTS_READY,
        "detail": {"bucket": folder.bucket, "prefix": folder.key},
    }
    body = json.dumps(event)
    try:
        request = check(body, settings)
    except (InvalidMessage, NoPackageRequested):
        return None
    if not isinstance(request, UnresolvedRequest) or request.require:
        return None
    named = (str(request.source), request.registry, request.package_name)
    return body if named == (job.source, job.registry, job.package_name) else None


def stop_waiting(deployment: "Deployment", job: Job) -> None:
    """Stop the execution of a job that waits, so that the engine fails it.

    Raises:
        NotWaiting: The job does not wait.
    """
    machine = deployment.state_machine_arn
    if machine is None or job.execution is None or not is_waiting(job):
        raise not_waiting(job)
    deployment.states.stop_execution(
        executionArn=execution_arn(machine, job.execution), cause="Stopped by a user."
    )


def not_waiting(job: Job) -> NotWaiting:
    """Return the error of a job that does not wait, or no longer."""
    return NotWaiting(
        f"The job {job.id} does not wait for files.",
        why="It has found its files, or has ended.",
        remedy="Look at the page of the job.",
    )
