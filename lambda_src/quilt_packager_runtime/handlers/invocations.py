"""Shared by the handlers: state that outlives an invocation, deadlines, unexpected errors."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from time import monotonic
from typing import TYPE_CHECKING

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.completeness.pauses import pause_seconds
from quilt_packager_runtime.deadlines import deadline_at
from quilt_packager_runtime.errors import (
    DeadlineExceeded,
    Incomplete,
    InternalError,
    PackagerError,
    printable,
)
from quilt_packager_runtime.reporting.log_events import FilesAwaited
from quilt_packager_runtime.reporting.reporting import origin_of
from quilt_packager_runtime.reporting.telemetry import log
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.settings import Settings

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

DEADLINE_MARGIN_SECONDS = 10
"""Time from an invocation's own deadline to Lambda's timeout.

Lambda ends a function at its timeout without notice. Before that, work is interrupted within a
second of the deadline, uploads are aborted, and the failure is logged, published, and sent to the
dead-letter queue if no attempt follows: requests that usually take less than a second together.
"""

HAND_OFF_SECONDS = 60
"""Time that is reserved to write the plan of a large job; less in a short invocation."""

HAND_OFF_SHARE = 0.25


class StateError(msgspec.Struct, frozen=True):
    """An error as a state machine reports it."""

    error: str = msgspec.field(name="Error")
    cause: str = msgspec.field(name="Cause", default="")


@cache
def load_settings() -> Settings:
    """Return the engine's settings, read once per execution environment."""
    return Settings.from_environment(os.environ)


@cache
def connect() -> S3:
    """Return S3, with connections that later invocations reuse."""
    return S3.from_environment(max_connections=load_settings().max_requests_in_flight)


def deadline_of(context: "LambdaContext") -> float:
    """Return the time when an invocation has to stop its work.

    All deadlines are in seconds of `time.monotonic()`, which is also the event loop's clock.
    """
    left_seconds: float = context.get_remaining_time_in_millis() / 1000
    return monotonic() + left_seconds - DEADLINE_MARGIN_SECONDS


def hand_off_time(deadline: float) -> float:
    """Return the time to hand off unfinished work, so that the plan is written by the deadline."""
    return deadline - min(HAND_OFF_SECONDS, HAND_OFF_SHARE * (deadline - monotonic()))


@asynccontextmanager
async def until(deadline: float, subject: object) -> AsyncIterator[None]:
    """Cancel the packaging of a subject at a deadline, even in synchronous work.

    Raises:
        DeadlineExceeded: The time is over.
    """
    try:
        async with deadline_at(deadline):
            yield
    except TimeoutError:
        raise DeadlineExceeded(
            f"{subject} could not be packaged in the time of one invocation.",
            why="It holds too many objects, or too many bytes without a stored checksum.",
            remedy="Raise the function's memory, or upload with a SHA-256 checksum.",
        ) from None


def wait_for_files(missing: PackagerError, delivery: Delivery) -> int | None:
    """Decide whether a job waits for required files, and log the wait.

    Returns:
        The time until the next look, in seconds; None if the job ends.
    """
    request = delivery.request
    is_awaited = not isinstance(missing, Incomplete) or missing.is_awaited
    if request is None or not request.require or not is_awaited:
        return None
    seconds = pause_seconds(delivery.seconds, timeout_seconds=request.require_timeout_seconds)
    if seconds is not None:
        awaited = FilesAwaited(
            message_id=delivery.message_id,
            seconds=seconds,
            gives_up_seconds=round(max(0, request.require_timeout_seconds - delivery.seconds)),
            missing=missing.missing if isinstance(missing, Incomplete) else None,
            happened=missing.happened,
            execution=delivery.message_id,
            **origin_of(request),
        )
        log(awaited)
    return seconds


def as_failure(error: Exception) -> PackagerError:
    """Convert an unexpected error to an `InternalError`; other errors are returned as they are."""
    if isinstance(error, PackagerError):
        return error
    failure = InternalError(
        f"The packager crashed: {type(error).__name__}: {printable(str(error))}.",
        why="This is a defect of the packager, or a condition that it does not handle.",
        remedy="Retry once; if this recurs, report it with its stack trace from the log.",
    )
    failure.__cause__ = error
    return failure
