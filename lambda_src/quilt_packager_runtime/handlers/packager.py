"""SQS messages in, packages out."""

import asyncio
import math
import random
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AttemptsExhausted, AwsError, PackagerError
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.handlers import invocations
from quilt_packager_runtime.large_jobs import hand_off
from quilt_packager_runtime.large_jobs.hand_off import HandedOff, HandOff, JobMessage
from quilt_packager_runtime.large_jobs.shards import Job
from quilt_packager_runtime.reporting.log_events import (
    LargeJobRedelivered,
    LargeJobStarted,
    MessageDeferred,
    MessageIgnored,
    MessageNotDeferred,
    PackageStarted,
)
from quilt_packager_runtime.reporting.reporting import (
    Attempt,
    origin_of,
    prepare,
    report_failure,
    report_success,
)
from quilt_packager_runtime.reporting.retries import wait_seconds
from quilt_packager_runtime.reporting.telemetry import log, progress_logger, record_large_job
from quilt_packager_runtime.requests.events import Ignored, OmicsRun
from quilt_packager_runtime.requests.messages import PackageRequest, parse_message
from quilt_packager_runtime.requests.omics_runs import request_for_run
from quilt_packager_runtime.settings import EXTRA_RECEIVES

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class RetryLater(Exception):
    """Not an error: the message is to be delivered again.

    Args:
        seconds: For how long to hide it; None for as long as its queue does by itself.
        request: What it asks for; None if it could not be read.
    """

    def __init__(self, seconds: int | None, request: PackageRequest | None) -> None:
        """Say so, for a log."""
        super().__init__(f"the message comes back, hidden for {seconds} s")
        self.seconds = seconds
        self.request = request


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of a message.

    Attributes:
        body: The message's body.
        message_id: Its id.
        count: Which delivery of it this is, from 1.
        age_seconds: How long ago it was sent.
        longest_wait_seconds: For how long it is hidden at most if its job fails.
    """

    body: str
    message_id: str
    count: int
    age_seconds: float
    longest_wait_seconds: float


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Package what each message asks for; SQS delivers again what is named in the answer."""
    remaining_seconds = invocations.seconds_left(context)
    deadline = time.monotonic() + remaining_seconds
    prepare(invocations.load_settings())
    failures = []
    for message in event["Records"]:
        delivery = Delivery(
            body=message["body"],
            message_id=message["messageId"],
            count=_count_deliveries(message),
            age_seconds=_age_seconds(message),
            # No queue hides a message for a shorter time than its function may take.
            longest_wait_seconds=max(0, remaining_seconds),
        )
        try:
            handle_message(delivery, deadline)
        except RetryLater as later:
            failures.append({"itemIdentifier": delivery.message_id})
            if later.seconds is not None:
                defer(message, later.seconds, later.request)
    return {"batchItemFailures": failures}


def handle_message(delivery: Delivery, deadline: float) -> None:
    """Package what one message asks for, or put it aside with the reason.

    Args:
        delivery: The message.
        deadline: When to give up, in seconds of the monotonic clock.

    Raises:
        Later: SQS is to deliver the message again.
    """
    started = time.monotonic()
    settings = invocations.load_settings()
    max_attempts = settings.max_attempts
    request: PackageRequest | None = None
    end: Outcome | PackagerError | None
    number = delivery.count
    try:
        request = read_request(delivery.body, delivery.message_id)
        if request is None:
            return
        check_settled(request, delivery.age_seconds)
        number = number_of_attempt(request, delivery.count)
        log(
            PackageStarted(
                message_id=delivery.message_id,
                delivery=delivery.count,
                registry=request.registry,
                package_name=request.known_package_name,
                **origin_of(request),
            )
        )
        message = JobMessage(delivery.body, delivery.message_id, request, time.time())
        end = asyncio.run(package_or_hand_over(deadline, message, number, delivery=delivery.count))
    except RetryLater:
        raise
    except Exception as error:  # noqa: BLE001 - every end is told, and raised if it is a retry
        end = invocations.as_failure(error)
    attempt = Attempt(
        body=delivery.body,
        message_id=delivery.message_id,
        request=request,
        seconds=time.monotonic() - started,
        is_last=max_attempts is not None and number >= max_attempts,
        will_be_redelivered=max_attempts is None or delivery.count < max_attempts + EXTRA_RECEIVES,
    )
    try:
        report(attempt, end)
    except PackagerError as failure:
        seconds = wait_seconds(
            failure,
            attempt=number,
            max_attempts=max_attempts,
            at_most_seconds=delivery.longest_wait_seconds,
            jitter=random.random(),  # noqa: S311 - no secret
        )
        raise RetryLater(seconds, request) from failure


def report(attempt: Attempt, end: Outcome | PackagerError | None) -> None:
    """Tell how an attempt ended, unless the job goes on elsewhere.

    Args:
        attempt: The attempt.
        end: How it ended; None if it goes on.

    Raises:
        PackagerError: The job is to be done again.
    """
    settings = invocations.load_settings()
    if isinstance(end, Outcome):
        report_success(attempt, end, settings)
    elif end is not None and not report_failure(attempt, end, settings):
        raise end


def check_settled(request: PackageRequest, age_seconds: float) -> None:
    """Let a request through whose folder has had its time.

    Args:
        request: The request.
        age_seconds: How long ago its message was sent.

    Raises:
        Later: It is too early: the folder may still be written to.
    """
    if age_seconds < request.settle_seconds:
        raise RetryLater(math.ceil(request.settle_seconds - age_seconds), request)


def number_of_attempt(request: PackageRequest, delivery: int) -> int:
    """Which attempt a delivery is: the first was spent on waiting, where a folder has to settle.

    If it was not, because the message had lain long enough, there is one attempt more.

    Args:
        request: The request.
        delivery: Which delivery of its message this is, from 1.
    """
    return max(1, delivery - 1) if request.settle_seconds else delivery


def defer(message: Mapping[str, Any], seconds: int, request: PackageRequest | None) -> None:
    """Hide a message for as long as it makes sense; if that fails, it comes back even later.

    Args:
        message: The message.
        seconds: For how long to hide it.
        request: What it asks for; None if it could not be read.
    """
    try:
        clients.change_message_visibility(
            message["eventSourceARN"], message["receiptHandle"], seconds
        )
    except AwsError as error:
        log(MessageNotDeferred(message_id=message["messageId"], reason=error.reason))
    else:
        log(MessageDeferred(message_id=message["messageId"], seconds=seconds, **origin_of(request)))


def check_attempts(number: int) -> None:
    """Refuse the delivery that comes only where the last attempt ended without a word.

    Args:
        number: Which attempt it would be.

    Raises:
        AttemptsExhausted: The message was attempted as often as it may be.
    """
    max_attempts = invocations.load_settings().max_attempts
    if max_attempts is not None and number > max_attempts:
        raise AttemptsExhausted(
            f"The job was tried {max_attempts} times, and the last attempt did not say how it "
            "ended.",
            why="The function ran out of memory or was stopped, or nobody could be told.",
            remedy="Look for the message's id in the log, mend what it shows, and send the "
            "message again.",
        )


def read_request(body: str, message_id: str) -> PackageRequest | None:
    """Read a message, and look up what an event leaves open; None if there is nothing to do."""
    settings = invocations.load_settings()
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
        AttemptsExhausted: No attempt is left, and no large job was started.
        PackagerError: It was attempted once more, in vain.
    """
    settings = invocations.load_settings()
    on_progress = progress_logger(message.message_id)
    if settings.state_machine_arn is None or settings.scratch_bucket is None:
        check_attempts(number)
        return await invocations.package_until(deadline, message.request, on_progress)
    job = Job(settings.scratch_bucket, message.message_id)
    s3 = invocations.connect()
    if delivery > 1 and await hand_off.is_handed_over(s3, job):
        log(LargeJobRedelivered(message_id=message.message_id, execution=job.id))
    else:
        check_attempts(number)
        try:
            relay = HandOff(job, invocations.hand_over_time(deadline))
            return await invocations.package_until(deadline, message.request, on_progress, relay)
        except HandedOff as handed:
            await hand_off.keep_message(s3, job, message)
            record_large_job(
                LargeJobStarted(
                    message_id=message.message_id,
                    shards=handed.shards,
                    left=handed.objects,
                    execution=job.id,
                    **origin_of(message.request),
                )
            )
    clients.start_execution(settings.state_machine_arn, job.id, job.to_input())
    return None


def _age_seconds(message: Mapping[str, Any]) -> float:
    sent = message.get("attributes", {}).get("SentTimestamp")
    # The clock of SQS may be ahead of ours.
    return max(0, time.time() - int(sent) / 1000) if sent else math.inf


def _count_deliveries(message: Mapping[str, Any]) -> int:
    return int(message.get("attributes", {}).get("ApproximateReceiveCount", 1))
