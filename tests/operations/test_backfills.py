"""Sending many messages: batches, room in the queue, and refusals of SQS."""

from typing import Any

import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.package_request import UnresolvedRequest

from quilt_packager.operations.backfills import Candidate, Sender
from quilt_packager.operations.errors import SendFailed


class Queue:
    """A queue whose jobs take some messages while a sender waits."""

    def __init__(self, *, taken_per_wait: int = 10) -> None:
        self.waiting = self.received = self.peak = self.waits = self.requests = 0
        self.refused: set[str] = set()
        self.is_denied = False
        self._taken_per_wait = taken_per_wait

    def get_queue_attributes(self, **_: object) -> dict[str, Any]:
        if self.is_denied:
            raise ClientError({"Error": {"Code": "AccessDenied"}}, "GetQueueAttributes")
        return {
            "Attributes": {
                "ApproximateNumberOfMessages": str(self.waiting),
                "ApproximateNumberOfMessagesNotVisible": str(self.received),
            }
        }

    def send_message_batch(self, *, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803
        self.requests += 1
        failed = [each for each in Entries if each["MessageBody"] in self.refused]
        taken = [each for each in Entries if each not in failed]
        self.waiting += len(taken)
        self.peak = max(self.peak, self.waiting + self.received)
        return {
            "Successful": [
                {"Id": each["Id"], "MessageId": f"id of {each['MessageBody']}"} for each in taken
            ],
            **(
                {"Failed": [{"Id": each["Id"], "Code": "Throttled"} for each in failed]}
                if failed
                else {}
            ),
        }

    def wait(self, _seconds: float) -> None:
        self.waits += 1
        self.waiting = max(0, self.waiting - self._taken_per_wait)


def candidate(number: int) -> Candidate:
    request = parse_message('{"source_prefix": "s3://raw/a/"}')
    assert isinstance(request, UnresolvedRequest)
    return Candidate(f"s3://raw/{number}/", None, str(number), request)


def send(queue: Queue, count: int, max_queued: int = 1000) -> list[str]:
    client: Any = queue
    sender = Sender(client, "url", max_queued=max_queued, wait=queue.wait)
    for number in range(count):
        sender.add(candidate(number))
    sender.flush()
    return sender.sent


def test_messages_are_sent_in_batches_in_their_order() -> None:
    queue = Queue()
    assert send(queue, 25) == [f"id of {number}" for number in range(25)]
    assert (queue.requests, queue.waits) == (3, 0)


@pytest.mark.parametrize("max_queued", [1, 7, 30])
def test_queue_never_has_more_messages_than_the_maximum(max_queued: int) -> None:
    queue = Queue(taken_per_wait=3)
    assert len(send(queue, 100, max_queued)) == 100
    assert queue.peak <= max_queued
    assert queue.waits > 0


def test_messages_of_running_jobs_count() -> None:
    queue = Queue()
    queue.received = 5
    send(queue, 20, 12)
    assert queue.peak <= 12


def test_message_that_sqs_refuses_is_an_error() -> None:
    queue = Queue()
    queue.refused = {"3"}
    with pytest.raises(SendFailed, match="s3://raw/3/"):
        send(queue, 10)


def test_queue_that_cannot_be_read_gets_the_maximum_once() -> None:
    queue = Queue()
    queue.is_denied = True
    assert len(send(queue, 20, 20)) == 20
    with pytest.raises(ClientError, match="AccessDenied"):
        send(queue, 21, 20)
    assert queue.waiting == 40


def test_large_messages_share_no_request() -> None:
    queue = Queue()
    client: Any = queue
    sender = Sender(client, "url", max_queued=1000, wait=queue.wait)
    for _ in range(3):
        sender.add(candidate(1)._replace(body="x" * 600_000))
    sender.flush()
    assert queue.requests == 3
