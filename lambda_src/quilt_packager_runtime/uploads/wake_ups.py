"""The messages of the coalescer's queue: uploads, and checks of windows.

A check is a delayed message that the coalescer sends to itself, to find windows that are quiet.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError, InvalidMessage
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.uploads.upload_events import Upload, read_upload

MAX_DELAY_SECONDS = 900
"""Maximum delay of a message in SQS."""

BATCH_ENTRIES = 10
"""Maximum number of messages in one request to SQS."""


class WindowCheck(msgspec.Struct, frozen=True, tag_field="check", tag="window"):
    """A message that asks for a check of a window.

    Attributes:
        folder: Folder of the window.
        quiet_at_ms: Time at which the window is quiet without further uploads, in milliseconds
            since 1970.
    """

    folder: SourceFolder
    quiet_at_ms: int


def parse_arrival(body: str) -> Upload | WindowCheck:
    """Parse the body of a message.

    Raises:
        InvalidMessage: It is neither an upload nor a check.

    Example:
        >>> parse_arrival('{"check": "window", "folder": {"bucket": "b", "prefix": "a/"}, '
        ...     '"quiet_at_ms": 5}').quiet_at_ms
        5
    """
    try:
        parsed = msgspec.json.decode(body, type=dict[str, Any])
        return msgspec.convert(parsed, WindowCheck) if "check" in parsed else read_upload(parsed)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise InvalidMessage(
            f"The message is neither an upload nor a check of a window: {error}.",
            why="The coalescer's queue takes events of S3 and the coalescer's own messages.",
            remedy="Send requests for packages to the packager's queue.",
        ) from error


def send_checks(queue_url: str, checks: Sequence[WindowCheck], *, delay_ms: int) -> None:
    """Send checks to be delivered after a delay, or after 15 minutes to be sent again.

    Raises:
        AwsError: At least one was not sent.
    """
    # Rounded up: a check that comes too early has to be sent once more.
    delay_seconds = min(max(-(-delay_ms // 1000), 0), MAX_DELAY_SECONDS)
    entries = [
        {
            "Id": str(number),
            "MessageBody": msgspec.json.encode(check).decode(),
            "DelaySeconds": delay_seconds,
        }
        for number, check in enumerate(checks)
    ]
    for first in range(0, len(entries), BATCH_ENTRIES):
        _send(queue_url, entries[first : first + BATCH_ENTRIES])


def _send(queue_url: str, entries: list[dict[str, Any]]) -> None:
    try:
        with clients.calling():
            answer = clients.connect("sqs").send_message_batch(QueueUrl=queue_url, Entries=entries)
    except clients.CallFailed as failure:
        raise _not_sent(str(failure)) from failure
    # A successful response may reject single entries.
    rejected = answer.get("Failed", [])
    if rejected:
        raise _not_sent(", ".join(sorted({each["Code"] for each in rejected})))


def _not_sent(failure: str) -> AwsError:
    return AwsError(
        f"The coalescer could not schedule the check of a window: {failure}.",
        why="Without it, a quiet window would go undetected.",
        remedy="Investigate if the error recurs; no upload is lost.",
    )
