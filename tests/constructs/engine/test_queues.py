"""The queue and its dead-letter queue: times, encryption, senders, and the consumer."""

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
    via,
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


def test_running_jobs_stay_invisible(template: JsonObject) -> None:
    queue = queue_properties(template, QUEUE)
    timeout = properties_of(template, "AWS::Lambda::Function", like="Packager")["Timeout"]
    assert queue["VisibilityTimeout"] == 2 * timeout


def test_failing_jobs_end_in_the_dead_letter_queue(template: JsonObject) -> None:
    (dead_letters,) = find(template, "AWS::SQS::Queue", like=DEAD_LETTERS)
    assert queue_properties(template, QUEUE)["RedrivePolicy"] == {
        "deadLetterTargetArn": {"Fn::GetAtt": [dead_letters, "Arn"]},
        # Five attempts, one delivery to wait for late files, and one to report a crashed attempt.
        "maxReceiveCount": 5 + 2,
    }


def test_dead_letters_are_kept_for_two_weeks(template: JsonObject) -> None:
    day = 24 * 60 * 60
    assert queue_properties(template, QUEUE)["MessageRetentionPeriod"] == 4 * day
    assert queue_properties(template, DEAD_LETTERS)["MessageRetentionPeriod"] == 14 * day


def test_props_reach_the_queues() -> None:
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


def test_most_attempts_fit_the_limit_of_sqs() -> None:
    stack = make_stack()
    add_engine(stack, max_receive_count=998)
    assert queue_properties(template_of(stack), QUEUE)["RedrivePolicy"]["maxReceiveCount"] == 1000


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_queues_are_encrypted_with_keys_of_sqs(template: JsonObject, queue: str) -> None:
    properties = queue_properties(template, queue)
    assert properties["SqsManagedSseEnabled"] is True
    assert "KmsMasterKeyId" not in properties


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_queues_require_tls(template: JsonObject, queue: str) -> None:
    assert {
        "Action": "sqs:*",
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
        "Effect": "Deny",
        "Principal": {"AWS": "*"},
    }.items() <= queue_statements(template, queue)[0].items()


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_only_rules_of_the_engine_may_send(template: JsonObject, queue: str) -> None:
    assert accepted_sources(template, queue) == rule_arns(template)


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_only_rules_of_the_engine_may_send_to_queues_with_a_key(
    encrypted: JsonObject, queue: str
) -> None:
    assert accepted_sources(encrypted, queue) == rule_arns(encrypted)


def test_engines_without_rules_accept_no_events() -> None:
    stack = make_stack()
    add_engine(stack)
    template = template_of(stack)
    for queue in (QUEUE, DEAD_LETTERS):
        assert not any(each["Effect"] == "Allow" for each in queue_statements(template, queue))


def test_many_rules_share_one_statement() -> None:
    stack = make_stack()
    add_engine(stack, event_sources=[HealthOmicsRuns(construct_id=f"Runs{n}") for n in range(25)])
    template = template_of(stack)
    assert len(accepted_sources(template, QUEUE)) == 25
    assert len(queue_statements(template, QUEUE)) == 2


@pytest.mark.parametrize("queue", [QUEUE, DEAD_LETTERS])
def test_all_queues_use_the_encryption_key(encrypted: JsonObject, queue: str) -> None:
    (key,) = find(encrypted, "AWS::KMS::Key")
    assert queue_properties(encrypted, queue)["KmsMasterKeyId"] == {"Fn::GetAtt": [key, "Arn"]}


def test_eventbridge_may_use_the_encryption_key(encrypted: JsonObject) -> None:
    statements = properties_of(encrypted, "AWS::KMS::Key")["KeyPolicy"]["Statement"]
    assert {
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Resource": "*",
        "Sid": "EncryptEvents",
    } in statements


@pytest.mark.parametrize("function", ["PackagerFunction", "LargeJobFunction"])
def test_function_may_use_the_encryption_key_through_sqs_only(
    encrypted: JsonObject, function: str
) -> None:
    (key,) = find(encrypted, "AWS::KMS::Key")
    assert permissions_of(encrypted, function)["UseQueueKey"] == {
        "Sid": "UseQueueKey",
        "Effect": "Allow",
        "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
        "Resource": {"Fn::GetAtt": [key, "Arn"]},
        "Condition": {"StringEquals": {"kms:ViaService": [via("sqs")]}},
    }


def test_function_may_use_an_imported_encryption_key_through_sqs_only() -> None:
    stack = make_stack()
    key = kms.Key.from_key_arn(stack, "Key", key_arn(stack))
    add_engine(stack, queue_encryption_key=key)
    statement = permissions_of(template_of(stack))["UseQueueKey"]
    assert statement["Condition"] == {"StringEquals": {"kms:ViaService": [via("sqs")]}}


def test_synthesis_warns_of_the_policy_that_an_imported_key_needs() -> None:
    stack = make_stack()
    key = kms.Key.from_key_arn(stack, "Key", key_arn(stack))
    add_engine(stack, queue_encryption_key=key, event_sources=[HealthOmicsRuns()])
    Annotations.from_stack(stack).has_warning(
        "/Stack/Engine", Match.string_like_regexp("events.amazonaws.com.*kms:GenerateDataKey")
    )


def test_mapping_delivers_one_job_at_a_time(template: JsonObject) -> None:
    mapping: dict[str, Any] = properties_of(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["BatchSize"] == 1
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 10}


def test_mapping_reads_the_queue(template: JsonObject) -> None:
    (queue,) = find(template, "AWS::SQS::Queue", like=QUEUE)
    mapping = properties_of(template, "AWS::Lambda::EventSourceMapping")
    assert mapping["EventSourceArn"] == {"Fn::GetAtt": [queue, "Arn"]}


def test_max_concurrency_reaches_the_mapping() -> None:
    stack = make_stack()
    add_engine(stack, max_concurrency=3)
    mapping = properties_of(template_of(stack), "AWS::Lambda::EventSourceMapping")
    assert mapping["ScalingConfig"] == {"MaximumConcurrency": 3}


def key_arn(stack: Stack) -> str:
    return f"arn:aws:kms:{stack.region}:123456789012:key/01234567-89ab-cdef-0123-456789abcdef"
