"""Alarms: their metrics, thresholds, topic, and instructions."""

import json
import shlex
from typing import Any

import pytest
from aws_cdk import Duration, Stack
from aws_cdk import aws_kms as kms
from aws_cdk import aws_sns as sns
from aws_cdk.assertions import Annotations, Match

from quilt_packager import ObjectUploads
from quilt_packager.monitoring.alarms import EngineAlarms
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    existing_bucket,
    find,
    make_stack,
    properties_of,
    template_of,
)

ALARM = "AWS::CloudWatch::Alarm"
TOPIC = "arn:aws:sns:us-east-1:123456789012:operators"


def template_with(
    topic: sns.ITopic | None = None, stack: Stack | None = None, **thresholds: Any
) -> JsonObject:
    stack = stack or make_stack()
    engine = add_engine(stack, event_sources=[ObjectUploads()])
    engine.add_alarms(topic, **thresholds)
    return template_of(stack)


@pytest.fixture(scope="module")
def template() -> JsonObject:
    stack = make_stack()
    return template_with(sns.Topic.from_topic_arn(stack, "Topic", TOPIC), stack)


def alarm(template: JsonObject, name: str) -> JsonObject:
    return properties_of(template, ALARM, like=f"Alarms{name}")


def text_of(value: object) -> str:
    """A text, with `?` for values that are known after deployment."""
    if isinstance(value, dict):
        return "".join(each if isinstance(each, str) else "?" for each in value["Fn::Join"][1])
    return str(value)


def test_alarms_watch_everything(template: JsonObject) -> None:
    names = [each["Properties"]["AlarmName"] for each in find(template, ALARM).values()]
    assert sorted(names) == [
        "Stack: find out what jobs are waiting for",
        "Stack: find out what uploads are waiting for",
        "Stack: give ChecksumLambda more concurrency",
        "Stack: give CoalescerLambda more concurrency",
        "Stack: give LargeJobLambda more concurrency",
        "Stack: give PackagerLambda more concurrency",
        "Stack: retry or discard the dead letters of jobs",
        "Stack: retry or discard the dead letters of uploads",
        "Stack: see in the log why ChecksumLambda fails",
        "Stack: see in the log why CoalescerLambda fails",
        "Stack: see in the log why LargeJobLambda fails",
        "Stack: see in the log why PackagerLambda fails",
        "Stack: see why large jobs failed",
        "Stack: see why large jobs timed out",
        "Stack: see why large jobs were stopped",
    ]


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("DeadLettersjobs", "quilt-packager failures --stack Stack"),
        ("DeadLettersuploads", "aws sqs start-message-move-task --source-arn ?"),
        ("DeadLettersuploads", "/quilt/Stack/CoalescerLambda"),
        ("OldestMessagejobs", "quilt-packager status --stack Stack"),
        ("OldestMessagejobs", "60 minutes"),
        ("OldestMessageuploads", "/quilt/Stack/CoalescerLambda"),
        ("ErrorsPackagerLambda", "aws logs tail /quilt/Stack/PackagerLambda --since 1h"),
        ("ErrorsPackagerLambda", "quilt-packager jobs show ID --stack Stack"),
        ("ErrorsLargeJobLambda", "aws logs tail /quilt/Stack/PackagerLambda --since 1h"),
        ("ErrorsLargeJobLambda", "quilt-packager jobs show ID --stack Stack"),
        ("ErrorsChecksumLambda", "aws logs tail /quilt/Stack/ChecksumLambda --since 1h"),
        ("ErrorsChecksumLambda", "quilt-packager jobs show ID --stack Stack"),
        ("ErrorsCoalescerLambda", "aws logs tail /quilt/Stack/CoalescerLambda --since 1h"),
        ("ThrottlesPackagerLambda", "higher quota"),
        ("LargeJobsFailed", "quilt-packager failures --stack Stack"),
        ("LargeJobsFailed", "list-executions --state-machine-arn ? --status-filter FAILED"),
        ("LargeJobsTimedOut", "list-executions --state-machine-arn ? --status-filter TIMED_OUT"),
        ("LargeJobsStopped", "list-executions --state-machine-arn ? --status-filter ABORTED"),
        ("LargeJobsStopped", "aws stepfunctions redrive-execution --execution-arn ARN"),
    ],
)
def test_descriptions_say_what_to_do(template: JsonObject, name: str, command: str) -> None:
    assert command in text_of(alarm(template, name)["AlarmDescription"])


def test_description_of_the_coalescer_mentions_no_jobs(
    template: JsonObject,
) -> None:
    # The coalescer knows of uploads alone.
    assert "jobs" not in alarm(template, "ErrorsCoalescerLambda")["AlarmDescription"]


def test_errors_name_the_log_of_the_function(template: JsonObject) -> None:
    functions = find(template, "AWS::Lambda::Function")
    watched = find(template, ALARM, like="AlarmsErrors").values()
    assert len(watched) == len(functions)
    logs = {
        logical_id: template["Resources"][group["Ref"]]["Properties"]["LogGroupName"]
        for logical_id, function in functions.items()
        for group in [function["Properties"]["LoggingConfig"]["LogGroup"]]
    }
    for each in (watching["Properties"] for watching in watched):
        ((_, function),) = ((every["Name"], every["Value"]["Ref"]) for every in each["Dimensions"])
        assert f"aws logs tail {logs[function]} " in each["AlarmDescription"]


@pytest.mark.parametrize("name", ["PackagerLambda", "CoalescerLambda"])
def test_commands_in_errors_are_valid_shell(template: JsonObject, name: str) -> None:
    text = alarm(template, f"Errors{name}")["AlarmDescription"]
    command = text[text.index("aws logs tail") :].partition(" Lines")[0].removesuffix(".")
    *words, pattern = shlex.split(command)
    assert words[-1] == "--filter-pattern"
    assert pattern.startswith('{ ($.level = "WARNING") || ')
    assert pattern.endswith(' ($.record.status = "timeout") }')


def test_descriptions_fit_the_limit_of_cloudwatch(template: JsonObject) -> None:
    alarms = [each["Properties"] for each in find(template, ALARM).values()]
    # The most is 1,024; stacks and state machines have longer names than here.
    assert all(len(text_of(each["AlarmDescription"])) < 700 for each in alarms)
    assert all(len(each["AlarmName"]) < 128 for each in alarms)


def test_alarms_ignore_missing_data(template: JsonObject) -> None:
    alarms = [each["Properties"] for each in find(template, ALARM).values()]
    assert {each["TreatMissingData"] for each in alarms} == {"notBreaching"}
    comparisons = {each["ComparisonOperator"] for each in alarms}
    assert comparisons == {"GreaterThanOrEqualToThreshold"}


@pytest.mark.parametrize(
    ("name", "metric", "threshold"),
    [
        ("DeadLettersjobs", "ApproximateNumberOfMessagesVisible", 1),
        ("OldestMessagejobs", "ApproximateAgeOfOldestMessage", 3600),
        ("ErrorsPackagerLambda", "Errors", 5),
        ("ThrottlesPackagerLambda", "Throttles", 1),
        ("LargeJobsFailed", "ExecutionsFailed", 1),
        ("LargeJobsTimedOut", "ExecutionsTimedOut", 1),
        ("LargeJobsStopped", "ExecutionsAborted", 1),
    ],
)
def test_alarms_watch_the_metrics_of_the_engine(
    template: JsonObject, name: str, metric: str, threshold: int
) -> None:
    properties = alarm(template, name)
    assert (properties["MetricName"], properties["Threshold"]) == (metric, threshold)


def test_alarm_of_dead_letters_watches_their_queue(template: JsonObject) -> None:
    for part, like in (("jobs", "PackagerDeadLetter"), ("uploads", "CoalescerDeadLetter")):
        (queue,) = find(template, "AWS::SQS::Queue", like=like)
        assert alarm(template, f"DeadLetters{part}")["Dimensions"] == [
            {"Name": "QueueName", "Value": {"Fn::GetAtt": [queue, "QueueName"]}}
        ]


def test_alarms_use_single_metrics_which_emulators_accept(template: JsonObject) -> None:
    assert all("Metrics" not in each["Properties"] for each in find(template, ALARM).values())


def test_alarms_notify_the_topic(template: JsonObject) -> None:
    alarms = [each["Properties"] for each in find(template, ALARM).values()]
    assert all(each["AlarmActions"] == [TOPIC] for each in alarms)


def test_only_alarms_that_end_by_themselves_notify_of_their_end(template: JsonObject) -> None:
    told = {
        properties["AlarmName"].split(": ")[1].split()[0]
        for properties in (each["Properties"] for each in find(template, ALARM).values())
        if "OKActions" in properties
    }
    assert told == {"find", "give"}


def test_alarms_need_no_topic() -> None:
    alarms = find(template_with(), ALARM).values()
    assert not any("AlarmActions" in each["Properties"] for each in alarms)


def test_thresholds_can_be_chosen() -> None:
    template = template_with(
        dead_letters=3,
        oldest_message_age=Duration.hours(2),
        function_errors=7,
        throttles=9,
        large_jobs_failed=2,
    )
    chosen = {
        name: alarm(template, name)["Threshold"]
        for name in (
            "DeadLettersjobs",
            "OldestMessagejobs",
            "ErrorsPackagerLambda",
            "ThrottlesPackagerLambda",
            "LargeJobsFailed",
        )
    }
    assert list(chosen.values()) == [3, 7200, 7, 9, 2]


def test_all_invalid_thresholds_are_named() -> None:
    with pytest.raises(ValueError, match=r"dead_letters is 0.*throttles is -1"):
        add_engine(make_stack()).add_alarms(dead_letters=0, throttles=-1)


def test_misspelt_thresholds_are_refused() -> None:
    misspelt: Any = {"function_error": 50, "oldest_message_seconds": 60}
    with pytest.raises(
        TypeError,
        match=r"'function_error'\. Did you mean 'function_errors'\?.*oldest_message_s",
    ):
        add_engine(make_stack()).add_alarms(**misspelt)


@pytest.mark.parametrize("is_imported", [True, False])
def test_synthesis_notes_that_an_imported_topic_may_deny_alarms(*, is_imported: bool) -> None:
    stack = make_stack()
    imported = sns.Topic.from_topic_arn(stack, "Imported", TOPIC)
    add_engine(stack).add_alarms(imported if is_imported else sns.Topic(stack, "Topic"))
    told = Annotations.from_stack(stack).find_info("*", Match.string_like_regexp("sns:Publish"))
    assert bool(told) == is_imported


def test_parts_that_are_added_later_have_alarms() -> None:
    stack = make_stack()
    engine = add_engine(stack)
    alarms = engine.add_alarms()
    before = len(alarms.alarms)
    engine.add_event_source(ObjectUploads())
    assert isinstance(alarms, EngineAlarms)
    assert len(alarms.alarms) == before + 4
    assert len(find(template_of(stack), ALARM)) == before + 4


def test_policy_and_key_of_the_topic_allow_alarms() -> None:
    stack = make_stack()
    key = kms.Key(stack, "Key")
    template = template_with(sns.Topic(stack, "Topic", master_key=key, enforce_ssl=True), stack)
    policy = properties_of(template, "AWS::SNS::TopicPolicy")["PolicyDocument"]
    (statement,) = (each for each in policy["Statement"] if each["Effect"] == "Allow")
    assert statement["Principal"] == {"Service": "cloudwatch.amazonaws.com"}
    assert statement["Action"] == "sns:Publish"
    assert statement["Condition"] == {
        "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}
    }
    key_policy = properties_of(template, "AWS::KMS::Key")["KeyPolicy"]
    assert "cloudwatch.amazonaws.com" in json.dumps(key_policy)


def test_alarms_of_two_engines_have_different_names() -> None:
    stack = make_stack()
    add_engine(stack).add_alarms()
    more = [existing_bucket(stack, "more")]
    lab = add_engine(stack, "Lab", engine_name="lab", source_buckets=more, registry_buckets=more)
    lab.add_alarms()
    alarms = [each["Properties"] for each in find(template_of(stack), ALARM).values()]
    names = [each["AlarmName"] for each in alarms]
    assert len(names) == len(set(names))
    told = [text_of(each["AlarmDescription"]) for each in alarms if "lab: " in each["AlarmName"]]
    commands = [text for text in told if "quilt-packager " in text]
    assert commands
    assert all("--stack Stack/lab" in text for text in commands)


def test_alarms_of_two_uploads_have_different_names() -> None:
    stack = make_stack()
    more = ObjectUploads(construct_id="Plates", source="lab.plates")
    add_engine(stack, event_sources=[ObjectUploads(), more]).add_alarms()
    names = [each["Properties"]["AlarmName"] for each in find(template_of(stack), ALARM).values()]
    assert len(names) == len(set(names))
    assert "Stack: see in the log why Plates/CoalescerLambda fails" in names
