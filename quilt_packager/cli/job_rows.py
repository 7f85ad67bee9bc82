"""How a job is told in a line of a table."""

from quilt_packager import formats
from quilt_packager.cli.tables import Column, Row
from quilt_packager.cli.terminal import Terminal
from quilt_packager.operations.job import Job, Progress

COLUMNS = (
    Column("OUTCOME"),
    Column("PACKAGE"),
    Column("SOURCE", wide=True),
    Column("STARTED"),
    Column("TIME", right=True),
    Column("OBJECTS", right=True, wide=True),
    Column("SIZE", right=True),
    Column("JOB", wide=True),
)

ID_CHARACTERS = 8

TRIGGERS = {
    "health_omics": "HealthOmics",
    "workflow_run_crate": "Nextflow run",
    "objects_ready": "Upload",
    "message": "Message",
}

PHASES = {"listing": "listed", "checksums": "checked", "publishing": "written"}


def job_row(terminal: Terminal, job: Job) -> Row:
    """Tell a job: how it ended, or how far it is, and why it failed.

    Args:
        terminal: Where it is told.
        job: The job.
    """
    return Row(
        [
            terminal.state(job.outcome),
            job.package_name or job.source or "-",
            TRIGGERS.get(job.trigger or "", job.trigger or "-"),
            terminal.when(job.started),
            "-" if job.seconds is None else formats.duration(job.seconds),
            "-" if job.objects is None else f"{job.objects:,}",
            "-" if job.bytes is None else formats.size(job.bytes),
            terminal.shorten(job.id, ID_CHARACTERS),
        ],
        reason=_reason(job),
    )


def describe_progress(progress: Progress) -> str:
    """Say how far a job is.

    Args:
        progress: How far.

    Example:
        >>> describe_progress(Progress("checksums", 31_940, 48_112))
        '31,940 of 48,112 objects checked'
        >>> describe_progress(Progress("listing", 1))
        '1 object listed'
    """
    done = PHASES.get(progress.phase, progress.phase)
    if progress.total is None:
        return f"{formats.count(progress.done, 'object')} {done}"
    return f"{progress.done:,} of {formats.count(progress.total, 'object')} {done}"


def _reason(job: Job) -> str:
    if job.code is not None:
        return f"{job.code}: {job.happened or job.reason or ''}".rstrip(": ")
    if not job.is_over and job.progress is not None:
        return describe_progress(job.progress)
    return job.remark or ""
