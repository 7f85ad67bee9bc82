"""cfn-lint has no finding in the presets, including the definitions of state machines.

`test_validation` has the examples.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.constructs.presets import PRESETS
from tests.constructs.templates import JsonObject, find

pytestmark = pytest.mark.xdist_group("cfn-lint")  # its modules are loaded once, for 3 s

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


def findings(template: JsonObject) -> list[Any]:
    from cfnlint.api import ManualArgs, lint  # noqa: PLC0415 - only the worker of these tests

    config = ManualArgs(ignore_checks=IGNORED)
    found: list[Any] = lint(json.dumps(template), regions=["us-east-1"], config=config)
    return found


def snapshot(preset: str) -> Any:
    return json.loads((SNAPSHOTS / f"{preset}.json").read_text("utf-8"))


@pytest.mark.parametrize("preset", PRESETS)
def test_cfn_lint_finds_nothing_in_presets(preset: str) -> None:
    # `test_snapshots` compares each with its template.
    assert findings(inline_definitions(snapshot(preset))) == []


def test_cfn_lint_reads_the_definition_of_the_state_machine() -> None:
    template = inline_definitions(snapshot("defaults"))
    (machine,) = find(template, "AWS::StepFunctions::StateMachine").values()
    machine["Properties"]["Definition"]["States"]["Publish"]["Retry"][1]["MaxAttempts"] = "many"
    assert {each.rule.id for each in findings(template)} == {"E3601"}
