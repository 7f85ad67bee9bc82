"""The apps in `examples/` synthesize, and hold what they are there to show."""

import json
import runpy
from pathlib import Path

import pytest

from quilt_packager import engine
from tests.constructs.templates import JsonObject, find, placeholder_code, template_of

EXAMPLES = Path(__file__).parents[2] / "examples"
SHOWN = {
    "failed_runs": ("AWS::Events::Rule", '"FAILED", "CANCELLED"'),
    "notices": ("AWS::Events::Rule", "Package Created"),
    "lims_events": ("AWS::Events::Rule", "experiment complete"),
    "operators": ("AWS::CloudWatch::Alarm", "sequencing has stopped"),
    "stand_in_for_edp": ("AWS::DynamoDB::Table", ""),
}


def synthesize(name: str, monkeypatch: pytest.MonkeyPatch) -> JsonObject:
    """Run an app without building the asset."""
    monkeypatch.setattr(engine, "bundle_code", lambda *_: placeholder_code())
    stack = runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")["stack"]
    return template_of(stack)


@pytest.mark.parametrize("name", SHOWN)
def test_app_fails_if_it_does_not_show_what_it_is_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource_type, text = SHOWN[name]
    template = synthesize(name, monkeypatch)
    found = find(template, resource_type)
    assert found
    assert text in json.dumps(found)


def test_apps_fail_if_one_is_not_run_here() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(SHOWN)
