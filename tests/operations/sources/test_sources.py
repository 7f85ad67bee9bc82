"""Event sources of a stack in the embedded AWS."""

import json
from typing import Any

import boto3
import msgspec
import pytest
import yaml

from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.errors import UnknownSource
from quilt_packager.operations.sources.sources import (
    find_source,
    list_sources,
    read_rule,
    set_enabled,
)
from tests.embedded_aws import CreateStack
from tests.operations.event_rules import OMICS, READY, SOURCES, rule


@pytest.fixture
def deployment(create_stack: CreateStack) -> Deployment:
    create_stack("lab", SOURCES)
    return find_deployment(connect(), "lab")


def test_reads_the_sender_of_uploads(deployment: Deployment) -> None:
    senders = {each.name: each.sender for each in list_sources(deployment) if each.sender}
    assert senders == {"uploads": "quilt.packager.uploads"}


def test_lists_the_sources_of_the_template(deployment: Deployment) -> None:
    found = [(each.name, each.kind, each.title) for each in list_sources(deployment)]
    assert found == [
        ("omics", "health_omics", "HealthOmics runs"),
        ("wrroc", "workflow_run_crate", "Nextflow runs"),
        ("edp", "objects_ready", "EDP"),
        ("uploads", "objects_ready", "Uploads"),
        ("lims", "custom", "Custom: lims"),
    ]


def test_describes_the_events_that_each_source_matches(deployment: Deployment) -> None:
    assert [each.matches for each in list_sources(deployment)] == [
        "A HealthOmics run reaches COMPLETED or FAILED.",
        "A file ro-crate-metadata.json is written to raw or results.",
        "An event package-objects-ready of com.quiltdata.edp is on the edp-bus bus.",
        "Uploads to a folder of raw have stopped.",
        "An event of com.example.lims that meets more conditions is on the default bus.",
    ]


def test_finds_a_rule_on_a_bus_of_the_stack(deployment: Deployment) -> None:
    source = find_source(deployment, "edp")
    assert (source.event_bus, source.pattern) == ("edp-bus", READY)


def test_a_new_source_has_its_deployed_state(deployment: Deployment) -> None:
    sources = list_sources(deployment)
    assert [each.enabled for each in sources] == [True, False, True, True, True]
    assert [each.differs for each in sources] == [False] * 5
    assert {each.keep for each in sources} == {""}


@pytest.mark.parametrize(
    ("name", "enabled", "keep"),
    [
        ("omics", False, '"quilt:omics": false in the context of cdk.json'),
        ("wrroc", True, '"quilt:wrroc": true in the context of cdk.json'),
        ("edp", False, '"quilt:edp": "" in the context of cdk.json'),
        ("uploads", False, '"enabled": false in quilt:uploads'),
        ("lims", False, '"enabled": false of lims in the file of quilt:custom'),
    ],
)
def test_a_switched_source_differs_and_has_a_permanent_change(
    deployment: Deployment, name: str, enabled: bool, keep: str
) -> None:
    switched = set_enabled(deployment, name, enabled=enabled)
    assert (switched.enabled, switched.deployed) == (enabled, not enabled)
    assert switched.differs
    assert switched.keep == keep
    client = boto3.client("events")
    found = client.describe_rule(Name=switched.rule, EventBusName=switched.event_bus)
    assert found["State"] == ("ENABLED" if enabled else "DISABLED")


def test_a_source_that_is_switched_back_does_not_differ(deployment: Deployment) -> None:
    set_enabled(deployment, "omics", enabled=False)
    assert not set_enabled(deployment, "omics", enabled=True).differs


def test_other_sources_keep_their_state(deployment: Deployment) -> None:
    before = list_sources(deployment)
    set_enabled(deployment, "omics", enabled=False)
    assert list_sources(deployment)[1:] == before[1:]


def test_an_unknown_source_is_refused_with_the_known_ones(deployment: Deployment) -> None:
    with pytest.raises(UnknownSource, match=r'"emics".*has omics, wrroc, edp, uploads, lims'):
        set_enabled(deployment, "emics", enabled=True)


def test_rules_without_metadata_are_no_sources(create_stack: CreateStack) -> None:
    create_stack("lab", {"Nameless": SOURCES["Nameless"]})
    deployment = find_deployment(connect())
    assert list_sources(deployment) == []
    with pytest.raises(UnknownSource, match="Deploy the stack with this version"):
        find_source(deployment, "omics")


def test_a_rule_that_was_deleted_is_off(deployment: Deployment) -> None:
    source = find_source(deployment, "omics")
    boto3.client("events").delete_rule(Name=source.rule)
    found = find_source(deployment, "omics")
    assert (found.enabled, found.differs) == (False, True)
    assert "deleted" in found.matches


def test_a_state_without_a_deployed_value_does_not_differ(
    create_stack: CreateStack,
) -> None:
    state = {"Fn::If": ["IsOn", "ENABLED", "DISABLED"]}
    create_stack("lab", {"Omics": rule("omics", "health_omics", OMICS, state)})
    (source,) = list_sources(find_deployment(connect()))
    assert (source.deployed, source.differs) == (None, False)


def test_in_a_user_stack_the_code_keeps_a_state(
    create_stack: CreateStack,
) -> None:
    create_stack("lab", SOURCES, queue_id="EngineQueue1A2B3C")
    deployment = find_deployment(connect())
    switched = set_enabled(deployment, "omics", enabled=False)
    assert switched.keep == "enabled=False of the event source, in the code of the stack"


def test_the_second_source_of_a_kind_has_its_own_name(create_stack: CreateStack) -> None:
    runs = rule("lab/FailedRuns", "health_omics", OMICS)
    create_stack("lab", {"Omics": runs})
    (source,) = list_sources(find_deployment(connect()))
    assert source.title == "lab: HealthOmics runs: FailedRuns"


def test_a_template_in_yaml_is_read(create_stack: CreateStack) -> None:
    def dump(template: dict[str, Any]) -> str:
        text: str = yaml.safe_dump(template, sort_keys=False)
        return text.replace("EventBusName:\n        Ref: Bus", "EventBusName: !Ref Bus")

    create_stack("lab", SOURCES, dump=dump)
    sources = list_sources(find_deployment(connect()))
    assert [(each.name, each.event_bus) for each in sources[:3]] == [
        ("omics", "default"),
        ("wrroc", "default"),
        ("edp", "edp-bus"),
    ]


@pytest.mark.parametrize(
    ("physical_id", "bus", "expected"),
    [
        ("lab-Runs-1A", "default", ("lab-Runs-1A", "default")),
        ("lab-Runs-1A", "edp", ("lab-Runs-1A", "edp")),
        ("edp|lab-Runs-1A", "other", ("lab-Runs-1A", "edp")),
        (
            "aws.partner/x.com/1|lab-Runs-1A",
            "default",
            ("lab-Runs-1A", "aws.partner/x.com/1"),
        ),
        (
            "arn:aws:events:us-east-1:123456789012:rule/lab-Runs-1A",
            "default",
            ("lab-Runs-1A", "default"),
        ),
        (
            "arn:aws:events:us-east-1:123456789012:rule/aws.partner/x.com/1/lab-Runs-1A",
            "default",
            ("lab-Runs-1A", "aws.partner/x.com/1"),
        ),
    ],
)
def test_physical_ids_name_the_rule_and_its_bus(
    physical_id: str, bus: str, expected: tuple[str, str]
) -> None:
    assert read_rule(physical_id, bus) == expected


def test_sources_have_a_form_in_json(deployment: Deployment) -> None:
    (source, *_) = json.loads(msgspec.json.encode(list_sources(deployment)))
    assert source["pattern"] == OMICS
