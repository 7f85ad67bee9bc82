"""The end of a job, whoever did it: others hear of it, people read of it, and it is recorded.

All handlers end their jobs here. Each end is told at least once: what could not be told fails the
job, which is then done again, finds its package unchanged, and is told again. A message is put
aside before anybody is told of it: a broken bus would lose it, and each retry tell of it anew.
"""

import contextlib

import msgspec

from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AwsError, NotificationFailed, PackagerError, Rejected
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, EVENT_SOURCE, Outcome
from quilt_packager_runtime.reporting.log_events import Origin
from quilt_packager_runtime.reporting.notifications import write_notice
from quilt_packager_runtime.reporting.outcome_events import describe
from quilt_packager_runtime.reporting.telemetry import record
from quilt_packager_runtime.requests.messages import PackageRequest
from quilt_packager_runtime.settings import Settings


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt at what a message asks for.

    Attributes:
        body: The message's body.
        message_id: Its id.
        request: What it comes to; None if it did not get that far.
        seconds: How long the job took.
        is_last: Nobody will attempt it again, whatever it may need.
        comes_back: What fails is given to us again, be it only to tell of it.
    """

    body: str
    message_id: str
    request: PackageRequest | None
    seconds: float
    is_last: bool = False
    will_be_redelivered: bool = True


def prepare(settings: Settings) -> None:
    """Get ready to tell of the end while the job waits for S3.

    Args:
        settings: Whom to tell.
    """
    if settings.event_bus is not None:
        clients.prepare("events")


def report_success(attempt: Attempt, outcome: Outcome, settings: Settings) -> None:
    """Tell of a package.

    Args:
        attempt: What was attempted.
        outcome: How it ended: `created` or `unchanged`.
        settings: Whom to tell.

    Raises:
        AwsError: Nobody could be told: the job is to be done again.
    """
    try:
        _announce(attempt, outcome, settings)
    except AwsError as untold:
        _record_failure(attempt, untold, final=not attempt.will_be_redelivered)
        raise
    _record(attempt, outcome)


def report_failure(attempt: Attempt, error: PackagerError, settings: Settings) -> bool:
    """Tell of a job that ended with an error, and put its message aside if that is its end.

    Args:
        attempt: What was attempted.
        error: What ended it.
        settings: Whom to tell, and where messages are put aside.

    Returns:
        Whether it was the end. If not, the job is to be done again.

    Raises:
        NotificationFailed: It was, and the message is put aside, but nobody could be told.
        AwsError: It was, but the message could not be put aside.
    """
    queue_url = settings.dead_letter_queue_url
    is_end = attempt.is_last or (isinstance(error, Rejected) and queue_url is not None)
    if is_end:
        try:
            _end(attempt, error, settings)
        except AwsError as untold:
            _record_failure(attempt, untold, final=not attempt.will_be_redelivered)
            raise
    _record_failure(attempt, error, final=is_end or not attempt.will_be_redelivered)
    return is_end


def origin_of(request: PackageRequest | None) -> Origin:
    """Where a job came from, for the log."""
    if request is None:
        return {}
    return {
        "source": str(request.source),
        "trigger": request.trigger.kind,
        "event_id": request.trigger.event_id,
        "event_source": request.trigger.event_source,
        "ignored_fields": request.ignored_fields or None,
    }


def _failed(attempt: Attempt, error: PackagerError) -> Outcome:
    request = attempt.request
    return Outcome.from_error(
        error,
        package_name=request.known_package_name if request else None,
        registry=request.registry if request else None,
    )


def _end(attempt: Attempt, error: PackagerError, settings: Settings) -> None:
    """Put the message aside, and tell of it, even if it cannot be put aside and does not return."""
    request = attempt.request
    try:
        if settings.dead_letter_queue_url is not None:
            clients.send_to_dead_letters(
                settings.dead_letter_queue_url,
                attempt.body,
                error,
                job_id=attempt.message_id,
                package_name=request.known_package_name if request else None,
                registry=request.registry if request else None,
            )
    except AwsError:
        if not attempt.will_be_redelivered:  # else it is told by the attempt that puts it aside
            with contextlib.suppress(AwsError):
                _announce(attempt, _failed(attempt, error), settings)
        raise
    try:
        _announce(attempt, _failed(attempt, error), settings)
    except AwsError as untold:
        raise NotificationFailed(untold.happened, why=untold.why, remedy=untold.remedy) from untold


def _announce(attempt: Attempt, outcome: Outcome, settings: Settings) -> None:
    request = attempt.request
    detail = describe(
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
        notice = write_notice(detail)
        clients.publish_notice(settings.notifications_topic_arn, notice.subject, notice.text)


def _record_failure(attempt: Attempt, error: PackagerError, *, final: bool) -> None:
    _record(attempt, _failed(attempt, error), error=error, final=final)


def _record(
    attempt: Attempt,
    outcome: Outcome,
    *,
    error: PackagerError | None = None,
    final: bool = True,
) -> None:
    record(
        outcome,
        seconds=attempt.seconds,
        error=error,
        final=final,
        message_id=attempt.message_id,
        **origin_of(attempt.request),
    )
