"""Quotas of AWS for texts that grow with the number of buckets and options.

Names that AWS generates are unknown before deployment; each counts with a typical length.
"""

import json
from collections.abc import Mapping

from aws_cdk import Stack
from constructs import Construct

MAX_PATTERN_CHARACTERS = 2048
"""Default quota of an event pattern. An account can have it raised to 4096."""

MAX_ENVIRONMENT_BYTES = 4096
"""Quota of a function's variables as JSON, as Lambda measures them."""

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
