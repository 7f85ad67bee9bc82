"""Event sources: which events they match, on which bus, and what reaches the queue."""

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


def test_health_omics_runs_fail_if_not_packaged_on_completion() -> None:
    assert rule_of(HealthOmicsRuns())["EventPattern"] == {
        "source": ["aws.omics"],
        "detail-type": ["Run Status Change"],
        "detail": {"status": ["COMPLETED"]},
    }


def test_health_omics_runs_fail_if_other_statuses_cannot_be_chosen() -> None:
    rule = rule_of(HealthOmicsRuns(statuses=["FAILED", "CANCELLED"]))
    assert rule["EventPattern"]["detail"] == {"status": ["FAILED", "CANCELLED"]}


@pytest.mark.parametrize("statuses", [["DONE"], []])
def test_health_omics_runs_fail_if_their_statuses_do_not_exist(statuses: list[str]) -> None:
    with pytest.raises(ValueError, match="COMPLETED") as refused:
        HealthOmicsRuns(statuses=statuses)
    assert all(f'"{status}"' in str(refused.value) for status in statuses)


def test_workflow_run_crates_fail_if_not_of_all_source_buckets() -> None:
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


def test_workflow_run_crates_fail_if_buckets_cannot_be_chosen() -> None:
    stack = make_stack()
    buckets = [existing_bucket(stack, "raw"), existing_bucket(stack, "more")]
    add_engine(
        stack, source_buckets=buckets, event_sources=[WorkflowRunCrates(buckets=[buckets[1]])]
    )
    pattern = only_rule_of(template_of(stack))["EventPattern"]
    assert pattern["detail"]["bucket"] == {"name": ["more"]}


def test_workflow_run_crates_fail_if_every_job_would_be_rejected() -> None:
    stack = make_stack()
    stranger = existing_bucket(stack, "stranger")
    with pytest.raises(ValueError, match="no source_buckets: Stack/Bucket-stranger"):
        add_engine(stack, event_sources=[WorkflowRunCrates(buckets=[stranger])])


def test_workflow_run_crates_fail_if_no_bucket_is_left() -> None:
    with pytest.raises(ValueError, match="buckets is empty"):
        WorkflowRunCrates(buckets=[])


def test_objects_ready_fail_if_not_taken_from_edps_bus() -> None:
    rule = rule_of(ObjectsReady(on_bus()))
    assert rule["EventBusName"] == BUS
    assert rule["EventPattern"] == {
        "source": ["com.quiltdata.edp", "quilt.packager.uploads"],
        "detail-type": ["package-objects-ready"],
    }


@pytest.mark.parametrize(
    "event_source", [HealthOmicsRuns(), WorkflowRunCrates(), CustomEvents({"source": ["x"]})]
)
def test_rules_fail_if_not_on_the_default_bus(event_source: EventSource) -> None:
    assert "EventBusName" not in rule_of(event_source)


@pytest.mark.parametrize(
    "event_source",
    [HealthOmicsRuns(), WorkflowRunCrates(), ObjectsReady(on_bus()), CustomEvents({"id": ["x"]})],
)
def test_rules_fail_if_the_event_does_not_arrive_whole(event_source: EventSource) -> None:
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
def test_disabled_rules_fail_if_they_are_gone_or_send(event_source: EventSource) -> None:
    assert rule_of(event_source)["State"] == "DISABLED"


def test_rules_fail_if_an_undelivered_event_is_lost() -> None:
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
def test_custom_events_fail_if_the_pattern_is_not_kept(pattern: Any) -> None:
    assert rule_of(CustomEvents(pattern))["EventPattern"] == {
        "source": ["lab"],
        "detail-type": ["run done"],
        "detail": {"ok": [True]},
    }


def test_custom_events_fail_if_cdks_matchers_cannot_be_used() -> None:
    pattern = events.EventPattern(
        source=events.Match.prefix("lab."), detail={"size": events.Match.greater_than(0)}
    )
    assert rule_of(CustomEvents(pattern))["EventPattern"] == {
        "source": [{"prefix": "lab."}],
        "detail": {"size": [{"numeric": [">", 0]}]},
    }


def test_custom_events_fail_if_the_message_is_not_made_of_the_event() -> None:
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


def test_custom_events_fail_if_a_constant_message_is_lost() -> None:
    message = events.RuleTargetInput.from_object({"source_prefix": "s3://raw/nightly/"})
    (target,) = rule_of(CustomEvents({"source": ["lab"]}, message=message))["Targets"]
    assert target["Input"] == '{"source_prefix":"s3://raw/nightly/"}'


def test_custom_events_fail_if_a_part_of_the_event_cannot_be_sent() -> None:
    message = events.RuleTargetInput.from_event_path("$.detail")
    (target,) = rule_of(CustomEvents({"source": ["lab"]}, message=message))["Targets"]
    assert target["InputPath"] == "$.detail"


@pytest.mark.parametrize("pattern", [{}, events.EventPattern()])
def test_custom_events_fail_if_the_pattern_is_empty(pattern: Any) -> None:
    with pytest.raises(ValueError, match="pattern is empty"):
        CustomEvents(pattern)


def test_event_sources_fail_if_a_second_of_a_kind_silently_replaces_the_first() -> None:
    with pytest.raises(ValueError, match=r"Stack/Engine has 'CustomEvents' already.*construct_id"):
        add_engine(
            make_stack(),
            event_sources=[CustomEvents({"source": ["a"]}), CustomEvents({"source": ["b"]})],
        )


def test_event_sources_fail_if_a_second_of_a_kind_cannot_be_named() -> None:
    stack = make_stack()
    add_engine(
        stack,
        event_sources=[
            CustomEvents({"source": ["a"]}),
            CustomEvents({"source": ["b"]}, construct_id="Nightly"),
        ],
    )
    assert len(rules_of(template_of(stack))) == 2


def test_event_sources_fail_if_they_cannot_be_added_later() -> None:
    stack = make_stack()
    add_engine(stack).add_event_source(HealthOmicsRuns())
    assert len(rules_of(template_of(stack))) == 1


def test_event_sources_fail_if_nobody_else_can_write_one() -> None:
    class Nightly:
        def bind(self, engine: PackagingEngine) -> None:
            engine.add_rule(
                "Nightly", pattern={"source": ["aws.scheduler"]}, description="Every night"
            )

    assert rule_of(Nightly())["Description"] == "Every night"


SOURCES = "QUILT_PACKAGER_SOURCES"


def sources_of(*event_sources: EventSource, **props: Any) -> Any:
    """What the function is told of the event sources; None: nothing."""
    stack = make_stack()
    add_engine(stack, event_sources=event_sources, **props)
    functions = find(template_of(stack), "AWS::Lambda::Function", like="PackagerFunction")
    (function,) = functions.values()
    text = function["Properties"]["Environment"]["Variables"].get(SOURCES)
    return text and json.loads(text)


def test_options_fail_if_defaults_take_room_in_the_environment() -> None:
    assert sources_of(HealthOmicsRuns(), WorkflowRunCrates(), ObjectsReady(on_bus())) is None


def test_options_fail_if_they_do_not_reach_the_function() -> None:
    crates = WorkflowRunCrates(
        metadata="none",
        allow_bucket_root=True,
        package_name="{workflow_name}/{run_id}",
        include_prefixes=["runs/**"],
        ignore_prefixes=["runs/tmp"],
        exclude=["work/**"],
        settle_seconds=60,
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
        }
    ]


def test_options_fail_if_those_of_two_sources_are_mixed_up() -> None:
    failed = HealthOmicsRuns(
        statuses=["FAILED"], package_name="failed/{run_id}", construct_id="FailedRuns"
    )
    assert sources_of(HealthOmicsRuns(parameters=True), failed) == [
        {"kind": "health_omics", "only": ["COMPLETED"], "parameters": True},
        {"kind": "health_omics", "only": ["FAILED"], "package_name": "failed/{run_id}"},
    ]


def test_options_fail_if_two_sources_may_disagree_on_an_event() -> None:
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
        ({"settle_seconds": 901}, "settle_seconds"),
        ({"excludes": ["work"]}, "excludes"),
    ],
)
@pytest.mark.parametrize("source", [HealthOmicsRuns, WorkflowRunCrates, ObjectUploads])
def test_options_fail_if_wrong_ones_are_deployed(
    source: Any, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        source(**options)


@pytest.mark.parametrize("source", [HealthOmicsRuns, WorkflowRunCrates])
def test_options_fail_if_the_metadata_is_of_another_kind(source: Any) -> None:
    with pytest.raises(ValueError, match="metadata is 'json'; it may be"):
        source(metadata="json")


def test_roots_fail_if_their_crates_are_matched_unasked() -> None:
    keys = [{"suffix": "/ro-crate-metadata.json"}, "ro-crate-metadata.json"]
    for allowed in (False, True):
        rule = rule_of(WorkflowRunCrates(allow_bucket_root=allowed))
        assert rule["EventPattern"]["detail"]["object"]["key"] == keys[: 1 + allowed]


def names_of(stack: Stack) -> dict[str, str]:
    """The names of the sources, with their kinds."""
    rules = rules_of(template_of(stack)).values()
    given = [rule.get("Metadata", {}).get("quilt:source") for rule in rules]
    return {each["name"]: each["kind"] for each in given if each}


def test_sources_fail_if_their_rules_do_not_tell_the_names_that_people_type() -> None:
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


def test_uploads_fail_if_another_rule_than_that_which_gathers_them_has_their_name() -> None:
    stack = make_stack()
    add_engine(stack, event_sources=[ObjectUploads()])
    rules = rules_of(template_of(stack)).items()
    (named,) = (rule_id for rule_id, rule in rules if "quilt:source" in rule.get("Metadata", {}))
    assert "ObjectUploadsRule" in named


@pytest.mark.parametrize("sender", ["quilt.packager.uploads", "com.quiltdata.edp"])
def test_uploads_fail_if_their_rule_does_not_tell_how_they_are_announced(sender: str) -> None:
    stack = make_stack()
    add_engine(stack, event_sources=[ObjectUploads(source=sender), HealthOmicsRuns()])
    rules = rules_of(template_of(stack)).values()
    given = [rule["Metadata"]["quilt:source"] for rule in rules if "Metadata" in rule]
    senders = {each["name"]: each.get("sender") for each in given if "name" in each}
    assert senders == {"uploads": sender, "omics": None}


def test_names_fail_if_two_sources_share_one() -> None:
    with pytest.raises(ValueError, match="two event sources have the name 'omics'"):
        rule_of(HealthOmicsRuns(), CustomEvents({"source": ["x"]}, construct_id="omics"))


def test_names_fail_if_a_second_source_of_a_kind_is_not_called_by_its_id() -> None:
    stack = make_stack()
    failed = HealthOmicsRuns(statuses=["FAILED"], construct_id="FailedRuns")
    add_engine(stack, event_sources=[HealthOmicsRuns(), failed])
    assert set(names_of(stack)) == {"omics", "FailedRuns"}


def test_names_fail_if_custom_events_cannot_choose_theirs() -> None:
    stack = make_stack()
    lims = CustomEvents({"source": ["lims"]}, construct_id="LimsEvents", name="lims")
    add_engine(stack, event_sources=[lims])
    assert names_of(stack) == {"lims": "custom"}


def test_names_fail_if_those_of_two_engines_in_a_stack_are_alike() -> None:
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


def test_names_fail_if_an_event_source_of_ones_own_has_none() -> None:
    class Nightly:
        def bind(self, engine: PackagingEngine) -> None:
            engine.add_rule("Nightly", pattern={"source": ["x"]}, description="Every night")

    stack = make_stack()
    add_engine(stack, event_sources=[Nightly()])
    assert names_of(stack) == {"Nightly": "custom"}
