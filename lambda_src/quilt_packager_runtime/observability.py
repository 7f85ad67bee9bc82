"""What a job leaves behind for people and alarms: one log line and its metrics.

Only handlers use it. Nothing here, nor anywhere, logs the values of metadata.
"""

import msgspec
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from quilt_packager_runtime.objects import SourceFolder
from quilt_packager_runtime.outcomes import Outcome, Result
from quilt_packager_runtime.settings import METRICS_NAMESPACE, Metric

logger = Logger()
metrics = Metrics(namespace=METRICS_NAMESPACE)

RESULT_LEVELS = {
    Result.CREATED: logger.info,
    Result.UNCHANGED: logger.info,
    Result.REJECTED: logger.warning,
    Result.FAILED: logger.error,
}
RESULT_METRICS = {
    Result.CREATED: Metric.PACKAGES_CREATED,
    Result.UNCHANGED: Metric.PACKAGES_UNCHANGED,
    Result.REJECTED: Metric.PACKAGES_REJECTED,
    Result.FAILED: Metric.PACKAGES_FAILED,
}


def record(
    outcome: Outcome, *, seconds: float, crash: BaseException | None = None, **context: object
) -> None:
    """Log how a job ended, and count it.

    Args:
        outcome: How it ended.
        seconds: How long it took.
        crash: What was raised that nobody foresaw; its stack is logged too.
        context: More fields for the log line; those that are None are left out.
    """
    fields = {
        name: value
        for name, value in (msgspec.to_builtins(outcome) | context).items()
        if value is not None
    }
    RESULT_LEVELS[outcome.outcome](
        f"package {outcome.outcome}",
        extra={**fields, "seconds": round(seconds, 3)},
        exc_info=crash,
    )
    metrics.add_metric(RESULT_METRICS[outcome.outcome], MetricUnit.Count, 1)
    metrics.add_metric(Metric.SECONDS, MetricUnit.Seconds, seconds)
    if outcome.objects is not None and outcome.bytes is not None:
        metrics.add_metric(Metric.OBJECTS, MetricUnit.Count, outcome.objects)
        metrics.add_metric(Metric.BYTES, MetricUnit.Bytes, outcome.bytes)
    metrics.flush_metrics()


def record_large_job(*, shards: int, objects: int, **context: object) -> None:
    """Log that a job goes on under the state machine, and count it.

    Args:
        shards: How many shards there are.
        objects: How many objects are in them.
        context: More fields for the log line; those that are None are left out.
    """
    fields = {name: value for name, value in context.items() if value is not None}
    logger.info("package handed over", extra={**fields, "shards": shards, "left": objects})
    metrics.add_metric(Metric.LARGE_JOBS, MetricUnit.Count, 1)
    metrics.flush_metrics()


def record_announcement(folder: SourceFolder, *, uploads: int) -> None:
    """Log that a prefix was announced, and count it; `record_uploads` sends what was counted.

    Args:
        folder: The prefix.
        uploads: How many uploads its window held.
    """
    logger.info("prefix announced", extra={"source": str(folder), "uploads": uploads})
    metrics.add_metric(Metric.PREFIXES_ANNOUNCED, MetricUnit.Count, 1)


def record_uploads(uploads: int) -> None:
    """Count what a batch was about: one record, however many prefixes there are.

    Args:
        uploads: How many uploads were recorded.
    """
    metrics.add_metric(Metric.UPLOADS, MetricUnit.Count, uploads)
    metrics.flush_metrics()
