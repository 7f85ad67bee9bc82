"""Ends a job: publishes the outcome event, sends the notification, and logs the outcome.

Every handler ends its jobs here. Each outcome is published at least once: if publishing fails, the
attempt fails, and the retry finds the package unchanged and publishes that. A message is moved to
the dead-letter queue before its outcome is published: otherwise an unavailable event bus could lose
the message, or each retry would publish its outcome again.
"""

import contextlib
from collections.abc import Iterator

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError, NotificationFailed, PackagerError, Rejected
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, EVENT_SOURCE, Outcome
from quilt_packager_runtime.reporting.log_events import Origin
from quilt_packager_runtime.reporting.notifications import format_notification
from quilt_packager_runtime.reporting.outcome_events import outcome_detail
from quilt_packager_runtime.reporting.telemetry import record_outcome
from quilt_packager_runtime.requests.messages import PackageRequest
from quilt_packager_runtime.settings import Settings


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at the job of a message.

    Attributes:
        body: The message's body.
        message_id: The message's id.
        request: The request in the message; None if it could not be read.
        seconds: Duration of the job.
        is_last: No further attempt follows, whatever the error.
        will_be_redelivered: If reporting fails, the message is delivered again to report it.
    """

    body: str
    message_id: str
    request: PackageRequest | None
    seconds: float
    is_last: bool = False
    will_be_redelivered: bool = True


def prepare(settings: Settings) -> None:
    """Connect to EventBridge while the job waits for S3."""
    if settings.event_bus is not None:
        clients.prepare("events")


def report_success(attempt: Attempt, outcome: Outcome, settings: Settings) -> None:
    """Report a package that was created or found unchanged.

    Raises:
        AwsError: The outcome could not be published; retry the job.
    """
    with _failure_recorded(attempt):
        _publish(attempt, outcome, settings)
    _record(attempt, outcome)


def report_failure(attempt: Attempt, error: PackagerError, settings: Settings) -> bool:
    """Report a failed attempt, and move its message to the dead-letter queue if it was the last.

    Returns:
        True if the job has ended, False if it will be retried.

    Raises:
        NotificationFailed: The message was moved, but the outcome could not be published.
        AwsError: The message could not be moved.
    """
    can_be_moved = settings.dead_letter_queue_url is not None
    is_end = attempt.is_last or (isinstance(error, Rejected) and can_be_moved)
    if is_end:
        with _failure_recorded(attempt):
            _fail_job(attempt, error, settings)
    _record(attempt, _outcome_of(attempt, error), error=error, final=is_end)
    return is_end


def origin_of(request: PackageRequest | None) -> Origin:
    """Return the origin of a job, for the log."""
    if request is None:
        return {}
    return {
        "source": str(request.source),
        "trigger": request.trigger.kind,
        "event_id": request.trigger.event_id,
        "event_source": request.trigger.event_source,
        "ignored_fields": request.ignored_fields or None,
    }


def _fail_job(attempt: Attempt, error: PackagerError, settings: Settings) -> None:
    outcome = _outcome_of(attempt, error)
    try:
        if settings.dead_letter_queue_url is not None:
            clients.send_to_dead_letters(
                settings.dead_letter_queue_url,
                attempt.body,
                error,
                job_id=attempt.message_id,
                package_name=outcome.package_name,
                registry=outcome.registry,
            )
    except AwsError:
        # Otherwise the delivery that moves the message publishes the outcome.
        if not attempt.will_be_redelivered:
            with contextlib.suppress(AwsError):
                _publish(attempt, outcome, settings)
        raise
    try:
        _publish(attempt, outcome, settings)
    except AwsError as failure:
        raise NotificationFailed(
            failure.happened, why=failure.why, remedy=failure.remedy
        ) from failure


def _publish(attempt: Attempt, outcome: Outcome, settings: Settings) -> None:
    request = attempt.request
    detail = outcome_detail(
        outcome,
        engine=settings.engine or "",
        message_id=attempt.message_id,
        seconds=attempt.seconds,
        source=request.source if request else None,
        trigger=request.trigger if request else None,
        catalog_url=settings.catalog_url,
    )
    if settings.event_bus is not None:
        clients.put_event(
            settings.event_bus,
            source=EVENT_SOURCE,
            detail_type=DETAIL_TYPES[outcome.outcome],
            detail=msgspec.json.encode(detail).decode(),
        )
    if settings.notifications_topic_arn is not None and outcome.code is not None:
        notification = format_notification(detail)
        clients.publish_notice(
            settings.notifications_topic_arn, notification.subject, notification.text
        )


@contextlib.contextmanager
def _failure_recorded(attempt: Attempt) -> Iterator[None]:
    try:
        yield
    except AwsError as failure:
        outcome = _outcome_of(attempt, failure)
        _record(attempt, outcome, error=failure, final=not attempt.will_be_redelivered)
        raise


def _outcome_of(attempt: Attempt, error: PackagerError) -> Outcome:
    request = attempt.request
    return Outcome.from_error(
        error,
        package_name=request.known_package_name if request else None,
        registry=request.registry if request else None,
    )


def _record(
    attempt: Attempt, outcome: Outcome, *, error: PackagerError | None = None, final: bool = True
) -> None:
    record_outcome(
        outcome,
        message_id=attempt.message_id,
        seconds=attempt.seconds,
        error=error,
        final=final,
        **origin_of(attempt.request),
    )
