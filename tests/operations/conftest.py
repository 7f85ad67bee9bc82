"""An embedded AWS, and in it stacks that have of an engine what operations look for."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest

from quilt_packager.local.ministack import MiniStack
from quilt_packager.operations.deployments import Deployment, connect, find_deployment

LOG_GROUPS = ("PackagerLambda", "ChecksumLambda")


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
            f"Log{group}": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": f"/quilt/{name}/{group}"},
            }
            for group in LOG_GROUPS
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
