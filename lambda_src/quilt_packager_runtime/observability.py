"""What a job leaves behind for people and alarms: the lines of its story, and its metrics.

Handlers alone use it. Nothing here, nor anywhere, logs the values of metadata.
docs/reference/logs.md and metrics.md know each line, field and metric; a test sees to that.
"""

from typing import Any

import msgspec
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from quilt_packager_runtime.errors import Crashed, PackagerError, printable
from quilt_packager_runtime.objects import SourceFolder
from quilt_packager_runtime.outcomes import Outcome, Result
from quilt_packager_runtime.progress import Pace
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


def record_start(message_id: str, *, delivery: int, **context: object) -> None:
    """Log that a job begins.

    Args:
        message_id: The job's message.
        delivery: Which delivery of the message it is, from 1.
        context: More fields for the log line; those that are None are left out.
    """
    fields = {"message_id": message_id, "delivery": delivery, **context}
    logger.info("package started", extra=_known(fields))


def watch(message_id: str) -> Pace:
    """What logs how far a job is when it is told.

    Args:
        message_id: The job's message.
    """

    def tell(phase: str, done: int, total: int | None) -> None:
        fields = {"message_id": message_id, "phase": phase, "done": done, "total": total}
        logger.info("package progress", extra=_known(fields))

    return Pace(tell)


def record(
    outcome: Outcome,
    *,
    seconds: float,
    error: PackagerError | None = None,
    final: bool | None = None,
    **context: object,
) -> None:
    """Log how a job ended, and count it.

    Args:
        outcome: How it ended.
        seconds: How long it took.
        error: What ended it, if that was an error; of a crash, the stack is logged too.
        final: Whether nobody tries again; None for a success.
        context: More fields for the log line; those that are None are left out.
    """
    fields = msgspec.to_builtins(outcome) | _sentences(error) | context
    fields |= {"seconds": round(seconds, 3), "final": final}
    RESULT_LEVELS[outcome.outcome](
        f"package {outcome.outcome}",
        extra=_known(fields),
        exc_info=error.__cause__ if isinstance(error, Crashed) else None,
    )
    metrics.add_metric(RESULT_METRICS[outcome.outcome], MetricUnit.Count, 1)
    metrics.add_metric(Metric.SECONDS, MetricUnit.Seconds, seconds)
    if outcome.objects is not None and outcome.bytes is not None:
        metrics.add_metric(Metric.OBJECTS, MetricUnit.Count, outcome.objects)
        metrics.add_metric(Metric.BYTES, MetricUnit.Bytes, outcome.bytes)
    for metric, checksums in (
        (Metric.REUSED, outcome.reused),
        (Metric.STORED, outcome.stored),
        (Metric.COMPUTED, outcome.computed),
    ):
        if checksums is not None:
            metrics.add_metric(metric, MetricUnit.Count, checksums)
    metrics.flush_metrics()


def record_hand_over(
    message_id: str, *, shards: int, objects: int, execution: str, **context: object
) -> None:
    """Log that a job goes on under the state machine, and count it.

    Args:
        message_id: The job's message.
        shards: How many shards there are.
        objects: How many objects are in them.
        execution: The name of the state machine's execution.
        context: More fields for the log line; those that are None are left out.
    """
    fields = {
        "message_id": message_id,
        "shards": shards,
        "left": objects,
        "execution": execution,
        **context,
    }
    logger.info("package handed over", extra=_known(fields))
    metrics.add_metric(Metric.LARGE_JOBS, MetricUnit.Count, 1)
    metrics.flush_metrics()


def record_step_failure(message_id: str, error: PackagerError, **context: object) -> None:
    """Log that a step of a large job failed. How the job ends, somebody else will say.

    Args:
        message_id: The job's message.
        error: Why it failed; of a crash, the stack is logged too.
        context: More fields for the log line.
    """
    fields = {
        "message_id": message_id,
        "code": error.code,
        "reason": error.reason,
        **_sentences(error),
        **context,
    }
    logger.warning(
        "step failed",
        extra=_known(fields),
        exc_info=error.__cause__ if isinstance(error, Crashed) else None,
    )


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


def _sentences(error: PackagerError | None) -> dict[str, object]:
    if error is None:
        return {}
    return {"happened": error.happened, "why": error.why, "remedy": error.remedy}


def _known(fields: dict[str, Any]) -> dict[str, Any]:
    """What is known of the fields, in characters that cannot steer the terminal of who reads it."""
    return {name: _shown(value) for name, value in fields.items() if value is not None}


def _shown(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (list, tuple)):
        return [_shown(each) for each in value]
    return value
