"""Quotas of AWS for texts that grow with the number of buckets and options.

Names that AWS generates are unknown before deployment; each counts with a typical length.
"""

import json
from collections.abc import Mapping, Sequence

import jsii
from aws_cdk import Stack, Token
from aws_cdk import aws_events as events
from aws_cdk import aws_iam as iam
from constructs import Construct, IValidation

MAX_PATTERN_CHARACTERS = 2048
"""Default quota of an event pattern. An account can have it raised to 4096."""

MAX_ENVIRONMENT_BYTES = 4096
"""Quota of a function's variables as JSON, as Lambda measures them."""

MAX_QUEUE_POLICY_BYTES = 8192
"""Quota of a queue's policy."""

MAX_ROLE_POLICIES = 10
"""Default quota of managed policies of a role. An account can have it raised."""

# The statements of a queue's policy without the ARNs of rules, and a rule's ARN without its name.
_QUEUE_POLICY_BYTES = 700
_RULE_ARN_BYTES = len("arn:aws-us-gov:events:us-gov-west-1:123456789012:rule/") + len('"",')
_MAX_GENERATED_NAME = 64
_GENERATED_SUFFIX = 14

_NAME_CHARACTERS = 32
_PSEUDO_PARAMETERS = {
    "AWS::AccountId": "0" * 12,
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::URLSuffix": "amazonaws.com",
}


class LimitExceeded(ValueError):
    """A text exceeds a quota of AWS."""


def check_pattern(scope: Construct, rule_id: str, pattern: Mapping[str, object]) -> None:
    """Check the length of an event pattern against EventBridge's quota.

    Raises:
        LimitExceeded: It is too long.
    """
    size = len(_to_json(scope, pattern))
    if size > MAX_PATTERN_CHARACTERS:
        raise LimitExceeded(
            f"The event pattern of {rule_id} has {size:,} characters, and EventBridge takes "
            f"{MAX_PATTERN_CHARACTERS:,}: share its buckets, or what else it lists, among several "
            "event sources"
        )


def check_environment(
    scope: Construct, function_id: str, environment: Mapping[str, object]
) -> None:
    """Check the size of a function's environment against Lambda's quota.

    Raises:
        LimitExceeded: They are too long.
    """
    size = len(_to_json(scope, environment).encode())
    if size > MAX_ENVIRONMENT_BYTES:
        lengths = {name: len(_to_json(scope, value)) for name, value in environment.items()}
        longest = sorted(lengths, key=lambda name: lengths[name], reverse=True)[:3]
        shown = ", ".join(f"{name} {lengths[name]:,}" for name in longest)
        raise LimitExceeded(
            f"The environment of {function_id} has {size:,} bytes, and Lambda takes "
            f"{MAX_ENVIRONMENT_BYTES:,} (the longest values: {shown}): share the buckets among "
            "several engines, or give the event sources fewer and shorter options"
        )


def check_queue_policy(scope: Construct, queue_id: str, rules: Sequence[events.CfnRule]) -> None:
    """Check the size of a queue's policy, which names all rules that may send, against the quota.

    Raises:
        LimitExceeded: It is too long.
    """
    size = _QUEUE_POLICY_BYTES + sum(_rule_arn_bytes(rule) for rule in rules)
    if size > MAX_QUEUE_POLICY_BYTES:
        raise LimitExceeded(
            f"The policy of {queue_id} in {scope.node.path} names {len(rules)} rules and has about "
            f"{size:,} bytes, and SQS takes {MAX_QUEUE_POLICY_BYTES:,}: combine the patterns of "
            "several event sources in one ($or), or divide the event sources among several engines"
        )


@jsii.implements(IValidation)
class RolePolicies:
    """Checks, when the app is synthesized, the number of managed policies of a role.

    CDK moves statements that exceed the role's own policy to managed policies.

    Args:
        role: The role.
    """

    def __init__(self, role: iam.Role) -> None:
        self._role = role

    def validate(self) -> list[str]:
        """Return the violation, if there is one."""
        ids = [child.node.id for child in self._role.node.children]
        count = sum(each.startswith("OverflowPolicy") for each in ids)
        violation = (
            f"The permissions of {self._role.node.path} need {count} managed policies, and IAM "
            f"attaches {MAX_ROLE_POLICIES} to a role: divide the buckets among several engines"
        )
        return [violation] if count > MAX_ROLE_POLICIES else []


def _rule_arn_bytes(rule: events.CfnRule) -> int:
    stack = Stack.of(rule)
    stack_name = (
        _NAME_CHARACTERS if Token.is_unresolved(stack.stack_name) else len(stack.stack_name)
    )
    logical_id = len(str(stack.resolve(rule.logical_id)))
    name = min(_MAX_GENERATED_NAME, stack_name + logical_id + _GENERATED_SUFFIX)
    bus = rule.event_bus_name
    if bus is not None:
        name += 1 + (_NAME_CHARACTERS if Token.is_unresolved(bus) else len(bus))
    return _RULE_ARN_BYTES + name


def _to_json(scope: Construct, value: object) -> str:
    known = _write(Stack.of(scope).resolve(value))
    return json.dumps(known, ensure_ascii=False, separators=(",", ":"))


def _write(value: object) -> object:
    """Replace names that AWS generates at deployment by texts of about their length."""
    match value:
        case {"Fn::Join": [str(separator), list(parts)]}:
            return separator.join(str(_write(part)) for part in parts)
        case {"Ref": str(name)}:
            return _PSEUDO_PARAMETERS.get(name, "?" * _NAME_CHARACTERS)
        case {"Fn::GetAtt": _}:
            return "?" * _NAME_CHARACTERS
        case dict():
            return {name: _write(each) for name, each in value.items()}
        case list():
            return [_write(each) for each in value]
        case _:
            return value
