"""Labels of jobs: names, badges and short descriptions."""

from typing import NamedTuple

from quilt_packager.operations import formats
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.labels import describe_progress


class Badge(NamedTuple):
    """The badge of an outcome: a word, an icon and a CSS class, never a colour alone."""

    word: str
    icon: str
    css: str


HELD = "HeldForReview"
"""Code of a job that waits for a decision."""

BADGES = {
    "queued": Badge("Queued", "clock", "b-waiting"),
    "running": Badge("Running", "run", "b-running"),
    "waiting": Badge("Waiting", "clock", "b-waiting"),
    "created": Badge("Created", "check", "b-created"),
    "unchanged": Badge("Unchanged", "equals", "b-unchanged"),
    "rejected": Badge("Rejected", "slash", "b-rejected"),
    "held": Badge("Held", "hold", "b-held"),
    "failed": Badge("Failed", "x", "b-failed"),
    "ignored": Badge("Ignored", "info", "b-unchanged"),
}


def badge_name(job: Job) -> str:
    """Return the key of a job's badge: its state, or one that users distinguish."""
    if job.outcome is State.RUNNING and job.progress and job.progress.phase == "waiting":
        return "waiting"
    if job.outcome is State.REJECTED and job.code == HELD:
        return "held"
    return str(job.outcome)


def badge(job: Job) -> Badge:
    """Return the badge of a job."""
    return BADGES[badge_name(job)]


def label(job: Job) -> str:
    """Return the name by which users recognize a job."""
    return job.package_name or folder(job) or f"Message {job.id[:8]}"


def folder(job: Job) -> str | None:
    """Return the bucket and the folder of a job's source."""
    return job.source.removeprefix("s3://").rstrip("/") if job.source else None


def second_line(job: Job) -> tuple[str, str]:
    """Return the progress of a job, or its reason, with the CSS class of that line."""
    match job.outcome:
        case State.RUNNING:
            return "", describe_progress(job.progress)
        case State.QUEUED:
            return "", "Deferred; waiting in the queue"
        case State.REJECTED:
            return "warn", first_sentence(job)
        case State.FAILED:
            again = "" if job.final else " It will be retried."
            return "bad", first_sentence(job) + again
        case State.IGNORED:
            return "", job.why or ""
    return "warn", job.remark or ""


def first_sentence(job: Job) -> str:
    """Return the shortest known reason of a failure."""
    return job.happened or job.reason or job.code or "No reason recorded"


def format_seconds(seconds: float) -> str:
    """Format a duration, in milliseconds where one decimal of a second is too coarse.

    Example:
        >>> format_seconds(0.0312), format_seconds(9.04), format_seconds(0)
        ('31 ms', '9.0 s', '0 ms')
    """
    return f"{seconds * 1000:.0f} ms" if seconds < 0.0995 else formats.duration(seconds)  # noqa: PLR2004 - from here on it rounds to 0.1 s
