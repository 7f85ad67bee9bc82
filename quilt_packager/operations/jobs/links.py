"""Where else to see a job: Quilt's catalog, and the console of Step Functions."""

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from quilt_packager.operations.aws_errors import is_denied
from quilt_packager.operations.deployment.configurations import read_configuration
from quilt_packager.operations.jobs.executions import console_url, execution_arn
from quilt_packager.operations.jobs.job import Job

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

WEB = ("https://", "http://")
"""How what a browser may be sent to begins: anything else could run in it."""


class Links(NamedTuple):
    """Where to see a job in a browser; None where there is nothing of it.

    Attributes:
        catalog: Its package.
        execution: Its execution, of a large job.
    """

    catalog: str | None
    execution: str | None


def find_links(deployment: "Deployment", job: Job) -> Links:
    """Look up where to see a job; the engine knows its catalog.

    Args:
        deployment: The engine.
        job: The job.
    """
    catalog_url = None
    if job.top_hash is not None:
        from botocore.exceptions import ClientError

        try:
            catalog_url = read_configuration(deployment).settings.catalog_url
        except ClientError as error:
            # The job can be told without it.
            if not is_denied(error):
                raise
    return Links(catalog(job, catalog_url), execution(deployment, job))


def catalog(job: Job, catalog_url: str | None) -> str | None:
    """A job's package in Quilt's catalog; None if there is no package, or no catalog is known.

    Args:
        job: The job.
        catalog_url: The catalog, as the engine was told of it.
    """
    if not (catalog_url and job.registry and job.package_name and job.top_hash):
        return None
    if not catalog_url.startswith(WEB):
        return None
    package = f"/b/{job.registry}/packages/{quote(job.package_name)}/tree/{job.top_hash}"
    return catalog_url.rstrip("/") + package


def execution(deployment: "Deployment", job: Job) -> str | None:
    """The state machine's execution of a large job in the console; None of others.

    Args:
        deployment: The engine.
        job: The job.
    """
    machine = deployment.state_machine_arn
    if machine is None or job.execution is None:
        return None
    return console_url(execution_arn(machine, quote(job.execution)))
