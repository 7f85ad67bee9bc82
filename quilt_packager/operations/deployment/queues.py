"""The queue of a deployed engine and its dead letters, counted without receiving a message.

To receive a message would hide it for a while, and count as an attempt.
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
"""How old what CloudWatch knows may be: it hears of an age each minute, and late."""


class Queues(msgspec.Struct, frozen=True, kw_only=True):
    """How full the queues are; SQS counts approximately.

    Attributes:
        waiting: How many messages wait for a free function.
        in_flight: How many are being worked on, or wait for their next attempt.
        delayed: How many were sent to be delivered later.
        oldest_seconds: How long the oldest message has been waiting; None if none does, or
            CloudWatch does not know, or may not be asked.
        dead_letters: How many messages led to nothing.
        oldest_dead_letter_seconds: How long the oldest of these has been there; likewise.
        dead_letter_retention_seconds: After how long SQS deletes one, counted from when its job
            was first sent.
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
        """Within what time SQS deletes the oldest dead letter; None if that is not known."""
        if self.oldest_dead_letter_seconds is None:
            return None
        return max(0.0, self.dead_letter_retention_seconds - self.oldest_dead_letter_seconds)


def read_queues(deployment: "Deployment", *, now: datetime | None = None) -> Queues:
    """Count what is in the queues of an engine.

    Args:
        deployment: The engine.
        now: The time.
    """
    jobs = _read_attributes(deployment, deployment.queue_url)
    letters = _read_attributes(deployment, deployment.dead_letter_queue_url)
    waiting = int(jobs["ApproximateNumberOfMessages"])
    # Those that somebody looks at right now are there, too.
    dead_letters = sum(int(letters[name]) for name in ATTRIBUTES[:2])
    # What CloudWatch last heard of a queue that is empty now would be wrong.
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
    """How old the oldest message of each queue is, where CloudWatch knows it."""
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
        # How many there are is worth knowing without their ages.
        if is_denied(error):
            return {}
        raise
    told = {each["Id"]: each for each in answer["MetricDataResults"]}
    ages = {}
    for number, url in enumerate(urls):
        found = told.get(f"m{number}", {})
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
