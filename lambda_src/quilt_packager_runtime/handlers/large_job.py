"""What the state machine does when all shards are hashed, or when it gives up."""

import asyncio
from asyncio import sleep
from time import monotonic, time
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager_runtime.errors import NoSuchKey, NotificationFailed
from quilt_packager_runtime.handlers import invocations
from quilt_packager_runtime.large_jobs import hand_off
from quilt_packager_runtime.large_jobs.hand_off import (
    FAIL_JOB,
    MAX_ROUNDS,
    PUBLISHING,
    HandedOff,
    HandOff,
    JobMessage,
)
from quilt_packager_runtime.large_jobs.shards import Job
from quilt_packager_runtime.reporting.log_events import AnotherRoundStarted
from quilt_packager_runtime.reporting.reporting import (
    Attempt,
    prepare,
    report_failure,
    report_success,
)
from quilt_packager_runtime.reporting.telemetry import log, progress_logger, record_step_failure

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

FIRST_WAIT_SECONDS = 5
MAX_WAIT_SECONDS = 60
TRY_SECONDS = 30
"""What is left at least of an invocation when it tries to give a job up once more."""


class StateError(msgspec.Struct, frozen=True):
    """What a state machine says of a failure.

    Attributes:
        error: Its name.
        cause: Its cause.
    """

    error: str = msgspec.field(name="Error")
    cause: str = msgspec.field(name="Cause", default="")


class Step(msgspec.Struct, frozen=True):
    """What the state machine wants.

    Attributes:
        job_id: The job.
        round: The round of it that the map has just gone.
        error: Why to give up; None to publish.
        retry: How often the state machine has tried this step again.
        max_retries: How often it does so at most.
        keep_trying: Nobody invokes the function again if the job cannot be given up, or but twice,
            as Lambda does with events.
    """

    job_id: str
    round: int
    error: StateError | None = None
    retry: int = 0
    max_retries: int = 0
    keep_trying: bool = False


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, object]:
    """Publish a job, or give it up."""
    step = msgspec.convert(event, Step)
    prepare(invocations.load_settings())
    deadline = monotonic() + invocations.seconds_left(context)
    if step.error is None:
        return asyncio.run(publish(step, deadline))
    if step.keep_trying:
        return asyncio.run(fail_job_with_retries(step, step.error, deadline))
    return asyncio.run(
        fail_job(step, step.error, will_be_redelivered=step.retry < step.max_retries)
    )


async def publish(step: Step, deadline: float) -> dict[str, object]:
    """Run the job once more, with what the map found.

    Args:
        step: The job.
        deadline: When to give up, in seconds of the monotonic clock.

    Returns:
        What the state machine goes on with; `goes_on` tells whether the map has more to do.

    Raises:
        PackagerError: The state machine is to try again, unless it was rejected.
    """
    job = _job(step)
    next_round = msgspec.structs.replace(job, round=job.round + 1)
    is_last = next_round.round >= MAX_ROUNDS
    relay = HandOff(next_round, None if is_last else invocations.hand_over_time(deadline))
    try:
        message = await hand_off.read_message(invocations.connect(), job)
        outcome = await invocations.package_until(
            deadline, message.request, progress_logger(job.id), relay
        )
        report_success(_attempt(message), outcome, invocations.load_settings())
    except HandedOff as handed:
        more = AnotherRoundStarted(
            message_id=job.id,
            round=next_round.round,
            shards=handed.shards,
            left=handed.objects,
        )
        log(more)
        return {**next_round.to_input(), "goes_on": True}
    except Exception as error:
        failure = invocations.as_failure(error)
        record_step_failure(failure, message_id=job.id, step=PUBLISHING, round=job.round)
        await hand_off.record_failure(invocations.connect(), job, PUBLISHING, failure)
        if failure is error:
            raise
        raise failure from error
    return {**job.to_input(), "goes_on": False}


async def fail_job(step: Step, why: StateError, *, will_be_redelivered: bool) -> dict[str, object]:
    """Put the message of a job aside, with the reason.

    Args:
        step: The job.
        why: What the state machine says.
        will_be_redelivered: This is tried again if it fails; else it is told all the same.

    Returns:
        The error's code, and its reason.

    Raises:
        AwsError: Nobody could be told, or the message not be put aside; the state machine is to
            try again.
    """
    job = _job(step)
    message = await hand_off.read_message(invocations.connect(), job)
    failure = await hand_off.find_failure(
        invocations.connect(), job, code=why.error, cause=why.cause
    )
    attempt = _attempt(message, will_be_redelivered=will_be_redelivered)
    report_failure(attempt, failure, invocations.load_settings())
    return {"code": failure.code, "reason": failure.reason}


async def fail_job_with_retries(step: Step, why: StateError, deadline: float) -> dict[str, object]:
    """Put the message of a job aside, however often it takes, while there is time.

    Args:
        step: The job.
        why: Why nobody goes on with it.
        deadline: When the invocation should be over, in seconds of the monotonic clock.

    Returns:
        The error's code, and its reason.

    Raises:
        PackagerError: It could not be put aside, or nobody told of it, and more of the same would
            not help, or there is no more time.
    """
    wait_seconds: float = FIRST_WAIT_SECONDS
    while True:
        will_be_redelivered = monotonic() + wait_seconds + TRY_SECONDS <= deadline
        try:
            return await fail_job(step, why, will_be_redelivered=will_be_redelivered)
        except (NotificationFailed, NoSuchKey):
            # It is put aside, and would be again; or its message is not there, and never will be.
            raise
        except Exception as error:
            failure = invocations.as_failure(error)
            record_step_failure(failure, message_id=step.job_id, step=FAIL_JOB, round=step.round)
            if not will_be_redelivered:
                raise
        await sleep(wait_seconds)
        wait_seconds = min(2 * wait_seconds, MAX_WAIT_SECONDS)


def _job(step: Step) -> Job:
    return Job(invocations.load_settings().scratch_bucket or "", step.job_id, step.round)


def _attempt(message: JobMessage, *, will_be_redelivered: bool = True) -> Attempt:
    return Attempt(
        body=message.body,
        message_id=message.message_id,
        request=message.request,
        seconds=time() - message.started_seconds,
        # The state machine has tried its steps as often as it does.
        is_last=True,
        will_be_redelivered=will_be_redelivered,
    )
