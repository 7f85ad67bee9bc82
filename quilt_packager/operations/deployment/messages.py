"""Asks a deployed engine for packages: messages are checked by the model that it reads them by."""

from typing import TYPE_CHECKING

from quilt_packager_runtime.requests.events import Ignored, OmicsRun
from quilt_packager_runtime.requests.messages import PackageRequest, parse_message
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.errors import NoPackageRequested

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment


def check(body: str, settings: Settings | None = None) -> PackageRequest | OmicsRun:
    """Read a message as an engine would, and tell all that is wrong with it.

    Args:
        body: The message's body.
        settings: The engine's settings: its sources' options and its default registry. Default:
            those of an engine that was given none.

    Returns:
        What it asks for; a HealthOmics run where its event does not say where it wrote.

    Raises:
        InvalidMessage: It breaks rules, all of which are named.
        NothingAsked: It asks for no package.

    Example:
        >>> check('{"source_prefix": "s3://raw/runs/42/"}').package_name
        'runs/42'
    """
    settings = settings or Settings()
    wanted = parse_message(
        body, default_registry=settings.default_registry, sources=settings.sources
    )
    if isinstance(wanted, Ignored):
        raise _nothing_asked(wanted)
    return wanted


def resolve(body: str, settings: Settings | None = None) -> PackageRequest:
    """Read a message as `check` does, and look up what the event of a HealthOmics run leaves open.

    Args:
        body: The message's body.
        settings: As of `check`.

    Returns:
        What it asks for.

    Raises:
        InvalidMessage: It breaks rules, all of which are named.
        NothingAsked: It asks for no package.
        PackagerError: HealthOmics does not say where the run wrote.

    Example:
        >>> resolve('{"source_prefix": "s3://raw/runs/42/"}').package_name
        'runs/42'
    """
    settings = settings or Settings()
    wanted = check(body, settings)
    if isinstance(wanted, OmicsRun):
        # It brings boto3 along, which most messages need not wait for.
        from quilt_packager_runtime.requests.omics_runs import request_for_run

        found = request_for_run(wanted, default_registry=settings.default_registry)
        if isinstance(found, Ignored):
            raise _nothing_asked(found)
        return found
    return wanted


def send(deployment: "Deployment", body: str) -> str:
    """Put a message into the queue of an engine, as it is: `check` it first.

    Args:
        deployment: The engine.
        body: The message's body.

    Returns:
        The message's id, which is the job's too.
    """
    return deployment.sqs.send_message(QueueUrl=deployment.queue_url, MessageBody=body)["MessageId"]


def _nothing_asked(ignored: Ignored) -> NoPackageRequested:
    return NoPackageRequested(
        "This message asks for no package.",
        why=f"{ignored.why[:1].upper()}{ignored.why[1:]}.",
        remedy="Give a folder, or the JSON of a message.",
    )
