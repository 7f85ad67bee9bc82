"""Where else to see what the page shows: AWS's console, and the page's own form."""

from urllib.parse import quote, urlencode

from quilt_packager.operations.deployment.consoles import console
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.jobs.job import Job

REBUILT = (
    "from the log, which keeps only the folder, the registry and the name: no metadata, workflow, "
    "exclusions or commit message."
)
"""How far a message is that of a job, if it was rebuilt."""

FROM_JOB = "job"
"""The field of the form that has the id of the job it was filled in from."""


def log(deployment: Deployment, job: Job) -> str | None:
    """The lines of a job in the console of CloudWatch; None if the engine keeps no log.

    Args:
        deployment: The engine.
        job: The job.
    """
    group = deployment.log_group("packager")
    if group is None:
        return None
    start = round(job.started.timestamp() * 1000) - 60_000
    query = urlencode({"filterPattern": f'"{job.id}"', "start": start})
    # The console wants what stands after its own # encoded twice, with $ in place of %.
    place = f"{_twice(group)}/log-events{_once(f'?{query}')}"
    return f"{_console(deployment, 'cloudwatch')}#logsV2:log-groups/log-group/{place}"


def again(job: Job) -> str | None:
    """The form that packages the folder of a job, filled in as `REBUILT` says.

    It may ask for a package other than the job's: with other metadata, or by another workflow.

    Args:
        job: The job.

    Returns:
        Its URL; None if the job has no source.
    """
    if not job.source:
        return None
    fields = {
        "source_prefix": job.source,
        "registry": job.registry or "",
        "package_name": job.package_name or "",
        FROM_JOB: job.id,
    }
    return f"/new?{urlencode({name: value for name, value in fields.items() if value})}"


def queue(deployment: Deployment, url: str) -> str:
    """A queue in the console of SQS.

    Args:
        deployment: The engine.
        url: The queue's URL.
    """
    return f"{_console(deployment, 'sqs/v3')}#/queues/{quote(url, safe='')}"


def log_group(deployment: Deployment, name: str) -> str:
    """A log group in the console of CloudWatch.

    Args:
        deployment: The engine.
        name: The group's name.
    """
    return f"{_console(deployment, 'cloudwatch')}#logsV2:log-groups/log-group/{_twice(name)}"


def safe(url: str) -> str:
    """A URL that a page may link to; empty for one that would run in the page itself.

    Args:
        url: The URL, as somebody set it.

    Example:
        >>> safe("https://catalog.example.com"), safe("javascript:alert(1)")
        ('https://catalog.example.com', '')
    """
    return url if url.startswith(("https://", "http://")) else ""


def _console(deployment: Deployment, service: str) -> str:
    return console(deployment.partition, deployment.region, service)


def _once(text: str) -> str:
    return quote(text, safe="").replace("%", "$")


def _twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="").replace("%", "$")
