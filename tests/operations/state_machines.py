"""The state machine of large jobs, in the embedded Step Functions: its shards are slow or quick."""

import json
import time
from typing import Any

import boto3

from quilt_packager.operations.deployment.deployments import Deployment

ROLE = "arn:aws:iam::123456789012:role/states"
SHARD = {
    "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
    "StartAt": "IsSlow",
    "States": {
        "IsSlow": {
            "Type": "Choice",
            "Choices": [{"Variable": "$.slow", "BooleanEquals": True, "Next": "Hash"}],
            "Default": "Hashed",
        },
        "Hash": {"Type": "Wait", "Seconds": 3, "End": True},
        "Hashed": {"Type": "Pass", "End": True},
    },
}
DEFINITION = {
    "StartAt": "HashShards",
    "States": {
        "HashShards": {
            "Type": "Map",
            "Label": "HashShards",
            "ItemsPath": "$.shards",
            "ItemProcessor": SHARD,
            "ResultPath": None,
            "Next": "Publish",
        },
        "Publish": {"Type": "Wait", "SecondsPath": "$.publishing", "End": True},
    },
}
LARGE_JOBS: dict[str, Any] = {
    "EngineLargeJobs8C9D0E1F": {
        "Type": "AWS::StepFunctions::StateMachine",
        "Properties": {"RoleArn": ROLE, "DefinitionString": json.dumps(DEFINITION)},
    },
    "DataBucket": {"Type": "AWS::S3::Bucket"},
    "EngineScratchBucket1A2B3C4D": {"Type": "AWS::S3::Bucket"},
}
SLOW, QUICK = {"slow": True}, {"slow": False}


def start(deployment: Deployment, name: str, *shards: dict[str, bool], publishing: int = 3) -> str:
    """Start a large job. Its name must be its own: MiniStack keeps those of deleted stacks."""
    client = boto3.client("stepfunctions")
    arn: str = client.start_execution(
        stateMachineArn=deployment.state_machine_arn,
        name=name,
        input=json.dumps({"shards": shards, "publishing": publishing}),
    )["executionArn"]
    return arn


def wait_until_done(execution_arn: str, shards: int) -> None:
    client = boto3.client("stepfunctions")
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for run in client.list_map_runs(executionArn=execution_arn)["mapRuns"]:
            found = client.describe_map_run(mapRunArn=run["mapRunArn"])
            is_over = found["status"] != "RUNNING" or found["itemCounts"]["running"]
            if found["itemCounts"]["succeeded"] == shards and is_over:
                return
        time.sleep(0.02)
    raise AssertionError("the shards were not hashed in time")


def stop(execution_arn: str) -> None:
    boto3.client("stepfunctions").stop_execution(executionArn=execution_arn)
