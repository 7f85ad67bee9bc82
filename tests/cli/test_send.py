"""`quilt-packager send`: what is sent where, and what is not."""

import json
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from quilt_packager.cli.send import region_of
from tests.cli.conftest import Cli

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/prod-PackagerQueue-1A"


class Sqs:
    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.region: str | None = None
        self.error: Exception | None = None

    def client(self, service: str, *, region_name: str | None) -> "Sqs":
        assert service == "sqs"
        self.region = region_name
        return self

    def send_message(self, **message: Any) -> dict[str, str]:
        if self.error:
            raise self.error
        self.sent.append(message)
        return {"MessageId": "51c0"}


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Sqs:
    sqs = Sqs()
    monkeypatch.setattr(boto3, "client", sqs.client)
    return sqs


def refusal(code: str) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "No."}}, "SendMessage")


def test_a_folder_is_sent_as_a_message(cli: Cli, sqs: Sqs) -> None:
    ran = cli("send", "s3://raw/runs/42/", "--queue-url", QUEUE)
    assert (ran.code, ran.out) == (0, "Sent to prod-PackagerQueue-1A, message 51c0\n")
    (message,) = sqs.sent
    assert message["QueueUrl"] == QUEUE
    assert json.loads(message["MessageBody"]) == {"source_prefix": "s3://raw/runs/42/"}


def test_the_json_of_a_message_is_sent_as_it_is(cli: Cli, sqs: Sqs) -> None:
    body = '{"source_prefix":  "s3://raw/runs/42/", "unknown": 1}'
    cli("send", body, "--queue-url", QUEUE)
    assert sqs.sent[0]["MessageBody"] == body


def test_the_region_is_that_of_the_queue(cli: Cli, sqs: Sqs) -> None:
    cli("send", "s3://raw/runs/42/", "--queue-url", QUEUE)
    assert sqs.region == "eu-west-1"


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://sqs.cn-north-1.amazonaws.com.cn/1/q", "cn-north-1"),
        ("http://127.0.0.1:4566/1/q", None),
        ("https://sqs.us-east-1.amazonaws.com.evil.example/1/q", None),
    ],
)
def test_only_a_queue_of_aws_names_its_region(url: str, region: str | None) -> None:
    assert region_of(url) == region


def test_an_invalid_message_is_not_sent(cli: Cli, sqs: Sqs) -> None:
    ran = cli("send", "{}", "--queue-url", QUEUE)
    assert (ran.code, sqs.sent) == (2, [])
    assert ran.out.startswith("⊘ rejected  InvalidMessage\n  happened   ")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (refusal("AWS.SimpleQueueService.NonExistentQueue"), 3),
        (refusal("ExpiredToken"), 4),
        (refusal("AccessDenied"), 4),
        (refusal("OverLimit"), 1),
        (EndpointConnectionError(endpoint_url=QUEUE), 4),
    ],
)
def test_an_error_of_sqs_has_its_exit_code(cli: Cli, sqs: Sqs, error: Exception, code: int) -> None:
    sqs.error = error
    ran = cli("send", "s3://raw/runs/42/", "--queue-url", QUEUE)
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("error: ")
