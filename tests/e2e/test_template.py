"""The template for deployments without the CDK, deployed to the embedded AWS."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import boto3
import pytest

from quilt_packager.app.template import write_template
from quilt_packager.bundling import Platform
from quilt_packager.local.ministack import MiniStack
from tests.e2e.page_stack import wait_until

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

pytestmark = pytest.mark.e2e

STACK_NAME = "lab-packager"
PARAMETERS = {
    "SourceBucket": "lab-runs",
    "RegistryBucket": "lab-packages",
    "CodeBucket": "lab-code",
    "WrrocState": "DISABLED",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The outputs of the deployed template, while this AWS is the only one."""
    directory = tmp_path_factory.mktemp("aws")
    write_template(directory / "template", stack_name=STACK_NAME, platform=Platform.host())
    with MiniStack(directory) as aws, aws.as_only_aws():
        create_buckets(boto3.client("s3"), directory / "template")
        cloudformation = boto3.client("cloudformation")
        cloudformation.create_stack(
            StackName=STACK_NAME,
            TemplateBody=(directory / "template" / "template.json").read_text("utf-8"),
            Parameters=[
                {"ParameterKey": name, "ParameterValue": value}
                for name, value in PARAMETERS.items()
            ],
            Capabilities=["CAPABILITY_IAM"],
        )
        cloudformation.get_waiter("stack_create_complete").wait(
            StackName=STACK_NAME, WaiterConfig={"Delay": 1}
        )
        (stack,) = cloudformation.describe_stacks(StackName=STACK_NAME)["Stacks"]
        yield {each["OutputKey"]: each["OutputValue"] for each in stack["Outputs"]}


def create_buckets(s3: "S3Client", template: Path) -> None:
    for bucket in ("lab-runs", "lab-packages", "lab-code"):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    (code,) = template.glob("*.zip")
    s3.upload_file(str(code), "lab-code", code.name)


def test_message_to_the_deployed_template_becomes_a_package(outputs: dict[str, str]) -> None:
    s3 = boto3.client("s3")
    s3.put_object(Bucket="lab-runs", Key="runs/42/a.csv", Body=b"1,2\n")
    message = {"source_prefix": "s3://lab-runs/runs/42/", "package_name": "runs/42"}
    boto3.client("sqs").send_message(
        QueueUrl=outputs["PackagerQueueUrl"], MessageBody=json.dumps(message)
    )
    prefix = ".quilt/named_packages/runs/42/latest"
    wait_until(
        lambda: bool(s3.list_objects_v2(Bucket="lab-packages", Prefix=prefix)["KeyCount"]),
        "the package",
    )


def test_parameters_switch_the_event_sources(outputs: dict[str, str]) -> None:
    assert outputs
    rules = boto3.client("events").list_rules()["Rules"]
    states = {
        name: each["State"]
        for each in rules
        for name in ("HealthOmicsRuns", "WorkflowRunCrates", "ObjectUploadsRule")
        if name in each["Name"]
    }
    assert states == {
        "HealthOmicsRuns": "ENABLED",
        "WorkflowRunCrates": "DISABLED",
        "ObjectUploadsRule": "DISABLED",
    }
