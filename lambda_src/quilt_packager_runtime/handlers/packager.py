"""SQS messages in, packages out."""

import asyncio
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from quilt_packager_runtime import aws, large_jobs
from quilt_packager_runtime.errors import (
    AwsError,
    Crashed,
    DeadlineExceeded,
    PackagerError,
    Rejected,
    printable,
)
from quilt_packager_runtime.events import Ignored, OmicsRun, omics_folder
from quilt_packager_runtime.large_jobs import HandedOver, JobMessage, Relay
from quilt_packager_runtime.messages import PackageRequest, parse_message, request_for_folder
from quilt_packager_runtime.observability import logger, record, record_large_job
from quilt_packager_runtime.outcomes import Outcome
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.shards import Job

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

DEADLINE_MARGIN_SECONDS = 10
"""What is kept of Lambda's time to clean up, and to say that there was too little of it."""

HAND_OVER_SECONDS = 60
"""What is kept of an invocation's time to write the plan of a large job; of a short one, less."""

HAND_OVER_SHARE = 0.25


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
    failures = []
    for message in event["Records"]:
        try:
            handle_message(
                message["body"],
                message["messageId"],
                deadline,
                redelivered=_is_redelivered(message),
            )
        except PackagerError:
            failures.append({"itemIdentifier": message["messageId"]})
    return {"batchItemFailures": failures}


def handle_message(
    body: str, message_id: str, deadline: float, *, redelivered: bool = False
) -> None:
    """Package what one message asks for, or put it aside with the reason.

    Args:
        body: The message's body.
        message_id: Its id, for the log.
        deadline: When to give up, in seconds of the monotonic clock.
        redelivered: SQS has delivered it before, so the job may be running already.

    Raises:
        PackagerError: SQS is to deliver the message again.
    """
    started = time.monotonic()
    request: PackageRequest | None = None
    failure: PackagerError | None = None
    try:
        request = read_request(body, message_id)
        if request is None:
            return
        message = JobMessage(body, message_id, request, time.time())
        packaged = asyncio.run(package_or_hand_over(deadline, message, redelivered=redelivered))
        if packaged is None:
            return
        outcome = packaged
    except Exception as error:  # noqa: BLE001 - every end is recorded, and raised if it is a retry
        failure = put_aside(body, as_failure(error))
        outcome = Outcome.from_error(
            failure,
            package_name=request.package_name if request else None,
            registry=request.registry if request else None,
        )
    record(
        outcome,
        seconds=time.monotonic() - started,
        crash=failure.__cause__ if isinstance(failure, Crashed) else None,
        message_id=message_id,
        **origin_of(request),
    )
    if failure is not None and not _is_put_aside(failure):
        raise failure


def read_request(body: str, message_id: str) -> PackageRequest | None:
    """Read a message, and look up what an event leaves open; None if there is nothing to do."""
    wanted = parse_message(body, default_registry=load_settings().default_registry)
    if isinstance(wanted, Ignored):
        logger.info("message ignored", extra={"message_id": message_id, "why": wanted.why})
        return None
    return request_for_run(wanted) if isinstance(wanted, OmicsRun) else wanted


def request_for_run(run: OmicsRun) -> PackageRequest:
    """Ask HealthOmics where a run's folder is, and for the package of that."""
    region = run.arn.split(":")[3]
    output_uri = aws.get_run_output_uri(run.run_id, region=region)
    return request_for_folder(
        omics_folder(output_uri, run.run_id),
        run.trigger,
        default_registry=load_settings().default_registry,
    )


async def package_or_hand_over(
    deadline: float, message: JobMessage, *, redelivered: bool
) -> Outcome | None:
    """Package, or see to it that the state machine does.

    Returns:
        The outcome; None if the job goes on elsewhere.
    """
    settings = load_settings()
    if settings.state_machine_arn is None or settings.scratch_bucket is None:
        return await package_until(deadline, message.request)
    job = Job(settings.scratch_bucket, message.message_id)
    s3 = connect()
    if not (redelivered and await large_jobs.is_handed_over(s3, job)):
        try:
            relay = Relay(job, hand_over_time(deadline))
            return await package_until(deadline, message.request, relay)
        except HandedOver as handed:
            await large_jobs.keep_message(s3, job, message)
            record_large_job(
                shards=handed.shards,
                objects=handed.objects,
                message_id=message.message_id,
                **origin_of(message.request),
            )
    aws.start_execution(settings.state_machine_arn, job.id, job.to_input())
    return None


def hand_over_time(deadline: float) -> float:
    """When to hand over what is not done by then, in seconds of the running loop's clock."""
    remaining_seconds = deadline - time.monotonic()
    kept_seconds = min(HAND_OVER_SECONDS, HAND_OVER_SHARE * remaining_seconds)
    return asyncio.get_running_loop().time() + remaining_seconds - kept_seconds


async def package_until(
    deadline: float, request: PackageRequest, relay: Relay | None = None
) -> Outcome:
    """Package, and stop in time to say that there was too little of it."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await package(request, settings=load_settings(), s3=connect(), relay=relay)
    except TimeoutError:
        raise DeadlineExceeded(
            f"{request.source} could not be packaged in the time of one invocation.",
            why="It holds too many objects, or too many bytes without a stored checksum.",
            remedy="Raise the function's memory, or upload with a SHA-256 checksum.",
        ) from None


def put_aside(body: str, failure: PackagerError) -> PackagerError:
    """Send a rejected message to the dead-letter queue, where its reason can be read.

    Returns:
        How the job ended: as it did, or by the message's not being sent.
    """
    queue_url = load_settings().dead_letter_queue_url
    if isinstance(failure, Rejected) and queue_url is not None:
        try:
            aws.send_to_dead_letters(queue_url, body, failure)
        except AwsError as unsent:
            return unsent
    return failure


def _is_put_aside(failure: PackagerError) -> bool:
    # Without a queue of ours, SQS itself must end the deliveries of a rejected message.
    has_queue = load_settings().dead_letter_queue_url is not None
    return isinstance(failure, Rejected) and has_queue


def origin_of(request: PackageRequest | None) -> dict[str, object]:
    """Where a job came from, for the log."""
    if request is None:
        return {}
    return {
        "source": str(request.source),
        "trigger": request.trigger.kind,
        "event_id": request.trigger.event_id,
        "ignored_fields": request.ignored_fields or None,
    }


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


def _is_redelivered(message: dict[str, Any]) -> bool:
    return int(message.get("attributes", {}).get("ApproximateReceiveCount", 1)) > 1
