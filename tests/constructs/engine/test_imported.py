"""Engines of other stacks: grants to their senders, and rules for their outcomes."""

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_kms as kms

from quilt_packager import IPackagingEngine, PackagingEngine
from tests.constructs.presets import KEY
from tests.constructs.templates import (
    add_engine,
    make_stack,
    properties_of,
    template_of,
)

QUEUE = "arn:aws:sqs:us-east-1:123456789012:packaging-queue"


def sender_in(stack: Stack) -> iam.Role:
    return iam.Role(stack, "Sender", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))


def test_sender_of_another_app_is_granted_sending_by_the_arn_of_the_queue() -> None:
    stack = make_stack()
    engine = PackagingEngine.from_queue_arn(stack, "Engine", QUEUE)
    engine.grant_send_messages(sender_in(stack))
    (statement,) = properties_of(template_of(stack), "AWS::IAM::Policy")["PolicyDocument"][
        "Statement"
    ]
    assert "sqs:SendMessage" in statement["Action"]
    assert statement["Resource"] == QUEUE
    assert engine.queue.queue_arn == QUEUE


@pytest.mark.parametrize("alias", [False, True])
def test_grant_includes_the_key_of_the_queue(alias: bool) -> None:
    stack = make_stack()
    key = (
        kms.Alias.from_alias_name(stack, "Key", "alias/queues")
        if alias
        else kms.Key.from_key_arn(stack, "Key", KEY)
    )
    engine = PackagingEngine.from_engine_attributes(
        stack, "Engine", queue_arn=QUEUE, queue_encryption_key=key
    )
    engine.grant_send_messages(sender_in(stack))
    policy = properties_of(template_of(stack), "AWS::IAM::Policy")["PolicyDocument"]
    (statement,) = (each for each in policy["Statement"] if "kms:" in str(each["Action"]))
    assert ("alias/queues" if alias else KEY) in str(statement)


def test_outcomes_of_an_imported_engine_match_its_service() -> None:
    stack = make_stack()
    engine = PackagingEngine.from_engine_attributes(
        stack, "Engine", queue_arn=QUEUE, service="Packaging/lab"
    )
    engine.on_package_created("Created")
    pattern = properties_of(template_of(stack), "AWS::Events::Rule")["EventPattern"]
    assert pattern["detail"] == {"engine": ["Packaging/lab"]}


def test_outcomes_without_a_service_are_refused_with_the_remedy() -> None:
    engine = PackagingEngine.from_queue_arn(make_stack(), "Engine", QUEUE)
    with pytest.raises(ValueError, match=r"pass `service` to PackagingEngine.from_engine_attrib"):
        engine.on_package_created("Created")


def test_key_of_another_type_is_refused() -> None:
    with pytest.raises(TypeError, match=r"queue_encryption_key is 'arn': pass Key.from_key_arn"):
        PackagingEngine.from_engine_attributes(
            make_stack(),
            "Engine",
            queue_arn=QUEUE,
            queue_encryption_key="arn",  # type: ignore[arg-type]
        )


def test_imported_engines_and_those_of_the_app_are_interchangeable() -> None:
    def allow(engine: IPackagingEngine, sender: iam.Role) -> None:
        engine.grant_send_messages(sender)

    stack = make_stack()
    sender = sender_in(stack)
    allow(add_engine(stack), sender)
    allow(PackagingEngine.from_queue_arn(stack, "Imported", QUEUE), sender)
    policy = properties_of(template_of(stack), "AWS::IAM::Policy", like="Sender")
    granted = [each["Resource"] for each in policy["PolicyDocument"]["Statement"]]
    assert len(granted) == 2
    assert QUEUE in granted


def test_app_is_tested_without_building_the_asset(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the asset is built")

    monkeypatch.setattr("quilt_packager.engine.functions.build_asset", refuse)
    # The context that the CDK sets for commands that upload nothing.
    stack = Stack(App(context={"aws:cdk:bundling-stacks": []}), "Stack")
    add_engine(stack, code=None)
    assert properties_of(template_of(stack), "AWS::Lambda::Function", like="Packager")
