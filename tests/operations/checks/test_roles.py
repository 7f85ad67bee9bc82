"""Simulations of the permissions of roles, with the answers of AWS."""

from typing import Any, cast

import pytest

from quilt_packager.operations.checks.finding import Finding, Status
from quilt_packager.operations.checks.inspection import Function, Inspection
from quilt_packager.operations.checks.roles import check_role, find_denied
from quilt_packager.operations.deployment.deployments import Deployment
from tests.boto_stub import Service


@pytest.fixture
def on_aws(engine: Deployment, monkeypatch: pytest.MonkeyPatch) -> Inspection:
    """An engine in AWS: only the simulation is not the embedded one."""
    inspection = Inspection(engine)
    monkeypatch.setattr(inspection, "on_aws", True)
    return inspection


def simulate(monkeypatch: pytest.MonkeyPatch, engine: Deployment, decision: str) -> Service:
    iam = Service("iam")
    original = iam.client._make_api_call

    def call(operation: str, params: dict[str, Any]) -> Any:
        iam.script.add_response(
            "simulate_principal_policy", {"EvaluationResults": answers(params, decision)}
        )
        return original(operation, params)

    monkeypatch.setattr(iam.client, "_make_api_call", call)
    monkeypatch.setattr(engine, "iam", iam.client, raising=False)
    return iam


def answers(params: dict[str, Any], decision: str) -> list[dict[str, str]]:
    return [
        {
            "EvalActionName": action,
            "EvalResourceName": resource,
            "EvalDecision": decision if action == "s3:PutObject" else "allowed",
        }
        for action in params["ActionNames"]
        for resource in params["ResourceArns"]
    ]


def packager(engine: Inspection) -> Function:
    return next(each for each in engine.functions if each.handler == "packager")


def only(findings: Any) -> Finding:
    (finding,) = cast("list[Finding]", list(findings))
    return finding


def test_an_allowed_role_is_right(on_aws: Inspection, monkeypatch: pytest.MonkeyPatch) -> None:
    iam = simulate(monkeypatch, on_aws.deployment, "allowed")
    assert only(check_role(on_aws, packager(on_aws))).status is Status.OK
    asked = {action for each in iam.asked for action in each["ActionNames"]}
    assert {"s3:GetObject", "sqs:ReceiveMessage", "events:PutEvents"} <= asked
    assert all(each["ResourceArns"] for each in iam.asked)


def test_a_denied_role_is_wrong(on_aws: Inspection, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(monkeypatch, on_aws.deployment, "explicitDeny")
    found = only(check_role(on_aws, packager(on_aws)))
    assert found.status is Status.WRONG
    assert f"s3:PutObject on arn:aws:s3:::{on_aws.registries[0]}/.quilt/packages/0" in found.text


def test_results_for_single_resources_are_read(
    on_aws: Inspection, monkeypatch: pytest.MonkeyPatch
) -> None:
    iam = Service("iam")
    specific = [
        {"EvalResourceName": name, "EvalResourceDecision": decision}
        for name, decision in (("arn:a", "allowed"), ("arn:b", "implicitDeny"))
    ]
    result = {
        "EvalActionName": "s3:GetObject",
        "EvalDecision": "implicitDeny",
        "ResourceSpecificResults": specific,
    }
    iam.script.add_response("simulate_principal_policy", {"EvaluationResults": [result]})
    monkeypatch.setattr(on_aws.deployment, "iam", iam.client, raising=False)
    role = packager(on_aws).role
    denied = find_denied(on_aws, role, ["s3:GetObject"], ["arn:a", "arn:b"])
    assert denied == [("s3:GetObject", "arn:b")]
