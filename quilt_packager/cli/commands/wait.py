"""Waits for the job of a message, and writes its outcome as `package` does."""

import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from quilt_packager_runtime.formats.outcome import Result

from quilt_packager.cli.console.exits import OF_RESULT, Exit
from quilt_packager.cli.console.outcomes import JSON_FIELDS, write_success
from quilt_packager.cli.console.progress import JobProgress
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations.jobs.job import Job, State

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

FIRST_POLLS = (0.5, 1.0, 1.0, 2.0, 2.0)
"""Delays before the first polls: most jobs end within seconds."""

POLL_SECONDS = 5.0

LABELS = {
    State.QUEUED: "deferred until its folder has settled",
    State.RUNNING: "started",
    State.FAILED: "failed, waiting for a retry",
}


def wait_for(
    terminal: Terminal,
    deployment: "Deployment",
    message_id: str,
    sent: datetime,
    *,
    sleep: Callable[[float], object] = time.sleep,
) -> Job:
    """Show the progress of a job until it ends.

    Args:
        terminal: The terminal.
        deployment: The engine.
        message_id: Id of the message.
        sent: Time at which the message was sent.
        sleep: Function that waits for some seconds.

    Returns:
        The job after its end.
    """
    from quilt_packager.operations.jobs.executions import count_shards
    from quilt_packager.operations.jobs.watch import OVERLAP_OF_ONE, Watch

    watch = Watch(deployment, since=sent - OVERLAP_OF_ONE, job_id=message_id)
    waits = iter(FIRST_POLLS)
    with JobProgress(terminal) as progress:
        progress.doing("in the queue; Ctrl-C stops waiting")
        while True:
            sleep(next(waits, POLL_SECONDS))
            for job in watch.poll_tolerating_outages():
                if job.is_over:
                    return job
                show(progress, job)
            for job in watch.jobs:
                # Workers log no progress.
                is_hashed = job.outcome is State.RUNNING and job.progress is None
                if is_hashed and (shards := count_shards(deployment, job)):
                    progress("shards hashed in the state machine", *shards)


def show(progress: JobProgress, job: Job) -> None:
    """Show the progress of a job that has not ended."""
    if job.outcome is State.RUNNING and job.progress is not None:
        progress(job.progress.phase, job.progress.done, job.progress.total)
    elif job.outcome is State.RUNNING and job.execution is not None:
        progress.doing("hashing in the state machine")
    else:
        label = LABELS.get(job.outcome, job.outcome.value)
        progress.doing(f"{label}: {job.code}" if job.code else label)


def exit_code(job: Job) -> Exit:
    """Return the exit code for a job that has ended."""
    if job.outcome is State.IGNORED:
        return Exit.REJECTED
    return OF_RESULT[Result(job.outcome.value)]


def write_end(terminal: Terminal, job: Job, *, as_json: bool, **more: object) -> None:
    """Write the outcome of a job that has ended, in JSON with more fields."""
    if as_json:
        fields = {name: getattr(job, name) for name in JSON_FIELDS}
        terminal.json({"message_id": job.id, **fields, **more})
    elif job.outcome is State.IGNORED:
        terminal.outcome(job.outcome, f"the message requests no package: {job.why}")
    elif job.code is None:
        write_success(terminal, job, seconds=job.seconds or 0.0)
    else:
        terminal.outcome(job.outcome, job.code)
        sentences = [("happened", job.happened or job.reason), ("why", job.why), ("do", job.remedy)]
        terminal.fields((label, text) for label, text in sentences if text)
