"""AWS beyond S3, by boto3, which is imported only when one of these is called."""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from typing import Any

from quilt_packager_runtime.errors import (
    AccessDenied,
    AwsError,
    NoRunOutput,
    PackagerError,
    printable,
)
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES

# What SQS counts of an attribute beside its value: its name and its type.
ATTRIBUTE_TYPE = "String"

# A call ends within half a minute, retries included.
CONNECT_TIMEOUT_SECONDS = 3
READ_TIMEOUT_SECONDS = 5
ATTEMPTS = 3

REFUSED_ENTRY_PAUSE_SECONDS = 0.5
"""How much longer each pause is before EventBridge is given a refused entry again."""

DENIED_CODES = frozenset({"AccessDenied", "AccessDeniedException"})
# boto3 gives an answer that names no error the status as its code: then there is no HealthOmics.
UNKNOWN_RUN_CODES = frozenset({"ResourceNotFoundException", "ValidationException", "400", "404"})


def send_to_dead_letters(  # noqa: PLR0913 - what is known of the job, by name
    queue_url: str,
    body: str,
    error: PackagerError,
    *,
    job_id: str | None = None,
    package_name: str | None = None,
    registry: str | None = None,
) -> None:
    """Put a rejected message, with the reason, where its owner will look for it.

    What is known goes into attributes, as far as the message leaves them room: the names first,
    then the words, of which the last is cut. A message is never lost for them.

    Args:
        queue_url: The dead-letter queue.
        body: The message as it came.
        error: Why it was rejected.
        job_id: The id that the log knows the job by.
        package_name: The package that there will not be.
        registry: Where it would have been.

    Raises:
        AwsError: It was not sent.
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
            f"The message was rejected ({error.code}), and could not be put into the dead-letter "
            f"queue: {failure}.",
            why=error.reason,
            remedy="The message stays in its queue. Allow sqs:SendMessage on the dead-letter "
            "queue, and the use of its key.",
        ) from failure


def change_message_visibility(queue_arn: str, receipt_handle: str, seconds: int) -> None:
    """Keep a message that was received from being received again for a while.

    Args:
        queue_arn: The queue that it was received from.
        receipt_handle: The receipt.
        seconds: How long.

    Raises:
        AwsError: It will be received again when the queue's own visibility timeout is over.
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
            f"A message could not be put off for {seconds} s: {failure}.",
            why="Its folder is to settle first, or what failed is given time to recover.",
            remedy="It comes back by itself, later; allow sqs:ChangeMessageVisibility.",
        ) from failure


def get_run(run_id: str, *, region: str) -> dict[str, Any]:
    """Ask HealthOmics about a run.

    Args:
        run_id: The run.
        region: Where it ran.

    Returns:
        What `omics:GetRun` answers. Its `outputUri` is the folder that holds the run's own.

    Raises:
        AccessDenied: We may not ask.
        NoRunOutput: There is no such run.
        AwsError: HealthOmics did not answer.
    """
    try:
        with calling():
            run: dict[str, Any] = connect("omics", region).get_run(id=run_id)
    except CallFailed as failure:
        if failure.code in DENIED_CODES:
            raise AccessDenied(
                f"The packager may not do omics:GetRun on run {run_id}.",
                why="The event has no runOutputUri, and a policy does not allow to ask for it.",
                remedy="Allow omics:GetRun, deploy, and send the event again.",
            ) from failure
        if failure.code in UNKNOWN_RUN_CODES:
            raise no_output(run_id, f"HealthOmics knows no such run in {region}") from failure
        raise AwsError(
            f"HealthOmics did not tell about run {run_id}: {failure}.",
            why="It was asked for what the event does not have.",
            remedy="The job is retried by itself; look into it if this returns.",
        ) from failure
    return run


def start_execution(state_machine_arn: str, name: str, job: Mapping[str, object]) -> None:
    """Start an execution, unless one of this name was started before.

    Args:
        state_machine_arn: The state machine.
        name: The execution's name.
        job: Its input.

    Raises:
        AwsError: It was not started.
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
            why="The job is too large for one invocation.",
            remedy="The job is retried by itself. Allow states:StartExecution on the machine.",
        ) from failure


def put_event(
    bus: str, *, source: str, detail_type: str, detail: str, resources: Sequence[str] = ()
) -> None:
    """Put one event on a bus.

    Args:
        bus: The bus's name or ARN.
        source: Who says it.
        detail_type: What kind of thing happened.
        detail: What happened, as the JSON of an object.
        resources: The ARNs of what it happened to.

    Raises:
        AwsError: It was not put there.
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
            raise _unsaid(detail_type, f"onto the event bus {bus}", failure) from failure
        # An entry is refused in an answer that is a success, so boto3 does not try again.
        if not answer["FailedEntryCount"]:
            return
        refused = answer["Entries"][0]
    said = f"{refused.get('ErrorCode')}: {refused.get('ErrorMessage')}"
    raise _unsaid(detail_type, f"onto the event bus {bus}", said)


def publish_notice(topic_arn: str, subject: str, text: str) -> None:
    """Publish a message for people.

    Args:
        topic_arn: The SNS topic.
        subject: ASCII, of fewer than 100 characters.
        text: The message.

    Raises:
        AwsError: It was not published.
    """
    try:
        with calling():
            connect("sns").publish(TopicArn=topic_arn, Subject=subject, Message=text)
    except CallFailed as failure:
        raise _unsaid(subject, f"to the topic {topic_arn}", failure) from failure


class CallFailed(Exception):
    """AWS refused a request, or did not answer it. For its sender to tell what that means.

    Attributes:
        code: The code of the refusal; None: there was no answer.
    """

    code: str | None = None


@contextmanager
def calling() -> Iterator[None]:
    """Make what boto3 raises one error.

    Raises:
        CallFailed: The call in it failed.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as _make_client

    try:
        yield
    except (BotoCoreError, ClientError) as failure:
        failed = CallFailed(str(failure))
        if isinstance(failure, ClientError):
            failed.code = failure.response["Error"]["Code"]
        raise failed from failure


@cache
def prepare(service: str) -> None:
    """Begin to make a client beside other work, so that nobody has to wait for it; once.

    Args:
        service: The service.
    """
    executor = ThreadPoolExecutor(max_workers=1)
    _prepared[service, None] = executor.submit(_make_client, service, None)
    executor.shutdown(wait=False)


@cache
def connect(service: str, region: str | None = None) -> Any:  # noqa: ANN401 - made at run time
    """A client of a service, made once, whose calls end within half a minute."""
    prepared = _prepared.pop((service, region), None)
    return prepared.result() if prepared else _make_client(service, region)


_prepared: dict[tuple[str, str | None], Future[Any]] = {}


def _make_client(service: str, region: str | None) -> Any:  # noqa: ANN401 - as connect
    import boto3.session  # noqa: PLC0415 - a tenth of a second of CPU, and not always needed
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
    )
    # A session is not to be used by two threads.
    return boto3.session.Session().client(service, region_name=region, config=config)


def no_output(run_id: str, happened: str) -> NoRunOutput:
    """The error of a run whose folder nobody knows.

    Args:
        run_id: The run.
        happened: Why nobody does.
    """
    return NoRunOutput(
        f"The output of HealthOmics run {run_id} is not known: {happened}.",
        why="The event has no runOutputUri, and the run was deleted, or ran elsewhere.",
        remedy="Send a message with the run's output folder as its source_prefix.",
    )


def _unsaid(what: str, where: str, failure: object) -> AwsError:
    return AwsError(
        f"{printable(what)} was not put {where}: {failure}.",
        why="Whoever waits for it would never hear of it.",
        remedy="It is tried again by itself, and finds what it has done; look into it if this "
        "returns.",
    )


def _attributes(
    names: Mapping[str, str | None], words: Mapping[str, str], room_bytes: int
) -> dict[str, dict[str, str]]:
    """The attributes of a message: names that are whole, and words that may be cut."""
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
