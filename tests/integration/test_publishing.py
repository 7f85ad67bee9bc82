"""The function against the embedded AWS, not of our making: its conditions, and its limits."""

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import boto3
import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.formats.objects import MAX_MESSAGE_BYTES
from quilt_packager_runtime.handlers import invocations, packager
from quilt_packager_runtime.registry.publish import (
    Message,
    Package,
    Pointer,
    Publication,
    Publisher,
    Revision,
)

from quilt_packager.local.ministack import MiniStack
from tests.job_log import JobLog
from tests.lambda_context import invocation

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

NAME = "runs/42"
POINTERS = f".quilt/named_packages/{NAME}/"


class Aws(NamedTuple):
    """An AWS account with an engine, as tests need it."""

    s3: "S3Client"
    bucket: str
    dead_letters: str
    log: JobLog

    def deliver(self, body: str) -> list[dict[str, str]]:
        event = {"Records": [{"messageId": "m", "body": body}]}
        failures: list[dict[str, str]] = packager.handler(event, invocation())["batchItemFailures"]
        return failures

    def pointers(self) -> dict[str, str]:
        listed = self.s3.list_objects_v2(Bucket=self.bucket, Prefix=POINTERS).get("Contents", [])
        keys = [each["Key"] for each in listed]
        return {
            key.removeprefix(POINTERS): self.s3.get_object(Bucket=self.bucket, Key=key)["Body"]
            .read()
            .decode()
            for key in keys
        }

    def dead_letter(self) -> dict[str, Any]:
        (found,) = boto3.client("sqs").receive_message(
            QueueUrl=self.dead_letters, MessageAttributeNames=["All"]
        )["Messages"]
        return dict(found)


@pytest.fixture
def engine(
    ministack: MiniStack, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Aws]:
    with ministack.as_only_aws():
        s3 = boto3.client("s3")
        bucket = f"bucket-{uuid.uuid4()}"
        s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket=bucket, Key="runs/42/a.txt", Body=b"hello")
        queue = boto3.client("sqs").create_queue(QueueName=f"queue-{uuid.uuid4()}")["QueueUrl"]
        monkeypatch.setenv("QUILT_PACKAGER_DEAD_LETTER_QUEUE_URL", queue)
        caches = (invocations.load_settings, invocations.connect, clients.connect)
        for cache in caches:
            cache.cache_clear()
        yield Aws(s3, bucket, queue, JobLog(capsys, monkeypatch))
        for cache in caches:
            cache.cache_clear()


def message(engine: Aws, folder: str = "runs/42/") -> str:
    return json.dumps({"source_prefix": f"s3://{engine.bucket}/{folder}"})


def test_a_folder_is_packaged_once(engine: Aws) -> None:
    assert engine.deliver(message(engine)) == []
    assert engine.deliver(message(engine)) == []
    created, unchanged = engine.log.read_ends()
    assert (created["outcome"], unchanged["outcome"]) == ("created", "unchanged")
    pointers = engine.pointers()
    assert len(pointers) == 2
    assert set(pointers.values()) == {created["top_hash"]}


async def test_a_job_that_read_latest_before_another_wrote_it_loses(
    engine: Aws, tmp_path: Path
) -> None:
    manifest = tmp_path / "manifest"
    manifest.write_text("{}")
    package = Package(engine.bucket, NAME)
    s3 = invocations.connect()

    async def run(top_hash: str) -> Publication:
        publisher = Publisher(s3, package, Message(0, top_hash))
        return await publisher.publish(Revision(top_hash, manifest, top_hash), Pointer())

    assert await run("a" * 64) is Publication.CREATED
    assert await run("b" * 64) is Publication.START_OVER
    pointers = engine.pointers()
    assert pointers.pop("latest") == "a" * 64
    assert sorted(pointers.values()) == ["a" * 64, "b" * 64]


def test_a_rejected_message_is_a_dead_letter_with_its_reason(engine: Aws) -> None:
    engine.s3.put_object(Bucket=engine.bucket, Key="runs/43/a\x01//b", Body=b"")
    assert engine.deliver(message(engine, "runs/43/")) == []
    letter = engine.dead_letter()
    attributes = letter["MessageAttributes"]
    assert letter["Body"] == message(engine, "runs/43/")
    assert attributes["code"]["StringValue"] == "InvalidKeys"
    assert r"a\x01//b" in attributes["reason"]["StringValue"]


def test_a_rejected_message_of_any_size_is_a_dead_letter(engine: Aws) -> None:
    body = "x" * (MAX_MESSAGE_BYTES - 100)
    assert engine.deliver(body) == []
    letter = engine.dead_letter()
    assert letter["Body"] == body
    assert letter["MessageAttributes"]["code"]["StringValue"] == "InvalidMessage"
