"""Several engines in one stack have distinct names in the template."""

import json
from typing import Any

from aws_cdk import Stack
from constructs import Construct

from quilt_packager import HealthOmicsRuns, ObjectUploads, PackagingEngine
from quilt_packager.contract import PACKAGER_LOG, SCRATCH_BUCKET
from tests.constructs.templates import (
    JsonObject,
    add_engine,
    existing_bucket,
    make_flagged_stack,
    make_stack,
    placeholder_code,
    template_of,
)
from tests.operations.engine_templates import read_template


def add_named_engine(stack: Stack, construct_id: str, scope: Construct | None = None) -> None:
    buckets = [existing_bucket(stack, construct_id.lower())]
    PackagingEngine(
        scope or stack,
        construct_id,
        source_buckets=buckets,
        registry_buckets=buckets,
        event_sources=[HealthOmicsRuns(), ObjectUploads()],
        engine_name="second",
        code=placeholder_code(),
    )


def assert_apart(template: JsonObject, first: str, second: str) -> None:
    one, other = sorted(read_template(template), key=lambda each: each.name == "second")
    assert (one.name, one.construct) == ("", first)
    assert (other.name, other.construct) == ("second", second)
    for each, service in ((one, ""), (other, "/second")):
        log = each.find("AWS::Logs::LogGroup", PACKAGER_LOG)
        assert log is not None
        assert log.endswith(f"{service}/PackagerLambda")
        bucket = each.find("AWS::S3::Bucket", SCRATCH_BUCKET)
        assert bucket is not None
        assert bucket.startswith(f"{each.construct}{SCRATCH_BUCKET}")
    assert not {*one.resources} & {*other.resources}
    engines = {*one.resources, *other.resources}
    others = {*template["Resources"]} - {each.logical_id for each in engines}
    assert not any(first in each or second in each for each in others)


def test_engines_with_similar_ids_are_told_apart() -> None:
    stack = make_stack()
    add_engine(stack, event_sources=[HealthOmicsRuns()])
    add_named_engine(stack, "Engine2")
    assert_apart(template_of(stack), "Engine", "Engine2")


def test_engines_in_other_constructs_are_told_apart() -> None:
    stack = make_stack()
    add_engine(stack)
    add_named_engine(stack, "Engine", Construct(stack, "Plates-and-Wells"))
    assert_apart(template_of(stack), "Engine", "PlatesandWellsEngine")


def test_engine_beside_that_of_flags_is_told_apart() -> None:
    stack = make_flagged_stack()
    add_named_engine(stack, "Second")
    assert_apart(template_of(stack), "Engine", "Second")


def fixed_names(**props: Any) -> set[str]:
    """The names in the template that CloudFormation does not generate."""
    stack = make_stack()
    engine = add_engine(stack, event_sources=[ObjectUploads()], **props)
    engine.add_alarms()
    engine.add_dashboard()
    return {
        json.dumps(each["Properties"][name])
        for each in template_of(stack)["Resources"].values()
        for name in ("AlarmName", "DashboardName", "LogGroupName")
        if name in each["Properties"]
    }


def test_renamed_engine_with_another_name_collides_with_nothing_of_the_old_one() -> None:
    # CloudFormation creates the new resources before it deletes the old ones.
    old = fixed_names(construct_id="Engine")
    assert len(old) > 10
    assert old & fixed_names(construct_id="Packaging", engine_name="packaging") == set()
    assert old == fixed_names(construct_id="Packaging")
