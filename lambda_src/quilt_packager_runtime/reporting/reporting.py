"""Ends a job: publishes the outcome event, sends the notification, and logs the outcome.

Every handler ends its jobs here. Each outcome is published at least once, and each failed message
becomes one dead letter, because sending the letter is the last step: nothing after it can fail, and
bring the message back. If the event is refused, the next delivery publishes it; a refused
notification is only logged. docs/adr/0065-one-dead-letter.md has the orders of faults.
"""

import contextlib
from collections.abc import Iterator

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError, NotificationFailed, PackagerError, Rejected
from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, Outcome
from quilt_packager_runtime.reporting.log_events import Origin, OutcomeNotPublished
from quilt_packager_runtime.reporting.notifications import format_notification
from quilt_packager_runtime.reporting.outcome_events import OutcomeDetail, outcome_detail
from quilt_packager_runtime.reporting.telemetry import record_outcome, record_unpublished
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.requests.package_request import PackageRequest, UnresolvedRequest
from quilt_packager_runtime.settings import Settings


def prepare(settings: Settings) -> None:
    """Connect to EventBridge while the job waits for S3."""
    if settings.event_bus is not None:
        clients.prepare("events")


def report_success(delivery: Delivery, outcome: Outcome, settings: Settings) -> None:
    """Report a package that was created or found unchanged.

    At the last delivery, a message whose event is refused becomes a dead letter, so that a retry
    can publish it.

    Raises:
        NotificationFailed: The event could not be published; report the outcome again.
        AwsError: The message could not be moved.
    """
    with _failure_recorded(delivery):
        refused = _publish(delivery, outcome, settings)
        if outcome.foreign_top_hash is not None or outcome.conflicts is not None:
            _notify(delivery, outcome, settings)
        if refused is not None:
            _move(delivery, refused, settings)
            outcome = _outcome_of(delivery, refused)
    _record(delivery, outcome, error=refused)


def report_failure(delivery: Delivery, error: PackagerError, settings: Settings) -> bool:
    """Report a failed attempt, and move its message to the dead-letter queue if it was the last.

    Returns:
        True if the job has ended, False if it will be retried.

    Raises:
        NotificationFailed: The event could not be published, so the message was not moved.
        AwsError: The message could not be moved.
    """
    can_be_moved = settings.dead_letter_queue_url is not None
    is_end = delivery.is_last_attempt or (isinstance(error, Rejected) and can_be_moved)
    if is_end:
        with _failure_recorded(delivery):
            _publish(delivery, _outcome_of(delivery, error), settings)
            _move(delivery, error, settings)
    _record(delivery, _outcome_of(delivery, error), error=error, final=is_end)
    return is_end


def origin_of(request: UnresolvedRequest | PackageRequest | None) -> Origin:
    """Return the origin of a job, for the log."""
    if request is None:
        return {}
    return {
        "source": str(request.source),
        "sources": request.named_sources,
        "trigger": request.trigger.kind,
        "event_id": request.trigger.event_id,
        "event_source": request.trigger.event_source,
        "ignored_fields": request.ignored_fields or None,
    }


def _publish(delivery: Delivery, outcome: Outcome, settings: Settings) -> NotificationFailed | None:
    """Publish the event of an outcome.

    Returns:
        The refusal, if the message is not delivered again; None if the event was published.

    Raises:
        NotificationFailed: The next delivery has to publish it.
    """
    if settings.event_bus is None or delivery.is_announced:
        return None
    try:
        clients.put_event(
            settings.event_bus,
            source=EVENT_SOURCE,
            detail_type=DETAIL_TYPES[outcome.outcome],
            detail=msgspec.json.encode(_detail_of(delivery, outcome, settings)).decode(),
        )
    except AwsError as error:
        refused = NotificationFailed(error.happened, why=error.why, remedy=error.remedy)
        if delivery.will_be_redelivered or settings.dead_letter_queue_url is None:
            raise refused from error
        _record_unpublished(delivery, "event bus", error)
        return refused
    return None


def _move(delivery: Delivery, error: PackagerError, settings: Settings) -> None:
    """Send the notification of a failure, and the message to the dead-letter queue.

    In this order: if the function died after the letter, the next delivery would send another. The
    notification only informs, so its refusal ends no job.
    """
    outcome = _outcome_of(delivery, error)
    _notify(delivery, outcome, settings)
    if settings.dead_letter_queue_url is not None:
        clients.send_to_dead_letters(
            settings.dead_letter_queue_url,
            delivery.body,
            error,
            job_id=delivery.message_id,
            package_name=outcome.package_name,
            registry=outcome.registry,
        )


def _notify(delivery: Delivery, outcome: Outcome, settings: Settings) -> None:
    if settings.notifications_topic_arn is None or delivery.is_announced:
        return
    notification = format_notification(_detail_of(delivery, outcome, settings))
    try:
        clients.publish_notice(
            settings.notifications_topic_arn, notification.subject, notification.text
        )
    except AwsError as refused:
        _record_unpublished(delivery, "topic", refused)


def _detail_of(delivery: Delivery, outcome: Outcome, settings: Settings) -> OutcomeDetail:
    request = delivery.request
    return outcome_detail(
        outcome,
        engine=settings.engine or "",
        message_id=delivery.message_id,
        seconds=delivery.seconds,
        source=request.source if request else None,
        sources=request.named_sources if request else None,
        trigger=request.trigger if request else None,
        catalog_url=settings.catalog_url,
    )


def _record_unpublished(delivery: Delivery, destination: str, refused: AwsError) -> None:
    record_unpublished(
        OutcomeNotPublished(
            message_id=delivery.message_id, destination=destination, reason=refused.reason
        )
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
