import json
from typing import Any

import boto3
import pytest

from quilt_packager.local.ministack import ACCOUNT, REGION, MiniStack
from quilt_packager.operations.deployment.deployments import Options, connect, find_deployment
from quilt_packager.operations.errors import NoEngine, SeveralEngines
from quilt_packager.operations.sources.sources import list_sources
from tests.embedded_aws import CreateStack
from tests.operations.event_rules import OMICS, READY, rule


def create_other_stack(name: str) -> None:
    template = '{"Resources": {"Queue": {"Type": "AWS::SQS::Queue"}}}'
    boto3.client("cloudformation").create_stack(StackName=name, TemplateBody=template)


def engine_resources(construct: str, service: str) -> dict[str, Any]:
    """The resources of an engine in a user's stack."""
    queue = {"Type": "AWS::SQS::Queue"}
    return {
        f"{construct}PackagerQueue0A1B2C3D": queue,
        f"{construct}PackagerDeadLetterQueue4E5F6A7B": queue,
        f"{construct}PackagerLog8C9D0E1F": {
            "Type": "AWS::Logs::LogGroup",
            "Properties": {"LogGroupName": f"/quilt/{service}/PackagerLambda"},
        },
        f"{construct}ScratchBucket2A3B4C5D": {"Type": "AWS::S3::Bucket"},
        f"{construct}HealthOmicsRuns": rule(f"{construct}-runs", "health_omics", OMICS),
        f"{construct}Ready": rule(
            f"{construct}-ready", "objects_ready", READY, EventBusName={"Ref": "Bus"}
        ),
    }


def create_own_stack(name: str, services: dict[str, str]) -> None:
    """Create a stack with engines and other resources.

    Args:
        name: Name of the stack.
        services: Services in the log group names of the engines, by construct id.
    """
    resources: dict[str, Any] = {
        "ScratchBucket9F8E7D6C": {"Type": "AWS::S3::Bucket"},
        "Bus": {"Type": "AWS::Events::EventBus", "Properties": {"Name": f"{name}-bus"}},
    }
    outputs: dict[str, Any] = {"Runs": {"Value": {"Ref": "ScratchBucket9F8E7D6C"}}}
    for construct, service in services.items():
        resources |= engine_resources(construct, service)
        queue = {"Ref": f"{construct}PackagerQueue0A1B2C3D"}
        dead_letters = {"Ref": f"{construct}PackagerDeadLetterQueue4E5F6A7B"}
        outputs[f"{construct}PackagerQueueUrl1A2B3C4D"] = {"Value": queue}
        outputs[f"{construct}PackagerDeadLetterQueueUrl5E6F7A8B"] = {"Value": dead_letters}
    client = boto3.client("cloudformation")
    template = json.dumps({"Resources": resources, "Outputs": outputs})
    client.create_stack(StackName=name, TemplateBody=template)
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.05})


def test_finds_the_only_engine_among_other_stacks(create_stack: CreateStack) -> None:
    create_other_stack("other")
    create_stack("lab")
    found = find_deployment(connect())
    assert (found.stack_name, found.account) == ("lab", ACCOUNT)
    assert (found.partition, found.region) == ("aws", REGION)


def test_finds_an_engine_by_its_stack(create_stack: CreateStack) -> None:
    create_stack("lab")
    create_stack("prod")
    assert find_deployment(connect(), "prod").stack_name == "prod"


def test_commands_repeat_the_options_that_selected_the_engine(
    create_stack: CreateStack,
) -> None:
    create_stack("lab")
    found = find_deployment(connect())
    assert found.command("failures") == "quilt-packager failures"
    assert found.command("failures", names_stack=True) == "quilt-packager failures --stack lab"
    found.options = Options("lab", "the lab's", "eu-west-1")
    assert found.command("jobs", "show", "a b") == (
        "quilt-packager jobs show 'a b' --stack lab --profile 'the lab'\"'\"'s' --region eu-west-1"
    )


def test_reads_the_queues_from_the_outputs(create_stack: CreateStack) -> None:
    create_stack("lab")
    found = find_deployment(connect())
    assert "PackagerQueue" in found.queue_url
    assert "PackagerDeadLetterQueue" in found.dead_letter_queue_url


def test_reads_the_log_groups_from_the_resources(create_stack: CreateStack) -> None:
    create_stack("lab")
    found = find_deployment(connect())
    assert found.log_group("packager") == "/quilt/lab/PackagerLambda"
    assert found.log_group("checksum") == "/quilt/lab/ChecksumLambda"


def test_engine_without_large_jobs_has_no_state_machine(create_stack: CreateStack) -> None:
    create_stack("lab")
    assert find_deployment(connect()).state_machine_arn is None


def test_a_missing_engine_is_reported_with_the_region(aws: MiniStack) -> None:
    with pytest.raises(NoEngine, match="no engine in us-east-1"):
        find_deployment(connect())


def test_several_engines_are_ambiguous(create_stack: CreateStack) -> None:
    create_stack("lab")
    create_stack("prod")
    with pytest.raises(SeveralEngines, match="lab, prod") as raised:
        find_deployment(connect())
    assert raised.value.remedy == "--stack lab"


def test_unknown_stack_is_reported_with_the_known_ones(create_stack: CreateStack) -> None:
    create_stack("lab")
    with pytest.raises(NoEngine, match=r'"prod".*has lab there'):
        find_deployment(connect(), "prod")


def test_stack_without_an_engine_is_refused(create_stack: CreateStack) -> None:
    create_other_stack("other")
    create_stack("lab")
    with pytest.raises(NoEngine):
        find_deployment(connect(), "other")


@pytest.mark.parametrize("named", [None, "Operators", "Operators/Engine"])
def test_finds_an_engine_in_a_user_stack(aws: MiniStack, named: str | None) -> None:
    create_own_stack("Operators", {"Engine": "Operators"})
    found = find_deployment(connect(), named)
    assert (found.name, found.stack_name) == ("Operators", "Operators")
    assert "EnginePackagerQueue" in found.queue_url
    assert "EnginePackagerDeadLetterQueue" in found.dead_letter_queue_url
    assert found.log_group("packager") == "/quilt/Operators/PackagerLambda"
    assert "EngineScratchBucket".lower() in (found.scratch_bucket or "").lower()


@pytest.fixture
def two_engines(aws: MiniStack) -> None:
    create_own_stack("Lab", {"Engine": "Lab", "Engine2": "Lab/plates"})


def test_two_engines_in_a_stack_are_ambiguous(two_engines: None) -> None:
    with pytest.raises(SeveralEngines, match=r"2 engines: Lab, Lab/plates\.") as raised:
        find_deployment(connect())
    assert raised.value.remedy == "--stack Lab"


def test_the_stack_of_named_engines_is_ambiguous(aws: MiniStack) -> None:
    create_own_stack("Lab", {"A": "Lab/B", "B": "Lab/C"})
    with pytest.raises(SeveralEngines, match=r"2 engines: Lab/B, Lab/C\."):
        find_deployment(connect(), "Lab")


def test_name_of_an_engine_precedes_the_construct_of_another(aws: MiniStack) -> None:
    create_own_stack("Lab", {"A": "Lab/B", "B": "Lab/C"})
    found = [find_deployment(connect(), f"Lab/{name}") for name in ("A", "B", "C")]
    assert [each.log_group("packager") for each in found] == [
        "/quilt/Lab/B/PackagerLambda",
        "/quilt/Lab/B/PackagerLambda",
        "/quilt/Lab/C/PackagerLambda",
    ]


def test_engines_are_listed_by_their_option_value(
    create_stack: CreateStack, two_engines: None
) -> None:
    create_stack("prod")
    with pytest.raises(SeveralEngines, match=r"3 engines .*: Lab, Lab/plates, prod\."):
        find_deployment(connect())


@pytest.mark.parametrize(
    ("named", "name", "construct", "service"),
    [
        ("Lab", "Lab", "Engine", "Lab"),
        ("Lab/Engine", "Lab", "Engine", "Lab"),
        ("Lab/plates", "Lab/plates", "Engine2", "Lab/plates"),
        ("Lab/Engine2", "Lab/plates", "Engine2", "Lab/plates"),
    ],
)
def test_a_named_engine_has_only_its_own_resources(
    two_engines: None, named: str, name: str, construct: str, service: str
) -> None:
    found = find_deployment(connect(), named)
    assert (found.name, found.stack_name) == (name, "Lab")
    assert f"{construct}PackagerQueue" in found.queue_url
    assert f"{construct}PackagerDeadLetterQueue" in found.dead_letter_queue_url
    assert found.log_group("packager") == f"/quilt/{service}/PackagerLambda"
    assert f"{construct}ScratchBucket".lower() in (found.scratch_bucket or "").lower()
    assert [(each.name, each.event_bus) for each in list_sources(found)] == [
        (f"{construct}-runs", "default"),
        (f"{construct}-ready", "Lab-bus"),
    ]


def test_an_unknown_engine_is_reported_with_the_known_ones(
    two_engines: None,
) -> None:
    expected = r'"Lab" has no engine "runs".*has Lab, Lab/plates\.'
    with pytest.raises(NoEngine, match=expected) as raised:
        find_deployment(connect(), "Lab/runs")
    assert raised.value.remedy == "--stack Lab"


def test_a_stack_is_found_by_its_arn(create_stack: CreateStack) -> None:
    create_stack("lab")
    (stack,) = boto3.client("cloudformation").describe_stacks(StackName="lab")["Stacks"]
    assert find_deployment(connect(), stack["StackId"]).name == "lab"
