"""The steps of a large job beside hashing: publish the package, or fail the job."""

import asyncio
from asyncio import sleep
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from quilt_packager_runtime.errors import EmptySource, Incomplete, NoSuchKey
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.handlers import invocations
from quilt_packager_runtime.handlers.invocations import StateError
from quilt_packager_runtime.large_jobs import hand_off
from quilt_packager_runtime.large_jobs.batch_checksums import pause_seconds, read_checksums
from quilt_packager_runtime.large_jobs.hand_off import (
    FAIL_JOB,
    MAX_ROUNDS,
    PUBLISH,
    HandedOff,
    HandOff,
)
from quilt_packager_runtime.large_jobs.shards import JobFiles
from quilt_packager_runtime.large_jobs.waiting_jobs import note_wait
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.reporting.log_events import AnotherRoundStarted, ChecksumsAwaited
from quilt_packager_runtime.reporting.reporting import prepare, report_failure, report_success
from quilt_packager_runtime.reporting.telemetry import log, progress_logger, record_step_failure
from quilt_packager_runtime.requests.delivery import Delivery

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

FIRST_WAIT_SECONDS = 5
MAX_WAIT_SECONDS = 60
TRY_SECONDS = 30
"""Minimum time that is left of an invocation when it retries to fail a job."""


class Step(msgspec.Struct, frozen=True):
    """The input of the function.

    Attributes:
        job_id: The job.
        round: The round that the map has finished.
        error: The reason to fail the job; None to publish it.
        retry: Number of retries of this step so far.
        max_retries: Maximum number of retries of this step.
        keep_trying: Retry within the invocation to fail the job: the execution has ended, and
            Lambda invokes the function of an event only twice more.
    """

    job_id: str
    round: int
    error: StateError | None = None
    retry: int = 0
    max_retries: int = 0
    keep_trying: bool = False


def handler(event: dict[str, Any], context: "LambdaContext") -> dict[str, object]:
    """Publish the package of a large job, or fail the job."""
    step = msgspec.convert(event, Step)
    deadline = invocations.deadline_of(context)
    settings = invocations.load_settings()
    prepare(settings)
    files = JobFiles(settings.scratch_bucket or "", step.job_id, step.round)
    if step.error is None:
        return asyncio.run(publish(files, deadline))
    if step.keep_trying:
        return asyncio.run(fail_job_with_retries(files, step.error, deadline))
    return asyncio.run(
        fail_job(files, step.error, will_be_redelivered=step.retry < step.max_retries)
    )


async def publish(files: JobFiles, deadline: float) -> dict[str, object]:
    """Run the job again, with the results of the map.

    Args:
        files: The files of the job.
        deadline: The time to stop, in seconds of `time.monotonic()`.

    Returns:
        The input of the next step; `goes_on` is true if the map has more to do, or files or
        checksums are missing.

    Raises:
        PackagerError: The state machine retries the step, unless the job was rejected.
    """
    settings, s3 = invocations.load_settings(), invocations.connect()
    following = files.next_round()
    is_last = following.round >= MAX_ROUNDS
    permission = HandOff(following, None if is_last else invocations.hand_off_time(deadline))
    try:
        delivery = await hand_off.read_message(s3, files)
        end = await hand_off.read_end(s3, files)
        outcome = end.outcome if end else None
        if outcome is None:
            made = await _package_or_wait(files, delivery, permission, deadline)
            if isinstance(made, int):
                return {**files.to_input(wait_seconds=made), "goes_on": True}
            outcome = made
        async with hand_off.kept_if_unreported(s3, files, outcome):
            report_success(delivery, outcome, settings)
    except HandedOff as handed_off:
        another = AnotherRoundStarted(
            message_id=files.job_id,
            round=following.round,
            shards=handed_off.shards,
            left=handed_off.objects,
        )
        log(another)
        return {**following.to_input(wait_seconds=handed_off.wait_seconds), "goes_on": True}
    except Exception as error:  # noqa: BLE001 - raised again
        failure = invocations.as_failure(error)
        record_step_failure(failure, message_id=files.job_id, step=PUBLISH, round=files.round)
        await hand_off.write_failure(s3, files, PUBLISH, failure)
        raise failure from failure.__cause__
    return {**files.to_input(), "goes_on": False}


async def _package_or_wait(
    files: JobFiles, delivery: Delivery, permission: HandOff, deadline: float
) -> Outcome | int:
    """Run the job; return its outcome, or the time to wait for checksums or files."""
    settings, s3 = invocations.load_settings(), invocations.connect()
    request, role_arn = delivery.complete_request, settings.batch_role_arn
    async with invocations.until(deadline, request.source):
        if role_arn is not None and not await read_checksums(s3, files, role_arn):
            pause = pause_seconds(delivery.seconds)
            log(ChecksumsAwaited(message_id=files.job_id, seconds=pause, execution=files.job_id))
            return pause
        try:
            return await package(
                request,
                settings=settings,
                s3=s3,
                on_progress=progress_logger(files.job_id),
                hand_off=permission,
                delivery=delivery,
            )
        except (EmptySource, Incomplete) as missing:
            wait_seconds = invocations.wait_for_files(missing, delivery)
            if wait_seconds is None:
                raise
            await note_wait(s3, files, request, wait_seconds=wait_seconds)
            return wait_seconds


async def fail_job(
    files: JobFiles, reason: StateError, *, will_be_redelivered: bool
) -> dict[str, object]:
    """Report the failure of a job, and move its message to the dead-letter queue.

    Args:
        files: The files of the job.
        reason: The error that the state machine reports.
        will_be_redelivered: The step is retried if it fails. If not, the message is moved although
            the outcome could not be published.

    Returns:
        The error's code and reason.

    Raises:
        AwsError: The outcome could not be published, or the message not be moved.
    """
    s3 = invocations.connect()
    delivery = await hand_off.read_message(s3, files)
    failure = await hand_off.find_failure(s3, files, code=reason.error, cause=reason.cause)
    delivery.is_last_attempt = True  # the state machine has retried its steps
    delivery.will_be_redelivered = will_be_redelivered
    end = await hand_off.read_end(s3, files)
    if end and end.outcome:  # the package is published, and only its event was refused
        report_success(delivery, end.outcome, invocations.load_settings())
    else:
        delivery.is_announced = end is not None and end.is_announced
        async with hand_off.kept_if_unreported(s3, files, failure):
            report_failure(delivery, failure, invocations.load_settings())
    return {"code": failure.code, "reason": failure.reason}


async def fail_job_with_retries(
    files: JobFiles, reason: StateError, deadline: float
) -> dict[str, object]:
    """Fail a job as `fail_job` does, and retry while there is time.

    Raises:
        PackagerError: A retry cannot help, or there is no more time.
    """
    wait_seconds: float = FIRST_WAIT_SECONDS
    while True:
        will_be_redelivered = monotonic() + wait_seconds + TRY_SECONDS <= deadline
        try:
            return await fail_job(files, reason, will_be_redelivered=will_be_redelivered)
        except NoSuchKey:  # there is no message
            raise
        except Exception as error:
            failure = invocations.as_failure(error)
            record_step_failure(failure, message_id=files.job_id, step=FAIL_JOB, round=files.round)
            if not will_be_redelivered:
                raise
        await sleep(wait_seconds)
        wait_seconds = min(2 * wait_seconds, MAX_WAIT_SECONDS)
