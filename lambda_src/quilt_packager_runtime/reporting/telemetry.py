"""The log and the metrics of jobs.

Handlers call it directly or through `reporting`. `log_events` has the types of the log, and
docs/reference/metrics.md documents the metrics. Neither includes metadata values.
"""

import logging
from typing import Unpack

import msgspec
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from quilt_packager_runtime.errors import InternalError, PackagerError, printable
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.reporting.log_events import (
    AttemptEnded,
    LargeJobStarted,
    LogEvent,
    Origin,
    OutcomeNotPublished,
    PackageProgress,
    PrefixReady,
    StepFailed,
)
from quilt_packager_runtime.reporting.progress import ProgressThrottle
from quilt_packager_runtime.settings import METRICS_NAMESPACE, Metric

logger = Logger()
metrics = Metrics(namespace=METRICS_NAMESPACE)

MAX_LOGGED_CHARACTERS = 8192
"""Maximum length of a logged text. CloudWatch accepts 1 MiB for the whole line."""

WRITERS = {
    logging.INFO: logger.info,
    logging.WARNING: logger.warning,
    logging.ERROR: logger.error,
}
RESULT_METRICS = {
    Result.CREATED: Metric.PACKAGES_CREATED,
    Result.UNCHANGED: Metric.PACKAGES_UNCHANGED,
    Result.REJECTED: Metric.PACKAGES_REJECTED,
    Result.FAILED: Metric.PACKAGES_FAILED,
}


def log(event: LogEvent, *, crash: BaseException | None = None) -> None:
    """Log an event, with its texts cut, and escaped so that they cannot control a terminal.

    Args:
        event: The event.
        crash: An unforeseen exception, whose stack trace is logged with it.
    """
    fields = msgspec.to_builtins(event)
    message = fields.pop("message")
    escaped = {name: _escape(value) for name, value in fields.items()}
    WRITERS[event.level](message, extra=escaped, exc_info=crash)


def progress_logger(message_id: str) -> ProgressThrottle:
    """Return a function that logs the progress of a job."""

    def report(phase: str, done: int, total: int | None) -> None:
        log(PackageProgress(message_id=message_id, phase=phase, done=done, total=total))

    return ProgressThrottle(report)


def record_outcome(
    outcome: Outcome,
    *,
    message_id: str,
    seconds: float,
    error: PackagerError | None = None,
    final: bool = True,
    **origin: Unpack[Origin],
) -> None:
    """Log the end of an attempt, and send its metrics.

    Args:
        outcome: The outcome.
        message_id: The id of the job's message.
        seconds: Duration of the attempt.
        error: The error that ended the attempt, if any.
        final: No further attempt follows.
        origin: The origin of the job.
    """
    fields: dict[str, object] = {
        "message": f"package {outcome.outcome}",
        "message_id": message_id,
        "seconds": round(seconds, 3),
        **msgspec.structs.asdict(outcome),
        **origin,
    }
    if error is not None:
        fields |= {
            "happened": error.happened,
            "why": error.why,
            "remedy": error.remedy,
            "final": final,
        }
    known = {name: value for name, value in fields.items() if value is not None}
    log(msgspec.convert(known, type=AttemptEnded), crash=crash_of(error))
    _count(outcome, seconds)


def record_large_job(event: LargeJobStarted) -> None:
    """Log and count a job that continues in the state machine."""
    log(event)
    metrics.add_metric(Metric.LARGE_JOBS, MetricUnit.Count, 1)
    metrics.flush_metrics()


def record_step_failure(
    error: PackagerError,
    *,
    message_id: str,
    step: str,
    round: int,  # noqa: A002 - the name of the logged field
    shard: int | None = None,
) -> None:
    """Log the failure of a step of a large job. The job's outcome is recorded separately.

    Args:
        error: The error.
        message_id: The id of the job's message.
        step: `hash`, `publish` or `fail_job`.
        round: The round of the job.
        shard: The shard, if the step is `hash`.
    """
    event = StepFailed(
        message_id=message_id,
        step=step,
        round=round,
        shard=shard,
        code=error.code,
        reason=error.reason,
        happened=error.happened,
        why=error.why,
        remedy=error.remedy,
    )
    log(event, crash=crash_of(error))


def record_unpublished(event: OutcomeNotPublished) -> None:
    """Log and count an outcome that was not published. The metrics of the outcome follow."""
    log(event)
    metrics.add_metric(Metric.OUTCOMES_NOT_PUBLISHED, MetricUnit.Count, 1)


def count_promotion(*, promoted: int, copied: int) -> None:
    """Count a promotion that has succeeded, and its copies."""
    metrics.add_metric(Metric.REVISIONS_PROMOTED, MetricUnit.Count, promoted)
    metrics.add_metric(Metric.OBJECTS_COPIED, MetricUnit.Count, copied)
    metrics.flush_metrics()


def count_promotion_failure() -> None:
    """Count a promotion that has failed for the last time."""
    metrics.add_metric(Metric.PROMOTIONS_FAILED, MetricUnit.Count, 1)
    metrics.flush_metrics()


def record_ready_prefix(folder: SourceFolder, *, uploads: int) -> None:
    """Log and count a prefix whose uploads have stopped. `record_uploads` sends the metrics."""
    log(PrefixReady(source=str(folder), uploads=uploads))
    metrics.add_metric(Metric.PREFIXES_ANNOUNCED, MetricUnit.Count, 1)


def record_uploads(uploads: int) -> None:
    """Count the uploads of a batch, and send the batch's metrics in one record."""
    metrics.add_metric(Metric.UPLOADS, MetricUnit.Count, uploads)
    metrics.flush_metrics()


def record_audit(*, audited: int, damaged: int) -> None:
    """Count the packages that an invocation of the audit has checked."""
    metrics.add_metric(Metric.PACKAGES_AUDITED, MetricUnit.Count, audited)
    metrics.add_metric(Metric.PACKAGES_DAMAGED, MetricUnit.Count, damaged)
    metrics.flush_metrics()


def _count(outcome: Outcome, seconds: float) -> None:
    metrics.add_metric(RESULT_METRICS[outcome.outcome], MetricUnit.Count, 1)
    metrics.add_metric(Metric.SECONDS, MetricUnit.Seconds, seconds)
    if outcome.bytes is not None:
        metrics.add_metric(Metric.BYTES, MetricUnit.Bytes, outcome.bytes)
    counts = {
        Metric.OBJECTS: outcome.objects,
        Metric.REUSED: outcome.reused,
        Metric.STORED: outcome.stored,
        Metric.COMPUTED: outcome.computed,
    }
    for metric, count in counts.items():
        if count is not None:
            metrics.add_metric(metric, MetricUnit.Count, count)
    metrics.flush_metrics()


def crash_of(error: PackagerError | None) -> BaseException | None:
    """Return the unforeseen exception behind an error, if there is one."""
    return error.__cause__ if isinstance(error, InternalError) else None


def _escape(value: object) -> object:
    if isinstance(value, str):
        text = printable(value[: MAX_LOGGED_CHARACTERS + 1])
        return (
            text if len(text) <= MAX_LOGGED_CHARACTERS else text[: MAX_LOGGED_CHARACTERS - 1] + "…"
        )
    if isinstance(value, (list, tuple)):
        return [_escape(each) for each in value]
    if isinstance(value, dict):
        return {name: _escape(each) for name, each in value.items()}
    return value
