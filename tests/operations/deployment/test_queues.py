"""Queues of a stack in the embedded AWS, and their metrics."""

import uuid
from collections.abc import Iterator
from datetime import timedelta

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.deployment.queues import Queues, read_queues
from tests.embedded_aws import CreateStack
from tests.operations.queue_contents import send, tell_age

RECEIVE = "before-call.sqs.ReceiveMessage"


def receive(queue_url: str) -> None:
    boto3.client("sqs").receive_message(QueueUrl=queue_url)


@pytest.fixture
def deployment(create_stack: CreateStack) -> Deployment:
    """An engine whose queues have no metrics."""
    name = f"lab-{uuid.uuid4().hex[:8]}"
    create_stack(name)
    return find_deployment(connect(), name)


@pytest.fixture(autouse=True)
def nothing_is_received(deployment: Deployment) -> Iterator[None]:
    def refuse(**_: object) -> None:
        raise AssertionError("a message was received")

    client = deployment.sqs
    client.meta.events.register(RECEIVE, refuse)
    yield
    client.meta.events.unregister(RECEIVE, refuse)


def test_empty_queues_have_no_oldest_message(deployment: Deployment) -> None:
    assert read_queues(deployment) == Queues(
        waiting=0,
        in_flight=0,
        delayed=0,
        oldest_seconds=None,
        dead_letters=0,
        oldest_dead_letter_seconds=None,
        dead_letter_retention_seconds=345_600,
    )


def test_counts_waiting_in_flight_and_delayed_messages(deployment: Deployment) -> None:
    send(deployment.queue_url, 3)
    send(deployment.queue_url, delay_seconds=60)
    receive(deployment.queue_url)
    found = read_queues(deployment)
    assert (found.waiting, found.in_flight, found.delayed) == (2, 1, 1)


def test_counts_dead_letters_also_while_somebody_looks_at_them(deployment: Deployment) -> None:
    send(deployment.dead_letter_queue_url, 2)
    receive(deployment.dead_letter_queue_url)
    assert read_queues(deployment).dead_letters == 2


def test_uses_the_latest_age_of_cloudwatch(deployment: Deployment) -> None:
    send(deployment.queue_url)
    tell_age(deployment.queue_url, 300, timedelta(minutes=5))
    tell_age(deployment.queue_url, 41)
    assert read_queues(deployment).oldest_seconds == 41


def test_an_age_without_a_metric_is_unknown(deployment: Deployment) -> None:
    send(deployment.queue_url)
    send(deployment.dead_letter_queue_url)
    found = read_queues(deployment)
    assert (found.oldest_seconds, found.oldest_dead_letter_seconds) == (None, None)
    assert found.seconds_to_deletion is None


def test_an_empty_queue_has_no_age_despite_an_old_metric(
    deployment: Deployment,
) -> None:
    tell_age(deployment.queue_url, 41)
    assert read_queues(deployment).oldest_seconds is None


def test_reports_the_time_until_the_oldest_dead_letter_is_deleted(deployment: Deployment) -> None:
    send(deployment.dead_letter_queue_url)
    tell_age(deployment.dead_letter_queue_url, 345_600 - 7200)
    assert read_queues(deployment).seconds_to_deletion == 7200


def test_without_access_to_cloudwatch_messages_have_no_ages(deployment: Deployment) -> None:
    send(deployment.queue_url)
    with Stubber(deployment.cloudwatch) as cloudwatch:
        cloudwatch.add_client_error("get_metric_data", "AccessDenied")
        cloudwatch.add_client_error("get_metric_data", "InternalFailure")
        found = read_queues(deployment)
        assert (found.waiting, found.oldest_seconds) == (1, None)
        with pytest.raises(ClientError, match="InternalFailure"):
            read_queues(deployment)
