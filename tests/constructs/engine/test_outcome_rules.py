"""Outcomes: their bus and topic, the permissions to publish them, and the rules that match them."""

import json
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_kms as kms
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations, Match
from quilt_packager_runtime.reporting.outcome_events import event_schema

from quilt_packager.engine.functions import PYTHON
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    arn,
    existing_bucket,
    find,
    make_stack,
    permissions_of,
    placeholder_code,
    properties_of,
    template_of,
    via,
)

KEY = "arn:aws:kms:us-east-1:123456789012:key/01234567"
TOPIC = "arn:aws:sns:us-east-1:123456789012:failures"
DEFAULT_BUS = {
    "Fn::Join": [
        "",
        [
            "arn:",
            {"Ref": "AWS::Partition"},
            ":events:",
            {"Ref": "AWS::Region"},
            ":",
            {"Ref": "AWS::AccountId"},
            ":event-bus/default",
        ],
    ]
}


@pytest.fixture(scope="module")
def template() -> JsonObject:
    """An engine with every destination of outcomes."""
    stack = make_stack()
    engine = add_engine(
        stack,
        event_bus=events.EventBus(stack, "Bus"),
        notifications_topic=sns.Topic(stack, "Topic", master_key=kms.Key(stack, "TopicKey")),
        quarantine_registry=existing_bucket(stack, "quarantine"),
        catalog_url="https://catalog.example.com",
        publish_schema=True,
    )
    target = targets.SnsTopic(sns.Topic(stack, "Packages"))
    engine.on_package_created("Created", target=target, description="New packages")
    engine.on_package_unchanged("Unchanged")
    engine.on_package_rejected("Rejected", enabled=False)
    engine.on_package_failed("Failed", rule_name="failed-packages")
    return template_of(stack)


def environment(template: JsonObject, function: str = "PackagerFunction") -> JsonObject:
    variables: JsonObject = properties_of(template, "AWS::Lambda::Function", like=function)[
        "Environment"
    ]["Variables"]
    return variables


def rule(template: JsonObject, name: str) -> JsonObject:
    return properties_of(template, "AWS::Events::Rule", like=name)


@pytest.mark.parametrize("name", ["Created", "Unchanged", "Rejected", "Failed"])
def test_rule_matches_only_these_outcomes_of_the_engine(template: JsonObject, name: str) -> None:
    (bus,) = find(template, "AWS::Events::EventBus")
    assert rule(template, f"Outcomes{name}")["EventBusName"] == {"Ref": bus}
    assert rule(template, f"Outcomes{name}")["EventPattern"] == {
        "source": ["quilt.packager"],
        "detail-type": [f"Package {name}"],
        "detail": {"engine": ["Stack"]},
    }


def test_target_and_options_reach_the_rule(template: JsonObject) -> None:
    (packages,) = find(template, "AWS::SNS::Topic", like="Packages")
    (target,) = rule(template, "OutcomesCreated")["Targets"]
    assert target["Arn"] == {"Ref": packages}
    assert rule(template, "OutcomesCreated")["Description"] == "New packages"
    assert rule(template, "OutcomesRejected")["State"] == "DISABLED"
    assert rule(template, "OutcomesFailed")["Name"] == "failed-packages"


def test_pattern_of_the_rule_can_be_narrowed() -> None:
    stack = make_stack()
    heard = add_engine(stack).on_package_created("Created")
    heard.add_event_pattern(detail={"registry": ["reg"]})
    assert rule(template_of(stack), "Created")["EventPattern"]["detail"] == {
        "engine": ["Stack"],
        "registry": ["reg"],
    }


@pytest.mark.parametrize("function", ["PackagerFunction", "LargeJobFunction"])
def test_functions_know_the_bus_and_topic(template: JsonObject, function: str) -> None:
    (bus,) = find(template, "AWS::Events::EventBus")
    (topic,) = find(template, "AWS::SNS::Topic", like="Topic")
    told = environment(template, function)
    assert told["QUILT_PACKAGER_EVENT_BUS"] == {"Fn::GetAtt": [bus, "Arn"]}
    assert told["QUILT_PACKAGER_NOTIFICATIONS_TOPIC_ARN"] == {"Ref": topic}
    assert told["QUILT_PACKAGER_QUARANTINE_REGISTRY"] == "quarantine"
    assert told["QUILT_PACKAGER_CATALOG_URL"] == "https://catalog.example.com"
    assert told["QUILT_PACKAGER_ENGINE"] == "Stack"


@pytest.mark.parametrize("function", ["PackagerFunction", "LargeJobFunction"])
def test_put_outcomes_allows_only_outcomes_of_the_engine(
    template: JsonObject, function: str
) -> None:
    (bus,) = find(template, "AWS::Events::EventBus")
    assert permissions_of(template, function)["PutOutcomes"] == {
        "Sid": "PutOutcomes",
        "Effect": "Allow",
        "Action": "events:PutEvents",
        "Resource": {"Fn::GetAtt": [bus, "Arn"]},
        "Condition": {"StringEquals": {"events:source": "quilt.packager"}},
    }


def test_put_outcomes_defaults_to_the_default_bus() -> None:
    stack = make_stack()
    add_engine(stack).on_package_created("Created")
    template = template_of(stack)
    assert permissions_of(template)["PutOutcomes"]["Resource"] == DEFAULT_BUS
    assert environment(template)["QUILT_PACKAGER_EVENT_BUS"] == DEFAULT_BUS
    assert rule(template, "Created")["EventBusName"] == "default"


def test_publish_notices_allows_one_topic_and_its_key(
    template: JsonObject,
) -> None:
    (topic,) = find(template, "AWS::SNS::Topic", like="Topic")
    (key,) = find(template, "AWS::KMS::Key")
    statements = permissions_of(template)
    assert statements["PublishNotices"] == {
        "Sid": "PublishNotices",
        "Effect": "Allow",
        "Action": "sns:Publish",
        "Resource": {"Ref": topic},
    }
    assert statements["UseTopicKey"] == {
        "Sid": "UseTopicKey",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": {"Fn::GetAtt": [key, "Arn"]},
        "Condition": {"StringEquals": {"kms:ViaService": [via("sns")]}},
    }


@pytest.mark.parametrize(("key", "is_told"), [(None, True), (KEY, False)])
def test_synthesis_notes_that_the_key_of_an_imported_topic_is_unknown(
    key: str | None, is_told: bool
) -> None:
    stack = make_stack()
    topic = sns.Topic.from_topic_attributes(stack, "Topic", topic_arn=TOPIC, key_arn=key)
    add_engine(stack, notifications_topic=topic)
    told = Annotations.from_stack(stack).find_info(
        "*", Match.string_like_regexp("quilt:notifications_topic_key")
    )
    assert bool(told) == is_told


def test_topic_of_the_app_needs_no_key_prop() -> None:
    stack = make_stack()
    add_engine(stack, notifications_topic=sns.Topic(stack, "Topic"))
    assert not Annotations.from_stack(stack).find_info("*", Match.any_value())


def test_role_may_publish_only_where_props_say() -> None:
    stack = make_stack()
    add_engine(stack)
    assert "PublishNotices" not in permissions_of(template_of(stack))


def test_role_may_write_the_quarantine_and_no_more(template: JsonObject) -> None:
    statements = permissions_of(template)
    assert arn("quarantine", "/.quilt/packages/*") in statements["WriteRegistries"]["Resource"]
    assert arn("quarantine") in statements["ListRegistries"]["Resource"]
    assert arn("quarantine", "/*") in statements["NeverDeleteOrReconfigure"]["Resource"]
    assert statements["ReadSources"]["Resource"] == arn("raw", "/*")


def test_messages_cannot_name_the_quarantine_as_registry(template: JsonObject) -> None:
    assert environment(template)["QUILT_PACKAGER_REGISTRY_BUCKETS"] == "reg"


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"quarantine_registry": "reg"}, "quarantine_registry is Stack/"),
        ({"catalog_url": "http://catalog.example.com"}, "catalog_url is 'http://"),
        ({"catalog_url": "https://catalog.example.com/b/x"}, "catalog_url is 'https://"),
        ({"max_receive_count": 999}, "max_receive_count is 999: "),
        (
            {"on_foreign_revision": "keep"},
            "on_foreign_revision is 'keep': choose from replace, carry, hold",
        ),
    ],
)
def test_invalid_props_are_refused_with_their_values(props: dict[str, Any], message: str) -> None:
    stack = make_stack()
    if "quarantine_registry" in props:
        registry = existing_bucket(stack, "reg")
        props = {"quarantine_registry": registry, "registry_buckets": [registry]}
    with pytest.raises(ValueError, match="Invalid props of PackagingEngine: ") as refused:
        add_engine(stack, **props)
    assert message in str(refused.value)


def test_published_schema_is_the_committed_one(
    template: JsonObject,
) -> None:
    (registry,) = find(template, "AWS::EventSchemas::Registry")
    schema = properties_of(template, "AWS::EventSchemas::Schema")
    assert schema["RegistryName"] == {"Fn::GetAtt": [registry, "RegistryName"]}
    assert schema["Type"] == "JSONSchemaDraft4"
    assert json.loads(schema["Content"]) == json.loads(event_schema())


def test_schema_is_not_published_by_default() -> None:
    stack = make_stack()
    add_engine(stack)
    assert not find(template_of(stack), "AWS::EventSchemas::Schema")


def test_engine_has_its_bus_as_a_member() -> None:
    stack = Stack()
    bus = events.EventBus(stack, "Bus")
    bucket = s3.Bucket(stack, "Data")
    engine = add_engine(stack, source_buckets=[bucket], registry_buckets=[bucket], event_bus=bus)
    assert engine.event_bus is bus


def test_function_of_another_stack_can_send_jobs_and_receive_outcomes() -> None:
    app = App()
    packaging, lab = Stack(app, "Packaging"), Stack(app, "Lab")
    engine = add_engine(packaging)
    function = lambda_.Function(
        lab, "Next", runtime=PYTHON, handler="index.handler", code=placeholder_code()
    )
    engine.grant_send_messages(function)
    engine.on_package_created(
        "Created", target=targets.LambdaFunction(function), cross_stack_scope=lab
    )
    app.synth()  # each stack depends on the other without a cross_stack_scope
    assert lab.dependencies == [packaging]
    pattern = properties_of(template_of(lab), "AWS::Events::Rule")["EventPattern"]
    assert pattern["detail"] == {"engine": ["Packaging"]}
