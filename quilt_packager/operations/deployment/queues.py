"""Counts the messages in the queues of a deployed engine without receiving one.

Receiving would hide a message for a while, and count as an attempt.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec

from quilt_packager.operations.aws_errors import is_denied

if TYPE_CHECKING:
    from types_boto3_cloudwatch.type_defs import MetricDataQueryTypeDef
    from types_boto3_sqs.literals import QueueAttributeNameType

    from quilt_packager.operations.deployment.deployments import Deployment

ATTRIBUTES: Sequence["QueueAttributeNameType"] = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
    "MessageRetentionPeriod",
)

AGE_WINDOW = timedelta(minutes=15)
"""Period in which to look for a metric: SQS publishes one each minute, with a delay."""


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """Approximate numbers of messages.

    Attributes:
        waiting: Number of messages that wait for a function.
        in_flight: Number of messages that are processed or wait for their next attempt.
        delayed: Number of messages that were sent with a delay.
        oldest_seconds: Age of the oldest waiting message; None if there is none, or CloudWatch has
            no metric, or denies it.
        dead_letters: Number of messages in the dead-letter queue.
        oldest_dead_letter_seconds: Age of the oldest of these; None as above.
        dead_letter_retention_seconds: Retention period of the dead-letter queue, which counts from
            the time at which the message was first sent.
    """

    waiting: int
    in_flight: int
    delayed: int
    oldest_seconds: float | None
    dead_letters: int
    oldest_dead_letter_seconds: float | None
    dead_letter_retention_seconds: int

    @property
    def seconds_to_deletion(self) -> float | None:
        """The time until SQS deletes the oldest dead letter; None if its age is unknown."""
        if self.oldest_dead_letter_seconds is None:
            return None
        return max(0.0, self.dead_letter_retention_seconds - self.oldest_dead_letter_seconds)


def read_queues(deployment: "Deployment", *, now: datetime | None = None) -> Queues:
    """Count the messages in the queues of an engine."""
    jobs = _read_attributes(deployment, deployment.queue_url)
    letters = _read_attributes(deployment, deployment.dead_letter_queue_url)
    waiting = int(jobs["ApproximateNumberOfMessages"])
    # Messages in flight are being listed by a user, and stay there.
    dead_letters = sum(int(letters[name]) for name in ATTRIBUTES[:2])
    # The last metric of a queue that is empty now would be wrong.
    urls = [
        *([deployment.queue_url] if waiting else []),
        *([deployment.dead_letter_queue_url] if dead_letters else []),
    ]
    ages = _read_ages(deployment, urls, now or datetime.now(UTC))
    return Queues(
        waiting=waiting,
        in_flight=int(jobs["ApproximateNumberOfMessagesNotVisible"]),
        delayed=int(jobs["ApproximateNumberOfMessagesDelayed"]),
        oldest_seconds=ages.get(deployment.queue_url),
        dead_letters=dead_letters,
        oldest_dead_letter_seconds=ages.get(deployment.dead_letter_queue_url),
        dead_letter_retention_seconds=int(letters["MessageRetentionPeriod"]),
    )


def _read_attributes(
    deployment: "Deployment", queue_url: str
) -> "Mapping[QueueAttributeNameType, str]":
    answer = deployment.sqs.get_queue_attributes(
        QueueUrl=queue_url, AttributeNames=list(ATTRIBUTES)
    )
    return answer["Attributes"]


def _read_ages(deployment: "Deployment", urls: Sequence[str], now: datetime) -> dict[str, float]:
    """Read the age of the oldest message of each queue, where CloudWatch has a metric."""
    from botocore.exceptions import ClientError

    if not urls:
        return {}
    try:
        answer = deployment.cloudwatch.get_metric_data(
            StartTime=now - AGE_WINDOW,
            EndTime=now,
            MetricDataQueries=[_query(number, url) for number, url in enumerate(urls)],
        )
    except ClientError as error:
        # Numbers without ages are still useful.
        if is_denied(error):
            return {}
        raise
    results = {each["Id"]: each for each in answer["MetricDataResults"]}
    ages = {}
    for number, url in enumerate(urls):
        found = results.get(f"m{number}", {})
        points = list(zip(found.get("Timestamps", []), found.get("Values", []), strict=True))
        if points:
            _, ages[url] = max(points)
    return ages


def _query(number: int, queue_url: str) -> "MetricDataQueryTypeDef":
    name = queue_url.rpartition("/")[2]
    return {
        "Id": f"m{number}",
        "MetricStat": {
            "Metric": {
                "Namespace": "AWS/SQS",
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": name}],
            },
            "Period": 60,
            "Stat": "Maximum",
        },
    }
