import boto3
import pytest

from quilt_packager.local.ministack import ACCOUNT, REGION, MiniStack
from quilt_packager.operations.deployments import connect, find_deployment
from quilt_packager.operations.errors import NoEngine, SeveralEngines
from tests.operations.conftest import CreateStack


def create_other_stack(name: str) -> None:
    template = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}'
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=template)


def test_finds_the_only_engine_among_other_stacks(create_stack: CreateStack) -> None:
    create_other_stack("other")
    create_stack("lab")
    found = find_deployment(connect())
    assert (found.stack_name, found.region, found.account) == ("lab", REGION, ACCOUNT)


def test_finds_an_engine_by_its_stack(create_stack: CreateStack) -> None:
    create_stack("lab")
    create_stack("prod")
    assert find_deployment(connect(), "prod").stack_name == "prod"


def test_takes_the_queues_from_the_outputs(create_stack: CreateStack) -> None:
    create_stack("lab")
    found = find_deployment(connect())
    assert "PackagerQueue" in found.queue_url
    assert "PackagerDeadLetterQueue" in found.dead_letter_queue_url


def test_takes_the_log_groups_from_the_resources(create_stack: CreateStack) -> None:
    create_stack("lab")
    found = find_deployment(connect())
    assert found.log_group("packager") == "/quilt/lab/PackagerLambda"
    assert found.log_group("checksum") == "/quilt/lab/ChecksumLambda"


def test_engine_without_large_jobs_has_no_state_machine(create_stack: CreateStack) -> None:
    create_stack("lab")
    assert find_deployment(connect()).state_machine_arn is None


def test_no_engine_is_said_with_the_region(aws: MiniStack) -> None:
    with pytest.raises(NoEngine, match="no engine in us-east-1"):
        find_deployment(connect())


def test_of_several_engines_one_has_to_be_named(create_stack: CreateStack) -> None:
    create_stack("lab")
    create_stack("prod")
    with pytest.raises(SeveralEngines, match="lab, prod") as raised:
        find_deployment(connect())
    assert raised.value.remedy == "--stack lab"


def test_unknown_stack_is_said_with_those_that_there_are(create_stack: CreateStack) -> None:
    create_stack("lab")
    with pytest.raises(NoEngine, match=r'"prod".*has lab there'):
        find_deployment(connect(), "prod")


def test_stack_of_something_else_is_no_engine(create_stack: CreateStack) -> None:
    create_other_stack("other")
    create_stack("lab")
    with pytest.raises(NoEngine):
        find_deployment(connect(), "other")
