"""The dead letters of an engine: read without losing one, sent again, or discarded.

SQS can only be asked by receiving, which hides a message from others for a while. So letters are
read within a `with` block, and shown to others again when it ends. Whoever asks a person in
between ends the block first, and reads once more, by the exact ids.
"""

import contextlib
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, NamedTuple

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
    "Done",
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
"""How many letters are read at most, unless they are asked for by their ids."""

MAX_READ_BYTES = 64 * 1024 * 1024
"""How much of their bodies is kept at most: a body may have 1 MiB."""

HOLD_SECONDS = 120
"""How long others do not see a letter that is being read, if we die before we let go of it."""

RENEW_BEFORE_SECONDS = 30
"""When the hold of a letter is renewed before something is done to it."""

BATCH = 10
"""How many messages SQS hands out, or lets go of, in one call."""

NO_LONGER_OURS = frozenset(
    {
        "InvalidParameterValue",
        "MessageNotInflight",
        "ReceiptHandleIsInvalid",
        "AWS.SimpleQueueService.MessageNotInflight",
    }
)


class NotDeleted(OperationError):
    """A message was sent again, but is still among the dead letters."""


class NotRetried(LookupFailed):
    """None of the messages can be retried."""


class Picked(NamedTuple):
    """What became of a choice of ids.

    Attributes:
        found: The failures, in the order of the ids.
        gone: The ids that are not among the dead letters any more.
    """

    found: tuple[Failure, ...]
    gone: tuple[str, ...]


class Failures(NamedTuple):
    """The dead letters that were read, held until their block ends.

    Attributes:
        letters: The letters; the one that expires first stands first.
        total: How many there are, as far as SQS knows, those that others hold included.
        elsewhere: How many of these another reader held when reading began: they are not here.
        is_complete: All that nobody else holds were read.
    """

    letters: tuple[Failure, ...]
    total: int
    elsewhere: int
    is_complete: bool

    def pick(self, ids: Iterable[str]) -> Picked:
        """Choose letters by their exact ids.

        Args:
            ids: The ids.
        """
        known = {each.id: each for each in self.letters}
        wanted = list(dict.fromkeys(ids))
        return Picked(
            tuple(known[each] for each in wanted if each in known),
            tuple(each for each in wanted if each not in known),
        )


class Done(NamedTuple):
    """What was done to letters.

    Attributes:
        done: Those that are not among the dead letters any more.
        gone: Those that somebody else had taken before.
        sent: The ids of the messages that were sent instead: their jobs. Empty for discarding.
        kept: Those that were left among the dead letters, because they cannot be retried.
    """

    done: tuple[Failure, ...]
    gone: tuple[Failure, ...]
    sent: tuple[str, ...] = ()
    kept: tuple[Failure, ...] = ()


OnDone = Callable[[Failure], object]
OnSent = Callable[[Failure, str], object]


@contextlib.contextmanager
def read_failures(
    deployment: "Deployment", *, ids: Collection[str] | None = None, limit: int = MAX_READ
) -> Iterator[Failures]:
    """Read the dead letters, and hold them until the block ends.

    Nothing is lost by an interruption: what is held comes back after `HOLD_SECONDS` at the latest.

    Args:
        deployment: The engine.
        ids: Read until these are found, however many others there are. Default: read all.
        limit: How many to keep.

    Yields:
        The letters.
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
) -> Done:
    """Send messages again, each before its letter is deleted, one after the other.

    Interrupted at any point, at most one message is sent twice, and none is lost. Those that cannot
    be retried stay as they are.

    Args:
        deployment: The engine.
        failures: The letters, held by `read_failures`.
        on_done: Called after each.
        on_sent: Called for each whose message was sent, with its new id, before the letter is
            deleted: of an action that fails on its way, nothing else tells these.

    Raises:
        NotDeleted: A letter could not be deleted after its message was sent.
    """
    sqs, sent = deployment.sqs, []
    letters = tuple(failures)

    def send(failure: Failure) -> None:
        answer = sqs.send_message(QueueUrl=deployment.queue_url, MessageBody=failure.body)
        sent.append(answer["MessageId"])
        on_sent(failure, answer["MessageId"])
        try:
            _delete(deployment, failure)
        except Exception as error:
            raise NotDeleted(
                f"The message {failure.id} was sent again, but could not be deleted: {error}.",
                why="It is still among the failures.",
                remedy=deployment.command("failures", "discard", failure.id),
            ) from error

    done, gone = _do(deployment, [each for each in letters if each.can_retry], send, on_done)
    return Done(done, gone, tuple(sent), tuple(each for each in letters if not each.can_retry))


def discard(
    deployment: "Deployment", failures: Iterable[Failure], on_done: OnDone = lambda _: None
) -> Done:
    """Delete letters for good.

    Args:
        deployment: The engine.
        failures: The letters, held by `read_failures`.
        on_done: Called after each.
    """
    return Done(*_do(deployment, failures, lambda each: _delete(deployment, each), on_done))


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
    """See to it that a letter stays ours while something is done to it."""
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
    """Receives letters, and lets go of all that it received."""

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
        elsewhere = int(attributes["ApproximateNumberOfMessagesNotVisible"])
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
            # What came before is read anew: SQS says that it deletes a letter by an older receipt
            # handle, and does not.
            letters |= {
                each["MessageId"]: parse_dead_letter(each, retention, held_until)
                for each in messages
                if wanted is None or each["MessageId"] in wanted
            }
            if not new:
                # What comes twice says nothing of what has not come yet.
                is_complete = not messages
                break
            size_bytes += sum(len(each["Body"]) for each in new if each["MessageId"] in letters)
        return Failures(
            letters=tuple(sorted(letters.values(), key=by_expiry)),
            total=max(visible, len(self._handles)) + elsewhere,
            elsewhere=elsewhere,
            is_complete=is_complete or len(self._handles) >= visible,
        )

    def release(self) -> None:
        """Show the letters to others again; those that were deleted meanwhile do not mind."""
        from botocore.exceptions import BotoCoreError, ClientError

        handles = list(self._handles.values())
        for first in range(0, len(handles), BATCH):
            # They come back by themselves, later.
            with contextlib.suppress(BotoCoreError, ClientError):
                self._sqs.change_message_visibility_batch(
                    QueueUrl=self._queue_url,
                    Entries=[
                        {"Id": str(number), "ReceiptHandle": handle, "VisibilityTimeout": 0}
                        for number, handle in enumerate(handles[first : first + BATCH])
                    ],
                )

    def _receive(self, *, wait: bool) -> list["MessageTypeDef"]:
        """Receive letters; SQS hands out one twice now and then."""
        return self._sqs.receive_message(
            QueueUrl=self._queue_url,
            MaxNumberOfMessages=BATCH,
            VisibilityTimeout=HOLD_SECONDS,
            # Only who waits is told of all of SQS's servers.
            WaitTimeSeconds=int(wait),
            MessageSystemAttributeNames=["All"],
            MessageAttributeNames=["All"],
        ).get("Messages", [])
