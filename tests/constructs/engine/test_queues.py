"""The queue and its dead-letter queue: times, encryption, who may send, and what feeds on it."""

from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk.assertions import Annotations, Match

from quilt_packager import HealthOmicsRuns, WorkflowRunCrates
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    find,
    make_stack,
    permissions_of,
    properties_of,
    rules_of,
    template_of,
)

QUEUE = "PackagerQueue"
DEAD_LETTERS = "PackagerDeadLetterQueue"


@pytest.fixture(scope="module")
def template() -> JsonObject:
    stack = make_stack()
    add_engine(stack, event_sources=[HealthOmicsRuns(), WorkflowRunCrates()])
    return template_of(stack)


@pytest.fixture(scope="module")
def encrypted() -> JsonObject:
    stack = make_stack()
    key = kms.Key(stack, "Key")
    add_engine(stack, queue_encryption_key=key, event_sources=[HealthOmicsRuns()])
    return template_of(stack)


def queue_properties(template: JsonObject, queue: str) -> JsonObject:
    return properties_of(template, "AWS::SQS::Queue", like=queue)


def queue_statements(template: JsonObject, queue: str) -> list[JsonObject]:
    policy = properties_of(template, "AWS::SQS::QueuePolicy", like=queue)
    statements: list[JsonObject] = policy["PolicyDocument"]["Statement"]
    return statements


def accepted_sources(template: JsonObject, queue: str) -> list[JsonObject]:
    (accepting,) = (each for each in queue_statements(template, queue) if each.get("Sid"))
    assert accepting["Effect"] == "Allow"
    assert accepting["Action"] == "sqs:SendMessage"
    assert accepting["Principal"] == {"Service": "events.amazonaws.com"}
    sources = accepting["Condition"]["ArnEquals"]["aws:SourceArn"]
    return sources if isinstance(sources, list) else [sources]


def rule_arns(template: JsonObject) -> list[JsonObject]:
    return [{"Fn::GetAtt": [rule, "Arn"]} for rule in rules_of(template)]


def test_queue_fails_if_a_running_job_can_be_delivered_again(template: JsonObject) -> None:
    queue = queue_properties(template, QUEUE)
    timeout = properties_of(template, "AWS::Lambda::Function", like="Packager")["Timeout"]
    assert queue["VisibilityTimeout"] == 2 * timeout


def test_queue_fails_if_failing_jobs_are_tried_for_ever(template: JsonObject) -> None:
    (dead_letters,) = find(template, "AWS::SQS::Queue", like=DEAD_LETTERS)
    assert queue_properties(template, QUEUE)["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_letters, "Arn"]},
        # The function gives up at the fifth. One may be spent on waiting, one on telling of it.
        "maxReceiveCount": 5 + 2,
    }


def test_dead_letters_fail_if_lost_before_anyone_looks(template: JsonObject) -> None:
    day = 24 * 60 * 60
    assert queue_properties(template, QUEUE)["MessageRetentionPeriod"] == 4 * day
    assert queue_properties(template, DEAD_LETTERS)["MessageRetentionPeriod"] == 14 * day


def test_queues_fail_if_props_do_not_reach_them() -> None:
    stack = make_stack()
    add_engine(
        stack,
        visibility_timeout=Duration.hours(2),
        max_receive_count=9,
        retention_period=Duration.days(2),
        dead_letter_retention_period=Duration.days(7),
    )
    template = template_of(stack)
    queue = queue_properties(template, QUEUE)
    assert queue["VisibilityTimeout"] == 7200
    assert queue["RedrivePolicy"]["maxReceiveCount"] == 11
    assert queue["MessageRetentionPeriod"] == 2 * 24 * 60 * 60
    assert queue_properties(template, DEAD_LETTERS)["MessageRetentionPeriod"] == 7 * 24 * 60 * 60


def test_queues_fail_if_sqs_does_not_take_the_most_attempts() -> None:
    stack = make_stack()
    add_engine(stack, max_receive_count=998)
    assert queue_properties(template_of(stack), QUEUE)["RedrivePolicy"]["maxReceiveCount"] == 1000


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_queues_fail_if_not_encrypted_with_sqs_keys(template: JsonObject, queue: str) -> None:
    properties = queue_properties(template, queue)
    assert properties["SqsManagedSseEnabled"] is True
    assert "KmsMasterKeyId" not in properties


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_queues_fail_if_reached_without_tls(template: JsonObject, queue: str) -> None:
    assert {
        "Action": "sqs:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
    }.items() <= queue_statements(template, queue)[0].items()


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_queues_fail_if_other_rules_than_the_engines_may_send(
    template: JsonObject, queue: str
) -> None:
    assert accepted_sources(template, queue) == rule_arns(template)


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_queues_with_a_key_fail_if_other_rules_may_send(encrypted: JsonObject, queue: str) -> None:
    assert accepted_sources(encrypted, queue) == rule_arns(encrypted)


def test_queues_fail_if_events_may_be_sent_without_any_rule() -> None:
    stack = make_stack()
    add_engine(stack)
    template = template_of(stack)
    for queue in (QUEUE, DEAD_LETTERS):
        assert not any(each["Effect"] == "Allow" for each in queue_statements(template, queue))


def test_queue_policy_fails_if_many_rules_need_many_statements() -> None:
    stack = make_stack()
    add_engine(stack, event_sources=[HealthOmicsRuns(construct_id=f"Runs{n}") for n in range(25)])
    template = template_of(stack)
    assert len(accepted_sources(template, QUEUE)) == 25
    assert len(queue_statements(template, QUEUE)) == 2


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_queue_encryption_key_fails_if_a_queue_does_not_use_it(
    encrypted: JsonObject, queue: str
) -> None:
    (key,) = find(encrypted, "AWS::KMS::Key")
    assert queue_properties(encrypted, queue)["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}


def test_queue_encryption_key_fails_if_eventbridge_may_not_use_it(encrypted: JsonObject) -> None:
    statements = properties_of(encrypted, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    assert {
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Resource": "*",
        "Sid": "EncryptEvents",
    } in statements


def test_queue_encryption_key_fails_if_the_function_may_not_use_it(encrypted: JsonObject) -> None:
    (key,) = find(encrypted, "AWS::KMS::Key")
    statement = permissions_of(encrypted)["['kms:Decrypt', 'kms:GenerateDataKey']"]
    assert statement["Resource"] == {"Fn::GetAtt": [key, "Arn"]}


def test_imported_queue_encryption_key_fails_if_nobody_hears_what_it_needs() -> None:
    stack = make_stack()
    key = kms.Key.from_key_arn(stack, "Key", key_arn(stack))
    add_engine(stack, queue_encryption_key=key, event_sources=[HealthOmicsRuns()])
    Annotations.from_stack(stack).has_warning(
        "/Stack/Engine", Match.string_like_regexp("events.amazonaws.com.*kms:GenerateDataKey")
    )


def test_mapping_fails_if_one_bad_job_can_hold_up_others(template: JsonObject) -> None:
    mapping: dict[str, Any] = properties_of(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["BatchSize"] == 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 10}


def test_mapping_fails_if_it_does_not_feed_on_the_queue(template: JsonObject) -> None:
    (queue,) = find(template, "AWS::SQS::Queue", like=QUEUE)
    mapping = properties_of(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [queue, "Arn"]}


def test_mapping_fails_if_max_concurrency_does_not_reach_it() -> None:
    stack = make_stack()
    add_engine(stack, max_concurrency=3)
    mapping = properties_of(template_of(stack), "AWS::Lambda::EventSourceMapping")
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 3}


def key_arn(stack: Stack) -> str:
    return f"arn:aws:kms:{stack.region}:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
