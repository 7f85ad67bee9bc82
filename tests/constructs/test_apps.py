"""The apps in `examples/` synthesize, and contain the resources that they demonstrate."""

import json
import re
import runpy
from pathlib import Path

import pytest
from aws_cdk import Stack

from quilt_packager.contract import PACKAGER_LOG
from quilt_packager.engine import engine
from tests.constructs.templates import find, placeholder_code, template_of
from tests.operations.engine_templates import read_template

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = {
    "failed_runs": ("AWS::Events::Rule", '"FAILED", "CANCELLED"'),
    "notices": ("AWS::Events::Rule", "Package Created"),
    "lims_events": ("AWS::Events::Rule", "experiment complete"),
    "operators": ("AWS::CloudWatch::Alarm", "sequencing has stopped"),
    "stand_in_for_edp": ("AWS::DynamoDB::Table", ""),
}


def synthesize(name: str, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """Run an app without building the asset."""
    monkeypatch.setattr(engine, "bundle_code", lambda *_: placeholder_code())
    stack: Stack = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")["stack"]
    return stack


@pytest.mark.parametrize("name", SHOWN)
def test_app_shows_its_subject(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    resource_type, text = SHOWN[name]
    template = template_of(synthesize(name, monkeypatch))
    found = find(template, resource_type)
    assert found
    assert text in json.dumps(found)


@pytest.mark.parametrize("name", SHOWN)
def test_command_finds_the_engine_of_the_app(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stack = synthesize(name, monkeypatch)
    (found,) = read_template(template_of(stack))
    assert (found.name, found.construct) == ("", "Engine")
    assert found.find("AWS::Logs::LogGroup", PACKAGER_LOG) is not None
    assert any(each.type == "AWS::S3::Bucket" for each in found.resources)
    # Buckets for data are the stack's.
    assert not any(each.logical_id.startswith("Runs") for each in found.resources)


def test_alarms_name_the_stack_of_the_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stack = synthesize("operators", monkeypatch)
    template = template_of(stack)
    assert len(read_template(template)) == 1
    texts = json.dumps(find(template, "AWS::CloudWatch::Alarm"))
    named = re.findall(r"quilt-packager [a-z ]+(?:ID )?--stack ([\w/-]+)", texts)
    assert named
    assert set(named) == {stack.stack_name}


def test_all_example_apps_are_tested() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHOWN)
