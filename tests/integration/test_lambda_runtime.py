"""The asset under AWS's own runtime interface client, in an environment as bare as Lambda's."""

import json
import os
import re
import stat
import subprocess
import sys
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager.bundling import BOTO_SERVICES, RUNTIME, Platform, build_asset
from tests.conftest import CREDENTIALS
from tests.integration import client_endpoints
from tests.integration.lambda_sandbox import LambdaFunction, ServiceStub, has_namespaces
from tests.s3_stub import Bucket, S3Stub, Versioning

pytestmark = [
    pytest.mark.xdist_group("lambda-runtime"),  # the asset is unpacked once
    pytest.mark.skipif(sys.platform != "linux", reason="Lambda runs on Linux"),
]

MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:jobs"
QUEUE_ARN = "arn:aws:sqs:us-east-1:123456789012:jobs"
DEAD_LETTERS = "https://sqs.us-east-1.amazonaws.com/123456789012/dead-letters"
MIB = 2**20
WORKFLOWS = """\
version: '1'
is_workflow_required: false
workflows: {slow: {name: Slow, handle_pattern: '/(a+)+$'}}
"""
CRATE = {
    "@context": "https://w3id.org/ro/crate/1.1/context",
    "@graph": [
        {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}},
        {"@id": "./", "@type": "Dataset", "name": "Run"},
    ],
}
DIGESTS = [b64encode(each).decode() for each in (b"1", b"2")]
WINDOW = {"uploads": {"BS": DIGESTS}, "quiet_at": {"N": "1"}}
ANSWERS = {
    "PutEvents": {"FailedEntryCount": 0, "Entries": [{"EventId": "1"}]},
    "SendMessageBatch": {"Successful": [], "Failed": []},
    "StartExecution": {"executionArn": f"{MACHINE}:1", "startDate": 0},
    "UpdateItem": {"Attributes": WINDOW},
    "GetItem": {"Item": WINDOW},
}


class Functions:
    """The functions of an engine; each starts when it is first needed.

    Attributes:
        raw: The source bucket.
        registry: The registry bucket.
        scratch: The scratch bucket.
        services: The services other than S3.
    """

    def __init__(
        self, s3_stub: S3Stub, services: ServiceStub, task: Path, folder: Path, stack: ExitStack
    ) -> None:
        self.raw = s3_stub.create_bucket("raw")
        self.registry = s3_stub.create_bucket("reg")
        self.scratch = s3_stub.create_bucket("scratch", versioning=Versioning.OFF)
        self.s3_stub = s3_stub
        self.services = services
        self._task = task
        self._folder = folder
        self._stack = stack

    def start(self, name: str, **settings: Any) -> LambdaFunction:
        engine = Settings(
            source_buckets=("raw",),
            registry_buckets=("reg",),
            default_registry="reg",
            scratch_bucket="scratch",
            state_machine_arn=MACHINE,
            dead_letter_queue_url=DEAD_LETTERS,
            max_attempts=3,
            event_bus="default",
            engine="lab",
            **settings,
        )
        uploads = UploadSettings(
            threshold_event_count=2,
            event_bus="announcements",
            table="windows",
            queue_url=DEAD_LETTERS.replace("dead-letters", "uploads"),
            dead_letter_queue_url=DEAD_LETTERS.replace("dead-letters", "unread"),
        )
        environment = {
            **CREDENTIALS,
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.services.url,
            "AWS_ENDPOINT_URL_S3": self.s3_stub.url,
            "POWERTOOLS_SERVICE_NAME": "lab",
            **engine.to_environment(),
            **uploads.to_environment(),
        }
        handler = f"quilt_packager_runtime.handlers.{name}.handler"
        function = LambdaFunction(self._task, handler, environment, self._folder / name)
        return self._stack.enter_context(function)

    def packages(self) -> list[str]:
        keys = self.registry.keys(".quilt/named_packages/")
        return [key.split("/")[3] for key in keys if key.endswith("/latest")]


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The asset, unpacked as Lambda does, read-only."""
    folder = tmp_path_factory.mktemp("asset") / "task"
    with zipfile.ZipFile(build_asset(Platform.host()).path) as asset:
        asset.extractall(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(stat.S_IMODE(path.stat().st_mode) & ~0o222)
    return folder


@pytest.fixture
def functions(s3_stub: S3Stub, task: Path, tmp_path: Path) -> Iterator[Functions]:
    with ServiceStub(ANSWERS) as services, ExitStack() as stack:
        yield Functions(s3_stub, services, task, tmp_path, stack)


def batch(*bodies: str) -> dict[str, Any]:
    """An event of SQS, in Lambda's shape."""
    records = [
        {
            "messageId": f"059f36b4-87a3-44ab-83d2-66197583{number:04}",
            "receiptHandle": "AQEBwJnKyrHigUMZj6rYigCgxlaS3SLy0a...",
            "body": body,
            "attributes": {
                "ApproximateReceiveCount": "1",
                "AWSTraceHeader": "Root=1-5bef4de7-ad49b0e87f6ef6c87fc2e700",
                "SentTimestamp": "1795900000000",
                "SenderId": "AIDAIENQZJOLO23YVJ4VO",
                "ApproximateFirstReceiveTimestamp": "1795900000012",
            },
            "messageAttributes": {},
            "md5OfBody": "e4e68fb7bd0e697a0ae8f1bb342846b3",
            "eventSource": "aws:sqs",
            "eventSourceARN": QUEUE_ARN,
            "awsRegion": "us-east-1",
        }
        for number, body in enumerate(bodies)
    ]
    return {"Records": records}


def fill(bucket: Bucket, folder: str) -> None:
    """Write objects that are looked up, read, and copied, and a crate."""
    bucket.put(f"{folder}stored", "stored", stored=["SHA256"])
    bucket.put(f"{folder}read", "read", stored=[])
    bucket.put(f"{folder}copied", os.urandom(9 * MIB), stored=[])
    bucket.put(f"{folder}ro-crate-metadata.json", json.dumps(CRATE))


def message(folder: str, **fields: str) -> str:
    return json.dumps({"source_prefix": f"s3://raw/{folder}", **fields})


def test_packager_moves_the_poison_message_of_a_batch_and_packages_the_others(
    functions: Functions,
) -> None:
    for number in range(9):
        fill(functions.raw, f"runs/{number}/")
    bodies = [
        message(f"runs/{number}/", metadata_uri="ro-crate-metadata.json") for number in range(9)
    ]
    packager = functions.start("packager")
    assert packager.invoke(batch(*bodies[:4], "poison", *bodies[4:])) == {"batchItemFailures": []}
    assert functions.packages() == [str(number) for number in range(9)]
    (letter,) = functions.services.asked_for("SendMessage")
    assert (letter["QueueUrl"], letter["MessageBody"]) == (DEAD_LETTERS, "poison")
    kinds = [
        entry["DetailType"]
        for asked in functions.services.asked_for("PutEvents")
        for entry in asked["Entries"]
    ]
    assert sorted(set(kinds)) == ["Package Created", "Package Rejected"]
    assert list(packager.tmp.iterdir()) == []


def test_limits_of_time_interrupt_the_handler(functions: Functions) -> None:
    functions.registry.put(".quilt/workflows/config.yml", WORKFLOWS)
    fill(functions.raw, "runs/1/")
    packager = functions.start("packager")
    slow = message("runs/1/", package_name=f"lab/{'a' * 60}b", workflow="slow")
    assert packager.invoke(batch(slow)) == {"batchItemFailures": []}
    (letter,) = functions.services.asked_for("SendMessage")
    assert letter["MessageAttributes"]["code"]["StringValue"] == "InvalidWorkflowConfig"
    functions.s3_stub.on("ListObjectVersions", times=None).delay(30)
    event = batch(message("runs/1/"))
    failed = packager.invoke(event, remaining_seconds=11)["batchItemFailures"]
    assert failed == [{"itemIdentifier": event["Records"][0]["messageId"]}]
    assert "DeadlineExceeded" in packager.log.read_text()
    assert list(packager.tmp.iterdir()) == []


def test_large_job_passes_through_its_functions(functions: Functions) -> None:
    fill(functions.raw, "runs/1/")
    started = [
        functions.start("packager", max_inline_objects=1),
        functions.start("checksum"),
        functions.start("large_job"),
    ]
    packager, checksum, large_job = started
    assert packager.invoke(batch(message("runs/1/"))) == {"batchItemFailures": []}
    (execution,) = functions.services.asked_for("StartExecution")
    job = json.loads(execution["input"])
    items = functions.scratch.get(job["items_key"])
    assert items
    for line in items.data.splitlines():
        assert checksum.invoke(json.loads(line)) is None
    assert large_job.invoke({"job_id": job["job_id"], "round": job["round"]})["goes_on"] is False
    assert functions.packages() == ["1"]
    assert [list(each.tmp.iterdir()) for each in started] == [[], [], []]


def test_coalescer_announces_the_uploads_of_a_batch(functions: Functions) -> None:
    uploads = [
        json.dumps(
            {
                "source": "aws.s3",
                "detail-type": "Object Created",
                "detail": {
                    "bucket": {"name": "raw"},
                    "object": {"key": f"runs/1/{number}", "sequencer": f"{number:02X}"},
                },
            }
        )
        for number in range(2)
    ]
    coalescer = functions.start("coalescer")
    assert coalescer.invoke(batch(uploads[0], "poison", uploads[1])) == {"batchItemFailures": []}
    (announced,) = functions.services.asked_for("PutEvents")
    assert json.loads(announced["Entries"][0]["Detail"])["prefix"] == "runs/1/"
    (letter,) = functions.services.asked_for("SendMessage")
    assert letter["MessageBody"] == "poison"
    assert list(coalescer.tmp.iterdir()) == []


def test_asset_has_the_models_of_the_clients_that_the_runtime_creates() -> None:
    source = "".join(path.read_text("utf-8") for path in RUNTIME.rglob("*.py"))
    created = r'\b(?:connect|create_client|prepare)\((?:session, )?"(\w+)"'
    assert set(re.findall(created, source)) == BOTO_SERVICES


def test_clients_of_the_asset_have_the_endpoints_of_the_whole_botocore(
    task: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    services = sorted(BOTO_SERVICES)
    printed = subprocess.run(
        [sys.executable, "-S", client_endpoints.__file__, *services],
        env={**os.environ, "PYTHONPATH": str(task), "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        check=True,
    ).stdout
    assert json.loads(printed) == client_endpoints.endpoints(services)


@pytest.mark.skipif(not has_namespaces(), reason="no user may make a namespace here")
def test_sandbox_is_as_bare_as_lambda(tmp_path: Path) -> None:
    probe = tmp_path / "task"
    probe.mkdir()
    (probe / "probe.py").write_text(PROBE, "utf-8")
    with LambdaFunction(probe, "probe.handler", {}, tmp_path / "probe") as function:
        assert function.invoke({}) == {
            "boto3": False,
            "home": None,
            "open_files": 1024,
            "read_only": ["/", "/mnt/task"],
            "semaphores": False,
            "tmp": [],
        }


PROBE = """\
import importlib.util, multiprocessing, os, resource

def is_read_only(folder):
    return bool(os.statvfs(folder).f_flag & os.ST_RDONLY)

def has_semaphores():
    try:
        multiprocessing.Lock()
    except OSError:
        return False
    return True

def handler(event, context):
    return {
        "boto3": importlib.util.find_spec("boto3") is not None,
        "home": os.environ.get("HOME"),
        "open_files": resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        "read_only": [each for each in ("/", os.getcwd(), "/tmp") if is_read_only(each)],
        "semaphores": has_semaphores(),
        "tmp": os.listdir("/tmp"),
    }
"""
