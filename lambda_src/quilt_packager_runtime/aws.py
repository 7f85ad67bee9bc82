"""AWS beyond S3, by boto3, which is imported only when one of these is called."""

from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import PackagerError

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_MESSAGE_BYTES = 1024 * 1024
"""The most that SQS takes, a message's attributes included."""

# What SQS counts of an attribute beside its value: its name and its type.
ATTRIBUTE_TYPE = "String"


def send_to_dead_letters(queue_url: str, body: str, error: PackagerError) -> None:
    """Put a rejected message, with the reason, where its owner will look for it.

    The reason is shortened where the message leaves it no room: a message is never lost for it.

    Args:
        queue_url: The dead-letter queue.
        body: The message as it came.
        error: Why it was rejected.
    """
    import boto3  # noqa: PLC0415 - half a second, and rarely needed

    room = MAX_MESSAGE_BYTES - len(body.encode())
    attributes = {}
    for name, text in (("code", error.code), ("reason", error.reason)):
        value = _fit(text, room - len(name) - len(ATTRIBUTE_TYPE))
        if value:
            attributes[name] = {"DataType": ATTRIBUTE_TYPE, "StringValue": value}
            room -= len(name) + len(ATTRIBUTE_TYPE) + len(value.encode())
    boto3.client("sqs").send_message(
        QueueUrl=queue_url, MessageBody=body, MessageAttributes=attributes
    )


def get_run_output_uri(run_id: str, *, region: str) -> str:
    """Ask HealthOmics where a run writes to.

    Args:
        run_id: The run.
        region: Where it ran.

    Returns:
        Its `outputUri`: the folder that holds the run's own.
    """
    import boto3  # noqa: PLC0415 - half a second, and rarely needed

    run: Mapping[str, str] = boto3.client("omics", region_name=region).get_run(id=run_id)
    return run["outputUri"]


def _fit(text: str, room_bytes: int) -> str:
    """Cut a text to a number of bytes, with an ellipsis where something is missing.

    Example:
        >>> _fit("abcdef", 100), _fit("abcdef", 5), _fit("abcdef", 2)
        ('abcdef', 'ab…', '')
    """
    encoded = text.encode()
    if len(encoded) <= room_bytes:
        return text
    ellipsis_bytes = len("…".encode())
    if room_bytes <= ellipsis_bytes:
        return ""
    return encoded[: room_bytes - ellipsis_bytes].decode(errors="ignore") + "…"
