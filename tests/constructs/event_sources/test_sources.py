"""Event sources: their patterns, buses, and messages."""

import json
import re
from typing import Any

import pytest
from aws_cdk import Stack
from aws_cdk import aws_events as events

from quilt_packager import (
    CustomEvents,
    EventSource,
    HealthOmicsRuns,
    ObjectsReady,
    ObjectUploads,
    PackagingEngine,
    WorkflowRunCrates,
)
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    existing_bucket,
    find,
    make_stack,
    only_rule_of,
    rules_of,
    template_of,
)

BUS = "edp-bus"


def rule_of(*event_sources: EventSource) -> JsonObject:
    """The rule that an engine with one event source has."""
    stack = make_stack()
    add_engine(stack, event_sources=event_sources)
    return only_rule_of(template_of(stack))


def on_bus() -> events.IEventBus:
    return events.EventBus.from_event_bus_name(make_stack("Buses"), "Bus", BUS)


def test_health_omics_runs_are_packaged_on_completion() -> None:
    assert rule_of(HealthOmicsRuns())["EventPattern"] == {
        "source": ["aws.omics"],
        "detail-type": ["Run Status Change"],
        "detail": {"status": ["COMPLETED"]},
    }


def test_health_omics_runs_of_other_statuses_can_be_chosen() -> None:
    rule = rule_of(HealthOmicsRuns(statuses=["FAILED", "CANCELLED"]))
    assert rule["EventPattern"]["detail"] == {"status": ["FAILED", "CANCELLED"]}


@pytest.mark.parametrize("statuses", [["DONE"], []])
def test_unknown_statuses_of_health_omics_runs_are_refused(statuses: list[str]) -> None:
    with pytest.raises(ValueError, match="COMPLETED") as refused:
        HealthOmicsRuns(statuses=statuses)
    assert all(f'"{status}"' in str(refused.value) for status in statuses)


def test_workflow_run_crates_of_all_source_buckets_are_packaged() -> None:
    stack = make_stack()
    buckets = [existing_bucket(stack, "raw"), existing_bucket(stack, "more")]
    add_engine(stack, source_buckets=buckets, event_sources=[WorkflowRunCrates()])
    assert only_rule_of(template_of(stack))["EventPattern"] == {
        "source": ["aws.s3"],
        "detail-type": ["Object Created"],
        "detail": {
            "bucket": {"name": ["raw", "more"]},
            "object": {"key": [{"suffix": "/ro-crate-metadata.json"}]},
        },
    }


def test_buckets_of_workflow_run_crates_can_be_chosen() -> None:
    stack = make_stack()
    buckets = [existing_bucket(stack, "raw"), existing_bucket(stack, "more")]
    add_engine(
        stack, source_buckets=buckets, event_sources=[WorkflowRunCrates(buckets=[buckets[1]])]
    )
    pattern = only_rule_of(template_of(stack))["EventPattern"]
    assert pattern["detail"]["bucket"] == {"name": ["more"]}


def test_workflow_run_crates_of_other_buckets_are_refused() -> None:
    stack = make_stack()
    stranger = existing_bucket(stack, "stranger")
    with pytest.raises(ValueError, match="no source_buckets: Stack/Bucket-stranger"):
        add_engine(stack, event_sources=[WorkflowRunCrates(buckets=[stranger])])


def test_workflow_run_crates_of_no_bucket_are_refused() -> None:
    with pytest.raises(ValueError, match="buckets is empty"):
        WorkflowRunCrates(buckets=[])


def test_objects_ready_come_from_the_bus_of_edp() -> None:
    rule = rule_of(ObjectsReady(on_bus()))
    assert rule["EventBusName"] == BUS
    assert rule["EventPattern"] == {
        "source": ["com.quiltdata.edp", "quilt.packager.uploads"],
        "detail-type": ["package-objects-ready"],
    }


@pytest.mark.parametrize(
    "event_source", [HealthOmicsRuns(), WorkflowRunCrates(), CustomEvents({"source": ["x"]})]
)
def test_rules_are_on_the_default_bus(event_source: EventSource) -> None:
    assert "EventBusName" not in rule_of(event_source)


@pytest.mark.parametrize(
    "event_source",
    [HealthOmicsRuns(), WorkflowRunCrates(), ObjectsReady(on_bus()), CustomEvents({"id": ["x"]})],
)
def test_rules_send_the_whole_event(event_source: EventSource) -> None:
    (target,) = rule_of(event_source)["Targets"]
    assert {"Input", "InputPath", "InputTransformer"}.isdisjoint(target)


@pytest.mark.parametrize(
    "event_source",
    [
        HealthOmicsRuns(enabled=False),
        WorkflowRunCrates(enabled=False),
        ObjectsReady(on_bus(), enabled=False),
        CustomEvents({"source": ["x"]}, enabled=False),
    ],
)
def test_disabled_rules_stay_and_send_nothing(event_source: EventSource) -> None:
    assert rule_of(event_source)["State"] == "DISABLED"


def test_undelivered_events_become_dead_letters() -> None:
    stack = make_stack()
    add_engine(stack, event_sources=[HealthOmicsRuns()])
    template = template_of(stack)
    (target,) = only_rule_of(template)["Targets"]
    (queue,) = find(template, "AWS::SQS::Queue", like="PackagerQueue")
    (dead_letters,) = find(template, "AWS::SQS::Queue", like="DeadLetter")
    assert target["Arn"] == {"Fn::GetAtt": [queue, "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": [dead_letters, "Arn"]}}


@pytest.mark.parametrize(
    "pattern",
    [
        {"source": ["lab"], "detail-type": ["run done"], "detail": {"ok": [True]}},
        events.EventPattern(source=["lab"], detail_type=["run done"], detail={"ok": [True]}),
    ],
)
def test_custom_events_keep_their_pattern(pattern: Any) -> None:
    assert rule_of(CustomEvents(pattern))["EventPattern"] == {
        "source": ["lab"],
        "detail-type": ["run done"],
        "detail": {"ok": [True]},
    }


def test_custom_events_accept_matchers_of_the_cdk() -> None:
    pattern = events.EventPattern(
        source=events.Match.prefix("lab."), detail={"size": events.Match.greater_than(0)}
    )
    assert rule_of(CustomEvents(pattern))["EventPattern"] == {
        "source": [{"prefix": "lab."}],
        "detail": {"size": [{"numeric": [">", 0]}]},
    }


def test_custom_events_make_a_message_of_the_event() -> None:
    message = events.RuleTargetInput.from_object(
        {
            "source_prefix": events.EventField.from_path("$.detail.folder"),
            "commit_message": f"Run {events.EventField.from_path('$.detail.run')}",
        }
    )
    (target,) = rule_of(CustomEvents({"source": ["lab"]}, message=message))["Targets"]
    assert target["InputTransformer"] == {
        "InputPathsMap": {"detail-folder": "$.detail.folder", "detail-run": "$.detail.run"},
        "InputTemplate": '{"source_prefix":<detail-folder>,"commit_message":"Run <detail-run>"}',
    }


def test_custom_events_send_a_constant_message() -> None:
    message = events.RuleTargetInput.from_object({"source_prefix": "s3://raw/nightly/"})
    (target,) = rule_of(CustomEvents({"source": ["lab"]}, message=message))["Targets"]
    assert target["Input"] == '{"source_prefix":"s3://raw/nightly/"}'


def test_custom_events_send_a_part_of_the_event() -> None:
    message = events.RuleTargetInput.from_event_path("$.detail")
    (target,) = rule_of(CustomEvents({"source": ["lab"]}, message=message))["Targets"]
    assert target["InputPath"] == "$.detail"


@pytest.mark.parametrize("pattern", [{}, events.EventPattern()])
def test_custom_events_refuse_an_empty_pattern(pattern: Any) -> None:
    with pytest.raises(ValueError, match="pattern is empty"):
        CustomEvents(pattern)


def test_second_source_with_the_same_id_is_refused() -> None:
    with pytest.raises(ValueError, match=r"Stack/Engine has 'CustomEvents' already.*construct_id"):
        add_engine(
            make_stack(),
            event_sources=[CustomEvents({"source": ["a"]}), CustomEvents({"source": ["b"]})],
        )


def test_second_source_of_a_kind_takes_another_id() -> None:
    stack = make_stack()
    add_engine(
        stack,
        event_sources=[
            CustomEvents({"source": ["a"]}),
            CustomEvents({"source": ["b"]}, construct_id="Nightly"),
        ],
    )
    assert len(rules_of(template_of(stack))) == 2


def test_event_sources_can_be_added_later() -> None:
    stack = make_stack()
    add_engine(stack).add_event_source(HealthOmicsRuns())
    assert len(rules_of(template_of(stack))) == 1


def test_users_can_write_event_sources() -> None:
    class Nightly:
        def bind(self, engine: PackagingEngine) -> None:
            engine.add_rule(
                "Nightly", pattern={"source": ["aws.scheduler"]}, description="Every night"
            )

    assert rule_of(Nightly())["Description"] == "Every night"


SOURCES = "QUILT_PACKAGER_SOURCES"


def sources_of(*event_sources: EventSource, **props: Any) -> Any:
    """The packager's setting of event sources. None: there is none."""
    stack = make_stack()
    add_engine(stack, event_sources=event_sources, **props)
    functions = find(template_of(stack), "AWS::Lambda::Function", like="PackagerFunction")
    (function,) = functions.values()
    text = function["Properties"]["Environment"]["Variables"].get(SOURCES)
    return text and json.loads(text)


def test_default_options_take_no_room_in_the_environment() -> None:
    assert sources_of(HealthOmicsRuns(), WorkflowRunCrates(), ObjectsReady(on_bus())) is None


def test_options_reach_the_function() -> None:
    crates = WorkflowRunCrates(
        metadata="none",
        allow_bucket_root=True,
        package_name="{workflow_name}/{run_id}",
        include_prefixes=["runs/**"],
        ignore_prefixes=["runs/tmp"],
        exclude=["work/**"],
        settle_seconds=60,
        require=["crate", {"files": ["*.bam"]}],
        verify_checksums=["*.md5"],
    )
    assert sources_of(crates) == [
        {
            "kind": "workflow_run_crate",
            "only": ["raw"],
            "metadata": False,
            "allow_bucket_root": True,
            "package_name": "{workflow_name}/{run_id}",
            "include_prefixes": ["runs/**"],
            "ignore_prefixes": ["runs/tmp"],
            "exclude": ["work/**"],
            "settle_seconds": 60,
            "require": ["crate", {"files": ["*.bam"]}],
            "verify_checksums": ["*.md5"],
        }
    ]


def test_each_source_keeps_its_own_options() -> None:
    failed = HealthOmicsRuns(
        statuses=["FAILED"], package_name="failed/{run_id}", construct_id="FailedRuns"
    )
    assert sources_of(HealthOmicsRuns(parameters=True), failed) == [
        {"kind": "health_omics", "only": ["COMPLETED"], "parameters": True},
        {"kind": "health_omics", "only": ["FAILED"], "package_name": "failed/{run_id}"},
    ]


def test_contradictory_options_for_an_event_are_refused() -> None:
    other = HealthOmicsRuns(metadata="none", construct_id="Other")
    with pytest.raises(ValueError, match="same health_omics events"):
        sources_of(HealthOmicsRuns(), other)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"package_name": "{workflow}/{run_id}"}, "names {workflow}; there are bucket, folder"),
        ({"package_name": "{folder}"}, "makes no name"),
        ({"exclude": ["/work"]}, "exclude: a glob"),
        ({"exclude": "work"}, "exclude"),
        ({"require": ["crates"]}, "require"),
        ({"require_timeout_seconds": 43_201}, "require_timeout_seconds"),
        ({"verify_checksums": True}, "verify_checksums"),
        ({"verify_checksums": ["/a.md5"]}, "verify_checksums: a glob"),
        ({"settle_seconds": 901}, "settle_seconds"),
        ({"excludes": ["work"]}, "excludes"),
    ],
)
@pytest.mark.parametrize("source", [HealthOmicsRuns, WorkflowRunCrates, ObjectUploads])
def test_invalid_options_are_refused(source: Any, options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        source(**options)


@pytest.mark.parametrize("source", [HealthOmicsRuns, WorkflowRunCrates])
def test_metadata_of_another_kind_is_refused(source: Any) -> None:
    with pytest.raises(ValueError, match="metadata is 'json'; it may be"):
        source(metadata="json")


def test_crates_at_bucket_roots_match_only_if_allowed() -> None:
    keys = [{"suffix": "/ro-crate-metadata.json"}, "ro-crate-metadata.json"]
    for allowed in (False, True):
        rule = rule_of(WorkflowRunCrates(allow_bucket_root=allowed))
        assert rule["EventPattern"]["detail"]["object"]["key"] == keys[: 1 + allowed]


def names_of(stack: Stack) -> dict[str, str]:
    """The names of the sources, with their kinds."""
    rules = rules_of(template_of(stack)).values()
    given = [rule.get("Metadata", {}).get("quilt:source") for rule in rules]
    return {each["name"]: each["kind"] for each in given if each}


def test_rules_carry_the_names_of_their_sources() -> None:
    stack = make_stack()
    sources = [HealthOmicsRuns(), WorkflowRunCrates(), ObjectsReady(on_bus()), ObjectUploads()]
    lims = CustomEvents({"source": ["lims"]}, construct_id="Lims")
    add_engine(stack, event_sources=[*sources, lims])
    assert names_of(stack) == {
        "omics": "health_omics",
        "wrroc": "workflow_run_crate",
        "edp": "objects_ready",
        "uploads": "objects_ready",
        "Lims": "custom",
    }


def test_rule_that_gathers_uploads_carries_their_name() -> None:
    stack = make_stack()
    add_engine(stack, event_sources=[ObjectUploads()])
    rules = rules_of(template_of(stack)).items()
    (named,) = (rule_id for rule_id, rule in rules if "quilt:source" in rule.get("Metadata", {}))
    assert "ObjectUploadsRule" in named


@pytest.mark.parametrize("sender", ["quilt.packager.uploads", "com.quiltdata.edp"])
def test_rule_of_uploads_carries_the_source_of_announcements(sender: str) -> None:
    stack = make_stack()
    add_engine(stack, event_sources=[ObjectUploads(source=sender), HealthOmicsRuns()])
    rules = rules_of(template_of(stack)).values()
    given = [rule["Metadata"]["quilt:source"] for rule in rules if "Metadata" in rule]
    senders = {each["name"]: each.get("sender") for each in given if "name" in each}
    assert senders == {"uploads": sender, "omics": None}


def test_two_sources_cannot_share_a_name() -> None:
    with pytest.raises(ValueError, match="two event sources have the name 'omics'"):
        rule_of(HealthOmicsRuns(), CustomEvents({"source": ["x"]}, construct_id="omics"))


def test_second_source_of_a_kind_is_named_by_its_id() -> None:
    stack = make_stack()
    failed = HealthOmicsRuns(statuses=["FAILED"], construct_id="FailedRuns")
    add_engine(stack, event_sources=[HealthOmicsRuns(), failed])
    assert set(names_of(stack)) == {"omics", "FailedRuns"}


def test_custom_events_can_choose_their_name() -> None:
    stack = make_stack()
    lims = CustomEvents({"source": ["lims"]}, construct_id="LimsEvents", name="lims")
    add_engine(stack, event_sources=[lims])
    assert names_of(stack) == {"lims": "custom"}


def test_names_include_the_engine_in_a_stack_of_two() -> None:
    stack = make_stack()
    buckets = [existing_bucket(stack, "raw")]
    for name in (None, "two"):
        add_engine(
            stack,
            f"Engine{name}",
            source_buckets=buckets,
            registry_buckets=buckets,
            engine_name=name,
            event_sources=[HealthOmicsRuns()],
        )
    assert set(names_of(stack)) == {"omics", "two/omics"}


def test_event_sources_of_users_have_names() -> None:
    class Nightly:
        def bind(self, engine: PackagingEngine) -> None:
            engine.add_rule("Nightly", pattern={"source": ["x"]}, description="Every night")

    stack = make_stack()
    add_engine(stack, event_sources=[Nightly()])
    assert names_of(stack) == {"Nightly": "custom"}
