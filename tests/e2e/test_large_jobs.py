"""A job that is too large for one invocation, under the state machine of a deployed engine.

One worker is killed in the middle. The revision is the very one that a single invocation makes.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.messages import PackageRequest, parse_message
from quilt_packager_runtime.objects import S3Uri
from quilt_packager_runtime.outcomes import Outcome, Result
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.s3 import S3
from quilt_packager_runtime.settings import Settings

from quilt_packager.local.cdk import Cdk
from quilt_packager.local.engine import BUCKET, DeployedEngine
from quilt_packager.local.ministack import MiniStack
from tests.running import group_members

pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("large jobs"), pytest.mark.timeout(600)]

OBJECTS = 3000
SHARD_OBJECTS = 250
FOLDER = "plates/42/"


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedEngine]:
    """An engine with limits so small that the folder is a large job."""
    directory = tmp_path_factory.mktemp("aws")
    with MiniStack(directory) as aws, aws.as_only_aws():
        cdk = Cdk(aws, directory, os.environ)
        deployed = DeployedEngine(aws, directory)
        cdk.bootstrap(on_line=lambda _line: None)
        deployed.make_room()
        deployed.deploy(
            cdk,
            on_line=lambda _line: None,
            flags={
                "quilt:max_inline_objects": "100",
                "quilt:max_shard_objects": str(SHARD_OBJECTS),
                "quilt:checksum_concurrency": "3",
            },
        )
        yield deployed


async def fill(folder: str) -> None:
    s3 = S3.from_environment(os.environ)

    async def put(number: int) -> None:
        key = f"{folder}well-{number:04}/scan-{number % 7}.csv"
        await s3.put_object(S3Uri(BUCKET, key), f"{number},{number * number}\n".encode())

    await for_each(range(OBJECTS), put, at_once=32)


async def package_inline(request: PackageRequest) -> Outcome:
    return await package(request, settings=Settings(), s3=S3.from_environment(os.environ))


def scratch_bucket() -> str:
    (name,) = [
        bucket["Name"]
        for bucket in boto3.client("s3").list_buckets()["Buckets"]
        if "scratch" in bucket["Name"]
    ]
    return name


def results() -> int:
    listed = boto3.client("s3").list_objects_v2(Bucket=scratch_bucket(), Prefix="jobs/")
    return sum("/results/" in found["Key"] for found in listed.get("Contents", []))


def workers(engine: DeployedEngine) -> list[int]:
    """The processes that run the checksum function."""
    return [
        member
        for member in group_members(engine.aws.process_id)
        if b"ChecksumFunction" in Path(f"/proc/{member}/environ").read_bytes()
    ]


def kill_a_worker_in_the_middle(engine: DeployedEngine) -> int:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if results() >= 2:
            os.kill(worker := workers(engine)[0], signal.SIGKILL)
            return worker
        time.sleep(0.05)
    raise TimeoutError("no worker has found anything")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_large_job_is_the_same_revision_as_inline_though_a_worker_dies(
    engine: DeployedEngine,
) -> None:
    asyncio.run(fill(FOLDER))
    message = {"source_prefix": f"s3://{BUCKET}/{FOLDER}"}
    engine.send_message(message)
    kill_a_worker_in_the_middle(engine)
    assert results() < OBJECTS // SHARD_OBJECTS
    (outcome,) = engine.wait_for_outcomes(["plates/42"], Result.CREATED)

    boto3.client("s3").create_bucket(Bucket="inline")
    request: Any = parse_message(f'{{"source_prefix": "s3://{BUCKET}/{FOLDER}", "registry": "inline"}}')
    inline = asyncio.run(package_inline(request))
    assert outcome.top_hash == inline.top_hash
    assert outcome.objects == OBJECTS
    assert (outcome.stored, outcome.computed) == (inline.stored, inline.computed)
    sfn = boto3.client("stepfunctions")
    (machine,) = sfn.list_state_machines()["stateMachines"]
    for e in sfn.list_executions(stateMachineArn=machine["stateMachineArn"])["executions"]:
        print(e)
        for h in sfn.get_execution_history(executionArn=e["executionArn"])["events"]:
            print(h)
        for m in sfn.list_map_runs(executionArn=e["executionArn"])["mapRuns"]:
            print(sfn.describe_map_run(mapRunArn=m["mapRunArn"]))
            for c in sfn.list_executions(mapRunArn=m["mapRunArn"])["executions"]:
                hs = sfn.get_execution_history(executionArn=c["executionArn"])["events"]
                print(c["status"], [h["type"] for h in hs], [h for h in hs if "ail" in h["type"]])
    print(engine.aws.log()[-3000:])
    for line in engine._log_lines(): print(line)
    raise SystemError
