"""What is said of a job in words, by the command and by the page."""

from quilt_packager.operations.jobs.job import Job, Progress

TRIGGERS = {
    "message": "Message",
    "health_omics": "HealthOmics",
    "workflow_run_crate": "Nextflow run",
    "objects_ready": "Upload",
}

PHASES = {"listing": "Listing", "checksums": "Checksums", "publishing": "Publishing"}


def trigger_label(job: Job) -> str:
    """What asked for a job; empty if that is not known.

    Args:
        job: The job.
    """
    return TRIGGERS.get(job.trigger or "", job.trigger or "")


def tell_phase(name: str) -> str:
    """What a job does for some time.

    Args:
        name: As of `Phase`.
    """
    return PHASES.get(name, name.capitalize())


def describe_progress(progress: Progress | None) -> str:
    """How far a job is.

    Args:
        progress: What is known of it.

    Example:
        >>> describe_progress(Progress("checksums", 31940, 48112))
        'Checking 31,940 of 48,112 objects'
        >>> describe_progress(Progress("listing", 2000)), describe_progress(None)
        ('Listing, 2,000 objects so far', 'Started')
    """
    if progress is None:
        return "Started"
    if progress.phase == "listing":
        return f"Listing, {progress.done:,} objects so far" if progress.done else "Listing"
    if progress.phase == "checksums" and progress.total is not None:
        return f"Checking {progress.done:,} of {progress.total:,} objects"
    return tell_phase(progress.phase)
