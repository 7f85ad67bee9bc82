"""The embedded AWS, one for all tests of a worker, and in it what operations look for."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from quilt_packager.local.ministack import MiniStack
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.jobs.log_lines import read_lines
from tests.operations.job_lines import NOW, Line

if TYPE_CHECKING:
    from types_boto3_logs.type_defs import InputLogEventTypeDef

LOG_GROUPS = {
    "EnginePackagerLog0A1B2C3D": "PackagerLambda",
    "EngineChecksumLog4E5F6A7B": "ChecksumLambda",
}
"""The last part of the names of an engine's log groups, by their logical ids."""


@pytest.fixture(scope="session")
def ministack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MiniStack]:
    with MiniStack(tmp_path_factory.mktemp("ministack")) as aws:
        yield aws


@pytest.fixture
def aws(ministack: MiniStack) -> Iterator[MiniStack]:
    """The embedded AWS, and no other within reach; without stacks in it."""
    with ministack.as_only_aws():
        yield ministack
        cloudformation = boto3.client("cloudformation")
        for stack in cloudformation.describe_stacks()["Stacks"]:
            cloudformation.delete_stack(StackName=stack["StackName"])


CreateStack = Callable[..., None]


@pytest.fixture
def create_stack(aws: MiniStack) -> CreateStack:
    """Makes a stack with the queues and log groups of an engine, and more resources if given."""

    def create(
        name: str,
        resources: dict[str, Any] | None = None,
        *,
        queue_id: str = "PackagerQueue",
        dump: Callable[[Any], str] = json.dumps,
    ) -> None:
        groups = {
            logical_id: {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": f"/quilt/{name}/{group}"},
            }
            for logical_id, group in LOG_GROUPS.items()
        }
        template = {
            "Resources": {
                queue_id: {"Type": "AWS::SQS::Queue"},
                "PackagerDeadLetterQueue": {"Type": "AWS::SQS::Queue"},
                **groups,
                **(resources or {}),
            },
            "Outputs": {
                "PackagerQueueUrl": {"Value": {"Ref": queue_id}},
                "PackagerDeadLetterQueueUrl": {"Value": {"Ref": "PackagerDeadLetterQueue"}},
            },
        }
        cloudformation = boto3.client("cloudformation")
        cloudformation.create_stack(StackName=name, TemplateBody=dump(template))
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=name, WaiterConfig={"Delay": 0.05}
        )

    return create


@pytest.fixture
def deployment(create_stack: CreateStack) -> Deployment:
    """An engine's stack, empty."""
    create_stack("lab")
    return find_deployment(connect(), "lab")


WriteLog = Callable[..., None]


@pytest.fixture
def write_log(deployment: Deployment) -> WriteLog:
    """Writes lines to the log of a function, as the function does."""

    def write(*lines: Line | str, function: str = "packager", at: datetime = NOW) -> None:
        group = deployment.log_group(function)
        assert group
        streams = deployment.logs.describe_log_streams(logGroupName=group)["logStreams"]
        if not streams:
            deployment.logs.create_log_stream(logGroupName=group, logStreamName="s")
        for line in lines:
            text = line if isinstance(line, str) else json.dumps(line)
            written_at = next((each.at for each in read_lines(text, at)), at)
            event: InputLogEventTypeDef = {
                "timestamp": round(written_at.timestamp() * 1000),
                "message": text,
            }
            deployment.logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=[event])

    return write
