"""A whole engine in the embedded AWS: the template of the construct, without the code."""

import json
from pathlib import Path

import boto3
import pytest

from quilt_packager.local.ministack import MiniStack
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment

TEMPLATE = Path(__file__).parents[2] / "constructs" / "snapshots" / "construct.json"


def whole_template() -> dict[str, object]:
    """The template without the parts of a bootstrapped account, with a versioned bucket.

    A template in a request has at most 51,200 bytes, so promotions, which nothing checks, are left
    out.
    """
    template = json.loads(TEMPLATE.read_text("utf-8"))
    for part in ("Parameters", "Rules"):
        template.pop(part, None)
    template["Resources"] = {
        logical_id: each
        for logical_id, each in template["Resources"].items()
        if "Promotion" not in logical_id
    }
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
    cloudformation = boto3.client("cloudformation")
    cloudformation.create_stack(
        StackName="lab",
        TemplateBody=json.dumps(whole_template(), separators=(",", ":")),
        Capabilities=["CAPABILITY_IAM"],
    )
    cloudformation.get_waiter("stack_create_complete").wait(
        StackName="lab", WaiterConfig={"Delay": 0.05}
    )
    return find_deployment(connect(), "lab")
