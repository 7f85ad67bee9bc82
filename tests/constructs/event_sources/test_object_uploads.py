"""Uploads: their patterns, announcements, and the permissions of the coalescer."""

import json
from typing import Any

import pytest
from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_kms as kms
from quilt_packager_runtime.formats.event_names import UPLOADS_SOURCE
from quilt_packager_runtime.requests.events import EDP_SOURCE
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager import EventSource, LimitExceeded, ObjectsReady, ObjectUploads
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    existing_bucket,
    find,
    make_flagged_stack,
    make_stack,
    properties_of,
    template_of,
)


def template_with(*sources: EventSource, **props: Any) -> JsonObject:
    stack = make_stack()
    add_engine(stack, event_sources=sources, **props)
    return template_of(stack)


@pytest.fixture(scope="module")
def template() -> JsonObject:
    return template_with(ObjectUploads())


def rule(template: JsonObject, name: str) -> JsonObject:
    return properties_of(template, "AWS::Events::Rule", like=name)


def statements(template: JsonObject) -> dict[str, JsonObject]:
    policy = properties_of(template, "AWS::IAM::Policy", like="Coalescer")
    return {
        each.get("Sid") or str(each["Action"]): each
        for each in policy["PolicyDocument"]["Statement"]
    }


def settings(template: JsonObject) -> JsonObject:
    """The settings of the coalescer, with `?` for values that are known after deployment."""
    function = properties_of(template, "AWS::Lambda::Function", like="Coalescer")
    _, parts = function["Environment"]["Variables"][UploadSettings.variable]["Fn::Join"]
    text = "".join(part if isinstance(part, str) else "?" for part in parts)
    return dict(json.loads(text))


def test_uploads_exclude_packages_and_ignored_prefixes() -> None:
    template = template_with(ObjectUploads(ignore_prefixes=["tmp/"]))
    assert rule(template, "ObjectUploadsRule")["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["raw"]},
            "object": {"key": [{"anything-but": {"prefix": [".quilt/", "tmp/"]}}]},
        },
    }


def test_completion_markers_are_the_only_uploads_that_match() -> None:
    template = template_with(ObjectUploads(ready_when=["illumina", "nanopore"]))
    key = rule(template, "ObjectUploadsRule")["EventPattern"]["detail"]["object"]["key"]
    assert key == [{"suffix": "/CopyComplete.txt"}, {"wildcard": "*/final_summary*.txt"}]


def test_uploads_are_sent_whole_to_the_queue_of_the_coalescer(template: JsonObject) -> None:
    (target,) = rule(template, "ObjectUploadsRule")["Targets"]
    (queue,) = find(template, "AWS::SQS::Queue", like="CoalescerQueue")
    (dead_letters,) = find(template, "AWS::SQS::Queue", like="CoalescerDeadLetter")
    assert target == {
        "Id": "CoalescerQueue",
        "Arn": {"Fn::GetAtt": [queue, "Arn"]},
        "DeadLetterConfig": {"Arn": {"Fn::GetAtt": [dead_letters, "Arn"]}},
    }


def test_announcements_are_read_from_the_bus_they_are_put_on(
    template: JsonObject,
) -> None:
    (bus,) = find(template, "AWS::Events::EventBus")
    ready = rule(template, "ObjectUploadsReady")
    assert ready["EventBusName"] == {"Ref": bus}
    assert ready["EventPattern"] == {
        "source": ["quilt.packager.uploads"],
        "detail-type": ["package-objects-ready"],
    }
    (queue,) = find(template, "AWS::SQS::Queue", like="PackagerQueue")
    assert ready["Targets"][0]["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}


def test_announcements_can_replace_those_of_edp() -> None:
    template = template_with(ObjectUploads(source="com.quiltdata.edp", event_bus=edp_bus()))
    assert not find(template, "AWS::Events::EventBus")
    assert rule(template, "ObjectUploadsReady")["EventBusName"] == "edp"
    assert rule(template, "ObjectUploadsReady")["EventPattern"]["source"] == ["com.quiltdata.edp"]
    condition = statements(template)["PublishReadyPrefixes"]["Condition"]
    assert condition == {"StringEquals": {"events:source": "com.quiltdata.edp"}}


def test_settings_reach_the_coalescer() -> None:
    uploads = ObjectUploads(
        threshold_event_count=7,
        threshold_duration=Duration.minutes(1),
        prefix_depth=3,
        ignore_prefixes=["a,b/"],
        ready_when="illumina",
    )
    assert settings(template_with(uploads)) == {
        "threshold_event_count": 7,
        "threshold_duration_seconds": 60,
        "prefix_depth": 3,
        "ignore_prefixes": ["a,b/"],
        "ready_when": ["illumina"],
        "source": "quilt.packager.uploads",
        "event_bus": "?",
        "partition": "?",
        "table": "?",
        "queue_url": "?",
        "dead_letter_queue_url": "?",
    }


def packager_settings(template: JsonObject) -> Settings:
    """The packager's settings of event sources."""
    function = properties_of(template, "AWS::Lambda::Function", like="PackagerFunction")
    name = "QUILT_PACKAGER_SOURCES"
    text = function["Environment"]["Variables"].get(name)
    return Settings.from_environment({name: text} if text else {})


def announced_by(source: str) -> str:
    detail = {"bucket": "raw", "prefix": "lab/plate-7/"}
    return json.dumps({"source": source, "detail-type": "package-objects-ready", "detail": detail})


def edp_bus() -> events.IEventBus:
    return events.EventBus.from_event_bus_name(make_stack("Buses"), "Bus", "edp")


def test_options_reach_the_packager() -> None:
    uploads = ObjectUploads(
        package_name="plates/{folder}",
        include_prefixes=["lab/*"],
        exclude=["*.tmp"],
        settle_seconds=60,
    )
    assert packager_settings(template_with(uploads)).sources == (
        SourceOptions(
            kind="objects_ready",
            sender="quilt.packager.uploads",
            package_name="plates/{folder}",
            include_prefixes=("lab/*",),
            exclude=("*.tmp",),
            settle_seconds=60,
        ),
    )


def test_options_apply_only_to_the_chosen_buckets() -> None:
    stack = make_stack()
    buckets = [existing_bucket(stack, "raw"), existing_bucket(stack, "more")]
    uploads = ObjectUploads([buckets[1]], settle_seconds=60)
    add_engine(stack, source_buckets=buckets, event_sources=[uploads])
    (options,) = packager_settings(template_of(stack)).sources
    assert options.only == ("more",)


@pytest.mark.parametrize(
    ("uploads", "edp", "expected"),
    [
        ({}, {"settle_seconds": 600}, {UPLOADS_SOURCE: 0, EDP_SOURCE: 600}),
        ({"settle_seconds": 60}, {}, {UPLOADS_SOURCE: 60, EDP_SOURCE: 0}),
        (
            {"settle_seconds": 60, "source": "lab.uploads"},
            {"settle_seconds": 600},
            {"lab.uploads": 60, UPLOADS_SOURCE: 600, EDP_SOURCE: 600},
        ),
    ],
)
def test_uploads_and_edp_keep_their_own_options(
    uploads: dict[str, Any], edp: dict[str, Any], expected: dict[str, int]
) -> None:
    sources: list[EventSource] = [ObjectsReady(edp_bus(), **edp), ObjectUploads(**uploads)]
    for ordered in (sources, sources[::-1]):
        told = packager_settings(template_with(*ordered)).sources
        for sender, seconds in expected.items():
            wanted = parse_message(announced_by(sender), sources=told)
            assert isinstance(wanted, UnresolvedRequest)
            assert wanted.settle_seconds == seconds


def test_contradictory_options_of_two_uploads_are_refused() -> None:
    plates = ObjectUploads(construct_id="Plates", settle_seconds=60)
    with pytest.raises(ValueError, match="same objects_ready events"):
        template_with(ObjectUploads(), plates)


def test_options_that_overflow_the_environment_are_refused() -> None:
    uploads = ObjectUploads(exclude=[f"work/{number:040}/**" for number in range(100)])
    with pytest.raises(LimitExceeded, match="longest values: QUILT_PACKAGER_SOURCES"):
        template_with(uploads)


def test_role_may_only_keep_windows_look_and_announce(
    template: JsonObject,
) -> None:
    (table,) = find(template, "AWS::DynamoDB::Table")
    (queue,) = find(template, "AWS::SQS::Queue", like="CoalescerQueue")
    found = statements(template)
    assert set(found) == {
        "['logs:CreateLogStream', 'logs:PutLogEvents']",
        "KeepWindows",
        "ScheduleChecks",
        "PublishReadyPrefixes",
        "ConsumeQueue",
        "SendDeadLetters",
    }
    assert found["KeepWindows"]["Action"] == ["dynamodb:GetItem", "dynamodb:UpdateItem"]
    assert found["KeepWindows"]["Resource"] == {"Fn::GetAtt": [table, "Arn"]}
    assert found["ScheduleChecks"]["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert found["PublishReadyPrefixes"]["Condition"] == {
        "StringEquals": {"events:source": "quilt.packager.uploads"}
    }


def test_table_is_free_while_idle_and_expires_windows(template: JsonObject) -> None:
    table = properties_of(template, "AWS::DynamoDB::Table")
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}
    assert table["KeySchema"] == [{"AttributeName": "window", "KeyType": "HASH"}]


def test_messages_stay_hidden_for_longer_than_a_claim(template: JsonObject) -> None:
    queue = properties_of(template, "AWS::SQS::Queue", like="CoalescerQueue")
    function = properties_of(template, "AWS::Lambda::Function", like="Coalescer")
    assert queue["VisibilityTimeout"] == 6 * function["Timeout"]


def test_batches_report_each_failed_message(template: JsonObject) -> None:
    mapping = properties_of(template, "AWS::Lambda::EventSourceMapping", like="Coalescer")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert (mapping["BatchSize"], mapping["MaximumBatchingWindowInSeconds"]) == (1000, 5)


def test_log_group_is_beside_that_of_the_packager(template: JsonObject) -> None:
    log_group = properties_of(template, "AWS::Logs::LogGroup", like="Coalescer")
    assert log_group["LogGroupName"] == "/quilt/Stack/CoalescerLambda"


def test_queues_of_uploads_use_the_key_of_the_engine() -> None:
    stack = make_stack()
    add_engine(stack, queue_encryption_key=kms.Key(stack, "Key"), event_sources=[ObjectUploads()])
    queues = find(template_of(stack), "AWS::SQS::Queue").values()
    assert len({json.dumps(each["Properties"]["KmsMasterKeyId"]) for each in queues}) == 1


def test_disabled_uploads_keep_a_disabled_rule() -> None:
    template = template_with(ObjectUploads(enabled=False))
    assert rule(template, "ObjectUploadsRule")["State"] == "DISABLED"


def test_all_invalid_props_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match="Invalid props of ObjectUploads") as refused:
        ObjectUploads(
            [],
            threshold_event_count=0,
            threshold_duration=Duration.hours(13),
            prefix_depth=0,
            ignore_prefixes=[""],
            ready_when="ilumina",
            source="aws.s3",
            settle_seconds=901,
        )
    for name in (
        "buckets",
        "threshold_event_count is 0",
        "threshold_duration, in seconds, is 46800",
        "prefix_depth is 0",
        "ignore_prefixes is ['']",
        "no kind of folder is 'ilumina'; did you mean 'illumina'?",
        "source is 'aws.s3'",
        "settle_seconds",
    ):
        assert name in str(refused.value)


def test_buckets_that_are_no_source_buckets_are_refused() -> None:
    stack = make_stack()
    stranger = existing_bucket(stack, "stranger")
    with pytest.raises(ValueError, match="no source_buckets: Stack/Bucket-stranger"):
        add_engine(stack, event_sources=[ObjectUploads([stranger])])


def test_second_uploads_with_the_same_id_are_refused() -> None:
    with pytest.raises(ValueError, match="has 'ObjectUploads' already"):
        template_with(ObjectUploads(), ObjectUploads())


def test_second_uploads_take_another_id() -> None:
    template = template_with(ObjectUploads(), ObjectUploads(construct_id="Plates", prefix_depth=1))
    names = {
        each["Properties"]["LogGroupName"]
        for each in find(template, "AWS::Logs::LogGroup", like="Coalescer").values()
    }
    assert names == {"/quilt/Stack/CoalescerLambda", "/quilt/Stack/Plates/CoalescerLambda"}


def test_uploads_are_off_by_default() -> None:
    assert not find(template_of(make_flagged_stack()), "AWS::DynamoDB::Table")


def test_values_of_the_flag_reach_the_coalescer() -> None:
    flag = (
        '{"buckets": ["runs"], "prefix_depth": 1, "threshold_duration": 9,'
        ' "ready_when": "illumina"}'
    )
    template = template_of(make_flagged_stack(source_buckets=("raw", "runs"), uploads=flag))
    pattern = rule(template, "ObjectUploadsRule")["EventPattern"]
    assert pattern["detail"]["bucket"]["name"] == ["runs"]
    options = settings(template)
    assert (options["prefix_depth"], options["threshold_duration_seconds"]) == (1, 9)
    assert options["ready_when"] == ["illumina"]


def test_flag_watches_the_own_bucket_of_the_stack() -> None:
    template = template_of(make_flagged_stack(uploads="true"))
    pattern = rule(template, "ObjectUploadsRule")["EventPattern"]
    buckets = [{"Ref": bucket} for bucket in find(template, "AWS::S3::Bucket")]
    assert pattern["detail"]["bucket"]["name"][0] in buckets
