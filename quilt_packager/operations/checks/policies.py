"""Decides whether a resource's policy allows a request, as far as its conditions are known.

IAM cannot simulate the policy of a resource for a role, so its statements are evaluated here.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

Statement = Mapping[str, Any]


class Decision(StrEnum):
    """Result of a policy."""

    ALLOWED = "allowed"
    DENIED = "denied"
    SILENT = "silent"
    UNKNOWN = "unknown"


class Request(NamedTuple):
    """A request to a resource.

    Attributes:
        principals: Names by which a policy may refer to the caller: ARNs, accounts, services.
        action: Action, such as `sqs:SendMessage`.
        resource: ARN of the resource.
        context: Known condition keys in lower case. None: the request has no such key.
    """

    principals: frozenset[str]
    action: str
    resource: str
    context: Mapping[str, str | None]


def decide(policy: str | None, request: Request) -> Decision:
    """Evaluate a policy.

    Args:
        policy: Policy document; None if the resource has none.
        request: The request.

    Example:
        >>> policy = '{"Statement": {"Effect": "Deny", "Principal": "*", "Action": "s3:*"}}'
        >>> decide(policy, Request(frozenset({"arn:aws:iam::1:role/r"}), "s3:GetObject", "", {}))
        <Decision.DENIED: 'denied'>
    """
    statements = _list(json.loads(policy).get("Statement")) if policy else []
    for effect, decision in (("Deny", Decision.DENIED), ("Allow", Decision.ALLOWED)):
        answers = [_matches(each, request) for each in statements if each["Effect"] == effect]
        if True in answers:
            return decision
        if None in answers:
            return Decision.UNKNOWN
    return Decision.SILENT


def role_names(role_arn: str) -> frozenset[str]:
    """Return the names by which a policy may refer to a role.

    Example:
        >>> sorted(role_names("arn:aws:iam::123456789012:role/lab"))
        ['123456789012', 'arn:aws:iam::123456789012:role/lab', 'arn:aws:iam::123456789012:root']
    """
    prefix, _, _ = role_arn.rpartition(":")
    return frozenset({role_arn, f"{prefix}:root", prefix.rpartition(":")[2]})


def _matches(statement: Statement, request: Request) -> bool | None:
    """Return True or False; None if the conditions have unknown keys or operators."""
    if not (
        _selects(statement, "Principal", lambda value: _names(value, request.principals))
        and _selects(
            statement, "Action", lambda value: _like(value, request.action.lower(), fold=True)
        )
        and _selects(statement, "Resource", lambda value: _like(value, request.resource))
    ):
        return False
    answers = [
        _holds(operator, key, _list(values), request.context)
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    ]
    if False in answers:
        return False
    return None if None in answers else True


def _selects(statement: Statement, name: str, test: Callable[[Any], bool]) -> bool:
    """Apply `Name` or `NotName`. A statement without either selects everything."""
    if name in statement:
        return test(statement[name])
    return f"Not{name}" not in statement or not test(statement[f"Not{name}"])


def _names(principal: object, wanted: frozenset[str]) -> bool:
    if principal == "*":
        return True
    named = principal.values() if isinstance(principal, dict) else ()
    listed = {name for value in named for name in _list(value)}
    return "*" in listed or not listed.isdisjoint(wanted)


def _like(patterns: object, value: str, *, fold: bool = False) -> bool:
    return any(_match(each.lower() if fold else each, value) for each in _list(patterns))


def _match(pattern: str, value: str) -> bool:
    # In policies, brackets have no meaning.
    return fnmatchcase(value, pattern.replace("[", "[[]"))


_TESTS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, expected: value == expected,
    "StringEqualsIgnoreCase": lambda value, expected: value.lower() == expected.lower(),
    "StringLike": lambda value, expected: _match(expected, value),
    "ArnEquals": lambda value, expected: _match(expected, value),
    "ArnLike": lambda value, expected: _match(expected, value),
    "Bool": lambda value, expected: value == str(expected).lower(),
    "NumericLessThan": lambda value, expected: float(value) < float(expected),
}


def _holds(
    operator: str, key: str, expected: Iterable[str], context: Mapping[str, str | None]
) -> bool | None:
    if_exists = operator.endswith("IfExists")
    operator = operator.removesuffix("IfExists")
    negated = operator.startswith(("StringNot", "ArnNot"))
    test = _TESTS.get(operator.replace("Not", "", 1) if negated else operator)
    if test is None or key.lower() not in context:
        return None
    value = context[key.lower()]
    if value is None:
        return if_exists or negated
    return any(test(value, each) for each in expected) is not negated


def _list(value: Any) -> list[Any]:  # noqa: ANN401 - JSON
    return value if isinstance(value, list) else [] if value is None else [value]
