"""SQS messages in, packages out."""

import asyncio
import os
import time
from functools import cache
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.utilities.batch import (
    BatchProcessor,
    EventType,
    process_partial_response,
)

from quilt_packager_runtime import aws
from quilt_packager_runtime.errors import DeadlineExceeded, Failed, PackagerError, Rejected
from quilt_packager_runtime.events import Ignored, OmicsRun, omics_folder
from quilt_packager_runtime.messages import PackageRequest, parse_message, request_for_folder
from quilt_packager_runtime.observability import logger, metrics, record
from quilt_packager_runtime.outcomes import Outcome
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.batch.types import PartialItemFailureResponse
    from aws_lambda_powertools.utilities.data_classes.sqs_event import SQSRecord
    from aws_lambda_powertools.utilities.typing import LambdaContext

DEADLINE_MARGIN_SECONDS = 10
"""What is kept of Lambda's time to clean up, and to say that there was too little of it."""

processor = BatchProcessor(event_type=EventType.SQS, raise_on_entire_batch_failure=False)


@cache
def load_settings() -> Settings:
    """The engine's settings, read once per execution environment."""
    return Settings.from_environment(os.environ)


@cache
def connect() -> S3:
    """S3, its connections kept for the messages to come."""
    return S3.from_environment(os.environ, max_connections=load_settings().max_requests_in_flight)


@metrics.log_metrics
def handler(event: dict[str, Any], context: "LambdaContext") -> "PartialItemFailureResponse":
    """Package what each message asks for; SQS delivers again what failed."""
    remaining_seconds = context.get_remaining_time_in_millis() / 1000 - DEADLINE_MARGIN_SECONDS
    deadline = time.monotonic() + remaining_seconds

    # Powertools calls it by the name of its parameter.
    def handle_record(record: "SQSRecord") -> None:
        handle_message(record.body, record.message_id, deadline)

    return process_partial_response(
        event=event, record_handler=handle_record, processor=processor, context=context
    )


def handle_message(body: str, message_id: str, deadline: float) -> None:
    """Package what one message asks for, or put it aside with the reason.

    Args:
        body: The message's body.
        message_id: Its id, for the log.
        deadline: When to give up, in seconds of the monotonic clock.

    Raises:
        Failed: SQS is to deliver the message again.
    """
    started = time.monotonic()
    request: PackageRequest | None = None
    failure: PackagerError | None = None
    try:
        wanted = parse_message(body, default_registry=load_settings().default_registry)
        if isinstance(wanted, Ignored):
            logger.info("message ignored", extra={"message_id": message_id, "reason": wanted.why})
            return
        request = request_for_run(wanted) if isinstance(wanted, OmicsRun) else wanted
        outcome = asyncio.run(package_until(deadline, request))
    except PackagerError as error:
        failure = error
        outcome = Outcome.from_error(
            error,
            package_name=request.package_name if request else None,
            registry=request.registry if request else None,
        )
    except Exception:
        logger.exception("job crashed", extra={"message_id": message_id})
        raise
    if isinstance(failure, Rejected):
        put_aside(body, failure)
    origin: dict[str, object] = {}
    if request is not None:
        origin = {
            "source": str(request.source),
            "trigger": request.trigger.kind,
            "event_id": request.trigger.event_id,
            "ignored_fields": request.ignored_fields or None,
        }
    record(outcome, seconds=time.monotonic() - started, message_id=message_id, **origin)
    if isinstance(failure, Failed):
        raise failure


def request_for_run(run: OmicsRun) -> PackageRequest:
    """Ask HealthOmics where a run's folder is, and for the package of that."""
    region = run.arn.split(":")[3]
    output_uri = aws.get_run_output_uri(run.run_id, region=region)
    return request_for_folder(
        omics_folder(output_uri, run.run_id),
        run.trigger,
        default_registry=load_settings().default_registry,
    )


async def package_until(deadline: float, request: PackageRequest) -> Outcome:
    """Package, and stop in time to say that there was too little of it."""
    try:
        async with asyncio.timeout(deadline - time.monotonic()):
            return await package(request, settings=load_settings(), s3=connect())
    except TimeoutError:
        raise DeadlineExceeded(
            f"{request.source} could not be packaged in the time of one invocation.",
            why="It holds too many objects, or too many bytes without a stored checksum.",
            remedy="Raise the function's memory, or upload with a SHA-256 checksum.",
        ) from None


def put_aside(body: str, rejected: Rejected) -> None:
    """Send a rejected message to the dead-letter queue, where its reason can be read."""
    queue_url = load_settings().dead_letter_queue_url
    if queue_url is None:
        raise rejected  # without one, SQS itself must end the message's deliveries
    aws.send_to_dead_letters(queue_url, body, rejected)
