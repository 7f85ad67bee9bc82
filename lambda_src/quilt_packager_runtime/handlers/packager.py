"""SQS messages in, packages out."""

import asyncio
import math
import os
import random
import time
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from quilt_packager_runtime import aws, large_jobs
from quilt_packager_runtime.errors import (
    AwsError,
    Crashed,
    DeadlineExceeded,
    GaveUp,
    PackagerError,
    printable,
)
from quilt_packager_runtime.events import Ignored, OmicsRun
from quilt_packager_runtime.large_jobs import HandedOver, JobMessage, Relay
from quilt_packager_runtime.log_lines import (
    MessageIgnored,
    MessageNotPutOff,
    MessagePutOff,
    PackageHandedOver,
    PackageHandedOverAgain,
    PackageStarted,
)
from quilt_packager_runtime.messages import PackageRequest, parse_message
from quilt_packager_runtime.observability import log, record_hand_over, watch
from quilt_packager_runtime.outcomes import Outcome
from quilt_packager_runtime.packaging import OnProgress, package
from quilt_packager_runtime.reporting import (
    Attempt,
    origin_of,
    prepare,
    report_failure,
    report_success,
)
from quilt_packager_runtime.retries import wait_seconds
from quilt_packager_runtime.runs import request_for_run
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.settings import SPARE_DELIVERIES, Settings
from quilt_packager_runtime.shards import Job

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

DEADLINE_MARGIN_SECONDS = 10
"""What is kept of Lambda's time to clean up, and to say that there was too little of it."""

HAND_OVER_SECONDS = 60
"""What is kept of an invocation's time to write the plan of a large job; of a short one, less."""

HAND_OVER_SHARE = 0.25


class Unsettled(Exception):
    """Not an error: the event's folder may still be written to.

    Args:
        seconds: How long to wait.
    """

    def __init__(self, seconds: int) -> None:
        """Say so, for a log."""
        super().__init__(f"the folder has {seconds} s to settle")
        self.seconds = seconds


@cache
def load_settings() -> Settings:
    """The engine's settings, read once per execution environment."""
    return Settings.from_environment(os.environ)


@cache
def connect() -> S3:
    """S3, its connections kept for the messages to come."""
    return S3.from_environment(os.environ, max_connections=load_settings().max_requests_in_flight)


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Package what each message asks for; SQS delivers again what is named in the answer."""
    remaining_seconds = context.get_remaining_time_in_millis() / 1000 - DEADLINE_MARGIN_SECONDS
    deadline = time.monotonic() + remaining_seconds
    prepare(load_settings())
    failures = []
    for message in event["Records"]:
        delivery = _count_deliveries(message)
        try:
            handle_message(
                message["body"],
                message["messageId"],
                deadline,
                delivery=delivery,
                age_seconds=_age_seconds(message),
            )
        except Unsettled as unsettled:
            failures.append({"itemIdentifier": message["messageId"]})
            put_off(message, unsettled.seconds)
        except PackagerError as failure:
            failures.append({"itemIdentifier": message["messageId"]})
            seconds = wait_seconds(
                failure,
                delivery=delivery,
                max_attempts=load_settings().max_attempts,
                # No queue hides a message for a shorter time than its function may take.
                at_most_seconds=max(0, remaining_seconds),
                jitter=random.random(),  # noqa: S311 - no secret
            )
            if seconds is not None:
                put_off(message, seconds)
    return {"batchItemFailures": failures}


def handle_message(
    body: str,
    message_id: str,
    deadline: float,
    *,
    delivery: int = 1,
    age_seconds: float = math.inf,
) -> None:
    """Package what one message asks for, or put it aside with the reason.

    Args:
        body: The message's body.
        message_id: Its id.
        deadline: When to give up, in seconds of the monotonic clock.
        delivery: Which delivery of the message this is, from 1. After the first, the job may be
            running already.
        age_seconds: How long ago it was sent.

    Raises:
        Unsettled: It is too early.
        PackagerError: SQS is to deliver the message again.
    """
    started = time.monotonic()
    settings = load_settings()
    request: PackageRequest | None = None
    outcome: Outcome | None = None
    failure: PackagerError | None = None
    number = delivery
    try:
        request = read_request(body, message_id)
        if request is None:
            return
        check_settled(request, age_seconds)
        number = number_of_attempt(request, delivery)
        log(
            PackageStarted(
                message_id=message_id,
                delivery=delivery,
                registry=request.registry,
                package_name=request.package_name,
                **origin_of(request),
            )
        )
        message = JobMessage(body, message_id, request, time.time())
        job = package_or_hand_over(deadline, message, number, delivery=delivery)
        outcome = asyncio.run(job)
    except Unsettled:
        raise
    except Exception as error:  # noqa: BLE001 - every end is told, and raised if it is a retry
        failure = as_failure(error)
    attempt = Attempt(
        body=body,
        message_id=message_id,
        request=request,
        seconds=time.monotonic() - started,
        is_last=settings.max_attempts is not None and number >= settings.max_attempts,
        comes_back=settings.max_attempts is None
        or delivery < settings.max_attempts + SPARE_DELIVERIES,
    )
    if failure is not None:
        if not report_failure(attempt, failure, settings):
            raise failure
    elif outcome is not None:
        report_success(attempt, outcome, settings)


def check_settled(request: PackageRequest, age_seconds: float) -> None:
    """Let a request through whose folder has had its time.

    Args:
        request: The request.
        age_seconds: How long ago its message was sent.

    Raises:
        Unsettled: It is too early.
    """
    if age_seconds < request.settle_seconds:
        raise Unsettled(math.ceil(request.settle_seconds - age_seconds))


def number_of_attempt(request: PackageRequest, delivery: int) -> int:
    """Which attempt a delivery is: the first was spent on waiting, where a folder has to settle.

    If it was not, because the message had lain long enough, there is one attempt more.

    Args:
        request: The request.
        delivery: Which delivery of its message this is, from 1.
    """
    return max(1, delivery - 1) if request.settle_seconds else delivery


def put_off(message: Mapping[str, Any], seconds: int) -> None:
    """Hide a message for as long as it makes sense; if that fails, it comes back even later."""
    try:
        aws.postpone(message["eventSourceARN"], message["receiptHandle"], seconds)
    except AwsError as error:
        log(MessageNotPutOff(message_id=message["messageId"], reason=error.reason))
    else:
        log(MessagePutOff(message_id=message["messageId"], seconds=seconds))


def check_attempts(number: int) -> None:
    """Refuse the delivery that comes only where the last attempt ended without a word.

    Args:
        number: Which attempt it would be.

    Raises:
        GaveUp: The message was attempted as often as it may be.
    """
    max_attempts = load_settings().max_attempts
    if max_attempts is not None and number > max_attempts:
        raise GaveUp(
            f"The job was tried {max_attempts} times, and the last attempt did not say how it "
            "ended.",
            why="The function ran out of memory or was stopped, or nobody could be told.",
            remedy="Look for the message's id in the log, mend what it shows, and send the "
            "message again.",
        )


def read_request(body: str, message_id: str) -> PackageRequest | None:
    """Read a message, and look up what an event leaves open; None if there is nothing to do."""
    settings = load_settings()
    registry = settings.default_registry
    wanted = parse_message(body, default_registry=registry, sources=settings.sources)
    if isinstance(wanted, OmicsRun):
        wanted = request_for_run(wanted, default_registry=registry)
    if isinstance(wanted, Ignored):
        log(MessageIgnored(message_id=message_id, why=wanted.why))
        return None
    return wanted


async def package_or_hand_over(
    deadline: float, message: JobMessage, number: int, *, delivery: int
) -> Outcome | None:
    """Package, or see to it that the state machine does.

    Args:
        deadline: When to give up, in seconds of the monotonic clock.
        message: The message.
        number: Which attempt this is.
        delivery: Which delivery of the message. After the first, the job may run already.

    Returns:
        The outcome; None if the job goes on elsewhere.

    Raises:
        GaveUp: The message was attempted as often as it may be, and does not go on elsewhere.
        PackagerError: It was attempted once more, in vain.
    """
    settings = load_settings()
    on_progress = watch(message.message_id)
    if settings.state_machine_arn is None or settings.scratch_bucket is None:
        check_attempts(number)
        return await package_until(deadline, message.request, on_progress)
    job = Job(settings.scratch_bucket, message.message_id)
    s3 = connect()
    if delivery > 1 and await large_jobs.is_handed_over(s3, job):
        log(PackageHandedOverAgain(message_id=message.message_id, execution=job.id))
    else:
        check_attempts(number)
        try:
            relay = Relay(job, hand_over_time(deadline))
            return await package_until(deadline, message.request, on_progress, relay)
        except HandedOver as handed:
            await large_jobs.keep_message(s3, job, message)
            record_hand_over(
                PackageHandedOver(
                    message_id=message.message_id,
                    shards=handed.shards,
                    left=handed.objects,
                    execution=job.id,
                    **origin_of(message.request),
                )
            )
    aws.start_execution(settings.state_machine_arn, job.id, job.to_input())
    return None


def hand_over_time(deadline: float) -> float:
    """When to hand over what is not done by then, in seconds of the running loop's clock."""
    remaining_seconds = deadline - time.monotonic()
    kept_seconds = min(HAND_OVER_SECONDS, HAND_OVER_SHARE * remaining_seconds)
    return asyncio.get_running_loop().time() + remaining_seconds - kept_seconds


async def package_until(
    deadline: float,
    request: PackageRequest,
    on_progress: OnProgress,
    relay: Relay | None = None,
) -> Outcome:
    """Package, and stop in time to say that there was too little of it."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await package(
                request,
                settings=load_settings(),
                s3=connect(),
                on_progress=on_progress,
                relay=relay,
            )
    except TimeoutError:
        raise DeadlineExceeded(
            f"{request.source} could not be packaged in the time of one invocation.",
            why="It holds too many objects, or too many bytes without a stored checksum.",
            remedy="Raise the function's memory, or upload with a SHA-256 checksum.",
        ) from None


def as_failure(error: Exception) -> PackagerError:
    """What somebody raised, as one of our errors: what nobody foresaw is a defect."""
    if isinstance(error, PackagerError):
        return error
    crashed = Crashed(
        f"The packager crashed: {type(error).__name__}: {printable(str(error))}.",
        why="This is a defect, or something happened that it does not foresee.",
        remedy="The job is retried by itself; report it with its stack from the log.",
    )
    crashed.__cause__ = error
    return crashed


def _age_seconds(message: Mapping[str, Any]) -> float:
    sent = message.get("attributes", {}).get("SentTimestamp")
    # The clock of SQS may be ahead of ours.
    return max(0, time.time() - int(sent) / 1000) if sent else math.inf


def _count_deliveries(message: Mapping[str, Any]) -> int:
    return int(message.get("attributes", {}).get("ApproximateReceiveCount", 1))
