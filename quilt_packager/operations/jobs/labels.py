"""Labels of jobs, for the command and the page."""

from quilt_packager.operations.jobs.job import Job, Progress

TRIGGERS = {
    "message": "Message",
    "health_omics": "HealthOmics",
    "workflow_run_crate": "Nextflow run",
    "objects_ready": "Upload",
}

PHASES = {
    "listing": "Listing",
    "waiting": "Waiting for files",
    "checksums": "Checksums",
    "publishing": "Publishing",
}


def trigger_label(job: Job) -> str:
    """Return the label of a job's trigger; empty if the trigger is unknown."""
    return TRIGGERS.get(job.trigger or "", job.trigger or "")


def phase_label(name: str) -> str:
    """Return the label of a phase."""
    return PHASES.get(name, name.capitalize())


def describe_progress(progress: Progress | None) -> str:
    """Describe the progress of a job.

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
    return phase_label(progress.phase)
