"""The warning of flags that a deployment drops."""

import json
from typing import Any

import boto3
import pytest
from aws_cdk import App
from aws_cdk import aws_lambda as lambda_
from aws_cdk.assertions import Annotations, Match

from quilt_packager.app.deployed_flags import warn_of_dropped_flags
from quilt_packager.app.flags import ContextFlags
from quilt_packager.app.stack import PackagingEngineStack
from tests.boto_stub import Service

DEPLOYED = {"quilt:source_buckets": ["raw", "runs"], "quilt:omics": False, "quilt:removed": 1}


@pytest.fixture
def cloudformation(monkeypatch: pytest.MonkeyPatch) -> Service:
    service = Service("cloudformation")
    monkeypatch.setattr(boto3, "client", lambda *_, **__: service.client)
    return service


def warnings(context: dict[str, Any] | None = None, **flags: Any) -> list[str]:
    stack = PackagingEngineStack(
        App(context=context),
        "Packaging",
        flags=ContextFlags(**flags),
        code=lambda_.Code.from_inline("pass"),
    )
    warn_of_dropped_flags(stack)
    found = Annotations.from_stack(stack).find_warning(
        "*", Match.string_like_regexp("was deployed with flags")
    )
    return [str(each.entry.data) for each in found]


def answer(cloudformation: Service, template: dict[str, Any]) -> None:
    body = {"TemplateBody": json.dumps(template)}
    cloudformation.script.add_response("get_template", body, {"StackName": "quilt-packager"})


def test_dropped_flags_are_shown_as_lines_for_cdk_json(cloudformation: Service) -> None:
    answer(cloudformation, {"Metadata": {"quilt:flags": DEPLOYED}})
    (warning,) = warnings(source_buckets=("runs",))
    assert warning.partition("cdk.json:\n")[2].startswith(
        '  "quilt:source_buckets": ["raw", "runs"],\n  "quilt:omics": false'
    )


def test_flags_that_are_given_again_are_not_dropped(cloudformation: Service) -> None:
    answer(cloudformation, {"Metadata": {"quilt:flags": DEPLOYED}})
    assert warnings(source_buckets=("runs", "raw"), omics=False) == []


def test_stack_of_an_earlier_version_has_no_flags(cloudformation: Service) -> None:
    answer(cloudformation, {"Resources": {}})
    assert warnings() == []


@pytest.mark.parametrize("code", ["ValidationError", "AccessDenied"])
def test_errors_of_aws_are_no_obstacle(cloudformation: Service, code: str) -> None:
    cloudformation.fail("get_template", code)
    assert warnings() == []


def test_commands_that_deploy_nothing_ask_nothing(cloudformation: Service) -> None:
    assert warnings(context={"aws:cdk:bundling-stacks": []}) == []
    assert cloudformation.asked == []


def test_stack_names_its_flags_for_the_next_deployment() -> None:
    app = App()
    PackagingEngineStack(
        app, "Packaging", flags=ContextFlags(omics=False), code=lambda_.Code.from_inline("pass")
    )
    template = app.synth().get_stack_by_name("quilt-packager").template
    assert template["Metadata"]["quilt:flags"] == {"quilt:omics": False}
