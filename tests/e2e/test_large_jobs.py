"""Jobs that are too large for one invocation, under the state machine of a deployed engine.

Workers are killed. The revision is identical to that of a single invocation. The engine also
waits for folders to settle: the events of one folder lead to one revision.
"""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.formats.outcome import DETAIL_TYPES, Outcome, Result
from quilt_packager_runtime.reporting.outcome_events import outcome_pattern
from quilt_packager_runtime.requests.events import CRATE_NAME

from quilt_packager.local.cdk import Cdk
from quilt_packager.local.engine import BUCKET, DeployedEngine, LoggedOutcome
from quilt_packager.local.ministack import ACCOUNT, REGION, MiniStack
from tests.other_writers import README, add, edit
from tests.package_requests import package_request, request_of
from tests.running import group_members

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.xdist_group("deployed"),
    pytest.mark.timeout(600),
    pytest.mark.skipif(sys.platform != "linux", reason="finds workers in /proc"),
]

OBJECTS = 2000
MAX_INLINE_OBJECTS = 100
SHARD_OBJECTS = 250
SHARD_MEBIBYTES = 8
MEBIBYTE = 1024 * 1024
WAIT_SECONDS = 180
JOBS = 12
SETTLE_SECONDS = 4


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedEngine]:
    """An engine with low limits, so that a few thousand objects are a large job."""
    directory = tmp_path_factory.mktemp("aws")
    with MiniStack(directory) as aws, aws.as_only_aws():
        cdk = Cdk(aws, directory, os.environ)
        deployed = DeployedEngine(aws, directory)
        cdk.bootstrap(on_line=lambda _line: None)
        deployed.create_prerequisites()
        deployed.deploy(
            cdk,
            on_line=lambda _line: None,
            flags={
                "quilt:max_inline_objects": str(MAX_INLINE_OBJECTS),
                "quilt:max_shard_objects": str(SHARD_OBJECTS),
                "quilt:max_shard_size": str(SHARD_MEBIBYTES),
                "quilt:checksum_concurrency": "3",
                "quilt:source_options": json.dumps({"wrroc": {"settle_seconds": SETTLE_SECONDS}}),
            },
        )
        yield deployed


async def fill(folder: str, objects: int) -> None:
    """Upload small objects with stored checksums."""
    s3 = S3.from_environment()

    async def put(number: int) -> None:
        key = f"{folder}well-{number:04}/scan-{number % 7}.csv"
        await s3.put_object(S3Uri(BUCKET, key), f"{number},{number * number}\n".encode())

    await for_each(range(objects), put, at_once=32)


def put_without_checksum(key: str, body: bytes, **options: Any) -> None:
    config = Config(request_checksum_calculation="when_required")
    boto3.client("s3", config=config).put_object(Bucket=BUCKET, Key=key, Body=body, **options)


def package_inline(message: Mapping[str, Any]) -> Outcome:

    async def run() -> Outcome:
        return await package_request(S3.from_environment(), request_of(message))

    return asyncio.run(run())


def count_results() -> int:
    s3 = boto3.client("s3")
    (scratch,) = [
        bucket["Name"] for bucket in s3.list_buckets()["Buckets"] if "scratch" in bucket["Name"]
    ]
    found = s3.list_objects_v2(Bucket=scratch, Prefix="jobs/").get("Contents", [])
    return sum("/results/" in each["Key"] for each in found)


def kill_workers(engine: DeployedEngine, function: str) -> int:
    """Kill the processes that run a function, and return their number."""
    workers = [
        member
        for member in group_members(engine.aws.process_id)
        if function.encode() in read_environment(member)
    ]
    for worker in workers:
        os.kill(worker, signal.SIGKILL)
    return len(workers)


def read_environment(process_id: int) -> bytes:
    try:
        return Path(f"/proc/{process_id}/environ").read_bytes()
    except (FileNotFoundError, ProcessLookupError):  # it ended meanwhile
        return b""


def wait_for_results(count: int) -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while count_results() < count:
        assert time.monotonic() < deadline, "no worker has found anything"
        time.sleep(0.05)


def stop_the_running_execution() -> None:
    execution = wait_for_a_running_execution()
    boto3.client("stepfunctions").stop_execution(executionArn=execution)


def wait_for_a_running_execution() -> str:
    """Return its ARN."""
    states = boto3.client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    deadline = time.monotonic() + WAIT_SECONDS
    while not (
        running := states.list_executions(
            stateMachineArn=machine["stateMachineArn"], statusFilter="RUNNING"
        )["executions"]
    ):
        assert time.monotonic() < deadline, "no execution has begun"
        time.sleep(0.02)
    return str(running[0]["executionArn"])


def worker_errors() -> list[str]:
    """Return the errors of all workers of the only execution."""
    states = boto3.client("stepfunctions")
    (machine,) = states.list_state_machines()["stateMachines"]
    (job,) = states.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]
    (run,) = states.list_map_runs(executionArn=job["executionArn"])["mapRuns"]
    return [
        event["taskFailedEventDetails"]["cause"]
        for item in states.list_executions(mapRunArn=run["mapRunArn"])["executions"]
        for event in states.get_execution_history(executionArn=item["executionArn"])["events"]
        if event["type"] == "TaskFailed"
    ]


def test_large_job_with_a_killed_worker_has_the_revision_of_an_inline_job(
    engine: DeployedEngine,
) -> None:
    asyncio.run(fill("plates/42/", OBJECTS))
    body = b"".join(bytes([number]) * MEBIBYTE for number in range(18))
    put_without_checksum("plates/42/shared by workers.tiff", body)
    put_without_checksum("controls/42/blank.csv", b"0,0\n")
    sources = [
        {"prefix": f"s3://{BUCKET}/plates/42/"},
        {"prefix": f"s3://{BUCKET}/controls/42/", "into": "controls/"},
    ]
    message = {"sources": sources}
    engine.send_message(message)
    wait_for_results(1)
    assert kill_workers(engine, "ChecksumFunction")
    (outcome,) = engine.wait_for_outcomes(["plates/42"], Result.CREATED)

    boto3.client("s3").create_bucket(Bucket="inline")
    inline = package_inline({**message, "registry": "inline"})
    errors = worker_errors()
    assert errors
    # MiniStack reports a dead worker in two ways: while it waits for a response, and while it
    # sends the next shard.
    assert all("died" in error or "Broken pipe" in error for error in errors), errors
    assert outcome.top_hash == inline.top_hash
    assert outcome.objects == OBJECTS + 2
    assert (outcome.stored, outcome.computed) == (inline.stored, inline.computed) == (OBJECTS, 2)


def ends_of(engine: DeployedEngine, names: Collection[str]) -> dict[str, str]:
    """Return the top hash of each package that was created or found unchanged."""
    return {
        each.package_name: each.top_hash
        for each in engine._outcomes()
        if each.package_name and each.package_name in names and each.top_hash
    }


def wait_for_ends(engine: DeployedEngine, names: Collection[str], count: int) -> dict[str, str]:
    deadline = time.monotonic() + WAIT_SECONDS
    while len(found := ends_of(engine, names)) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    return found


@pytest.fixture
def short_visibility(engine: DeployedEngine) -> Iterator[None]:
    """Redeliver the message of a killed worker after seconds instead of hours."""
    sqs = boto3.client("sqs")
    url, name = engine.queue_url, "VisibilityTimeout"
    before = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[name])["Attributes"][name]
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: "4"})
    yield
    sqs.set_queue_attributes(QueueUrl=url, Attributes={name: before})


def test_killed_packagers_lose_no_message(engine: DeployedEngine, short_visibility: None) -> None:
    names = [f"killed/{number}" for number in range(JOBS)]
    for name in names:
        asyncio.run(fill(f"{name}/", 3))
        engine.send_message({"source_prefix": f"s3://{BUCKET}/{name}/"})
    kills = 0
    for number in range(1, JOBS, 3):
        wait_for_ends(engine, names, number)
        kills += kill_workers(engine, "PackagerFunction")
    ends = wait_for_ends(engine, names, JOBS)
    # A killed worker may not be replaced yet when the next one would be killed.
    assert kills >= 1
    boto3.client("s3").create_bucket(Bucket="inline-killed")
    for name in names:
        message = {"source_prefix": f"s3://{BUCKET}/{name}/", "registry": "inline-killed"}
        assert ends[name] == package_inline(message).top_hash


@pytest.mark.parametrize("function", ["PackagerFunction", "ChecksumFunction", "LargeJobFunction"])
def test_large_job_that_loses_its_functions_has_the_revision_of_an_inline_job(
    engine: DeployedEngine, short_visibility: None, function: str
) -> None:
    name = f"lost/{function.lower()}"
    asyncio.run(fill(f"{name}/", 3 * SHARD_OBJECTS))
    before = count_results()
    message = {"source_prefix": f"s3://{BUCKET}/{name}/"}
    engine.send_message(message)
    if function != "PackagerFunction":
        # The first result, and the last: then the job is about to be published.
        wait_for_results(before + (1 if function == "ChecksumFunction" else 3))
    deadline = time.monotonic() + WAIT_SECONDS
    while not kill_workers(engine, function):
        assert time.monotonic() < deadline, "there is no such worker"
        time.sleep(0.02)
    boto3.client("s3").create_bucket(Bucket=function.lower())
    inline = package_inline({**message, "registry": function.lower()})
    assert wait_for_ends(engine, [name], 1) == {name: inline.top_hash}


def test_large_job_has_the_changes_of_another_writer(engine: DeployedEngine) -> None:
    message = {"source_prefix": f"s3://{BUCKET}/edited/42/", "registry": BUCKET}
    put_without_checksum("edited/42/first.csv", b"1,1\n")
    own = package_inline(message)
    key = f".quilt/packages/{own.top_hash}"
    manifest = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
    foreign, data = edit(manifest, add(README))
    put_without_checksum(f".quilt/packages/{foreign}", data)
    for pointer in (str(int(time.time()) + 1), "latest"):
        put_without_checksum(f".quilt/named_packages/edited/42/{pointer}", foreign.encode())
    asyncio.run(fill("edited/42/", MAX_INLINE_OBJECTS + 1))
    engine.send_message({**message, "on_foreign_revision": "carry"})
    (outcome,) = engine.wait_for_outcomes(["edited/42"], Result.CREATED)
    assert outcome.objects == MAX_INLINE_OBJECTS + 3
    assert outcome.remark is not None
    assert f"Carried 1 entry of {foreign}" in outcome.remark


def test_rejected_large_job_has_a_dead_letter_with_its_reason(engine: DeployedEngine) -> None:
    asyncio.run(fill("plates/43/", MAX_INLINE_OBJECTS))
    put_without_checksum("plates/43/cold.tiff", b"cold", StorageClass="GLACIER")
    message = {"source_prefix": f"s3://{BUCKET}/plates/43/"}
    engine.send_message(message)
    letter = engine.wait_for_dead_letter(message)
    assert letter.code == "ArchivedObjects"
    assert '"plates/43/cold.tiff"' in letter.reason


def test_stopped_large_job_has_a_dead_letter(engine: DeployedEngine) -> None:
    # Enough objects that the execution is still running when it is stopped.
    asyncio.run(fill("plates/44/", OBJECTS))
    message = {"source_prefix": f"s3://{BUCKET}/plates/44/"}
    engine.send_message(message)
    stop_the_running_execution()
    letter = engine.wait_for_dead_letter(message)
    assert letter.code == "LargeJobFailed"
    assert "a user stopped the execution" in letter.reason


def test_folder_is_packaged_when_its_required_files_are_there(engine: DeployedEngine) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket=BUCKET, Key="plates/46/first.txt", Body=b"1")
    message = {"source_prefix": f"s3://{BUCKET}/plates/46/"}
    engine.send_message({**message, "require": [{"files": ["last.txt"]}]})
    wait_for_a_running_execution()
    assert wait_for_ends(engine, ["plates/46"], 0) == {}
    s3.put_object(Bucket=BUCKET, Key="plates/46/last.txt", Body=b"2")
    (outcome,) = engine.wait_for_outcomes(["plates/46"], Result.CREATED)
    assert outcome.objects == 2


def test_folder_that_stays_incomplete_has_a_dead_letter(engine: DeployedEngine) -> None:
    boto3.client("s3").put_object(Bucket=BUCKET, Key="plates/47/first.txt", Body=b"1")
    message = {
        "source_prefix": f"s3://{BUCKET}/plates/47/",
        "require": [{"files": ["last.txt"]}],
        "require_timeout_seconds": 2,
    }
    engine.send_message(message)
    letter = engine.wait_for_dead_letter(message)
    assert letter.code == "Incomplete"
    assert '"last.txt"' in letter.reason


class Subscription:
    """Receives an engine's events of one result, with the pattern of `engine.on_package_…`."""

    def __init__(self, engine: str, result: Result) -> None:
        self._sqs = boto3.client("sqs")
        name = f"receive-{result}-{engine.replace('/', '-')}"
        self._url = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        pattern = json.dumps(outcome_pattern(DETAIL_TYPES[result], engine=engine))
        events = boto3.client("events")
        events.put_rule(Name=name, EventPattern=pattern)
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        events.put_targets(Rule=name, Targets=[{"Id": "queue", "Arn": arn}])

    def receive(self, seconds: int = WAIT_SECONDS) -> list[dict[str, Any]]:
        """Return the details of the next events, or nothing after the time limit."""
        deadline = time.monotonic() + seconds
        while True:
            answer = self._sqs.receive_message(QueueUrl=self._url, WaitTimeSeconds=min(seconds, 1))
            received = [json.loads(each["Body"])["detail"] for each in answer.get("Messages", [])]
            if received or time.monotonic() >= deadline:
                return received


def find_engine_name() -> str:
    """Return the engine's name in its events."""
    names = {
        each.get("Environment", {}).get("Variables", {}).get("QUILT_PACKAGER_ENGINE")
        for each in boto3.client("lambda").list_functions()["Functions"]
    }
    (name,) = names - {None}
    return str(name)


def test_large_job_ends_with_an_event_for_rules_of_its_engine(engine: DeployedEngine) -> None:
    name = find_engine_name()
    created, rejected = Subscription(name, Result.CREATED), Subscription(name, Result.REJECTED)
    other = Subscription("other", Result.CREATED)
    asyncio.run(fill("plates/45/", MAX_INLINE_OBJECTS + 1))
    body = json.dumps({"source_prefix": f"s3://{BUCKET}/plates/45/"})
    message = boto3.client("sqs").send_message(QueueUrl=engine.queue_url, MessageBody=body)
    (received,) = created.receive()
    assert received["message_id"] == message["MessageId"]
    assert (received["package_name"], received["objects"]) == ("plates/45", MAX_INLINE_OBJECTS + 1)
    assert received["links"]["quilt"].endswith(received["top_hash"])
    assert (rejected.receive(seconds=0), other.receive(seconds=0)) == ([], [])


def wait_for_jobs(engine: DeployedEngine, name: str, count: int) -> list[LoggedOutcome]:
    """Wait for a number of outcomes of a package, and return them."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        found = [each for each in engine._outcomes() if each.package_name == name]
        if len(found) >= count:
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_events_of_a_settling_folder_lead_to_one_revision(engine: DeployedEngine) -> None:
    s3 = boto3.client("s3")
    began = time.time()
    for file in (CRATE_NAME, "first.txt", CRATE_NAME, "last.txt"):
        s3.put_object(Bucket=BUCKET, Key=f"nf/late files/{file}", Body=b"{}")
    outcomes = wait_for_jobs(engine, "nf/late-files", 2)
    assert {each.objects for each in outcomes} == {3}
    assert len({each.top_hash for each in outcomes}) == 1
    revision, _ = s3.list_objects_v2(Bucket=BUCKET, Prefix=".quilt/named_packages/nf/late-files/")[
        "Contents"
    ]
    assert revision["LastModified"].timestamp() >= began + SETTLE_SECONDS


def test_event_of_a_packaged_folder_finds_it_unchanged(engine: DeployedEngine) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket=BUCKET, Key=f"nf/again/{CRATE_NAME}", Body=b"{}")
    engine.wait_for_outcomes(["nf/again"], Result.CREATED)
    s3.put_object(Bucket=BUCKET, Key=f"nf/again/{CRATE_NAME}", Body=b"{}")
    engine.wait_for_outcomes(["nf/again"], Result.UNCHANGED)
