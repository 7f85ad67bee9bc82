"""Where else to see what the page shows: AWS's console, and the page's own form."""

from urllib.parse import quote, urlencode

from quilt_packager.operations.deployments import Deployment
from quilt_packager.operations.job import Job


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
    region = deployment.region
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    return f"{console}#logsV2:log-groups/log-group/{place}"


def again(job: Job) -> str | None:
    """The form that packages the same folder once more, filled in; None without a source.

    Args:
        job: The job.
    """
    if not job.source:
        return None
    fields = {
        "source_prefix": job.source,
        "registry": job.registry or "",
        "package_name": job.package_name or "",
    }
    return f"/new?{urlencode({name: value for name, value in fields.items() if value})}"


def queue(region: str, url: str) -> str:
    """A queue in the console of SQS.

    Args:
        region: Where it is.
        url: Its URL.
    """
    console = f"https://{region}.console.aws.amazon.com/sqs/v3/home?region={region}"
    return f"{console}#/queues/{quote(url, safe='')}"


def log_group(region: str, name: str) -> str:
    """A log group in the console of CloudWatch.

    Args:
        region: Where it is.
        name: Its name.
    """
    console = f"https://{region}.console.aws.amazon.com/cloudwatch/home?region={region}"
    return f"{console}#logsV2:log-groups/log-group/{_twice(name)}"


def safe(url: str) -> str:
    """A URL that a page may link to; empty for one that would run in the page itself.

    Args:
        url: The URL, as somebody set it.

    Example:
        >>> safe("https://catalog.example.com"), safe("javascript:alert(1)")
        ('https://catalog.example.com', '')
    """
    return url if url.startswith(("https://", "http://")) else ""


def _once(text: str) -> str:
    return quote(text, safe="").replace("%", "$")


def _twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="").replace("%", "$")
