"""Links to the AWS console and to the page's own form."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, unquote, urlencode

from quilt_packager.operations.deployment.consoles import CONSOLES, console
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.jobs.job import Job
from quilt_packager.operations.revisions.contents import TOP_HASH

WEB = ("https://", "http://")
"""The schemes of links: a URL with another scheme could run in the page."""

REBUILT = (
    "from the log, which contains the folder, the registry and the name, but no metadata, "
    "workflow, exclusions or commit message."
)
"""Limits of a message that was rebuilt from a job."""

FROM_JOB = "job"
"""Form field with the id of the job that filled in the form."""


def log(deployment: Deployment, job: Job) -> str | None:
    """Link to the log lines of a job in CloudWatch; None if the engine keeps no log."""
    group = deployment.log_group("packager")
    if group is None:
        return None
    start = round(job.started.timestamp() * 1000) - 60_000
    query = urlencode({"filterPattern": f'"{job.id}"', "start": start})
    # The console expects the part after its own # encoded twice, with $ in place of %.
    place = f"{_twice(group)}/log-events{_once(f'?{query}')}"
    return f"{_console(deployment, 'cloudwatch')}#logsV2:log-groups/log-group/{place}"


def again(job: Job) -> str | None:
    """Link to the form, filled in with the folder of a job; None if it has none, or several.

    The package may differ from the job's, in its metadata or its workflow: see `REBUILT`.
    """
    if not job.source or job.sources:
        return None
    fields = {
        "source_prefix": job.source,
        "registry": job.registry or "",
        "package_name": job.package_name or "",
        FROM_JOB: job.id,
    }
    return f"/new?{urlencode({name: value for name, value in fields.items() if value})}"


def without_missing(job: Job) -> str | None:
    """Link to the form as `again` does, for a package without the files that are missing."""
    link = again(job)
    return link and f"{link}&{urlencode({'missing_parts': 'leave_out'})}"


def package(registry: str, package_name: str, top_hash: str | None) -> str:
    """Link to the page of a package, at a revision if its whole hash is known.

    Example:
        >>> package("lab", "runs/42", None)
        '/packages/lab/runs/42'
    """
    is_whole = top_hash is not None and TOP_HASH.fullmatch(top_hash)
    revision = f"?revision={top_hash}" if is_whole else ""
    return f"/packages/{quote(registry)}/{quote(package_name)}{revision}"


def new_revision(registry: str, package_name: str) -> str:
    """Link to the form, filled in with the name of a package."""
    return f"/new?{urlencode({'registry': registry, 'package_name': package_name})}"


def omics_run(deployment: Deployment, metadata: Mapping[str, Any]) -> str | None:
    """Link to the run of a package in the HealthOmics console; None for other packages."""
    run_id, workflow_id = metadata.get("run_id"), metadata.get("workflow_id")
    if not (isinstance(run_id, str) and isinstance(workflow_id, str) and run_id.isdigit()):
        return None
    return f"{_console(deployment, 'omics')}#/runs/{run_id}"


def queue(deployment: Deployment, url: str) -> str:
    """Link to a queue in the SQS console."""
    return f"{_console(deployment, 'sqs/v3')}#/queues/{quote(url, safe='')}"


def log_group(deployment: Deployment, name: str) -> str:
    """Link to a log group in the CloudWatch console."""
    return f"{_console(deployment, 'cloudwatch')}#logsV2:log-groups/log-group/{_twice(name)}"


def folder(deployment: Deployment, job: Job) -> str | None:
    """Link to the source of a job in the S3 console; None if it is unknown."""
    bucket, _, prefix = (job.source or "").removeprefix("s3://").partition("/")
    return bucket_folder(deployment, bucket, unquote(prefix)) if bucket else None


def bucket_folder(deployment: Deployment, bucket: str, prefix: str) -> str:
    """Link to a folder of a bucket in the S3 console."""
    domain = CONSOLES.get(deployment.partition, CONSOLES["aws"])
    query = urlencode({"region": deployment.region, "prefix": prefix})
    return f"https://s3.console.{domain}/s3/buckets/{quote(bucket)}?{query}"


def safe(url: str) -> str:
    """Return a configured URL if a page may link to it, else an empty string.

    A `javascript:` URL would run in the page itself.

    Example:
        >>> safe("https://catalog.example.com"), safe("javascript:alert(1)")
        ('https://catalog.example.com', '')
    """
    return url if url.startswith(WEB) else ""


def _console(deployment: Deployment, service: str) -> str:
    return console(deployment.partition, deployment.region, service)


def _once(text: str) -> str:
    return quote(text, safe="").replace("%", "$")


def _twice(text: str) -> str:
    return quote(quote(text, safe=""), safe="").replace("%", "$")
