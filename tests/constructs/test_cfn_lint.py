"""cfn-lint has no finding in any template, including the definitions of state machines."""

import json
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import ManualArgs, lint

from tests.constructs.presets import PRESETS
from tests.constructs.templates import JsonObject, find, template_of
from tests.constructs.test_apps import SHOWN, synthesize

SNAPSHOTS = Path(__file__).with_name("snapshots")
IGNORED = [
    "W3005",  # CDK lists dependencies that references imply
    "W3045",  # CDK's own: a bucket with `server_access_logs_prefix` gets an access control list
]
ARN = "arn:aws:lambda:us-east-1:123456789012:function:function"


def inline_definitions(template: JsonObject) -> JsonObject:
    """Replace texts that CloudFormation joins, which cfn-lint does not read, by their JSON."""
    for machine in find(template, "AWS::StepFunctions::StateMachine").values():
        _, parts = machine["Properties"].pop("DefinitionString")["Fn::Join"]
        text = "".join(part if isinstance(part, str) else ARN for part in parts)
        machine["Properties"]["Definition"] = json.loads(text)
    return template


def findings(template: JsonObject) -> list[str]:
    text = json.dumps(inline_definitions(template))
    config = ManualArgs(ignore_checks=IGNORED)
    return [str(each) for each in lint(text, regions=["us-east-1"], config=config)]


def snapshot(preset: str) -> Any:
    return json.loads((SNAPSHOTS / f"{preset}.json").read_text("utf-8"))


@pytest.mark.parametrize("preset", PRESETS)
def test_cfn_lint_finds_nothing_in_presets(preset: str) -> None:
    # `test_snapshots` compares each with its template.
    assert findings(snapshot(preset)) == []


@pytest.mark.parametrize("name", SHOWN)
def test_cfn_lint_finds_nothing_in_examples(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert findings(template_of(synthesize(name, monkeypatch))) == []


def test_cfn_lint_reads_the_definition_of_the_state_machine() -> None:
    template = inline_definitions(snapshot("defaults"))
    (machine,) = find(template, "AWS::StepFunctions::StateMachine").values()
    machine["Properties"]["Definition"]["States"]["Publish"]["Retry"][1]["MaxAttempts"] = "many"
    text = json.dumps(template)
    found = lint(text, regions=["us-east-1"], config=ManualArgs(ignore_checks=IGNORED))
    assert {each.rule.id for each in found} == {"E3601"}
