"""The scheduled audit: its role, its schedule, its alarms and its event."""

import json
from typing import Any

import pytest
from aws_cdk import Duration
from aws_cdk.aws_scheduler import ScheduleExpression

from quilt_packager import Audit, PackagingEngine
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    find,
    make_stack,
    permissions_of,
    properties_of,
    template_of,
)

WEEKLY = ScheduleExpression.rate(Duration.days(7))


@pytest.fixture(scope="module")
def engine() -> PackagingEngine:
    stack = make_stack()
    engine = add_engine(stack, audit=Audit(WEEKLY, sample=0.01), role_name_prefix="lab")
    engine.add_alarms()
    engine.on_package_damaged("Damaged")
    return engine


@pytest.fixture(scope="module")
def template(engine: PackagingEngine) -> JsonObject:
    return template_of(engine.node.scope)  # type: ignore[arg-type]


def test_role_may_write_to_no_bucket(template: JsonObject) -> None:
    allowed = [
        each
        for each in permissions_of(template, "AuditFunction").values()
        if each["Effect"] == "Allow"
    ]
    actions = {action for each in allowed for action in _list(each["Action"])}
    assert {each for each in actions if each.startswith("s3:")} == {
        "s3:GetLifecycleConfiguration",
        "s3:GetObject",
        "s3:GetObjectAttributes",
        "s3:GetObjectVersion",
        "s3:GetObjectVersionAttributes",
        "s3:ListBucket",
        "s3:ListBucketVersions",
    }


def test_schedule_starts_the_state_machine(template: JsonObject) -> None:
    schedule = properties_of(template, "AWS::Scheduler::Schedule")
    assert schedule["ScheduleExpression"] == "rate(7 days)"
    [machine] = find(template, "AWS::StepFunctions::StateMachine", like="Audits")
    assert schedule["Target"]["Arn"] == {"Ref": machine}


def test_state_machine_repeats_the_function_until_it_is_done(template: JsonObject) -> None:
    machine = properties_of(template, "AWS::StepFunctions::StateMachine", like="Audits")
    parts = machine["DefinitionString"]["Fn::Join"][1]
    states = json.loads("".join(p if isinstance(p, str) else "x" for p in parts))["States"]
    assert states["ChooseNextStep"]["Default"] == "AuditPackages"
    assert "InputPath" not in states["AuditPackages"]


def test_function_reads_the_sample_and_copies_nothing(template: JsonObject) -> None:
    function = properties_of(template, "AWS::Lambda::Function", like="AuditFunction")
    variables = function["Environment"]["Variables"]
    assert variables["QUILT_PACKAGER_AUDIT_SAMPLE"] == "0.01"
    assert "QUILT_PACKAGER_SCRATCH_BUCKET" not in variables


def test_damage_and_failed_audits_have_alarms(template: JsonObject) -> None:
    alarms = find(template, "AWS::CloudWatch::Alarm")
    names = {each["Properties"]["AlarmName"] for each in alarms.values()}
    assert {
        "Stack: see what is missing from damaged packages",
        "Stack: see why the audit of packages failed",
    } <= names


def test_damage_is_an_event_of_the_engine(template: JsonObject) -> None:
    rule = properties_of(template, "AWS::Events::Rule", like="Damaged")
    assert rule["EventPattern"] == {
        "source": ["quilt.packager"],
        "detail-type": ["Package Damaged"],
        "detail": {"engine": ["Stack"]},
    }


def test_role_is_one_of_those_that_access_buckets(engine: PackagingEngine) -> None:
    assert engine.audit is not None
    assert engine.audit.function.role in engine.data_access_roles


def test_engine_without_the_prop_has_no_audit() -> None:
    stack = make_stack()
    assert add_engine(stack).audit is None
    assert find(template_of(stack), "AWS::Scheduler::Schedule") == {}


@pytest.mark.parametrize(
    ("props", "error", "words"),
    [
        ({"schedule": WEEKLY, "sample": 2}, ValueError, "sample is 2"),
        ({"schedule": "rate(7 days)"}, TypeError, r"pass ScheduleExpression.rate"),
    ],
)
def test_invalid_props_are_refused(
    props: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        Audit(**props)


def _list(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
