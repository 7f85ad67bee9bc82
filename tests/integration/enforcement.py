"""An embedded AWS that asks IAM, and roles as the template of an engine writes them."""

import json
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

import boto3

from quilt_packager.local.ministack import ACCOUNT, REGION, MiniStack

Credentials = dict[str, str]
Statement = dict[str, Any]


class EnforcingMiniStack(MiniStack):
    """An embedded AWS that asks IAM."""

    def _own_environment(self, port: int) -> dict[str, str]:
        return super()._own_environment(port) | {"AUTH": "true"}

    def client(self, service: str, credentials: Credentials | None = None) -> Any:
        """Return a client with the credentials, or those of the account's root user."""
        root = {"aws_access_key_id": ACCOUNT, "aws_secret_access_key": "test"}
        make: Any = boto3.client
        return make(
            service,
            endpoint_url=self.endpoint_url,
            region_name=REGION,
            **(credentials or root),
        )

    def assume(self, allowed: Iterable[Statement]) -> Credentials:
        """Make a role of statements, and give its credentials."""
        iam, name = self.client("iam"), f"role-{uuid.uuid4()}"
        trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
        role = iam.create_role(RoleName=name, AssumeRolePolicyDocument=policy([trust]))["Role"]
        iam.put_role_policy(RoleName=name, PolicyName="all", PolicyDocument=policy(allowed))
        given = self.client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="test")
        return {
            "aws_access_key_id": given["Credentials"]["AccessKeyId"],
            "aws_secret_access_key": given["Credentials"]["SecretAccessKey"],
            "aws_session_token": given["Credentials"]["SessionToken"],
        }


def policy(statements: Iterable[Statement]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [*statements]})


def adapt(statement: Statement) -> Statement:
    """Write a statement for an embedded AWS that knows less of conditions, and more actions.

    It does not evaluate conditions on the source of an event, and has separate actions for batches
    of SQS. The tests of the constructs check the conditions.
    """
    adapted = {name: value for name, value in statement.items() if name != "Condition"}
    conditions = {
        operator: keys
        for operator, keys in statement.get("Condition", {}).items()
        if "events:source" not in keys
    }
    if conditions:
        adapted["Condition"] = conditions
    if statement["Action"] == "sqs:SendMessage":
        adapted["Action"] = ["sqs:SendMessage", "sqs:SendMessageBatch"]
    return adapted


def resolve(value: Any, resources: Mapping[str, str]) -> Any:
    """Resolve a value of the template as CloudFormation does.

    Args:
        value: The value.
        resources: ARNs, by what the logical ids of their resources contain.
    """
    known = {
        "AWS::AccountId": ACCOUNT,
        "AWS::Partition": "aws",
        "AWS::Region": REGION,
        "AWS::URLSuffix": "amazonaws.com",
    }
    match value:
        case {"Fn::Join": [separator, parts]}:
            return separator.join(resolve(part, resources) for part in parts)
        case {"Ref": name} if name in known:
            return known[name]
        case {"Fn::GetAtt": [name, "Arn"]} | {"Ref": name}:
            return next(arn for part, arn in resources.items() if part in name)
        case dict():
            return {name: resolve(each, resources) for name, each in value.items()}
        case list():
            return [resolve(each, resources) for each in value]
    return value
