"""Running large jobs: executions of the engine's state machine, and their progress.

A Distributed Map hashes the shards of a job in one or more rounds, and Step Functions counts the
finished shards. The job's message in the scratch bucket has its request.
"""

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import msgspec
from quilt_packager_runtime.large_jobs import shards

from quilt_packager.operations.aws_errors import is_denied
from quilt_packager.operations.deployment.consoles import console
from quilt_packager.operations.jobs.fold import ATTEMPT_SECONDS
from quilt_packager.operations.jobs.job import Job, State

if TYPE_CHECKING:
    from types_boto3_stepfunctions.type_defs import ExecutionListItemTypeDef

    from quilt_packager.operations.deployment.deployments import Deployment

MAX_JOBS = 100
"""Maximum number of running jobs to read."""

MAX_SILENT = 20
"""Maximum number of silent large jobs to look up in the state machine."""

MAX_CALLS = 8
"""Number of concurrent requests."""


class LargeJob(msgspec.Struct, frozen=True, kw_only=True):
    """A running large job.

    Attributes:
        id: Id of the message, and name of the execution.
        execution_arn: ARN of the execution.
        started: Start of the execution.
        phase: `checksums`, or `publishing` once all shards are hashed.
        shards_done: Number of hashed shards in this round; None before the first round.
        shards: Number of shards in this round; None before the first round.
        seconds_left: Estimated time for the remaining shards; None until one is hashed.
        package_name: Name of the package; None if unknown.
        registry: The bucket that will hold the package; None if unknown.
        console_url: The execution's page in the console.
    """

    id: str
    execution_arn: str
    started: datetime
    phase: str
    shards_done: int | None
    shards: int | None
    seconds_left: float | None
    package_name: str | None
    registry: str | None
    console_url: str

    @property
    def share(self) -> float:
        """The finished share of this round, from 0 to 1."""
        return (self.shards_done or 0) / self.shards if self.shards else 0.0


class _Round(NamedTuple):
    """The newest round of the map."""

    done: int
    total: int
    seconds: float
    is_over: bool


class _Request(msgspec.Struct):
    package_name: str | None = None
    registry: str | None = None


class _Message(msgspec.Struct):
    """The part of a stored message that identifies the package."""

    request: _Request = msgspec.field(default_factory=_Request)


def list_large_jobs(deployment: "Deployment", *, now: datetime | None = None) -> list[LargeJob]:
    """List the running large jobs, at most `MAX_JOBS`, those that started last first."""
    state_machine_arn = deployment.state_machine_arn
    if state_machine_arn is None:
        return []
    running = list(islice(_list_running(deployment, state_machine_arn), MAX_JOBS))
    if not running:
        return []
    moment = now or datetime.now(UTC)
    with ThreadPoolExecutor(MAX_CALLS) as pool:
        return list(pool.map(lambda each: _describe(deployment, each, moment), running))


def count_shards(deployment: "Deployment", job: Job) -> tuple[int, int] | None:
    """Count the hashed shards and all shards of a large job's round; None if unknown."""
    from botocore.exceptions import BotoCoreError, ClientError

    machine = deployment.state_machine_arn
    if machine is None or job.execution is None:
        return None
    try:
        newest = _find_round(deployment, execution_arn(machine, job.execution), datetime.now(UTC))
    except (BotoCoreError, ClientError):
        return None
    return (newest.done, newest.total) if newest else None


def find_ended(
    deployment: "Deployment", jobs: Iterable[Job], now: datetime
) -> Mapping[str, datetime]:
    """Find the ended executions of silent large jobs, with their end times.

    Jobs with recent lines in the log are not looked up.
    """
    from botocore.exceptions import ClientError

    machine = deployment.state_machine_arn
    if machine is None:
        return {}
    silent = [
        job.execution
        for job in jobs
        if job.outcome is State.RUNNING
        and job.execution is not None
        and now - job.updated > timedelta(seconds=ATTEMPT_SECONDS)
    ]
    if not silent:
        return {}
    client = deployment.states
    ended = {}
    for name in silent[:MAX_SILENT]:
        arn = execution_arn(machine, name)
        try:
            stopped = client.describe_execution(executionArn=arn).get("stopDate")
        except client.exceptions.ExecutionDoesNotExist:
            stopped = datetime.fromtimestamp(0, UTC)
        except ClientError as error:
            # The log alone is enough to show the jobs.
            if is_denied(error):
                break
            raise
        if stopped is not None:
            ended[name] = stopped
    return ended


def execution_arn(state_machine_arn: str, name: str) -> str:
    """Return the ARN of an execution. Its name is the job's id.

    Example:
        >>> execution_arn("arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs", "51c0")
        'arn:aws:states:us-east-1:123456789012:execution:LargeJobs:51c0'
    """
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"


def console_url(execution_arn: str) -> str:
    """Return the console's page of an execution.

    Example:
        >>> console_url("arn:aws:states:us-east-1:123456789012:execution:LargeJobs:5f1a")[:70]
        'https://us-east-1.console.aws.amazon.com/states/home?region=us-east-1#'
    """
    _, partition, _, region, *_ = execution_arn.split(":")
    return f"{console(partition, region, 'states')}#/v2/executions/details/{execution_arn}"


def _list_running(
    deployment: "Deployment", state_machine_arn: str
) -> Iterator["ExecutionListItemTypeDef"]:
    pages = deployment.states.get_paginator("list_executions").paginate(
        stateMachineArn=state_machine_arn, statusFilter="RUNNING"
    )
    for page in pages:
        yield from page["executions"]


def _describe(
    deployment: "Deployment", execution: "ExecutionListItemTypeDef", now: datetime
) -> LargeJob:
    arn, job_id = execution["executionArn"], execution["name"]
    newest = _find_round(deployment, arn, now)
    request = _read_request(deployment, job_id)
    left = newest.total - newest.done if newest else 0
    return LargeJob(
        id=job_id,
        execution_arn=arn,
        started=execution["startDate"],
        phase="publishing" if newest and newest.is_over else "checksums",
        shards_done=newest.done if newest else None,
        shards=newest.total if newest else None,
        seconds_left=newest.seconds / newest.done * left if newest and newest.done else None,
        package_name=request.package_name,
        registry=request.registry,
        console_url=console_url(arn),
    )


def _find_round(deployment: "Deployment", execution_arn: str, now: datetime) -> _Round | None:
    """Return the newest round of the map; None before the first round."""
    pages = deployment.states.get_paginator("list_map_runs").paginate(executionArn=execution_arn)
    runs = [run for page in pages for run in page["mapRuns"]]
    if not runs:
        return None
    run = max(runs, key=lambda each: each["startDate"])
    found = deployment.states.describe_map_run(mapRunArn=run["mapRunArn"])
    counts = found["itemCounts"]
    return _Round(
        done=counts["succeeded"],
        total=counts["total"],
        seconds=max(0.0, (now - run["startDate"]).total_seconds()),
        is_over="stopDate" in run,
    )


def _read_request(deployment: "Deployment", job_id: str) -> _Request:
    """Read the request of a job; an empty one if its message cannot be read."""
    from botocore.exceptions import ClientError

    if deployment.scratch_bucket is None:
        return _Request()
    uri = shards.JobFiles(deployment.scratch_bucket, job_id).message
    try:
        body = deployment.s3.get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read()
        return msgspec.json.decode(body, type=_Message).request
    except (ClientError, msgspec.DecodeError):
        return _Request()
