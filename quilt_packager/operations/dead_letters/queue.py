"""The dead-letter queue of an engine: reads messages without losing one, retries or discards them.

SQS shows messages only to a receiver, and hides them from others for a while. So messages are
read within a `with` block, and released when it ends. A caller that waits for a user's answer
ends the block first, and reads once more, by the exact ids.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

from quilt_packager_runtime.errors import HeldForReview
from quilt_packager_runtime.requests.messages import ON_FOREIGN_REVISION, with_fields
from quilt_packager_runtime.settings.source_options import OnForeignRevision

from quilt_packager.operations.dead_letters.dead_letter import (
    Failure,
    Group,
    Origin,
    by_expiry,
    choose,
    expiring,
    group,
    parse_dead_letter,
)
from quilt_packager.operations.errors import LookupFailed, OperationError

if TYPE_CHECKING:
    from types_boto3_sqs.client import SQSClient
    from types_boto3_sqs.type_defs import MessageTypeDef

    from quilt_packager.operations.deployment.deployments import Deployment

__all__ = [
    "ActionResult",
    "Failure",
    "Failures",
    "Group",
    "NotDeleted",
    "NotRetried",
    "Origin",
    "Picked",
    "choose",
    "discard",
    "expiring",
    "group",
    "read_failures",
    "retry",
]

MAX_READ = 1000
"""Maximum number of messages to read, unless they are requested by their ids."""

MAX_READ_BYTES = 64 * 1024 * 1024
"""Maximum size of all bodies; one body may have 1 MiB."""

HOLD_SECONDS = 120
"""Visibility timeout of received messages: they reappear after it if this process dies."""

RENEW_BEFORE_SECONDS = 30
"""Remaining visibility timeout below which it is extended before an action."""

BATCH = 10
"""Maximum number of messages in one call of SQS."""

NO_LONGER_OURS = frozenset(
    {
        "InvalidParameterValue",
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",
        "AWS.SimpleQueueService.MessageNotInflight",
    }
)


class NotDeleted(OperationError):
    """A message was sent again, but is still in the dead-letter queue."""


class NotRetried(LookupFailed):
    """None of the messages can be retried."""


class Picked(NamedTuple):
    """Failures picked by their ids.

    Attributes:
        found: Failures, in the order of the ids.
        gone: Ids that are no longer in the dead-letter queue.
    """

    found: tuple[Failure, ...]
    gone: tuple[str, ...]


class Failures(NamedTuple):
    """The failures that were read, hidden from other readers until their block ends.

    Attributes:
        letters: Failures in the order in which they expire.
        total: Approximate number of messages in the queue, including those in flight.
        in_flight: Number of messages that another reader held when reading began.
        is_complete: True if all messages that were not in flight were read.
    """

    letters: tuple[Failure, ...]
    total: int
    in_flight: int
    is_complete: bool

    def pick(self, ids: Iterable[str]) -> Picked:
        """Select failures by their exact ids."""
        known = {each.id: each for each in self.letters}
        wanted = list(dict.fromkeys(ids))
        return Picked(
            tuple(known[each] for each in wanted if each in known),
            tuple(each for each in wanted if each not in known),
        )


class ActionResult(NamedTuple):
    """Result of a retry or a discard.

    Attributes:
        done: Failures whose messages were deleted from the dead-letter queue.
        gone: Failures whose messages another reader had deleted or received.
        sent: Failures whose messages a retry sent, each with the id of the new job.
        kept: Failures that stay in the dead-letter queue because they cannot be retried.
        error: Error that ended the action early; None if it is complete.
    """

    done: tuple[Failure, ...]
    gone: tuple[Failure, ...] = ()
    sent: tuple[tuple[Failure, str], ...] = ()
    kept: tuple[Failure, ...] = ()
    error: Exception | None = None


OnDone = Callable[[Failure], object]
OnSent = Callable[[Failure, str], object]


@contextlib.contextmanager
def read_failures(
    deployment: "Deployment", *, ids: Collection[str] | None = None, limit: int = MAX_READ
) -> Iterator[Failures]:
    """Read the dead-letter queue, and hide its messages from other readers until the block ends.

    An interruption loses no message: hidden messages reappear after `HOLD_SECONDS`.

    Args:
        deployment: Engine whose dead-letter queue to read.
        ids: Ids of messages to find, however many others there are. Default: read all.
        limit: Maximum number of failures.
    """
    reader = _Reader(deployment)
    try:
        yield reader.read(ids, limit)
    finally:
        reader.release()


def retry(
    deployment: "Deployment",
    failures: Iterable[Failure],
    on_done: OnDone = lambda _: None,
    *,
    on_sent: OnSent = lambda _failure, _job_id: None,
    on_foreign_revision: OnForeignRevision | None = None,
) -> ActionResult:
    """Send messages to the engine's queue again, and delete each from the dead-letter queue.

    An interruption loses no message, and sends at most one twice. Messages that cannot be retried
    stay unchanged. Of several letters of one job, one is sent: a function that dies right after it
    has sent a letter sends another.

    Args:
        deployment: Engine whose queue receives the messages.
        failures: Failures that `read_failures` has read.
        on_done: Called after each failure.
        on_sent: Called with the failure and the id of the new message, before the old message is
            deleted: the only record of sent messages if the action fails.
        on_foreign_revision: Decision about jobs that were held for review. Default: the messages
            are sent as they are.

    Raises:
        NotDeleted: A message was sent, but could not be deleted from the dead-letter queue.
    """
    sqs = deployment.sqs
    sent: list[tuple[Failure, str]] = []
    sent_jobs: set[str | None] = set()
    letters = tuple(failures)

    def send(failure: Failure) -> None:
        if failure.job_id is None or failure.job_id not in sent_jobs:
            body = failure.body
            if on_foreign_revision is not None and failure.code == HeldForReview.__name__:
                body = with_fields(body, {ON_FOREIGN_REVISION: on_foreign_revision})
            answer = sqs.send_message(QueueUrl=deployment.queue_url, MessageBody=body)
            sent.append((failure, answer["MessageId"]))
            on_sent(failure, answer["MessageId"])
            sent_jobs.add(failure.job_id)
        try:
            _delete(deployment, failure)
        except Exception as error:
            raise NotDeleted(
                f"The message {failure.id} was sent again, but could not be deleted: {error}.",
                why="It is still in the dead-letter queue.",
                remedy=deployment.command("failures", "discard", failure.id),
            ) from error

    done, gone = _do(deployment, [each for each in letters if each.can_retry], send, on_done)
    return ActionResult(
        done, gone, tuple(sent), tuple(each for each in letters if not each.can_retry)
    )


def discard(
    deployment: "Deployment", failures: Iterable[Failure], on_done: OnDone = lambda _: None
) -> ActionResult:
    """Delete messages permanently; the arguments are those of `retry`."""
    return ActionResult(*_do(deployment, failures, lambda each: _delete(deployment, each), on_done))


def _do(
    deployment: "Deployment",
    failures: Iterable[Failure],
    action: Callable[[Failure], object],
    on_done: OnDone,
) -> tuple[tuple[Failure, ...], tuple[Failure, ...]]:
    done, gone = [], []
    for failure in failures:
        if not _extend_visibility(deployment, failure):
            gone.append(failure)
            continue
        action(failure)
        done.append(failure)
        on_done(failure)
    return tuple(done), tuple(gone)


def _extend_visibility(deployment: "Deployment", failure: Failure) -> bool:
    """Extend a visibility timeout that is about to end; False if another reader has the message."""
    from botocore.exceptions import ClientError

    if time.monotonic() < failure.held_until - RENEW_BEFORE_SECONDS:
        return True
    try:
        deployment.sqs.change_message_visibility(
            QueueUrl=deployment.dead_letter_queue_url,
            ReceiptHandle=failure.receipt_handle,
            VisibilityTimeout=HOLD_SECONDS,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_LONGER_OURS:
            return False
        raise
    return True


def _delete(deployment: "Deployment", failure: Failure) -> None:
    deployment.sqs.delete_message(
        QueueUrl=deployment.dead_letter_queue_url, ReceiptHandle=failure.receipt_handle
    )


class _Reader:
    """Receives messages, and releases all that it received."""

    def __init__(self, deployment: "Deployment") -> None:
        self._sqs: SQSClient = deployment.sqs
        self._queue_url = deployment.dead_letter_queue_url
        self._handles: dict[str, str] = {}

    def read(self, ids: Collection[str] | None, limit: int) -> Failures:
        attributes = self._sqs.get_queue_attributes(
            QueueUrl=self._queue_url,
            AttributeNames=[
                "ApproximateNumberOfMessages",
                "ApproximateNumberOfMessagesNotVisible",
                "MessageRetentionPeriod",
            ],
        )["Attributes"]
        visible = int(attributes["ApproximateNumberOfMessages"])
        in_flight = int(attributes["ApproximateNumberOfMessagesNotVisible"])
        retention = timedelta(seconds=int(attributes["MessageRetentionPeriod"]))
        wanted = None if ids is None else frozenset(ids)
        letters: dict[str, Failure] = {}
        size_bytes = 0
        is_complete = False
        while len(letters) < limit and size_bytes < MAX_READ_BYTES:
            if wanted is not None and len(letters) == len(wanted):
                break
            held_until = time.monotonic() + HOLD_SECONDS
            messages = self._receive(wait=len(self._handles) < visible)
            new = [each for each in messages if each["MessageId"] not in self._handles]
            self._handles |= {each["MessageId"]: each["ReceiptHandle"] for each in messages}
            # Messages received twice are parsed again: SQS claims to delete a message by an older
            # receipt handle, and does not.
            letters |= {
                each["MessageId"]: parse_dead_letter(each, retention, held_until)
                for each in messages
                if wanted is None or each["MessageId"] in wanted
            }
            if not new:
                # Only messages received before: others may not have been received yet.
                is_complete = not messages
                break
            size_bytes += sum(len(each["Body"]) for each in new if each["MessageId"] in letters)
        return Failures(
            letters=tuple(sorted(letters.values(), key=by_expiry)),
            total=max(visible, len(self._handles)) + in_flight,
            in_flight=in_flight,
            is_complete=is_complete or len(self._handles) >= visible,
        )

    def release(self) -> None:
        """Make the messages visible again; ids of deleted messages do no harm."""
        from botocore.exceptions import BotoCoreError, ClientError

        handles = list(self._handles.values())
        for first in range(0, len(handles), BATCH):
            # On failure, the visibility timeout applies.
            with contextlib.suppress(BotoCoreError, ClientError):
                self._sqs.change_message_visibility_batch(
                    QueueUrl=self._queue_url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                        for number, handle in enumerate(handles[first : first + BATCH])
                    ],
                )

    def _receive(self, *, wait: bool) -> list["MessageTypeDef"]:
        """Receive messages; SQS sometimes returns one twice."""
        return self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=HOLD_SECONDS,
            # Only long polling queries all servers of SQS.
            WaitTimeSeconds=int(wait),
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
