"""Links to a job in Quilt's catalog and in the console of Step Functions."""

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from quilt_packager.operations.aws_errors import is_denied
from quilt_packager.operations.deployment.configurations import read_configuration
from quilt_packager.operations.jobs.executions import console_url, execution_arn
from quilt_packager.operations.jobs.job import Job

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment


class Links(NamedTuple):
    """Links to a job, None for those that do not exist.

    Attributes:
        catalog: The package.
        execution: The execution of a large job.
    """

    catalog: str | None
    execution: str | None


def find_links(deployment: "Deployment", job: Job) -> Links:
    """Find the links to a job, with the catalog of the engine's configuration."""
    catalog_url = None
    if job.top_hash is not None:
        from botocore.exceptions import ClientError

        try:
            catalog_url = read_configuration(deployment).settings.catalog_url
        except ClientError as error:
            # The link is optional.
            if not is_denied(error):
                raise
    return Links(job.catalog_link(catalog_url), execution_link(deployment, job))


def execution_link(deployment: "Deployment", job: Job) -> str | None:
    """Return the console's page of a large job's execution; None for other jobs."""
    machine = deployment.state_machine_arn
    if machine is None or job.execution is None:
        return None
    return console_url(execution_arn(machine, quote(job.execution)))
