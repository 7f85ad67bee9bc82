"""cdk-nag has no finding in any preset that the constructs do not accept with a reason."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack, Validations
from aws_cdk import aws_sqs as sqs
from cdk_nag import (
    AwsSolutionsChecks,
    HIPAASecurityChecks,
    NIST80053R5Checks,
    PCIDSS321Checks,
    ServerlessChecks,
)

from tests.constructs.presets import PRESETS, regulated

PRACTICES = (AwsSolutionsChecks, ServerlessChecks)
REGULATIONS = (HIPAASecurityChecks, NIST80053R5Checks, PCIDSS321Checks)
ACCEPTED = {
    "DynamoDBInBackupPlan": {"Engine/Lineage", "Engine/ObjectUploads/Windows"},
    "DynamoDBPITREnabled": {"Engine/Lineage", "Engine/ObjectUploads/Windows"},
    "IAMNoInlinePolicy": {
        "Engine/BatchOperationsRole",
        "Engine/ChecksumFunctionRole",
        "Engine/LargeJobFunctionRole",
        "Engine/LargeJobsPolicy",
        "Engine/ObjectUploads/CoalescerFunctionRole",
        "Engine/PackagerFunctionRole",
        "Engine/Promotion/FunctionRole",
        "Engine/Promotion/RuleRole",
        "Engine/Promotion/StateMachineRole",
    },
    "LambdaConcurrency": {
        "Engine/ChecksumFunction",
        "Engine/LargeJobFunction",
        "Engine/ObjectUploads/CoalescerFunction",
        "Engine/PackagerFunction",
        "Engine/Promotion/Function",
    },
    "LambdaDLQ": {
        "Engine/ChecksumFunction",
        "Engine/LargeJobFunction",
        "Engine/ObjectUploads/CoalescerFunction",
        "Engine/PackagerFunction",
        "Engine/Promotion/Function",
    },
    "S3BucketLoggingEnabled": {"Engine/ScratchBucket"},
    "S3BucketReplicationEnabled": {"Engine/ScratchBucket"},
    "S3BucketVersioningEnabled": {"Engine/ScratchBucket"},
}
"""The controls of regulations that the engine does not follow, by rule, and where."""


def findings(app: App, packs: Sequence[Any] = PRACTICES) -> list[str]:
    """The findings of cdk-nag, each with the path of its construct."""
    Validations.of(app).add_plugins(*(pack(app) for pack in packs))
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


def test_regulated_preset_has_no_unacknowledged_findings_of_regulations() -> None:
    app = App()
    regulated(app)
    assert findings(app, REGULATIONS) == []


def test_accepted_controls_of_regulations_are_exactly_these() -> None:
    accepted: dict[str, set[str]] = {}
    for construct in regulated(App()).node.find_all():
        for entry in construct.node.metadata:
            if entry.type == "aws:cdk:acknowledged-rules":
                for finding in entry.data:
                    pack, _, rule = finding.removeprefix("Annotation::").partition("-")
                    if pack == "NIST.800.53.R5":
                        path = construct.node.path.removeprefix("Stack/")
                        accepted.setdefault(rule, set()).add(path)
    assert accepted == ACCEPTED


def test_cdk_nag_inspects_the_stacks() -> None:
    app = App()
    sqs.Queue(Stack(app, "Stack"), "Bare")
    assert "AwsSolutions-SQS4 at Stack/Bare/Resource" in findings(app)
