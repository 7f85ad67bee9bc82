"""`promote_to`: its rule, its function and role, what becomes of failures, and what it refuses."""

import json
from typing import Any

import pytest
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3

from quilt_packager import PromoteWhen
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    arn,
    existing_bucket,
    find,
    make_stack,
    permissions_of,
    properties_of,
    template_of,
)


@pytest.fixture(scope="module")
def template() -> JsonObject:
    stack = make_stack()
    engine = add_engine(stack)
    engine.promote_to(
        "production",
        when=PromoteWhen(names=["assays/*"], metadata={"status": ["passed"]}),
        copy_data_to="data/",
    )
    engine.add_alarms()
    engine.add_dashboard()
    return template_of(stack)


def settings_of(template: JsonObject) -> JsonObject:
    function = properties_of(template, "AWS::Lambda::Function", like="Promotion")
    variable = function["Environment"]["Variables"]["QUILT_PACKAGER_PROMOTION"]
    parts = variable["Fn::Join"][1] if isinstance(variable, dict) else [variable]
    text = "".join(part if isinstance(part, str) else "?" for part in parts)
    return dict(json.loads(text))


def test_the_rule_matches_created_packages_by_name(template: JsonObject) -> None:
    rule = properties_of(template, "AWS::Events::Rule", like="Promotion")
    assert rule["EventPattern"] == {
        "source": ["quilt.packager"],
        "detail-type": ["Package Created"],
        "detail": {
            "engine": ["Stack"],
            "package_name": [{"wildcard": "assays/*"}],
            "registry": [{"anything-but": "production"}],
        },
    }


def test_the_function_has_the_settings(template: JsonObject) -> None:
    settings = settings_of(template)
    assert settings["registry"] == "production"
    assert settings["copy_to"] == "s3://production/data/"
    assert settings["metadata"] == {"status": ["passed"]}


def test_the_role_may_write_to_the_other_registry_and_below_the_prefix_only(
    template: JsonObject,
) -> None:
    statements = permissions_of(template, "PromotionFunction")
    written = [
        resource
        for each in statements.values()
        if each["Effect"] == "Allow" and "s3:PutObject" in each["Action"]
        for resource in (
            each["Resource"] if isinstance(each["Resource"], list) else [each["Resource"]]
        )
    ]
    assert written == [
        arn("production", "/.quilt/packages/*"),
        arn("production", "/.quilt/named_packages/*"),
        arn("production", "/data/*"),
    ]
    denied = statements["NeverDeleteOrReconfigure"]
    assert "s3:DeleteObject" in denied["Action"]


def test_without_copies_the_role_reads_no_objects() -> None:
    stack = make_stack()
    add_engine(stack).promote_to("production")
    statements = permissions_of(template_of(stack), "PromotionFunction")
    assert not {"ReadOriginals", "ListCopies", "WriteCopies"} & set(statements)


def test_the_roles_of_the_engine_stay_as_they_are(template: JsonObject) -> None:
    stack = make_stack()
    add_engine(stack)
    alone = template_of(stack)
    for holder in ("PackagerFunction", "LargeJobFunction", "ChecksumFunction"):
        assert permissions_of(template, holder) == permissions_of(alone, holder)
    assert set(find(alone, "AWS::Lambda::Function")) <= set(find(template, "AWS::Lambda::Function"))


def test_failed_promotions_and_undelivered_events_are_dead_letters(template: JsonObject) -> None:
    (queue,) = find(template, "AWS::SQS::Queue", like="Promotion")
    rule = properties_of(template, "AWS::Events::Rule", like="Promotion")
    expected = {"Fn::GetAtt": [queue, "Arn"]}
    assert rule["Targets"][0]["DeadLetterConfig"] == {"Arn": expected}
    assert permissions_of(template, "PromotionFunction")["SendDeadLetters"]["Resource"] == expected


def test_they_raise_an_alarm(template: JsonObject) -> None:
    names = [
        each["Properties"]["AlarmName"]
        for each in find(template, "AWS::CloudWatch::Alarm", like="promotions").values()
    ]
    assert names == ["Stack: retry or discard the dead letters of promotions"]


def test_the_state_machine_goes_on_until_everything_is_copied(template: JsonObject) -> None:
    machine = properties_of(template, "AWS::StepFunctions::StateMachine", like="Promotion")
    parts = machine["DefinitionString"]["Fn::Join"][1]
    text = "".join(part if isinstance(part, str) else "?" for part in parts)
    states = json.loads(text)["States"]
    following = {each["Variable"]: each["Next"] for each in states["ChooseNextStep"]["Choices"]}
    assert following == {"$.step.goes_on": "Promote", "$.step.failed": "Failed"}
    assert states["Promote"]["Catch"][0]["Next"] == "ReportFailure"


def test_keys_of_all_buckets_can_be_used() -> None:
    stack = make_stack()
    key = kms.Key(stack, "Key")
    bucket = s3.Bucket(stack, "Production", encryption_key=key)
    engine = add_engine(stack, queue_encryption_key=kms.Key(stack, "QueueKey"))
    engine.promote_to(bucket, copy_data_to="data/")
    statements = permissions_of(template_of(stack), "PromotionFunction")
    assert {"EncryptRegistries", "EncryptCopies", "UseQueueKey"} <= set(statements)


def test_several_promotions_have_ids_of_their_own() -> None:
    stack = make_stack()
    engine = add_engine(stack)
    engine.promote_to("production")
    engine.promote_to(existing_bucket(stack, "archive"), construct_id="Archive")
    assert len(find(template_of(stack), "AWS::StepFunctions::StateMachine")) == 3
    with pytest.raises(ValueError, match="another construct_id"):
        engine.promote_to("production")


@pytest.mark.parametrize(
    ("props", "named"),
    [
        ({"when": PromoteWhen(names=[])}, "names"),
        ({"when": PromoteWhen(names=["a/b/c"])}, "a/b/c"),
        ({"when": PromoteWhen(metadata={"status": "passed"})}, "status"),
        ({"copy_data_to": "data"}, "data"),
        ({"copy_data_to": ".quilt/packages/"}, "registry itself"),
    ],
)
def test_invalid_props_are_named(props: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        add_engine(make_stack()).promote_to("production", **props)


def test_another_type_is_named() -> None:
    with pytest.raises(TypeError, match="registry"):
        add_engine(make_stack()).promote_to(7)  # type: ignore[arg-type]
