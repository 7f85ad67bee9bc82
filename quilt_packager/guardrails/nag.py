"""Accepted findings of cdk-nag, each with its reason.

They are recorded where they arise, so that an app that runs cdk-nag sees only its own findings.
"""

from collections.abc import Mapping

from aws_cdk import Acknowledgment, Stack, Validations
from aws_cdk import aws_iam as iam
from constructs import IConstruct


def acknowledge(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings of a construct and its children: reasons by the findings' ids."""
    Validations.of(construct).acknowledge(
        *(Acknowledgment(id=finding, reason=reason) for finding, reason in reasons.items())
    )


def acknowledge_controls(construct: IConstruct, reasons: Mapping[str, str]) -> None:
    """Accept findings that the packs of NIST 800-53, HIPAA and PCI DSS share: reasons by rule."""
    for pack in ("HIPAA.Security", "NIST.800.53.R5", "PCI.DSS.321"):
        acknowledge(construct, {f"{pack}-{rule}": reason for rule, reason in reasons.items()})


def acknowledge_inline_policy(role: IConstruct) -> None:
    """Accept that a role's permissions are a policy of its own."""
    acknowledge_controls(
        role,
        {
            "IAMNoInlinePolicy": "The permissions belong to this role alone, and are created and "
            "deleted with it."
        },
    )


def acknowledge_wildcards(holder: IConstruct, statement: iam.PolicyStatement, reason: str) -> None:
    """Accept the wildcard resources of a statement in a role or policy."""
    stack = Stack.of(holder)
    flat = (_flatten(stack.resolve(arn)) for arn in statement.resources)
    acknowledge(
        holder, {f"AwsSolutions-IAM5[Resource::{arn}]": reason for arn in flat if "*" in arn}
    )


def _flatten(reference: object) -> str:
    """Write a CloudFormation reference as cdk-nag does: `<Logical.Arn>/*`."""
    match reference:
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(_flatten(part) for part in parts)
        case {"Fn::GetAtt": [logical_id, attribute]}:
            return f"<{logical_id}.{attribute}>"
        case {"Ref": logical_id}:
            return f"<{logical_id}>"
        case _:
            return str(reference)
