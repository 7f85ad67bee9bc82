"""Rows of jobs in a table."""

from quilt_packager.cli.console.tables import Column, Row
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats
from quilt_packager.operations.jobs.job import Job
from quilt_packager.operations.jobs.labels import describe_progress, trigger_label

COLUMNS = (
    Column("OUTCOME"),
    Column("PACKAGE"),
    Column("SOURCE", wide=True),
    Column("STARTED"),
    Column("TIME", right=True),
    Column("OBJECTS", right=True, wide=True),
    Column("SIZE", right=True),
    Column("JOB"),
)

ID_CHARACTERS = 8


def job_row(terminal: Terminal, job: Job) -> Row:
    """Return the row of a job: its state, its facts, and its error or progress."""
    return Row(
        [
            terminal.state(job.outcome),
            job.package_name or job.source or "-",
            trigger_label(job) or "-",
            terminal.when(job.started),
            "-" if job.seconds is None else formats.duration(job.seconds),
            "-" if job.objects is None else f"{job.objects:,}",
            "-" if job.bytes is None else formats.size(job.bytes),
            terminal.shorten(job.id, ID_CHARACTERS),
        ],
        reason=_reason(job),
    )


def _reason(job: Job) -> str:
    if job.code is not None:
        return f"{job.code}: {job.happened or job.reason or ''}".rstrip(": ")
    if not job.is_over and job.progress is not None:
        return describe_progress(job.progress)
    return job.remark or ""
