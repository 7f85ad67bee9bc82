"""What the handlers share: what outlives an invocation, how long it lasts, what ends it early."""

import asyncio
import os
import time
from functools import cache
from typing import TYPE_CHECKING

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import DeadlineExceeded, InternalError, PackagerError, printable
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.large_jobs.hand_off import HandOff
from quilt_packager_runtime.packaging import OnProgress, package
from quilt_packager_runtime.requests.messages import PackageRequest
from quilt_packager_runtime.settings import Settings

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
    """S3, its connections kept for the invocations to come."""
    return S3.from_environment(os.environ, max_connections=load_settings().max_requests_in_flight)


def seconds_left(context: "LambdaContext") -> float:
    """How long an invocation may work on; below zero if there is no time for anything.

    Args:
        context: Lambda's, which knows when it ends.
    """
    left_seconds: float = context.get_remaining_time_in_millis() / 1000
    return left_seconds - DEADLINE_MARGIN_SECONDS


def hand_over_time(deadline: float) -> float:
    """When to hand over what is not done by then, in seconds of the running loop's clock.

    Args:
        deadline: When to give up, in seconds of the monotonic clock.
    """
    remaining_seconds = deadline - time.monotonic()
    kept_seconds = min(HAND_OVER_SECONDS, HAND_OVER_SHARE * remaining_seconds)
    return asyncio.get_running_loop().time() + remaining_seconds - kept_seconds


async def package_until(
    deadline: float,
    request: PackageRequest,
    on_progress: OnProgress,
    relay: HandOff | None = None,
) -> Outcome:
    """Package, and stop in time to say that there was too little of it.

    Args:
        deadline: When to give up, in seconds of the monotonic clock.
        request: What is wanted.
        on_progress: Told how far the job is.
        relay: How to hand over what is too much; None if nobody would take it up.

    Returns:
        The outcome.

    Raises:
        HandedOver: It goes on elsewhere.
        PackagerError: There is no package.
    """
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
    """What somebody raised, as one of our errors: what nobody foresaw is a defect.

    Args:
        error: What was raised.
    """
    if isinstance(error, PackagerError):
        return error
    crashed = InternalError(
        f"The packager crashed: {type(error).__name__}: {printable(str(error))}.",
        why="This is a defect, or something happened that it does not foresee.",
        remedy="The job is retried by itself; report it with its stack from the log.",
    )
    crashed.__cause__ = error
    return crashed
