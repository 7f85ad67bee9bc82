"""Decisions of a resource's policy."""

import json
from typing import Any

import pytest

from quilt_packager.operations.checks.policies import Decision, Request, decide, role_names

ROLE = "arn:aws:iam::123456789012:role/packager"
READ = Request(
    role_names(ROLE),
    "s3:GetObject",
    "arn:aws:s3:::raw/a[1].txt",
    {"aws:securetransport": "true", "aws:principalarn": ROLE, "aws:sourcearn": None},
)
ALLOW = {"Effect": "Allow", "Principal": "*", "Action": "*", "Resource": "*"}
DENY = {**ALLOW, "Effect": "Deny"}


def answer(*statements: dict[str, Any]) -> Decision:
    return decide(json.dumps({"Statement": list(statements)}), READ)


def test_no_policy_is_silent() -> None:
    assert decide(None, READ) is Decision.SILENT
    assert answer() is Decision.SILENT


def test_a_deny_overrides_an_allow() -> None:
    assert answer(ALLOW) is Decision.ALLOWED
    assert answer(ALLOW, DENY) is Decision.DENIED


@pytest.mark.parametrize(
    "change",
    [
        {"Principal": {"AWS": "*"}},
        {"Principal": {"AWS": [ROLE, "arn:aws:iam::1:root"]}},
        {"Principal": {"AWS": "123456789012"}},
        {"Action": ["s3:List*", "S3:get*"]},
        {"Resource": "arn:aws:s3:::raw/*"},
        {"Resource": "arn:aws:s3:::raw/a[1].txt"},
        {"Condition": {"Bool": {"aws:SecureTransport": "true"}}},
        {"Condition": {"StringNotLike": {"aws:PrincipalArn": "*:role/admin"}}},
        {"Condition": {"ArnNotEquals": {"aws:SourceArn": "arn:x"}}},
        {"Condition": {"ArnLikeIfExists": {"aws:SourceArn": "arn:x"}}},
    ],
)
def test_a_statement_applies(change: dict[str, Any]) -> None:
    assert answer({**DENY, **change}) is Decision.DENIED


@pytest.mark.parametrize(
    "change",
    [
        {"Principal": {"AWS": "arn:aws:iam::123456789012:role/other"}},
        {"Principal": {"Service": "events.amazonaws.com"}},
        {"Action": "s3:Put*"},
        {"Resource": "arn:aws:s3:::raw/a1.txt"},
        {"Condition": {"Bool": {"aws:SecureTransport": "false"}}},
        {"Condition": {"StringNotLike": {"aws:PrincipalArn": ["x", "*:role/packager"]}}},
        {"Condition": {"ArnEquals": {"aws:SourceArn": "arn:x"}}},
        # One condition that does not hold is enough.
        {"Condition": {"StringEquals": {"aws:PrincipalArn": "x", "aws:SourceVpce": "vpce-1"}}},
    ],
)
def test_a_statement_does_not_apply(change: dict[str, Any]) -> None:
    assert answer({**DENY, **change}, ALLOW) is Decision.ALLOWED


def test_exceptions_by_not_elements() -> None:
    exempt = {key: value for key, value in DENY.items() if key != "Principal"}
    assert answer({**exempt, "NotPrincipal": {"AWS": ROLE}}, ALLOW) is Decision.ALLOWED
    assert answer({**exempt, "NotPrincipal": {"AWS": "arn:x"}}, ALLOW) is Decision.DENIED


@pytest.mark.parametrize(
    "condition",
    [
        {"StringNotEquals": {"aws:SourceVpce": "vpce-1"}},
        {"NumericGreaterThan": {"aws:SecureTransport": "1"}},
        {"ForAllValues:StringEquals": {"aws:PrincipalArn": "x"}},
    ],
)
def test_unknown_conditions_leave_the_decision_open(condition: dict[str, Any]) -> None:
    assert answer({**DENY, "Condition": condition}, ALLOW) is Decision.UNKNOWN
    assert answer({**ALLOW, "Condition": condition}) is Decision.UNKNOWN
    # A statement for others decides nothing.
    assert answer({**DENY, "Action": "sqs:*", "Condition": condition}, ALLOW) is Decision.ALLOWED
