"""Types of props that CDK would report by a trace of its own, or not at all."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Protocol, Union, get_args, get_origin

from aws_cdk import Duration, Size
from aws_cdk import aws_ec2 as ec2
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_scheduler as scheduler
from aws_cdk import aws_sns as sns


class Bindable(Protocol):
    """An event source, for type checks: any object with a `bind` method."""


_INTERFACES: dict[Any, str] = {
    Bindable: "bind",
    ec2.ISecurityGroup: "security_group_id",
    ec2.IVpc: "vpc_id",
    events.IEventBus: "event_bus_arn",
    kms.IKey: "key_arn",
    s3.IBucket: "bucket_arn",
    sns.ITopic: "topic_arn",
}
"""A property of each interface of CDK, by which its constructs are recognized."""

_REMEDIES: dict[Any, str] = {
    Bindable: "an event source, such as HealthOmicsRuns()",
    bool: "True or False",
    Duration: "Duration.seconds(…) or Duration.minutes(…)",
    Size: "Size.mebibytes(…) or Size.gibibytes(…)",
    ec2.ISecurityGroup: "SecurityGroup.from_security_group_id(scope, id, …)",
    ec2.SubnetSelection: "SubnetSelection(…)",
    ec2.IVpc: "Vpc.from_lookup(scope, id, vpc_id=…)",
    events.IEventBus: "EventBus.from_event_bus_name(scope, id, …)",
    kms.IKey: "Key.from_key_arn(scope, id, …)",
    events.EventPattern: "an EventPattern or a dict",
    events.RuleTargetInput: "RuleTargetInput.from_object(…)",
    lambda_.Architecture: "Architecture.ARM_64 or Architecture.X86_64",
    lambda_.Code: "Code.from_asset(…)",
    lambda_.Tracing: "Tracing.ACTIVE or Tracing.DISABLED",
    logs.RetentionDays: "RetentionDays.ONE_YEAR, for example",
    scheduler.ScheduleExpression: "ScheduleExpression.rate(…) or ScheduleExpression.cron(…)",
    s3.IBucket: "Bucket.from_bucket_name(scope, id, …)",
    sns.ITopic: "Topic.from_topic_arn(scope, id, …)",
}


def find_wrong_types(values: Mapping[str, tuple[object, Any]]) -> dict[str, str]:
    """Return a sentence for each value that is of another type, by the prop's name.

    Numbers and texts are not checked here: they have limits, which `find_violations` knows.

    Args:
        values: Values with their types, by the names of their props.

    Example:
        >>> find_wrong_types({"timeout": (900, Duration | None), "queue_name": ("a", str)})
        {'timeout': 'timeout is 900: pass Duration.seconds(…) or Duration.minutes(…)'}
    """
    wrong = {}
    for name, (value, hint) in values.items():
        sentences = list(_check(name, value, hint))
        if sentences:
            wrong[name] = "; ".join(sentences)
    return wrong


def check_props(
    construct: str,
    types: Mapping[str, tuple[object, Any]],
    checks: Mapping[str, Callable[[], object]],
) -> None:
    """Check the props of a construct, and raise one error for all violations.

    Args:
        construct: Name of the construct.
        types: Values with their types, by the names of their props.
        checks: Functions that raise a ValueError for an invalid value. One of a prop that has
            another type is not called.

    Raises:
        TypeError: A prop is of another type.
        ValueError: Props have invalid values.
    """
    wrong = find_wrong_types(types)
    violations = []
    for name, check in checks.items():
        if name not in wrong:
            try:
                check()
            except ValueError as error:
                violations.append(str(error))
    raise_violations(construct, wrong_types=wrong.values(), violations=violations)


def raise_violations(
    construct: str,
    *,
    names: Iterable[str] = (),
    wrong_types: Iterable[str] = (),
    violations: Iterable[str] = (),
) -> None:
    """Raise one error for all violations, if there are any.

    Args:
        construct: Name of the construct.
        names: Sentences about unknown and missing names, with the construct as their subject.
        wrong_types: Sentences about values of another type.
        violations: Sentences about invalid values.

    Raises:
        TypeError: There are sentences about names or types.
        ValueError: There are sentences about values only.
    """
    names, wrong_types = list(names), list(wrong_types)
    values = [*wrong_types, *violations]
    parts = [f"{construct} {'; '.join(names)}"] if names else []
    if values:
        parts.append(f"Invalid props of {construct}: {'; '.join(values)}")
    if names or wrong_types:
        raise TypeError(". ".join(parts))
    if parts:
        raise ValueError(*parts)


def _check(name: str, value: object, hint: Any) -> Iterator[str]:  # noqa: ANN401 - a type hint
    """Yield a sentence for a value, or for each of its items, that is of another type."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in {Union, UnionType}:
        if value is not None:
            (kind,) = (each for each in arguments if each is not NoneType)
            yield from _check(name, value, kind)
    elif origin is Sequence:
        if isinstance(value, str) or not isinstance(value, Sequence):
            yield f"{name} is {_show(value)}: pass a list"
        else:
            for index, item in enumerate(value):
                yield from _check(f"{name}[{index}]", item, arguments[0])
    elif origin is Mapping:
        if not isinstance(value, Mapping):
            yield f"{name} is {_show(value)}: pass a dict"
        else:
            for key, item in value.items():
                yield from _check(f"{name}[{key!r}]", item, arguments[1])
    elif hint in _REMEDIES and not _is_of(hint)(value):
        yield f"{name} is {_show(value)}: pass {_REMEDIES[hint]}"


def _is_of(hint: Any) -> Callable[[object], bool]:  # noqa: ANN401 - a type hint
    if hint is events.EventPattern:
        return lambda value: isinstance(value, events.EventPattern | Mapping)
    if hint in _INTERFACES:
        return lambda value: not isinstance(value, type) and hasattr(value, _INTERFACES[hint])
    return lambda value: isinstance(value, hint)


def _show(value: object) -> str:
    if isinstance(value, type):
        return f"the class {value.__name__}"
    is_plain = isinstance(value, str | int | float | bool | list | tuple | dict)
    return repr(value) if is_plain else f"of type {type(value).__name__}"
