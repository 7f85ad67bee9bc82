"""AWS services other than S3, by boto3, which is imported with the first call."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from quilt_packager_runtime.aws.boto_errors import describe_boto_error
from quilt_packager_runtime.aws.sessions import create_client, create_session
from quilt_packager_runtime.errors import (
    AwsError,
    PackagerError,
    printable,
    quote,
)
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES

# SQS counts the name and the type of an attribute besides its value.
ATTRIBUTE_TYPE = "String"

# A call ends within half a minute, retries included.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 5
ATTEMPTS = 3

REFUSED_ENTRY_PAUSE_SECONDS = 0.5
"""Increment of the pause before a refused entry is sent to EventBridge again."""


def send_to_dead_letters(  # noqa: PLR0913 - what is known of the job, by name
    queue_url: str,
    body: str,
    error: PackagerError,
    *,
    job_id: str | None = None,
    package_name: str | None = None,
    registry: str | None = None,
) -> None:
    """Send a rejected message to the dead-letter queue, with the reason as attributes.

    Attributes are added as far as the size limit of messages allows: the names first, then the
    sentences, of which the last may be cut. The message itself is always sent.

    Raises:
        AwsError: The message was not sent.
    """
    names = {
        "code": error.code,
        "job_id": job_id,
        "package_name": package_name,
        "registry": registry,
    }
    words = {
        "reason": error.reason,
        "happened": error.happened,
        "why": error.why,
        "remedy": error.remedy,
    }
    attributes = _attributes(names, words, MAX_MESSAGE_BYTES - len(body.encode()))
    try:
        with calling():
            connect("sqs").send_message(
                QueueUrl=queue_url, MessageBody=body, MessageAttributes=attributes
            )
    except CallFailed as failure:
        raise AwsError(
            f"The message was rejected ({error.code}), but could not be sent to the dead-letter "
            f"queue: {failure}.",
            why=error.reason,
            remedy="The message stays in its queue. Allow sqs:SendMessage on the dead-letter "
            "queue, and the use of its key.",
        ) from failure


def change_message_visibility(queue_arn: str, receipt_handle: str, seconds: int) -> None:
    """Delay redelivery of a message.

    Raises:
        AwsError: The queue's visibility timeout applies instead.
    """
    *_, region, account, name = queue_arn.split(":")
    try:
        with calling():
            sqs = connect("sqs", region)
            # Only the client knows its endpoint: China has a domain of its own.
            endpoint_url = sqs.meta.endpoint_url.rstrip("/")
            sqs.change_message_visibility(
                QueueUrl=f"{endpoint_url}/{account}/{name}",
                ReceiptHandle=receipt_handle,
                VisibilityTimeout=seconds,
            )
    except CallFailed as failure:
        raise AwsError(
            f"A message could not be deferred for {seconds} s: {failure}.",
            why="Its folder has to settle first, or a failed service has to recover.",
            remedy="Allow sqs:ChangeMessageVisibility; meanwhile, the queue's timeout applies.",
        ) from failure


def start_execution(state_machine_arn: str, name: str, job: Mapping[str, object]) -> None:
    """Start an execution, unless one of that name exists.

    Raises:
        AwsError: The execution was not started.
    """
    try:
        with calling():
            connect("stepfunctions").start_execution(
                stateMachineArn=state_machine_arn, name=name, input=json.dumps(job)
            )
    except CallFailed as failure:
        if failure.code == "ExecutionAlreadyExists":
            return
        raise AwsError(
            f"The execution {name} was not started: {failure}.",
            why="The job is too large for one invocation, or waits for files.",
            remedy="Allow states:StartExecution on the machine, and retry.",
        ) from failure


def put_event(
    bus: str, *, source: str, detail_type: str, detail: str, resources: Sequence[str] = ()
) -> None:
    """Publish an event on a bus.

    Raises:
        AwsError: The event was not published.
    """
    entry = {
        "EventBusName": bus,
        "Source": source,
        "DetailType": detail_type,
        "Detail": detail,
        **({"Resources": list(resources)} if resources else {}),
    }
    refused: dict[str, Any] = {}
    for attempt in range(ATTEMPTS):
        time.sleep(attempt * REFUSED_ENTRY_PAUSE_SECONDS)
        try:
            with calling():
                answer = connect("events").put_events(Entries=[entry])
        except CallFailed as failure:
            raise _not_published(detail_type, f"event bus {bus}", failure) from failure
        # Refused entries come in a successful response, which boto3 does not retry.
        if not answer["FailedEntryCount"]:
            return
        refused = answer["Entries"][0]
    said = quote(str(refused.get("ErrorMessage")).rstrip("."))
    reason = f"{refused.get('ErrorCode')}. AWS said: {said}"
    raise _not_published(detail_type, f"event bus {bus}", reason)


def publish_notice(topic_arn: str, subject: str, text: str) -> None:
    """Publish a notification, with an ASCII subject shorter than 100 characters.

    Raises:
        AwsError: The notification was not published.
    """
    try:
        with calling():
            connect("sns").publish(TopicArn=topic_arn, Subject=subject, Message=text)
    except CallFailed as failure:
        raise _not_published(
            subject,
            f"topic {topic_arn}",
            failure,
            remedy="It is not retried. Allow sns:Publish on the topic, and the use of its key.",
        ) from failure


class CallFailed(Exception):
    """AWS refused a request or did not respond. The caller explains it.

    Attributes:
        code: Error code; None without a response.
    """

    code: str | None = None


@contextmanager
def calling() -> Iterator[None]:
    """Convert all errors of boto3 to one.

    Raises:
        CallFailed: The call failed.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as _make_client

    try:
        yield
    except (BotoCoreError, ClientError) as failure:
        # A call with invalid parameters is a defect, which the exception itself describes best.
        failed = CallFailed(str(describe_boto_error(failure) or failure))
        if isinstance(failure, ClientError):
            failed.code = failure.response["Error"]["Code"]
        raise failed from failure


@cache
def prepare(service: str) -> None:
    """Start to create a client in the background, once."""
    executor = ThreadPoolExecutor(max_workers=1)
    _prepared[service, None] = executor.submit(_make_client, service, None)
    executor.shutdown(wait=False)


@cache
def connect(service: str, region: str | None = None) -> Any:  # noqa: ANN401 - made at run time
    """Return the client of a service, created once. Its calls end within half a minute."""
    prepared = _prepared.pop((service, region), None)
    return prepared.result() if prepared else _make_client(service, region)


_prepared: dict[tuple[str, str | None], Future[Any]] = {}


def _make_client(service: str, region: str | None) -> Any:  # noqa: ANN401 - as connect
    from botocore.config import Config  # noqa: PLC0415 - as in sessions

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    # A session is not to be used by two threads.
    return create_client(create_session(), service, region, config)


def _not_published(
    subject: str,
    target: str,
    failure: object,
    *,
    remedy: str = "Retry: the job continues where it stopped. Investigate if this recurs.",
) -> AwsError:
    return AwsError(
        f'Could not publish "{printable(subject)}" to {target}: {failure}.',
        why="Subscribers would miss it.",
        remedy=remedy,
    )


def _attributes(
    names: Mapping[str, str | None], words: Mapping[str, str], room_bytes: int
) -> dict[str, dict[str, str]]:
    """Return the attributes of a message: whole names, and sentences that may be cut."""
    attributes = {}
    for name, text in {**names, **words}.items():
        # SQS refuses control characters and lone surrogates.
        whole = printable(text or "")
        value_bytes = room_bytes - len(name) - len(ATTRIBUTE_TYPE)
        value = _fit(whole, value_bytes)
        if value and (value == whole or name in words):
            attributes[name] = {"DataType": ATTRIBUTE_TYPE, "StringValue": value}
            room_bytes = value_bytes - len(value.encode())
    return attributes


def _fit(text: str, room_bytes: int) -> str:
    """Cut a text to a number of bytes, with an ellipsis.

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
