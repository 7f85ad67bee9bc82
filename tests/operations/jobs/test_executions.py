"""Large jobs in the embedded Step Functions."""

import json
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.stub import Stubber
from quilt_packager_runtime.large_jobs import shards

from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.jobs.executions import (
    console_url,
    count_shards,
    find_ended,
    list_large_jobs,
)
from quilt_packager.operations.jobs.job import Job, State
from tests.embedded_aws import CreateStack
from tests.operations.state_machines import (
    LARGE_JOBS,
    QUICK,
    SLOW,
    start,
    stop,
    wait_until_done,
)


@pytest.fixture
def deployment(create_stack: CreateStack) -> Deployment:
    create_stack("lab", LARGE_JOBS)
    return find_deployment(connect())


def make_job(execution: str | None) -> Job:
    """A job that has said nothing for an hour."""
    return Job(
        id="51c0",
        outcome=State.RUNNING,
        started=datetime.now(UTC) - timedelta(hours=2),
        updated=datetime.now(UTC) - timedelta(hours=1),
        execution=execution,
    )


def test_without_a_state_machine_there_are_no_large_jobs(create_stack: CreateStack) -> None:
    create_stack("lab")
    assert list_large_jobs(find_deployment(connect())) == []


def test_while_nothing_runs_there_are_no_large_jobs(deployment: Deployment) -> None:
    assert list_large_jobs(deployment) == []


def test_counts_hashed_shards(deployment: Deployment) -> None:
    arn = start(deployment, "job-1", QUICK, QUICK, QUICK, SLOW)
    wait_until_done(arn, 3)
    (job,) = list_large_jobs(deployment)
    counts = count_shards(deployment, make_job("job-1"))
    stop(arn)
    assert (job.id, job.phase, job.shards_done, job.shards) == ("job-1", "checksums", 3, 4)
    assert counts == (3, 4)
    assert job.share == 0.75
    assert job.seconds_left is not None
    assert 0 < job.seconds_left < 10


def test_remaining_time_is_unknown_before_a_shard_is_hashed(deployment: Deployment) -> None:
    arn = start(deployment, "job-2", SLOW)
    wait_until_done(arn, 0)
    (job,) = list_large_jobs(deployment)
    stop(arn)
    assert (job.shards_done, job.seconds_left) == (0, None)


def test_phase_is_publishing_once_all_shards_are_hashed(deployment: Deployment) -> None:
    arn = start(deployment, "job-3", QUICK)
    wait_until_done(arn, 1)
    (job,) = list_large_jobs(deployment)
    stop(arn)
    assert (job.phase, job.share) == ("publishing", 1.0)


def test_package_is_that_of_the_jobs_message(deployment: Deployment) -> None:
    uri = shards.JobFiles(deployment.scratch_bucket or "", "job-4").message
    message = {"body": "{}", "request": {"package_name": "runs/42", "registry": "packages"}}
    boto3.client("s3").put_object(Bucket=uri.bucket, Key=uri.key, Body=json.dumps(message))
    arn = start(deployment, "job-4", SLOW)
    (job,) = list_large_jobs(deployment)
    stop(arn)
    assert (job.package_name, job.registry) == ("runs/42", "packages")


def test_an_unreadable_message_leaves_the_package_unknown(deployment: Deployment) -> None:
    arn = start(deployment, "job-5", SLOW)
    (job,) = list_large_jobs(deployment)
    stop(arn)
    assert job.package_name is None


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws", "eu-west-1", "eu-west-1.console.aws.amazon.com"),
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_console_is_that_of_the_partition(partition: str, region: str, host: str) -> None:
    arn = f"arn:{partition}:states:{region}:123456789012:execution:LargeJobs:5f1a"
    assert console_url(arn) == (
        f"https://{host}/states/home?region={region}#/v2/executions/details/{arn}"
    )


def test_denied_access_to_executions_finds_none_ended(deployment: Deployment) -> None:
    silent = make_job("51c0")
    with Stubber(deployment.states) as states:
        states.add_client_error("describe_execution", "AccessDeniedException")
        states.add_client_error("describe_execution", "ExecutionDoesNotExist")
        assert find_ended(deployment, [silent], datetime.now(UTC)) == {}
        assert list(find_ended(deployment, [silent], datetime.now(UTC))) == ["51c0"]


def test_shards_are_unknown_if_they_cannot_be_read(deployment: Deployment) -> None:
    assert count_shards(deployment, make_job(None)) is None
    assert count_shards(deployment, make_job("gone")) is None
    with Stubber(deployment.states) as states:
        states.add_client_error("list_map_runs", "AccessDeniedException")
        assert count_shards(deployment, make_job("51c0")) is None
