"""Asks the state machine about large jobs that their log is silent about."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from quilt_packager.operations.job import Job, State
from quilt_packager.operations.job_log import ATTEMPT_SECONDS

if TYPE_CHECKING:
    from quilt_packager.operations.deployments import Deployment

MAX_EXECUTIONS = 20
"""How many silent large jobs a list asks the state machine about."""


def find_ended(
    deployment: "Deployment", jobs: Iterable[Job], now: datetime
) -> Mapping[str, datetime]:
    """Of the executions of large jobs that are silent, those that ended, and when.

    Args:
        deployment: The engine.
        jobs: The jobs. Those that said something of late are asked nothing of.
        now: The time.
    """
    machine = deployment.state_machine_arn
    silent = [
        job.execution
        for job in jobs
        if job.outcome is State.RUNNING
        and job.execution is not None
        and now - job.updated > timedelta(seconds=ATTEMPT_SECONDS)
    ]
    if machine is None:
        return {}
    client = deployment.states
    ended = {}
    for name in silent[:MAX_EXECUTIONS]:
        arn = execution_arn(machine, name)
        try:
            stopped = client.describe_execution(executionArn=arn).get("stopDate")
        except client.exceptions.ExecutionDoesNotExist:
            stopped = datetime.fromtimestamp(0, UTC)
        if stopped is not None:
            ended[name] = stopped
    return ended


def execution_arn(state_machine_arn: str, name: str) -> str:
    """The ARN of an execution.

    Args:
        state_machine_arn: Its state machine's.
        name: The execution's name: the job's id.

    Example:
        >>> execution_arn("arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs", "51c0")
        'arn:aws:states:us-east-1:123456789012:execution:LargeJobs:51c0'
    """
    return f"{state_machine_arn.replace(':stateMachine:', ':execution:')}:{name}"
