"""`quilt-packager send`: a message for an engine that runs in AWS."""

import re
from typing import Annotated

import typer
from quilt_packager_runtime.errors import InvalidMessage
from quilt_packager_runtime.messages import parse_message
from quilt_packager_runtime.outcomes import Outcome

from quilt_packager.cli.exits import Exit
from quilt_packager.cli.message import MessageArgument, to_body
from quilt_packager.cli.outcomes import write_failure
from quilt_packager.cli.terminal import Terminal

QUEUE_HOST = re.compile(r"https://sqs\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/")


def send(
    message: MessageArgument,
    *,
    queue_url: Annotated[
        str,
        typer.Option(help="The queue: the stack's output PackagerQueueUrl.", show_default=False),
    ],
) -> int:
    """Send a message to an engine's queue.

    A message that the engine would reject for its form is not sent: the exit code is 2.

    Examples:
      quilt-packager send s3://raw/runs/42/ --queue-url "$PACKAGER_QUEUE_URL"
      quilt-packager send '{"source_prefix": "s3://raw/runs/42/", "workflow": "ngs"}'
        --queue-url https://sqs.us-east-1.amazonaws.com/123456789012/prod-PackagerQueue-1A2B3C
    """
    terminal = Terminal()
    body = to_body(message)
    try:
        parse_message(body)
    except InvalidMessage as error:
        write_failure(terminal, Outcome.from_error(error), error)
        return Exit.REJECTED

    import boto3

    client = boto3.client("sqs", region_name=region_of(queue_url))
    sent = client.send_message(QueueUrl=queue_url, MessageBody=body)
    terminal.write(f"Sent to {queue_url.rpartition('/')[2]}, message {sent['MessageId']}")
    return Exit.OK


def region_of(queue_url: str) -> str | None:
    """The region that a queue's URL names.

    Args:
        queue_url: The URL of an SQS queue.

    Returns:
        The region; None where the URL names none: boto3 then asks its configuration.

    Example:
        >>> region_of("https://sqs.eu-west-1.amazonaws.com/123456789012/packages")
        'eu-west-1'
        >>> region_of("http://127.0.0.1:4566/123456789012/packages")
    """
    match = QUEUE_HOST.match(queue_url)
    return match["region"] if match else None
