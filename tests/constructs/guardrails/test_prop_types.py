"""Props of another type are refused, all in one error, each with the remedy."""

import re
from collections.abc import Callable
from typing import Any

import pytest
from aws_cdk import Duration
from aws_cdk import aws_kms as kms
from aws_cdk import aws_s3 as s3
from aws_cdk import aws_sns as sns

from quilt_packager import (
    CustomEvents,
    HealthOmicsRuns,
    ObjectsReady,
    ObjectUploads,
    WorkflowRunCrates,
)
from tests.constructs.templates import add_engine, existing_bucket, make_stack


@pytest.mark.parametrize(
    ("props", "sentence"),
    [
        ({"timeout": 900}, "timeout is 900: pass Duration.seconds(…) or Duration.minutes(…)"),
        ({"max_inline_size": 1024}, "max_inline_size is 1024: pass Size.mebibytes(…)"),
        ({"source_buckets": ["raw"]}, "source_buckets[0] is 'raw': pass Bucket.from_bucket_name("),
        ({"source_buckets": "raw"}, "source_buckets is 'raw': pass a list"),
        ({"source_buckets": [s3.Bucket]}, "source_buckets[0] is the class Bucket: pass Bucket."),
        ({"scratch_buckets": {"eu-west-1": "far"}}, "scratch_buckets['eu-west-1'] is 'far': pass"),
        ({"scratch_buckets": ["far"]}, "scratch_buckets is ['far']: pass a dict"),
        ({"queue_encryption_key": "arn:aws:kms:…"}, "pass Key.from_key_arn(scope, id, …)"),
        ({"notifications_topic": "arn:aws:sns:…"}, "pass Topic.from_topic_arn(scope, id, …)"),
        ({"event_bus": "default"}, "pass EventBus.from_event_bus_name(scope, id, …)"),
        ({"architecture": "arm64"}, "pass Architecture.ARM_64 or Architecture.X86_64"),
        ({"log_retention": 30}, "log_retention is 30: pass RetentionDays.ONE_YEAR, for example"),
        ({"publish_schema": "false"}, "publish_schema is 'false': pass True or False"),
        ({"event_sources": [HealthOmicsRuns]}, "event_sources[0] is the class HealthOmicsRuns"),
        ({"event_sources": HealthOmicsRuns()}, "event_sources is of type HealthOmicsRuns: pass a"),
    ],
)
def test_props_of_another_type_are_refused_with_the_remedy(
    props: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(sentence)):
        add_engine(make_stack(), **props)


def test_bucket_that_is_no_list_is_refused() -> None:
    stack = make_stack()
    raw = existing_bucket(stack, "raw")
    with pytest.raises(TypeError, match=r"source_buckets is of type \w+: pass a list"):
        add_engine(stack, source_buckets=raw)


def test_constructs_of_another_kind_are_refused() -> None:
    stack = make_stack()
    with pytest.raises(TypeError, match=r"source_buckets\[0\] is of type Key: pass Bucket"):
        add_engine(stack, source_buckets=[kms.Key(stack, "Key")])
    with pytest.raises(TypeError, match="event_bus is of type Topic: pass EventBus"):
        ObjectsReady(sns.Topic(stack, "Topic"))  # type: ignore[arg-type]


def test_names_types_and_values_are_reported_in_one_error() -> None:
    with pytest.raises(
        TypeError,
        match=r"^PackagingEngine has no prop 'memory'.*\. Invalid props of PackagingEngine: "
        r"timeout is 900: .*; event_sources\[0\] is the class .*; max_concurrency is 1: ",
    ):
        add_engine(
            make_stack(),
            memory=1,
            timeout=900,
            event_sources=[HealthOmicsRuns],
            max_concurrency=1,
        )


def test_prop_of_another_type_is_reported_once() -> None:
    with pytest.raises(TypeError) as refused:
        add_engine(make_stack(), source_buckets="raw", registry_buckets="raw")
    assert str(refused.value).count("source_buckets") == 1
    assert "is empty" not in str(refused.value)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: HealthOmicsRuns(statuses="COMPLETED"), "statuses is 'COMPLETED': pass a list"),
        (lambda: HealthOmicsRuns(enabled="false"), "enabled is 'false': pass True or False"),  # type: ignore[arg-type]
        (lambda: WorkflowRunCrates(buckets=["raw"]), "buckets[0] is 'raw': pass Bucket."),  # type: ignore[list-item]
        (lambda: ObjectsReady("edp"), "event_bus is 'edp': pass EventBus.from_event_bus_name("),  # type: ignore[arg-type]
        (lambda: CustomEvents("lab"), "pattern is 'lab': pass an EventPattern or a dict"),  # type: ignore[arg-type]
        (lambda: CustomEvents({"source": ["a"]}, message={}), "message is {}: pass RuleTarget"),  # type: ignore[arg-type]
        (lambda: ObjectUploads(threshold_duration=300), "threshold_duration is 300: pass Dur"),  # type: ignore[arg-type]
        (lambda: ObjectUploads(ignore_prefixes="tmp/"), "ignore_prefixes is 'tmp/': pass a list"),
    ],
)
def test_props_of_event_sources_of_another_type_are_refused(
    make: Callable[[], object], sentence: str
) -> None:
    with pytest.raises(TypeError, match=re.escape(sentence)):
        make()


def test_violations_of_an_event_source_are_reported_in_one_error() -> None:
    with pytest.raises(ValueError, match=r"^Invalid props of .*DONE.*; metadata is .*; .*settle"):
        HealthOmicsRuns(statuses=["DONE"], metadata="json", settle_seconds=-1)  # type: ignore[arg-type]


def test_other_methods_of_the_engine_refuse_other_types() -> None:
    engine = add_engine(make_stack())
    with pytest.raises(TypeError, match=r"topic is 'ops': pass Topic.*; oldest_message_age is 60"):
        engine.add_alarms("ops", oldest_message_age=60)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="default_interval is 3: pass Duration"):
        engine.add_dashboard(default_interval=3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="event_source is the class HealthOmicsRuns: pass an event"):
        engine.add_event_source(HealthOmicsRuns)  # type: ignore[arg-type]


def test_durations_below_a_second_are_judged_and_not_traced() -> None:
    with pytest.raises(ValueError, match="timeout, in seconds, is 0"):
        add_engine(make_stack(), timeout=Duration.millis(500))
