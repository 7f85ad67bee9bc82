"""`quilt-packager send`: a message for a deployed engine, and its outcome."""

import re
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer
from quilt_packager_runtime.errors import Rejected
from quilt_packager_runtime.formats.outcome import Outcome

from quilt_packager.cli.console.errors import Misuse, report_error
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.folder_metadata import NoMetadataOption, to_json
from quilt_packager.cli.console.message_options import (
    ExcludeOption,
    MessageFields,
    MetadataOption,
    NameOption,
    TargetOption,
    WorkflowOption,
    read_body,
)
from quilt_packager.cli.console.options import (
    JsonOption,
    MessageArgument,
    ProfileOption,
    RegionOption,
    SourcesOption,
    StackOption,
    find,
)
from quilt_packager.cli.console.outcomes import write_failure, write_json
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.contract import QUEUE_OUTPUT

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.settings import Settings
    from types_boto3_sqs.client import SQSClient

    from quilt_packager.operations.deployment.deployments import Deployment
    from quilt_packager.operations.deployment.known_metadata import Known

QUEUE_HOST = re.compile(r"https://sqs(-fips)?\.(?P<region>[a-z0-9-]+)\.(?P<domain>[a-z0-9.-]+)/")


def send(
    message: MessageArgument,
    *,
    more: SourcesOption = None,
    name: NameOption = None,
    metadata: MetadataOption = None,
    exclude: ExcludeOption = None,
    registry: TargetOption = None,
    workflow: WorkflowOption = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", "-w", help="Wait for the outcome, and use it as the exit code."),
    ] = False,
    queue_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help=f"URL of the queue, instead of --stack: the stack's output {QUEUE_OUTPUT}.",
        ),
    ] = None,
    no_metadata: NoMetadataOption = False,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Send a message to an engine's queue.

    A message that the engine would reject as invalid, or for its buckets, is not sent, and the exit
    code is 2. If the message has no metadata, that of the folder's RO-Crate or HealthOmics run is
    filled in. With --wait the exit code is 0 if the package was created or is unchanged, 2 if it
    was rejected, 1 if it failed.

    Examples:
      quilt-packager send s3://raw/runs/42/ --wait
      quilt-packager send s3://raw/runs/42/ --name runs/42 --metadata run=42
      quilt-packager send @message.json
      quilt-packager send '{"source_prefix": "s3://raw/runs/42/",
        "workflow": "ngs"}'
      quilt-packager send s3://raw/runs/42/ --queue-url
        https://sqs.us-east-1.amazonaws.com/123456789012/PackagerQueue-1A2B
    """
    from quilt_packager.operations.deployment import messages

    terminal = Terminal()
    if queue_url is not None and (wait or stack):
        raise Misuse(
            f"{'--wait' if wait else '--stack'} cannot be combined with --queue-url.",
            why="A stack has its own queue, and the log to wait on.",
            remedy="Use --stack only.",
        )
    body = read_body(message, more, MessageFields(name, metadata, exclude, registry, workflow))
    try:
        messages.check(body)  # before any request to AWS
        deployment = find(stack, profile, region) if queue_url is None else None
        settings = read_settings(terminal, deployment)
        known = check_message(
            terminal, message, body, settings, S3Options(profile, region, no_metadata)
        )
    except Rejected as error:
        outcome = Outcome.from_error(error)
        if as_json:
            write_json(terminal, outcome)
        else:
            write_failure(terminal, outcome, error)
        return Exit.REJECTED
    if deployment is None:
        client = _connect(str(queue_url), profile, region)
        sent = client.send_message(QueueUrl=str(queue_url), MessageBody=known.body)
        _write_sent(terminal, str(queue_url), sent["MessageId"], known, as_json=as_json)
        return Exit.OK
    if wait:
        return _send_and_wait(terminal, deployment, known, as_json=as_json)
    message_id = messages.send(deployment, known.body)
    _write_sent(terminal, deployment.queue_url, message_id, known, as_json=as_json)
    return Exit.OK


def read_settings(terminal: Terminal, deployment: "Deployment | None") -> "Settings":
    """Read the settings of the engine, if there is one that the user may read."""
    from botocore.exceptions import ClientError
    from quilt_packager_runtime.settings import Settings

    from quilt_packager.operations.deployment.configurations import read_configuration

    if deployment is None:
        return Settings()
    try:
        return read_configuration(deployment).settings
    except ClientError as error:
        report = report_error(error)
        terminal.hint(f"warning: {report.happened} The engine's buckets were not checked.")
        return Settings()


class S3Options(NamedTuple):
    """The use of S3 by a check."""

    profile: str | None
    region: str | None
    no_metadata: bool


def check_message(
    terminal: Terminal, message: str, body: str, settings: "Settings", options: S3Options
) -> "Known":
    """Check what the engine would reject, and what a person may not mean; fill in metadata.

    Raises:
        InvalidMessage: The message breaks rules.
        BucketNotAllowed: The engine may not use a bucket of the message.
        Misuse: The argument is a folder without its slash.
    """
    from quilt_packager_runtime.requests.package_request import UnresolvedRequest
    from quilt_packager_runtime.requests.resolve import check_buckets

    from quilt_packager.cli.console.folder_metadata import fill_in_metadata
    from quilt_packager.cli.console.typed_folders import check_folder
    from quilt_packager.operations.deployment import messages
    from quilt_packager.operations.deployment.credentials import connect_s3

    def connect() -> "S3":
        return connect_s3(options.profile, options.region)

    request = messages.check(body, settings)
    if isinstance(request, UnresolvedRequest):
        check_buckets(request, settings)
        check_folder(terminal, message, request, connect)
    return fill_in_metadata(terminal, body, settings, connect, no_metadata=options.no_metadata)


def region_of(queue_url: str) -> str | None:
    """Return the region in an SQS URL, or None to use boto3's default.

    Example:
        >>> region_of("https://sqs.eu-west-1.amazonaws.com/123456789012/packages")
        'eu-west-1'
        >>> region_of("http://127.0.0.1:4566/123456789012/packages")
    """
    from botocore.session import get_session

    match = QUEUE_HOST.match(queue_url)
    if match is None:
        return None
    domains = {
        partition["outputs"][kind]
        for partition in get_session().get_data("partitions")["partitions"]
        if re.match(partition["regionRegex"], match["region"])
        for kind in ("dnsSuffix", "dualStackDnsSuffix")
    }
    return match["region"] if match["domain"] in domains else None


def _connect(queue_url: str, profile: str | None, region: str | None) -> "SQSClient":
    from quilt_packager.operations.deployment.deployments import connect, make_client

    client: SQSClient = make_client(connect(profile, region), "sqs", region or region_of(queue_url))
    return client


def _write_sent(
    terminal: Terminal, queue_url: str, message_id: str, known: "Known", *, as_json: bool
) -> None:
    source = str(known.request.source) if known.request.source is not None else None
    if as_json:
        sent_to = {"message_id": message_id, "queue_url": queue_url, "source": source}
        terminal.json({**sent_to, **to_json(known)})
    else:
        sent = f"Sent {source}" if source is not None else "Sent"
        terminal.write(f"{sent} to {queue_url.rpartition('/')[2]}, message {message_id}")


def _send_and_wait(
    terminal: Terminal, deployment: "Deployment", known: "Known", *, as_json: bool
) -> int:
    from datetime import UTC, datetime

    from quilt_packager.cli.commands.wait import exit_code, wait_for, write_end
    from quilt_packager.operations.deployment import messages

    sent = datetime.now(UTC)
    message_id = messages.send(deployment, known.body)
    if not as_json:
        _write_sent(terminal, deployment.queue_url, message_id, known, as_json=False)
    try:
        job = wait_for(terminal, deployment, message_id, sent)
    except BaseException as error:
        terminal.suggest(
            "The message was sent, and the engine continues with it:",
            deployment.command("jobs", "show", message_id),
        )
        if isinstance(error, KeyboardInterrupt):
            return Exit.INTERRUPTED
        raise
    write_end(terminal, job, as_json=as_json, **to_json(known))
    return exit_code(job)
