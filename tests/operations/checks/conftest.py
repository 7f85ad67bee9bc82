"""A whole engine in the embedded AWS: the template of the construct, without the code."""

import json
from pathlib import Path

import boto3
import pytest

from quilt_packager.local.ministack import MiniStack
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment

TEMPLATE = Path(__file__).parents[2] / "constructs" / "snapshots" / "construct.json"


def whole_template() -> dict[str, object]:
    """The template without the parts of a bootstrapped account, with a versioned bucket."""
    template = json.loads(TEMPLATE.read_text("utf-8"))
    for part in ("Parameters", "Rules"):
        template.pop(part, None)
    (bucket,) = (
        each
        for logical_id, each in template["Resources"].items()
        if each["Type"] == "AWS::S3::Bucket" and logical_id.startswith("Data")
    )
    bucket["Properties"]["VersioningConfiguration"] = {"Status": "Enabled"}
    bucket["Properties"]["NotificationConfiguration"] = {
        "EventBridgeConfiguration": {"EventBridgeEnabled": True}
    }
    return dict(template)


@pytest.fixture
def engine(aws: MiniStack) -> Deployment:
    """An engine in which nothing is wrong."""
    # A template in a request has at most 51,200 bytes.
    boto3.client("s3").create_bucket(Bucket="templates")
    boto3.client("s3").put_object(
        Bucket="templates", Key="lab.json", Body=json.dumps(whole_template()).encode()
    )
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName="lab",
        TemplateURL=f"{aws.endpoint_url}/templates/lab.json",
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="lab", WaiterConfig={"Delay": 0.05}
    )
    return find_deployment(connect(), "lab")
