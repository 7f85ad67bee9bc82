"""What the coalescer's queue holds: uploads, and looks.

A look is a message that the coalescer sends to itself, to see later whether a window is at rest.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError, InvalidMessage
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.uploads.upload_events import Upload, read_upload

MAX_DELAY_SECONDS = 900
"""For how long SQS keeps a message back at most."""

BATCH_ENTRIES = 10
"""How many messages SQS takes at once."""


class Look(msgspec.Struct, frozen=True, tag_field="look", tag="at-window"):
    """A message that says: see whether this window is at rest.

    Attributes:
        folder: The window's folder.
        quiet_at_ms: When it is, if nothing else came, in milliseconds since 1970.
    """

    folder: SourceFolder
    quiet_at_ms: int


def parse_arrival(body: str) -> Upload | Look:
    """Read a message of the queue.

    Args:
        body: The message's body.

    Raises:
        InvalidMessage: It is neither an upload nor a look.

    Example:
        >>> parse_arrival('{"look": "at-window", "folder": {"bucket": "b", "prefix": "a/"}, '
        ...     '"quiet_at_ms": 5}').quiet_at_ms
        5
    """
    try:
        parsed = msgspec.json.decode(body, type=dict[str, Any])
        return msgspec.convert(parsed, Look) if "look" in parsed else read_upload(parsed)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidMessage(
            f"The message is neither an upload nor a look at a window: {error}.",
            why="The queue of the coalescer takes S3's events, and its own messages.",
            remedy="Send messages that ask for packages to the packager's queue.",
        ) from error


def send_looks(queue_url: str, looks: Sequence[Look], *, delay_ms: int) -> None:
    """Send looks, to come back when it is time, or after 15 minutes, to be sent on.

    Args:
        queue_url: The coalescer's queue.
        looks: The looks.
        delay_ms: When they are to come back, from now.

    Raises:
        AwsError: Some were not sent.
    """
    # Rounded up: a look that comes too early has to be sent once more.
    delay_seconds = min(max(-(-delay_ms // 1000), 0), MAX_DELAY_SECONDS)
    entries = [
        {
            "Id": str(number),
            "MessageBody": msgspec.json.encode(look).decode(),
            "DelaySeconds": delay_seconds,
        }
        for number, look in enumerate(looks)
    ]
    for first in range(0, len(entries), BATCH_ENTRIES):
        _send(queue_url, entries[first : first + BATCH_ENTRIES])


def _send(queue_url: str, entries: list[dict[str, Any]]) -> None:
    try:
        with clients.calling():
            answer = clients.connect("sqs").send_message_batch(QueueUrl=queue_url, Entries=entries)
    except clients.CallFailed as failure:
        raise _unsent(str(failure)) from failure
    # Entries are refused in an answer that is a success.
    refused = answer.get("Failed", [])
    if refused:
        raise _unsent(", ".join(sorted({each["Code"] for each in refused})))


def _unsent(failure: str) -> AwsError:
    return AwsError(
        f"The coalescer could not send a message to itself: {failure}.",
        why="Without it nobody would notice that a window has come to rest.",
        remedy="The events are delivered again by themselves; look into it if this returns.",
    )
