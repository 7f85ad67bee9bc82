"""Messages for a deployed engine, checked with the parser of the engine itself."""

from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.requests.events import Ignored, OmicsRun
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.errors import NoPackageRequested

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3

    from quilt_packager.operations.deployment.deployments import Deployment


def check(body: str, settings: Settings | None = None) -> UnresolvedRequest | OmicsRun:
    """Parse a message as an engine does.

    Args:
        body: Message body.
        settings: Settings of the engine. Default: those of an engine without props.

    Returns:
        The request; a HealthOmics run if its event does not name the output location.

    Raises:
        InvalidMessage: The message is not valid; the error names all violations.
        NoPackageRequested: The message requests no package.

    Example:
        >>> check('{"source_prefix": "s3://raw/runs/42/"}').package_name
        'runs/42'
    """
    settings = settings or Settings()
    wanted = parse_message(
        body, default_registry=settings.default_registry, sources=settings.sources
    )
    if isinstance(wanted, Ignored):
        raise _no_package_requested(wanted)
    return wanted


def resolve(
    body: str, settings: Settings | None = None, *, profile: str | None = None
) -> UnresolvedRequest:
    """Parse a message as `check` does, and look up the output location of a HealthOmics run.

    Args:
        body: Message body.
        settings: Settings of the engine. Default: those of an engine without props.
        profile: Profile of the AWS configuration for the lookup. Default: that of the environment.

    Raises:
        InvalidMessage: The message is not valid; the error names all violations.
        NoPackageRequested: The message requests no package.
        PackagerError: The output location could not be determined.

    Example:
        >>> resolve('{"source_prefix": "s3://raw/runs/42/"}').package_name
        'runs/42'
    """
    settings = settings or Settings()
    wanted = check(body, settings)
    if isinstance(wanted, OmicsRun):
        # This imports boto3, which most messages do not need.
        from quilt_packager_runtime.requests.omics_runs import request_for_run

        from quilt_packager.operations.deployment.deployments import connect, make_client

        found = request_for_run(
            wanted,
            default_registry=settings.default_registry,
            omics=make_client(connect(profile), "omics", wanted.region) if profile else None,
        )
        if isinstance(found, Ignored):
            raise _no_package_requested(found)
        return found
    return wanted


async def find_meant_folder(s3: "S3", request: UnresolvedRequest) -> SourceFolder | None:
    """Return the folder that a source_prefix without a trailing `/` may mean, if it has objects.

    Nothing is found if the folder cannot be listed: the message is valid as it is.
    """
    source, name = request.source, request.dropped_component
    if not name:
        return None
    meant = SourceFolder(source.bucket, f"{source.prefix}{name}/")
    try:
        async for keys in s3.list_keys(meant.bucket, meant.prefix):
            return meant if keys else None
    except PackagerError:
        pass
    return None


def send(deployment: "Deployment", body: str) -> str:
    """Send a message, which `check` has accepted, to an engine; return the id of the job."""
    return deployment.sqs.send_message(QueueUrl=deployment.queue_url, MessageBody=body)["MessageId"]


def _no_package_requested(ignored: Ignored) -> NoPackageRequested:
    return NoPackageRequested(
        "This message requests no package.",
        why=f"{ignored.why[:1].upper()}{ignored.why[1:]}.",
        remedy="Give a folder, or the JSON of a message.",
    )
