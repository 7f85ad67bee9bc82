"""The engine's function, scratch bucket, log and metrics, and the props that are refused."""

import dataclasses
import re
from typing import Any

import pytest
from aws_cdk import App, Duration, Fn, Size, Stack
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from quilt_packager_runtime.handlers import packager
from quilt_packager_runtime.settings import ChecksumAlgorithm, Metric, Settings

from quilt_packager import PackagingEngine
from quilt_packager.engine.props import EngineProps, ResolvedProps
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    assert_protected,
    existing_bucket,
    find,
    make_stack,
    properties_of,
    template_of,
)


@pytest.fixture(scope="module")
def template() -> JsonObject:
    stack = make_stack()
    add_engine(stack)
    return template_of(stack)


@pytest.fixture(scope="module")
def function(template: JsonObject) -> JsonObject:
    return properties_of(template, "AWS::Lambda::Function", like="Packager")


def test_function_runs_on_arm64_and_python_3_13(function: JsonObject) -> None:
    assert function["Architectures"] == ["arm64"]
    assert function["Runtime"] == "python3.13"


def test_handler_of_the_function_exists(function: JsonObject) -> None:
    assert function["Handler"] == f"{packager.__name__}.{packager.handler.__name__}"


def test_jobs_may_take_15_minutes(function: JsonObject) -> None:
    assert function["Timeout"] == 900


def test_size_of_the_function_is_the_documented_one(function: JsonObject) -> None:
    assert function["MemorySize"] == 2048
    assert function["EphemeralStorage"] == {"Size": 10240}


def test_function_has_no_reserved_concurrency(function: JsonObject) -> None:
    assert "ReservedConcurrentExecutions" not in function


def test_tracing_is_off_by_default(function: JsonObject) -> None:
    assert "TracingConfig" not in function


def test_log_lines_of_lambda_are_json(function: JsonObject, template: JsonObject) -> None:
    (log_group,) = find(template, "AWS::Logs::LogGroup", like="PackagerLog")
    assert function["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": {"Ref": log_group}}


def test_handler_reads_the_settings_of_the_environment(
    function: JsonObject, template: JsonObject
) -> None:
    (scratch,) = find(template, "AWS::S3::Bucket")
    (dead_letters,) = find(template, "AWS::SQS::Queue", like="DeadLetter")
    variables = dict(function["Environment"]["Variables"])
    assert variables.pop("QUILT_PACKAGER_SCRATCH_BUCKET") == {"Ref": scratch}
    assert variables.pop("QUILT_PACKAGER_DEAD_LETTER_QUEUE_URL") == {"Ref": dead_letters}
    assert variables.pop("POWERTOOLS_SERVICE_NAME") == "Stack"
    (machine,) = find(template, "AWS::StepFunctions::StateMachine")
    assert variables.pop("QUILT_PACKAGER_STATE_MACHINE_ARN") == {"Ref": machine}
    assert str(variables.pop("QUILT_PACKAGER_EVENT_BUS")).count("event-bus/default") == 1
    assert Settings.from_environment(variables) == Settings(
        source_buckets=("raw",),
        registry_buckets=("reg",),
        default_registry="reg",
        max_attempts=5,
        engine="Stack",
    )


@pytest.mark.parametrize(
    ("sources", "registries", "chosen", "expected"),
    [
        (["raw"], ["raw"], None, None),
        (["raw"], ["reg", "raw"], None, None),
        (["raw"], ["reg", "more"], None, "reg"),
        (["raw", "runs"], ["raw"], None, "raw"),
        (["raw"], ["raw", "reg"], "reg", "reg"),
    ],
)
def test_default_registry_reaches_the_function(
    sources: list[str], registries: list[str], chosen: str | None, expected: str | None
) -> None:
    stack = make_stack()
    buckets = {name: existing_bucket(stack, name) for name in {*sources, *registries}}
    add_engine(
        stack,
        source_buckets=[buckets[name] for name in sources],
        registry_buckets=[buckets[name] for name in registries],
        default_registry=buckets[chosen] if chosen else None,
    )
    environment = properties_of(template_of(stack), "AWS::Lambda::Function", like="Packager")[
        "Environment"
    ]
    assert environment["Variables"].get("QUILT_PACKAGER_DEFAULT_REGISTRY") == expected


def test_default_registry_must_be_a_registry() -> None:
    stack = make_stack()
    with pytest.raises(ValueError, match="default_registry is Stack/Bucket-other: no registry"):
        add_engine(stack, default_registry=existing_bucket(stack, "other"))


def test_props_reach_the_function() -> None:
    stack = make_stack()
    add_engine(
        stack,
        memory_size=4096,
        timeout=Duration.minutes(5),
        ephemeral_storage_size=Size.gibibytes(4),
        architecture=lambda_.Architecture.X86_64,
        tracing=lambda_.Tracing.ACTIVE,
        checksum_algorithms=[ChecksumAlgorithm.CRC64NVME, ChecksumAlgorithm.SHA256_CHUNKED],
    )
    function = properties_of(template_of(stack), "AWS::Lambda::Function", like="Packager")
    assert function["MemorySize"] == 4096
    assert function["Timeout"] == 300
    assert function["EphemeralStorage"] == {"Size": 4096}
    assert function["Architectures"] == ["x86_64"]
    assert function["TracingConfig"] == {"Mode": "Active"}
    variables = function["Environment"]["Variables"]
    assert variables["QUILT_PACKAGER_CHECKSUM_ALGORITHMS"] == "CRC64NVME,SHA256_CHUNKED"


def test_log_is_where_the_docs_say_for_a_year(template: JsonObject) -> None:
    (log_group,) = find(template, "AWS::Logs::LogGroup", like="PackagerLog").values()
    assert log_group["Properties"] == {
        "LogGroupName": "/quilt/Stack/PackagerLambda",
        "RetentionInDays": 365,
    }


def test_log_is_removed_with_the_stack(template: JsonObject) -> None:
    (log_group,) = find(template, "AWS::Logs::LogGroup", like="PackagerLog").values()
    assert log_group["DeletionPolicy"] == "Delete"


def test_log_retention_is_that_of_the_prop() -> None:
    stack = make_stack()
    add_engine(stack, log_retention=logs.RetentionDays.ONE_WEEK)
    assert (
        properties_of(template_of(stack), "AWS::Logs::LogGroup", like="PackagerLog")[
            "RetentionInDays"
        ]
        == 7
    )


def test_scratch_bucket_expires_its_contents(template: JsonObject) -> None:
    scratch = properties_of(template, "AWS::S3::Bucket")
    assert scratch["LifecycleConfiguration"]["Rules"] == [
        {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1}, "Status": "Enabled"},
        {"ExpirationInDays": 1, "Prefix": "hash/", "Status": "Enabled"},
        {"ExpirationInDays": 14, "Prefix": "jobs/", "Status": "Enabled"},
    ]
    assert "VersioningConfiguration" not in scratch


def test_scratch_bucket_is_removed_with_the_stack(template: JsonObject) -> None:
    (scratch,) = find(template, "AWS::S3::Bucket").values()
    assert scratch["DeletionPolicy"] == "Delete"


def test_scratch_bucket_is_protected(template: JsonObject) -> None:
    assert_protected(template, *find(template, "AWS::S3::Bucket"))


def test_template_has_no_helper_functions_of_the_cdk(template: JsonObject) -> None:
    assert len(find(template, "AWS::Lambda::Function")) == 3


def test_only_log_groups_have_fixed_names(template: JsonObject) -> None:
    for resource in template["Resources"].values():
        for name in ("BucketName", "FunctionName", "Name", "QueueName", "RoleName"):
            assert not isinstance(resource["Properties"].get(name), str)


def test_command_finds_the_queues_by_the_outputs() -> None:
    stack = make_stack()
    engine = add_engine(stack)
    outputs = {
        re.sub(r"[0-9A-F]{8}$", "", name): output
        for name, output in template_of(stack)["Outputs"].items()
    }
    assert all(output["Description"] for output in outputs.values())
    assert {name: output["Value"] for name, output in outputs.items()} == {
        "EnginePackagerQueueUrl": stack.resolve(engine.queue.queue_url),
        "EnginePackagerDeadLetterQueueUrl": stack.resolve(engine.dead_letter_queue.queue_url),
        "EngineDataAccessRoleArns": stack.resolve(
            Fn.join(",", [role.role_arn for role in engine.data_access_roles])
        ),
    }


def test_named_second_engine_fits_beside_the_first() -> None:
    stack = make_stack()
    first = add_engine(stack, "First")
    second = add_engine(
        stack,
        "Second",
        engine_name="second",
        source_buckets=first.source_buckets,
        registry_buckets=first.registry_buckets,
    )
    template = template_of(stack)
    names = {
        each["Properties"]["LogGroupName"]
        for each in find(template, "AWS::Logs::LogGroup").values()
    }
    assert names == {
        f"/quilt/{service}/{function}"
        for service in ("Stack", "Stack/second")
        for function in ("PackagerLambda", "ChecksumLambda")
    }
    assert (first.service, second.service) == ("Stack", "Stack/second")


def test_second_engine_with_the_same_log_is_refused() -> None:
    stack = make_stack()
    first = add_engine(stack, "First")
    with pytest.raises(ValueError, match=r"Stack/First and Stack/Second .* engine_name"):
        add_engine(
            stack,
            "Second",
            source_buckets=first.source_buckets,
            registry_buckets=first.registry_buckets,
        )


def test_two_stacks_can_have_an_engine_each() -> None:
    app = App()
    services = [add_engine(Stack(app, name)).service for name in ("One", "Other")]
    assert services == ["One", "Other"]


@pytest.mark.parametrize(
    ("props", "message"),
    [
        ({"source_buckets": []}, "source_buckets is empty"),
        ({"registry_buckets": []}, "registry_buckets is empty"),
        ({"checksum_algorithms": []}, "checksum_algorithms is empty"),
        (
            {"checksum_algorithms": "SHA256_CHUNKED"},
            "checksum_algorithms is 'SHA256.*: pass a list",
        ),
        ({"checksum_algorithms": ["MD5"]}, "has 'MD5': choose from SHA256_CHUNKED, CRC64NVME"),
        ({"memory_size": 511}, "memory_size is 511: "),
        ({"timeout": Duration.minutes(16)}, "timeout, in seconds, is 960: "),
        ({"ephemeral_storage_size": Size.gibibytes(11)}, "ephemeral_storage_size, .* is 11264: "),
        ({"max_concurrency": 1}, "max_concurrency is 1: "),
        ({"max_receive_count": 0}, "max_receive_count is 0: "),
        ({"visibility_timeout": Duration.minutes(14)}, "visibility_timeout is 840 s: .* 900 s"),
        ({"retention_period": Duration.minutes(29)}, "retention_period is 1740 s: .* 1800 s"),
        ({"retention_period": Duration.days(15)}, "retention_period is 1296000 s: .* 14 days"),
        (
            {"dead_letter_retention_period": Duration.days(15)},
            "dead_letter_retention_period is 1296000 s: .* 14 days",
        ),
        (
            {"dead_letter_retention_period": Duration.seconds(59)},
            "dead_letter_retention_period is 59 s: .* 1 minute",
        ),
        ({"max_inline_objects": -1}, "max_inline_objects is -1: "),
        ({"max_shard_objects": 0}, "max_shard_objects is 0: "),
        ({"max_shard_size": Size.mebibytes(0)}, "max_shard_size, in MiB, is 0: "),
        ({"checksum_concurrency": 0}, "checksum_concurrency is 0: "),
        ({"engine_name": "a b"}, "engine_name is 'a b': "),
    ],
)
def test_props_outside_the_limits_of_aws_are_refused(props: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        add_engine(make_stack(), **props)


def test_all_invalid_props_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"registry_buckets.*memory_size.*max_concurrency"):
        add_engine(make_stack(), registry_buckets=[], memory_size=1, max_concurrency=1)


def test_misspelt_and_missing_props_are_explained() -> None:
    stack = make_stack()
    raw = existing_bucket(stack, "raw")
    # mypy, too, finds the slip: else it would find that there is nothing to ignore.
    with pytest.raises(TypeError, match=r"has no prop 'memory'\. Did you mean 'memory_size'\?"):
        PackagingEngine(stack, "A", source_buckets=[raw], registry_buckets=[raw], memory=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"^PackagingEngine requires the prop 'registry_buckets'$"):
        PackagingEngine(stack, "B", source_buckets=[raw])  # type: ignore[call-arg]
    with pytest.raises(
        TypeError,
        match=r"no prop 'source_bucket'.*; requires .* 'registry_buckets'; .* 'source_buckets'$",
    ):
        PackagingEngine(stack, "C", source_bucket=[raw])  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"Did you mean 'event_sources'\?"):
        add_engine(make_stack(), event_source=[])
    with pytest.raises(TypeError, match=r"has no prop 'xyz'$"):
        add_engine(make_stack(), xyz=None)


def test_documented_props_are_those_of_the_engine() -> None:
    fields = {field.name for field in dataclasses.fields(ResolvedProps)}
    assert fields == set(EngineProps.__annotations__)


def test_none_means_the_default(template: JsonObject) -> None:
    stack = make_stack()
    required = {"source_buckets", "registry_buckets", "code"}
    nothing: dict[str, Any] = dict.fromkeys(EngineProps.__annotations__.keys() - required)
    add_engine(stack, **nothing)
    assert template_of(stack) == template


def test_grant_send_messages_grants_only_sending() -> None:
    stack = make_stack()
    sender = iam.Role(stack, "Sender", assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"))
    grant = add_engine(stack).grant_send_messages(sender)
    policy = properties_of(template_of(stack), "AWS::IAM::Policy", like="Sender")
    (statement,) = policy["PolicyDocument"]["Statement"]
    assert isinstance(grant, iam.Grant)
    assert statement["Action"] == ["sqs:SendMessage", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
    assert "PackagerQueue" in str(statement["Resource"])


def test_metrics_are_those_that_the_runtime_emits() -> None:
    engine = add_engine(make_stack())
    offered = [
        engine.metric_packages_created(),
        engine.metric_packages_unchanged(),
        engine.metric_packages_rejected(),
        engine.metric_packages_failed(),
        engine.metric_objects(),
        engine.metric_bytes(),
        engine.metric_checksums_reused(),
        engine.metric_checksums_stored(),
        engine.metric_checksums_computed(),
        engine.metric_seconds(),
        engine.metric_large_jobs(),
        engine.metric_outcomes_not_published(),
        engine.metric_uploads(),
        engine.metric_prefixes_announced(),
        engine.metric_packages_audited(),
        engine.metric_packages_damaged(),
        engine.metric_revisions_promoted(),
        engine.metric_promotions_failed(),
        engine.metric_objects_copied(),
    ]
    assert [metric.metric_name for metric in offered] == list(Metric)
    for metric in offered:
        assert metric.namespace == "QuiltPackager"
        assert metric.dimensions == {"service": "Stack"}


def test_options_reach_the_metric() -> None:
    metric = add_engine(make_stack()).metric_seconds(statistic="p99", period=Duration.hours(1))
    assert metric.statistic == "p99"
    assert metric.period.to_seconds() == 3600


def test_queue_metrics_are_those_of_the_queues() -> None:
    stack = make_stack()
    engine = add_engine(stack)
    depth, age, letters = (
        engine.metric_queue_depth(),
        engine.metric_oldest_job_age(),
        engine.metric_dead_letters(),
    )
    assert depth.metric_name == letters.metric_name == "ApproximateNumberOfMessagesVisible"
    assert age.metric_name == "ApproximateAgeOfOldestMessage"
    assert depth.dimensions == {"QueueName": engine.queue.queue_name}
    assert letters.dimensions == {"QueueName": engine.dead_letter_queue.queue_name}
