"""The validation of the CDK, which is off in other tests, has no finding in any template."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from aws_cdk import App, CfnResource, CloudFormationValidatePlugin, Stack, Validations

from tests.constructs.presets import PRESETS
from tests.constructs.test_apps import SHOWN, synthesize

pytestmark = pytest.mark.xdist_group("validation")  # the rules are loaded once, for 3 s

Find = Callable[[Stack], list[str]]


@pytest.fixture(scope="module")
def find() -> Find:
    """Synthesizes an app, again if it has been, and returns the findings."""
    plugin = CloudFormationValidatePlugin()

    def find(stack: Stack) -> list[str]:
        app = App.of(stack)
        assert isinstance(app, App)
        Validations.of(app).add_plugins(plugin)
        path = Path(app.synth(force=True).directory) / "validation-report.json"
        reports = json.loads(path.read_text("utf-8"))["pluginReports"]
        return [found["description"] for each in reports for found in each["violations"]]

    return find


@pytest.mark.parametrize("preset", PRESETS)
def test_nothing_is_found_in_presets(find: Find, preset: str) -> None:
    assert find(PRESETS[preset](App())) == []


@pytest.mark.parametrize("name", SHOWN)
def test_nothing_is_found_in_examples(
    find: Find, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find(synthesize(name, monkeypatch)) == []


def test_a_fault_is_found(find: Find) -> None:
    stack = Stack(App(), "Stack")
    properties = {"Code": {"ZipFile": ""}, "Handler": "a.b", "Role": "arn", "Timeout": "many"}
    CfnResource(stack, "Function", type="AWS::Lambda::Function", properties=properties)
    assert "Timeout: 'many' is not of type 'integer'" in find(stack)
