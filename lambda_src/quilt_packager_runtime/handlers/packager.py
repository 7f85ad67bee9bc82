"""SQS messages in, packages out."""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.completeness.pauses import MIN_PAUSE_SECONDS
from quilt_packager_runtime.errors import (
    AttemptsExhausted,
    AwsError,
    EmptySource,
    Incomplete,
    PackagerError,
)
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.handlers import invocations
from quilt_packager_runtime.large_jobs import hand_off
from quilt_packager_runtime.large_jobs.hand_off import HandedOff, HandOff
from quilt_packager_runtime.large_jobs.shards import JobFiles
from quilt_packager_runtime.large_jobs.waiting_jobs import TakenOver, note_wait, take_over
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.reporting.log_events import (
    LargeJobRedelivered,
    LargeJobStarted,
    MessageDeferred,
    MessageIgnored,
    MessageNotDeferred,
    PackageStarted,
)
from quilt_packager_runtime.reporting.reporting import (
    origin_of,
    prepare,
    report_failure,
    report_success,
)
from quilt_packager_runtime.reporting.retries import wait_seconds
from quilt_packager_runtime.reporting.telemetry import log, progress_logger, record_large_job
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.requests.events import Ignored
from quilt_packager_runtime.requests.package_request import PackageRequest, UnresolvedRequest
from quilt_packager_runtime.requests.resolve import read_request, resolve
from quilt_packager_runtime.settings import EXTRA_RECEIVES

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext


class RetryLater(Exception):
    """Not an error: the folder has to settle before its message is delivered again."""

    def __init__(self, seconds: int) -> None:
        """Store the delay."""
        super().__init__(f"the message is deferred for {seconds} s")
        self.seconds = seconds


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, Any]:
    """Package the request of each message, and return the messages that SQS has to redeliver."""
    deadline = invocations.deadline_of(context)
    # The visibility timeout of the queue is longer than the function's timeout.
    longest_wait_seconds = max(0, deadline - time.monotonic())
    settings = invocations.load_settings()
    prepare(settings)
    failures = []
    for record in event["Records"]:
        delivery = read_delivery(record)
        seconds: int | None
        try:
            asyncio.run(handle_message(delivery, deadline))
            continue
        except RetryLater as later:
            seconds = later.seconds
        except PackagerError as failure:
            seconds = wait_seconds(
                failure,
                attempt=number_of_attempt(delivery),
                max_attempts=settings.max_attempts,
                at_most_seconds=longest_wait_seconds,
                jitter=random.random(),  # noqa: S311 - no secret
            )
        failures.append({"itemIdentifier": delivery.message_id})
        if seconds is not None:
            defer(record, seconds, delivery)
    return {"batchItemFailures": failures}


def read_delivery(record: Mapping[str, Any]) -> Delivery:
    """Read a record of SQS."""
    attributes = record.get("attributes", {})
    sent_ms = attributes.get("SentTimestamp")
    number = int(attributes.get("ApproximateReceiveCount", 1))
    max_attempts = invocations.load_settings().max_attempts
    return Delivery(
        body=record["body"],
        message_id=record["messageId"],
        number=number,
        sent_seconds=int(sent_ms) / 1000 if sent_ms else None,
        started_seconds=time.time(),
        will_be_redelivered=max_attempts is None or number < max_attempts + EXTRA_RECEIVES,
    )


async def handle_message(delivery: Delivery, deadline: float) -> None:
    """Package the request of a message, and report the outcome.

    Args:
        delivery: The message.
        deadline: The time to stop, in seconds of `time.monotonic()`.

    Raises:
        RetryLater: The folder has to settle.
        PackagerError: The job has to be retried.
    """
    settings = invocations.load_settings()
    try:
        outcome = await run_job(delivery, deadline)
    except RetryLater:
        raise
    except Exception as error:  # noqa: BLE001 - raised again
        failure = invocations.as_failure(error)
        delivery.is_last_attempt = settings.max_attempts is not None and not has_attempts_left(
            delivery
        )
        async with kept_if_unreported(delivery, failure):
            is_end = report_failure(delivery, failure, settings)
        if not is_end:
            raise failure from failure.__cause__
    else:
        if outcome is not None:
            async with kept_if_unreported(delivery, outcome):
                report_success(delivery, outcome, settings)


async def run_job(delivery: Delivery, deadline: float) -> Outcome | None:
    """Read a message, and package its request once the folder has settled.

    Returns:
        The outcome; None if the message asks for nothing, or if the job continues under the state
        machine.
    """
    settings = invocations.load_settings()
    async with invocations.until(deadline, "The message"):
        request = read_request(delivery.body, settings, may_retry=has_attempts_left(delivery))
    if isinstance(request, Ignored):
        log(MessageIgnored(message_id=delivery.message_id, why=request.why))
        return None
    delivery.request = request
    if delivery.age_seconds < request.settle_seconds:
        raise RetryLater(math.ceil(request.settle_seconds - delivery.age_seconds))
    started = PackageStarted(
        message_id=delivery.message_id,
        delivery=delivery.number,
        queued_seconds=round(delivery.age_seconds, 3) if delivery.sent_seconds else None,
        registry=request.registry,
        package_name=request.package_name,
        **origin_of(request),
    )
    log(started)
    return await package_or_hand_off(delivery, request, deadline)


async def package_or_hand_off(
    delivery: Delivery, request: UnresolvedRequest, deadline: float
) -> Outcome | None:
    """Package a request, or start an execution of the state machine that does.

    Returns:
        The outcome; None if the job continues under the state machine.

    Raises:
        PackagerError: The job fails, or an earlier delivery failed and could not report it.
    """
    settings, s3 = invocations.load_settings(), invocations.connect()
    permission: HandOff | None = None
    if settings.state_machine_arn is not None and settings.scratch_bucket is not None:
        files = JobFiles(settings.scratch_bucket, delivery.message_id)
        if delivery.number > 1 and (end := await hand_off.read_end(s3, files)):
            delivery.is_announced = end.is_announced
            if end.failure:
                raise end.failure.to_error()
            return end.outcome
        if delivery.number > 1 and await hand_off.has_plan(s3, files):
            log(LargeJobRedelivered(message_id=delivery.message_id, execution=files.job_id))
            is_waiting = not await hand_off.has_items(s3, files)
            start_execution(files, wait_seconds=MIN_PAUSE_SECONDS if is_waiting else None)
            return None
        permission = HandOff(files, invocations.hand_off_time(deadline))
    check_attempts(delivery)
    taken_over: TakenOver | None = None
    try:
        async with invocations.until(deadline, request.source):
            if permission is not None:
                taken_over = await take_over(s3, permission.files.bucket, request)
            delivery.request = complete = (
                taken_over.request if taken_over else await complete_request(delivery, request)
            )
            return await package(
                complete,
                settings=settings,
                s3=s3,
                on_progress=progress_logger(delivery.message_id),
                hand_off=permission,
                delivery=delivery,
            )
    except HandedOff as handed_off:
        await hand_off.write_message(s3, handed_off.files, delivery)
        started = LargeJobStarted(
            message_id=delivery.message_id,
            shards=handed_off.shards,
            left=handed_off.objects,
            execution=handed_off.files.job_id,
            **origin_of(delivery.request),
        )
        record_large_job(started)
        start_execution(handed_off.files, wait_seconds=handed_off.wait_seconds)
        return None
    except (EmptySource, Incomplete) as missing:
        if permission is None:
            raise
        await wait_for_files(delivery, permission.files, missing, taken_over)
        return None


async def complete_request(delivery: Delivery, request: UnresolvedRequest) -> PackageRequest:
    """Read the metadata file of a request."""
    settings, s3 = invocations.load_settings(), invocations.connect()
    return await resolve(request, settings=settings, s3=s3, may_retry=has_attempts_left(delivery))


async def wait_for_files(
    delivery: Delivery, files: JobFiles, missing: PackagerError, taken_over: TakenOver | None
) -> None:
    """Let the state machine wait for required files, unless another job waits for them.

    Raises:
        PackagerError: The job does not wait.
    """
    if taken_over is not None and taken_over.is_waiting:
        why = f"another job waits for the files of its folder: {missing.happened}"
        log(MessageIgnored(message_id=delivery.message_id, why=why))
        return
    wait_seconds = invocations.wait_for_files(missing, delivery)
    if wait_seconds is None:
        raise missing
    s3 = invocations.connect()
    await hand_off.write_message(s3, files, delivery)
    await note_wait(s3, files, delivery.complete_request, wait_seconds=wait_seconds)
    start_execution(files, wait_seconds=wait_seconds)


@asynccontextmanager
async def kept_if_unreported(
    delivery: Delivery, end: Outcome | PackagerError
) -> AsyncIterator[None]:
    """Keep the end of a job for the next delivery, if there is a bucket for it."""
    bucket = invocations.load_settings().scratch_bucket
    if bucket is None:
        yield
        return
    files = JobFiles(bucket, delivery.message_id)
    async with hand_off.kept_if_unreported(invocations.connect(), files, end):
        yield


def start_execution(files: JobFiles, *, wait_seconds: int | None = None) -> None:
    """Start the execution of a job, unless it was started before."""
    state_machine_arn = invocations.load_settings().state_machine_arn or ""
    clients.start_execution(
        state_machine_arn, files.job_id, files.to_input(wait_seconds=wait_seconds)
    )


def number_of_attempt(delivery: Delivery) -> int:
    """Return the number of the attempt that a delivery is, from 1.

    If a folder has to settle, the first delivery only waits. A message that is old enough already
    gets one attempt more.
    """
    settles = delivery.request is not None and delivery.request.settle_seconds > 0
    return max(1, delivery.number - 1) if settles else delivery.number


def defer(record: Mapping[str, Any], seconds: int, delivery: Delivery) -> None:
    """Delay redelivery of a message. On failure, the queue's visibility timeout applies."""
    try:
        clients.change_message_visibility(
            record["eventSourceARN"], record["receiptHandle"], seconds
        )
    except AwsError as error:
        log(MessageNotDeferred(message_id=delivery.message_id, reason=error.reason))
    else:
        origin = origin_of(delivery.request)
        log(MessageDeferred(message_id=delivery.message_id, seconds=seconds, **origin))


def has_attempts_left(delivery: Delivery) -> bool:
    """Return whether another attempt is certain to follow if this one fails."""
    max_attempts = invocations.load_settings().max_attempts
    return max_attempts is not None and number_of_attempt(delivery) < max_attempts


def check_attempts(delivery: Delivery) -> None:
    """Refuse the delivery after the last attempt, which did not report an outcome.

    Raises:
        AttemptsExhausted: No attempt is left.
    """
    max_attempts = invocations.load_settings().max_attempts
    if max_attempts is not None and number_of_attempt(delivery) > max_attempts:
        raise AttemptsExhausted(
            f"The job was tried {max_attempts} times, and the last attempt did not report an "
            "outcome.",
            why="The function ran out of memory or was stopped, or the outcome could not be "
            "published.",
            remedy="Search the log for the message's id, fix the cause, and send the message "
            "again.",
        )
