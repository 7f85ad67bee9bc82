"""Dead letters as the packager, SQS and EventBridge send them, in a deployed engine."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import PackagerError

from quilt_packager.operations.deployment.deployments import Deployment


def folder(name: str) -> str:
    """The body of a message for a folder."""
    return json.dumps({"source_prefix": f"s3://raw/{name}/"})


def object_created(key: str) -> str:
    """The body of an event of S3 about an object in the bucket `raw`."""
    return json.dumps(
        {
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {"bucket": {"name": "raw"}, "object": {"key": key}},
        }
    )


def reject(
    deployment: Deployment, error: PackagerError, body: str = folder("runs/1"), **known: str
) -> None:
    """Send a message to the dead-letter queue as the packager does."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clients, "connect", lambda _: deployment.sqs)
        clients.send_to_dead_letters(deployment.dead_letter_queue_url, body, error, **known)


def send_dead_letter(deployment: Deployment, body: str, **attributes: str) -> str:
    """Send a message with attributes to the dead-letter queue; return its id."""
    answer = deployment.sqs.send_message(
        QueueUrl=deployment.dead_letter_queue_url,
        MessageBody=body,
        MessageAttributes={
            name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
        },
    )
    return answer["MessageId"]


def redrive(deployment: Deployment, body: str) -> str:
    """Let SQS move a message that is received too often; return its id."""
    sqs, queue_url = deployment.sqs, deployment.queue_url
    dead_letters = sqs.get_queue_attributes(
        QueueUrl=deployment.dead_letter_queue_url, AttributeNames=["QueueArn"]
    )["Attributes"]["QueueArn"]
    policy = json.dumps({"deadLetterTargetArn": dead_letters, "maxReceiveCount": 1})
    sqs.set_queue_attributes(QueueUrl=queue_url, Attributes={"RedrivePolicy": policy})
    sent = sqs.send_message(QueueUrl=queue_url, MessageBody=body)
    sqs.receive_message(QueueUrl=queue_url, VisibilityTimeout=0)
    assert "Messages" not in sqs.receive_message(QueueUrl=queue_url)
    return sent["MessageId"]


def bodies_in(deployment: Deployment, queue_url: str) -> list[str]:
    """Return the sorted bodies of a queue's visible messages, and leave them there."""
    bodies, handles = [], []
    while received := deployment.sqs.receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, VisibilityTimeout=60
    ).get("Messages"):
        bodies += [each["Body"] for each in received]
        handles += [each["ReceiptHandle"] for each in received]
    for handle in handles:
        deployment.sqs.change_message_visibility(
            QueueUrl=queue_url, ReceiptHandle=handle, VisibilityTimeout=0
        )
    return sorted(bodies)


@contextlib.contextmanager
def calls_of(client: Any, operation: str) -> Iterator[list[dict[str, Any]]]:
    """Record the parameters of each call of one operation of SQS."""
    calls: list[dict[str, Any]] = []

    def record(params: dict[str, Any], **_: Any) -> None:
        calls.append(params)

    event = f"before-parameter-build.sqs.{operation}"
    client.meta.events.register(event, record)
    try:
        yield calls
    finally:
        client.meta.events.unregister(event, record)


class Killer:
    """Wraps a client of SQS, and kills its caller at one call.

    Args:
        client: Client of SQS.
        fatal: Number of the call, from 0.
        answers: True if SQS serves the call, and only its response is lost.
    """

    def __init__(self, client: Any, fatal: int, *, answers: bool) -> None:
        self.calls = 0
        self.is_dead = False
        self._client = client
        self._fatal = fatal
        self._answers = answers
        self._handles: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return lambda **arguments: self._call(name, arguments)

    def bury(self) -> None:
        """End all visibility timeouts."""
        for handle, queue_url in self._handles.items():
            try:
                self._client.change_message_visibility(
                    QueueUrl=queue_url, ReceiptHandle=handle, VisibilityTimeout=0
                )
            except self._client.exceptions.ReceiptHandleIsInvalid:
                continue  # it was deleted

    def _call(self, name: str, arguments: dict[str, Any]) -> Any:
        if self.is_dead:
            raise KeyboardInterrupt
        self.is_dead = self.calls == self._fatal
        self.calls += 1
        if self.is_dead and not self._answers:
            raise KeyboardInterrupt
        answer = getattr(self._client, name)(**arguments)
        for each in answer.get("Messages", []):
            self._handles[each["ReceiptHandle"]] = arguments["QueueUrl"]
        if self.is_dead:
            raise KeyboardInterrupt
        return answer
