"""Uploads to a deployed engine: packages from uploads, and events for twenty thousand."""

import json
import os
import random
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.formats.outcome import Result

from quilt_packager.local.cdk import Cdk
from quilt_packager.local.engine import BUCKET, DeployedEngine
from quilt_packager.local.ministack import ACCOUNT, REGION, MiniStack

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("deployed"),
    pytest.mark.timeout(600),
]

FULL_PREFIXES, FULL_OBJECTS = 100, 120
"""Prefixes with as many objects as the threshold, and their objects."""

QUIET_PREFIXES, QUIET_OBJECTS = 100, 80
"""Prefixes with fewer objects, reported once they are quiet."""

BATCH = 500
DURATION_SECONDS = 20
WAIT_SECONDS = 90
FLAG = {"threshold_event_count": FULL_OBJECTS, "threshold_duration": DURATION_SECONDS}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedEngine]:
    directory = tmp_path_factory.mktemp("aws")
    with MiniStack(directory) as aws, aws.as_only_aws():
        cdk = Cdk(aws, directory, os.environ)
        deployed = DeployedEngine(aws, directory)
        cdk.bootstrap(on_line=lambda _line: None)
        deployed.create_prerequisites()
        deployed.deploy(cdk, on_line=lambda _line: None, flags={"quilt:uploads": json.dumps(FLAG)})
        yield deployed


class Announcements:
    """Events on the bus of uploads, received in a separate queue."""

    def __init__(self, bus: str) -> None:
        self._sqs = boto3.client("sqs")
        self._url = self._sqs.create_queue(QueueName="announcements")["QueueUrl"]
        events = boto3.client("events")
        events.put_rule(
            Name="receive",
            EventBusName=bus,
            EventPattern='{"detail-type": ["package-objects-ready"]}',
        )
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:announcements"
        events.put_targets(
            Rule="receive", EventBusName=bus, Targets=[{"Id": "receive", "Arn": arn}]
        )
        self.received: list[dict[str, Any]] = []

    def wait_for(self, count: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while len(self.received) < count and time.monotonic() < deadline:
            self.receive()

    def receive(self, seconds: int = 1) -> None:
        answer = self._sqs.receive_message(
            QueueUrl=self._url, MaxNumberOfMessages=10, WaitTimeSeconds=seconds
        )
        for message in answer.get("Messages", []):
            self._sqs.delete_message(QueueUrl=self._url, ReceiptHandle=message["ReceiptHandle"])
            self.received.append(json.loads(message["Body"]))


def test_uploaded_objects_become_a_package(engine: DeployedEngine) -> None:
    s3 = boto3.client("s3")
    for number in range(FULL_OBJECTS):
        s3.put_object(Bucket=BUCKET, Key=f"lab/plate 7#/well/{number}.csv", Body=b"1,2\n")
    (outcome,) = engine.wait_for_outcomes(["lab/plate-7-"], Result.CREATED)
    assert outcome.objects == FULL_OBJECTS


def test_uploads_end_the_wait_of_a_job_for_its_files(engine: DeployedEngine) -> None:
    message = {
        "source_prefix": f"s3://{BUCKET}/lab/awaited/",
        "metadata": {"study": "A"},
        "require": [{"files": [f"{FULL_OBJECTS - 1}.csv"]}],
    }
    engine.send_message(message)
    s3, states = boto3.client("s3"), boto3.client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    arn = machine["stateMachineArn"]
    deadline = time.monotonic() + WAIT_SECONDS
    while not states.list_executions(stateMachineArn=arn)["executions"]:
        assert time.monotonic() < deadline, "no job waits"
        time.sleep(0.02)
    for number in range(FULL_OBJECTS):
        s3.put_object(Bucket=BUCKET, Key=f"lab/awaited/{number}.csv", Body=b"1,2\n")
    (outcome,) = engine.wait_for_outcomes(["lab/awaited"], Result.CREATED)
    assert outcome.objects == FULL_OBJECTS
    key = f".quilt/packages/{outcome.top_hash}"
    manifest = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
    assert json.loads(manifest.splitlines()[0])["user_meta"] == {"study": "A"}


def test_twenty_thousand_uploads_are_announced_once_a_prefix(engine: DeployedEngine) -> None:
    bus = find_bus()
    # These folders do not exist, so the packager must not receive their events.
    for rule in boto3.client("events").list_rules(EventBusName=bus)["Rules"]:
        boto3.client("events").disable_rule(Name=rule["Name"], EventBusName=bus)
    announcements = Announcements(bus)
    uploads = make_events()
    assert len(uploads) == 20_000
    deliver(uploads)
    announcements.wait_for(FULL_PREFIXES + QUIET_PREFIXES)
    announcements.receive(DURATION_SECONDS // 4)
    counts = Counter(received["detail"]["prefix"] for received in announcements.received)
    assert counts == dict.fromkeys(prefixes(), 1)
    assert count_recorded() == len(uploads)
    for received in announcements.received:
        assert received["source"] == "quilt.packager.uploads"
        assert received["resources"] == [f"arn:aws:s3:::{BUCKET}"]
        assert received["detail"].keys() == {"version", "bucket", "prefix"}


def prefixes() -> list[str]:
    return [
        *(f"full/run-{number:03}/" for number in range(FULL_PREFIXES)),
        *(f"quiet/run-{number:03}/" for number in range(QUIET_PREFIXES)),
    ]


def make_events() -> list[str]:
    """Create events as from EventBridge: several prefixes at a time, in random order."""
    chance = random.Random(7)  # noqa: S311 - always the same
    objects = [FULL_OBJECTS] * FULL_PREFIXES + [QUIET_OBJECTS] * QUIET_PREFIXES
    works = list(zip(prefixes(), objects, strict=True))
    chance.shuffle(works)
    bodies = []
    for first in range(0, len(works), 4):
        some = [
            event(f"{prefix}sample-{number % 9}/{number}.fastq.gz", number)
            for prefix, count in works[first : first + 4]
            for number in range(count)
        ]
        chance.shuffle(some)
        bodies += some
    return bodies


def event(key: str, number: int) -> str:
    return json.dumps(
        {
            "version": "0",
            "id": f"{key}-event",
            "source": "aws.s3",
            "detail-type": "Object Created",
            "detail": {
                "bucket": {"name": BUCKET},
                "object": {"key": key, "size": 1, "sequencer": f"{number:016X}"},
                "reason": "PutObject",
            },
        }
    )


def deliver(bodies: list[str]) -> None:
    """Invoke the function with concurrent batches, some of them twice, as Lambda does.

    The poller of the embedded AWS has batches of ten messages at most; AWS's has up to a thousand.
    """
    function = find_function()
    client = boto3.client("lambda")
    batches = [bodies[first : first + BATCH] for first in range(0, len(bodies), BATCH)]

    def invoke(batch: list[str]) -> None:
        records = [{"messageId": str(n), "body": body} for n, body in enumerate(batch)]
        payload = json.dumps({"Records": records})
        answer = client.invoke(FunctionName=function, Payload=payload)
        assert json.loads(answer["Payload"].read()) == {"batchItemFailures": []}

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(invoke, batches + batches[::10]))


def count_recorded() -> int:
    """Return the number of reported uploads in the table."""
    (table,) = boto3.client("dynamodb").list_tables()["TableNames"]
    windows = boto3.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    items = [item for page in windows for item in page["Items"]]
    ours = [item for item in items if "run-" in item["window"]["S"]]
    for item in ours:
        # Repeated deliveries are already recorded as reported.
        assert set(item.get("uploads", {"BS": []})["BS"]) <= set(item["announced"]["BS"])
    return sum(len(item["announced"]["BS"]) for item in ours)


def find_function() -> str:
    functions = boto3.client("lambda").list_functions()["Functions"]
    (name,) = [each["FunctionName"] for each in functions if "Coalescer" in each["FunctionName"]]
    return str(name)


def find_bus() -> str:
    buses = boto3.client("events").list_event_buses()["EventBuses"]
    (name,) = [each["Name"] for each in buses if "Uploads" in each["Name"]]
    return str(name)
