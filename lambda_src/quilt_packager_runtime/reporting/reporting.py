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
from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, Outcome
from quilt_packager_runtime.reporting.log_events import Origin
from quilt_packager_runtime.reporting.notifications import format_notification
from quilt_packager_runtime.reporting.outcome_events import outcome_detail
from quilt_packager_runtime.reporting.telemetry import record_outcome
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.requests.package_request import PackageRequest, UnresolvedRequest
from quilt_packager_runtime.settings import Settings


def prepare(settings: Settings) -> None:
    """Connect to EventBridge while the job waits for S3."""
    if settings.event_bus is not None:
        clients.prepare("events")


def report_success(delivery: Delivery, outcome: Outcome, settings: Settings) -> None:
    """Report a package that was created or found unchanged.

    Raises:
        AwsError: The outcome could not be published; retry the job.
    """
    with _failure_recorded(delivery):
        _publish(delivery, outcome, settings)
    _record(delivery, outcome)


def report_failure(delivery: Delivery, error: PackagerError, settings: Settings) -> bool:
    """Report a failed attempt, and move its message to the dead-letter queue if it was the last.

    Returns:
        True if the job has ended, False if it will be retried.

    Raises:
        NotificationFailed: The message was moved, but the outcome could not be published.
        AwsError: The message could not be moved.
    """
    can_be_moved = settings.dead_letter_queue_url is not None
    is_end = delivery.is_last_attempt or (isinstance(error, Rejected) and can_be_moved)
    if is_end:
        with _failure_recorded(delivery):
            _fail_job(delivery, error, settings)
    _record(delivery, _outcome_of(delivery, error), error=error, final=is_end)
    return is_end


def origin_of(request: UnresolvedRequest | PackageRequest | None) -> Origin:
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


def _fail_job(delivery: Delivery, error: PackagerError, settings: Settings) -> None:
    outcome = _outcome_of(delivery, error)
    try:
        if settings.dead_letter_queue_url is not None:
            clients.send_to_dead_letters(
                settings.dead_letter_queue_url,
                delivery.body,
                error,
                job_id=delivery.message_id,
                package_name=outcome.package_name,
                registry=outcome.registry,
            )
    except AwsError:
        # Otherwise the delivery that moves the message publishes the outcome.
        if not delivery.will_be_redelivered:
            with contextlib.suppress(AwsError):
                _publish(delivery, outcome, settings)
        raise
    try:
        _publish(delivery, outcome, settings)
    except AwsError as failure:
        raise NotificationFailed(
            failure.happened, why=failure.why, remedy=failure.remedy
        ) from failure


def _publish(delivery: Delivery, outcome: Outcome, settings: Settings) -> None:
    request = delivery.request
    detail = outcome_detail(
        outcome,
        engine=settings.engine or "",
        message_id=delivery.message_id,
        seconds=delivery.seconds,
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
def _failure_recorded(delivery: Delivery) -> Iterator[None]:
    try:
        yield
    except AwsError as failure:
        outcome = _outcome_of(delivery, failure)
        _record(delivery, outcome, error=failure, final=not delivery.will_be_redelivered)
        raise


def _outcome_of(delivery: Delivery, error: PackagerError) -> Outcome:
    request = delivery.request
    return Outcome.from_error(
        error,
        package_name=request.package_name if request else None,
        registry=request.registry if request else None,
    )


def _record(
    delivery: Delivery, outcome: Outcome, *, error: PackagerError | None = None, final: bool = True
) -> None:
    record_outcome(
        outcome,
        message_id=delivery.message_id,
        seconds=delivery.seconds,
        error=error,
        final=final,
        **origin_of(delivery.request),
    )
