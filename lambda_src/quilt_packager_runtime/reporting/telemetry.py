"""What a job leaves behind for people and alarms: the lines of its story, and its metrics.

Handlers use it, and `reporting` for them. Nothing here, nor anywhere, logs the values of metadata.
The lines are those of log_lines; docs/reference/metrics.md documents the metrics.
"""

import logging
from typing import Any, Unpack

import msgspec
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.metrics import MetricUnit

from quilt_packager_runtime.errors import InternalError, PackagerError, printable
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.reporting.log_events import (
    END_LINES,
    LargeJobStarted,
    Line,
    Origin,
    PackageProgress,
    PrefixReady,
    StepFailed,
)
from quilt_packager_runtime.reporting.progress import ProgressThrottle
from quilt_packager_runtime.settings import METRICS_NAMESPACE, Metric

logger = Logger()
metrics = Metrics(namespace=METRICS_NAMESPACE)

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


def log(line: Line, *, crash: BaseException | None = None) -> None:
    """Write a line, in characters that cannot steer the terminal of whoever reads it.

    Args:
        line: The line.
        crash: What was raised that nobody foresaw; its stack is written too.
    """
    fields = msgspec.to_builtins(line)
    message = fields.pop("message")
    shown = {name: _show(value) for name, value in fields.items()}
    WRITERS[line.level](message, extra=shown, exc_info=crash)


def progress_logger(message_id: str) -> ProgressThrottle:
    """What logs how far a job is when it is told.

    Args:
        message_id: The job's message.
    """

    def tell(phase: str, done: int, total: int | None) -> None:
        log(PackageProgress(message_id=message_id, phase=phase, done=done, total=total))

    return ProgressThrottle(tell)


def record(
    outcome: Outcome,
    *,
    message_id: str,
    seconds: float,
    error: PackagerError | None = None,
    final: bool = True,
    **origin: Unpack[Origin],
) -> None:
    """Log how a job ended, and count it.

    Args:
        outcome: How it ended.
        message_id: The job's message.
        seconds: How long it took.
        error: What ended it, if that was an error; of a crash, the stack is logged too.
        final: Whether nobody tries again what has failed.
        origin: Where the job came from.
    """
    known = {
        name: value for name, value in msgspec.structs.asdict(outcome).items() if value is not None
    }
    ended: dict[str, Any] = {"message_id": message_id, "seconds": round(seconds, 3), **origin}
    if error is not None:
        ended |= {**_sentences_of(error), "final": final}
    log(END_LINES[outcome.outcome](**known, **ended), crash=_crash_of(error))
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


def record_large_job(line: LargeJobStarted) -> None:
    """Log that a job goes on under the state machine, and count it.

    Args:
        line: What goes on, and where.
    """
    log(line)
    metrics.add_metric(Metric.LARGE_JOBS, MetricUnit.Count, 1)
    metrics.flush_metrics()


def record_step_failure(
    error: PackagerError,
    *,
    message_id: str,
    step: str,
    round: int,  # noqa: A002 - as the field is called
    shard: int | None = None,
) -> None:
    """Log that a step of a large job failed. How the job ends, somebody else will say.

    Args:
        error: Why it failed; of a crash, the stack is logged too.
        message_id: The job's message.
        step: Which step: `hash`, `publish` or `fail_job`.
        round: The round of the job.
        shard: The shard, of `hash`.
    """
    line = StepFailed(
        message_id=message_id,
        step=step,
        round=round,
        shard=shard,
        code=error.code,
        reason=error.reason,
        **_sentences_of(error),
    )
    log(line, crash=_crash_of(error))


def record_ready_prefix(folder: SourceFolder, *, uploads: int) -> None:
    """Log that a prefix was announced, and count it; `record_uploads` sends what was counted.

    Args:
        folder: The prefix.
        uploads: How many uploads its window held.
    """
    log(PrefixReady(source=str(folder), uploads=uploads))
    metrics.add_metric(Metric.PREFIXES_ANNOUNCED, MetricUnit.Count, 1)


def record_uploads(uploads: int) -> None:
    """Count what a batch was about: one record, however many prefixes there are.

    Args:
        uploads: How many uploads were recorded.
    """
    metrics.add_metric(Metric.UPLOADS, MetricUnit.Count, uploads)
    metrics.flush_metrics()


def _crash_of(error: PackagerError | None) -> BaseException | None:
    """What nobody foresaw, if that is what an error tells of."""
    return error.__cause__ if isinstance(error, InternalError) else None


def _sentences_of(error: PackagerError) -> dict[str, Any]:
    """What an error says, as fields of a line."""
    return {"happened": error.happened, "why": error.why, "remedy": error.remedy}


def _show(value: object) -> object:
    if isinstance(value, str):
        return printable(value)
    if isinstance(value, (list, tuple)):
        return [_show(each) for each in value]
    return value
