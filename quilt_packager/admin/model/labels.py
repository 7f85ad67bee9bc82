"""What the page says of a job, in words."""

from typing import NamedTuple

from quilt_packager.operations import formats
from quilt_packager.operations.jobs.job import Job, State
from quilt_packager.operations.jobs.labels import describe_progress


class Badge(NamedTuple):
    """How an outcome is shown: never by its colour alone.

    Attributes:
        word: The word.
        icon: The icon's name.
        css: The badge's class.
    """

    word: str
    icon: str
    css: str


BADGES = {
    State.QUEUED: Badge("Waiting", "pause", "b-unchanged"),
    State.RUNNING: Badge("Running", "run", "b-running"),
    State.CREATED: Badge("Created", "check", "b-created"),
    State.UNCHANGED: Badge("Unchanged", "equals", "b-unchanged"),
    State.REJECTED: Badge("Rejected", "slash", "b-rejected"),
    State.FAILED: Badge("Failed", "x", "b-failed"),
    State.IGNORED: Badge("Ignored", "info", "b-unchanged"),
}


def label(job: Job) -> str:
    """What a person knows a job by.

    Args:
        job: The job.
    """
    return job.package_name or folder(job) or f"Message {job.id[:8]}"


def folder(job: Job) -> str | None:
    """The end of its source, which is most of its name.

    Args:
        job: The job.
    """
    return job.source.removeprefix("s3://").rstrip("/") if job.source else None


def second_line(job: Job) -> tuple[str, str]:
    """What is most worth knowing of a job beside its name: how far it is, or why it failed.

    Args:
        job: The job.

    Returns:
        A class, and the words.
    """
    match job.outcome:
        case State.RUNNING:
            return "", describe_progress(job.progress)
        case State.QUEUED:
            return "", "Put off; it waits in the queue"
        case State.REJECTED:
            return "warn", first_sentence(job)
        case State.FAILED:
            again = "" if job.final else " It is tried again."
            return "bad", first_sentence(job) + again
        case State.IGNORED:
            return "", job.why or ""
    return "", f"to {job.registry}" if job.registry else ""


def first_sentence(job: Job) -> str:
    """Why a job failed, as short as it is known.

    Args:
        job: The job.
    """
    return job.happened or job.reason or job.code or "No reason was given"


def tell_seconds(seconds: float) -> str:
    """A duration; what is too short for its first decimal, in milliseconds.

    Args:
        seconds: How long it is.

    Example:
        >>> tell_seconds(0.0312), tell_seconds(9.04), tell_seconds(0)
        ('31 ms', '9.0 s', '0 ms')
    """
    return f"{seconds * 1000:.0f} ms" if seconds < 0.0995 else formats.duration(seconds)  # noqa: PLR2004 - what would be written as 100 ms is 0.1 s
