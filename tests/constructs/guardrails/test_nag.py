"""cdk-nag has no finding in any preset that the constructs do not accept with a reason."""

import json
from pathlib import Path

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_sqs as sqs
from cdk_nag import AwsSolutionsChecks, ServerlessChecks

from tests.constructs.presets import PRESETS


def findings(app: App) -> list[str]:
    """The findings of cdk-nag, each with the path of its construct."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app), ServerlessChecks(app))
    try:
        app.synth()
    except RuntimeError as error:  # jsii's, for the validation that failed
        assert "ValidationFailed" in str(error) or "Validation failed" in str(error)  # noqa: PT017
    report = json.loads(Path(app.outdir, "validation-report.json").read_text("utf-8"))
    return [
        f"{violation['ruleName']} at {construct['constructPath']}"
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    ]


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_have_no_unacknowledged_findings_of_cdk_nag(preset: str) -> None:
    app = App()
    PRESETS[preset](app)
    assert findings(app) == []


def test_cdk_nag_inspects_the_stacks() -> None:
    app = App()
    sqs.Queue(Stack(app, "Stack"), "Bare")
    assert "AwsSolutions-SQS4 at Stack/Bare/Resource" in findings(app)
