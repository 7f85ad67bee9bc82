"""Contents and metrics of queues of the embedded AWS."""

from datetime import UTC, datetime, timedelta

import boto3


def send(queue_url: str, count: int = 1, delay_seconds: int = 0) -> None:
    client = boto3.client("sqs")
    for _ in range(count):
        client.send_message(QueueUrl=queue_url, MessageBody="{}", DelaySeconds=delay_seconds)


def tell_age(queue_url: str, seconds: float, ago: timedelta = timedelta(minutes=1)) -> None:
    """Publish a metric of a queue as SQS does."""
    boto3.client("cloudwatch").put_metric_data(
        Namespace="AWS/SQS",
        MetricData=[
            {
                "MetricName": "ApproximateAgeOfOldestMessage",
                "Dimensions": [{"Name": "QueueName", "Value": queue_url.rpartition("/")[2]}],
                "Timestamp": datetime.now(UTC) - ago,
                "Value": seconds,
            }
        ],
    )
