"""Texts that exceed a quota of AWS fail synthesis, with a remedy."""

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from aws_cdk import App, Stack
from aws_cdk import aws_s3 as s3

from quilt_packager import (
    CustomEvents,
    EventSource,
    LimitExceeded,
    ObjectUploads,
    WorkflowRunCrates,
)
from quilt_packager.guardrails import quotas
from quilt_packager.guardrails.quotas import check_environment, check_pattern
from tests.constructs.templates import (
    add_engine,
    arn,
    existing_bucket,
    find,
    make_stack,
    properties_of,
    template_of,
)

APP = Path(__file__).parents[3] / "app.py"


def buckets(stack: Stack, count: int) -> list[s3.IBucket]:
    return [existing_bucket(stack, f"{number:03}-{'x' * 59}") for number in range(count)]


@pytest.mark.parametrize(
    ("source", "rule"), [(WorkflowRunCrates(), "WorkflowRunCrates"), (ObjectUploads(), "ObjectUp")]
)
def test_too_long_patterns_are_refused(source: EventSource, rule: str) -> None:
    stack = make_stack()
    with pytest.raises(
        LimitExceeded, match=rf"pattern of {rule}.* has 2,\d+ char.*takes 2,048: share its buckets"
    ):
        add_engine(stack, source_buckets=buckets(stack, 30), event_sources=[source])


def test_too_long_custom_patterns_are_refused() -> None:
    lims = CustomEvents({"source": ["x" * 2048]}, construct_id="Lims")
    with pytest.raises(LimitExceeded, match="pattern of Lims has 2,063 characters"):
        add_engine(make_stack(), event_sources=[lims])


@pytest.mark.parametrize(("size", "refused"), [(2048, False), (2049, True)])
def test_pattern_limit_is_that_of_eventbridge(size: int, refused: bool) -> None:
    pattern = {"source": ["x" * (size - len('{"source":[""]}'))]}
    try:
        check_pattern(make_stack(), "Rule", pattern)
    except LimitExceeded:
        assert refused
    else:
        assert not refused


def test_names_that_aws_generates_count_in_patterns() -> None:
    stack = make_stack()
    made = [s3.Bucket(stack, f"Bucket{number}") for number in range(70)]
    with pytest.raises(LimitExceeded):
        check_pattern(stack, "Rule", {"source": [bucket.bucket_name for bucket in made]})


def test_too_large_environments_are_refused() -> None:
    stack = make_stack()
    with pytest.raises(
        LimitExceeded,
        match=r"(?s)environment of \w+Function has 4,\d+ bytes, and Lambda takes 4,096 \(the "
        r"longest values: QUILT_PACKAGER_SOURCE_BUCKETS 3,\d+,.*\): share the buckets",
    ):
        add_engine(stack, source_buckets=buckets(stack, 62))


def test_options_of_sources_count_in_environments() -> None:
    stack = make_stack()
    engine = add_engine(stack, source_buckets=buckets(stack, 20))
    globs = [f"work/{number:020}/**" for number in range(100)]
    with pytest.raises(LimitExceeded, match="longest values: QUILT_PACKAGER_SOURCES"):
        engine.add_event_source(WorkflowRunCrates(exclude=globs))


def test_counted_environment_includes_all_that_is_deployed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def add(stack: Stack) -> None:
        engine = add_engine(stack, engine_name="e" * 64, max_inline_objects=10**9)
        engine.add_event_source(WorkflowRunCrates(exclude=["work/**"] * 50))

    stack = make_stack()
    add(stack)
    function = properties_of(template_of(stack), "AWS::Lambda::Function", like="PackagerFunction")
    monkeypatch.setattr(quotas, "MAX_ENVIRONMENT_BYTES", 0)
    with pytest.raises(LimitExceeded, match=r"has [\d,]+ bytes") as deployed:
        check_environment(stack, "PackagerFunction", function["Environment"]["Variables"])
    words = str(deployed.value).split()
    size = int(words[words.index("bytes,") - 1].replace(",", ""))
    monkeypatch.setattr(quotas, "MAX_ENVIRONMENT_BYTES", size - 1)
    with pytest.raises(LimitExceeded, match=f"PackagerFunction has {size:,} bytes"):
        add(make_stack())


def test_engine_with_many_buckets_fits_the_environment() -> None:
    stack = make_stack()
    add_engine(stack, source_buckets=buckets(stack, 45))


@pytest.mark.parametrize(("size", "refused"), [(4096, False), (4097, True)])
def test_environment_limit_is_that_of_lambda(size: int, refused: bool) -> None:
    variables = {"A": "x" * (size - len('{"A":""}'))}
    try:
        check_environment(make_stack(), "Function", variables)
    except LimitExceeded:
        assert refused
    else:
        assert not refused


def test_app_reports_limits_without_a_traceback(tmp_path: Path) -> None:
    names = [f"{number:03}-{'x' * 59}" for number in range(40)]
    context = {"quilt:source_buckets": names, "aws:cdk:bundling-stacks": []}
    environment = {"CDK_CONTEXT_JSON": json.dumps(context), "CDK_OUTDIR": str(tmp_path)}
    # In a process of its own: CDK's Node reads the environment once.
    result = subprocess.run(
        [sys.executable, str(APP)],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert "Lambda takes 4,096" in result.stderr
    assert "Traceback" not in result.stderr


LONGEST = {
    "AWS::AccountId": "123456789012",
    "AWS::Partition": "aws-iso-b",
    "AWS::Region": "ap-southeast-7",
    "AWS::URLSuffix": "amazonaws.com.cn",
}


def written(value: Any) -> Any:
    """A value of a template as IAM and SQS see it, with names of the longest kind."""
    match value:
        case {"Ref": name}:
            return LONGEST.get(name, "n" * 63)
        case {"Fn::GetAtt": [logical_id, _]}:
            return "arn:aws-iso-b:sqs:ap-southeast-7:123456789012:".ljust(110, logical_id[0])
        case {"Fn::Join": [separator, parts]}:
            return separator.join(map(written, parts))
        case dict():
            return {name: written(each) for name, each in value.items()}
        case list():
            return [written(each) for each in value]
        case _:
            return value


def size_of(document: Any) -> int:
    return len(json.dumps(written(document), separators=(",", ":")))


@pytest.mark.parametrize(
    ("sources", "registries", "letters"), [(30, 30, 40), (25, 25, 63), (50, 1, 40)]
)
def test_policies_of_many_buckets_fit_the_quotas_of_iam(
    sources: int, registries: int, letters: int
) -> None:
    stack = make_stack()
    names = [f"{number:03}-{'x' * (letters - 4)}" for number in range(sources)]
    data = [existing_bucket(stack, name) for name in names]
    add_engine(stack, source_buckets=data, registry_buckets=data[:registries])
    template = template_of(stack)
    managed = find(template, "AWS::IAM::ManagedPolicy")
    assert managed
    for policy in managed.values():
        assert size_of(policy["Properties"]["PolicyDocument"]) <= 6144
    for policy in find(template, "AWS::IAM::Policy").values():
        assert size_of(policy["Properties"]["PolicyDocument"]) <= 10_240


def test_divided_statements_keep_every_resource_and_their_own_ids() -> None:
    stack = make_stack()
    data = [existing_bucket(stack, f"bucket-{number:02}") for number in range(20)]
    add_engine(stack, source_buckets=data)
    template = template_of(stack)
    statements = [
        statement
        for kind in ("AWS::IAM::Policy", "AWS::IAM::ManagedPolicy")
        for policy in find(template, kind, like="PackagerFunction").values()
        for statement in policy["Properties"]["PolicyDocument"]["Statement"]
    ]
    parts = {
        each["Sid"]: each["Resource"]
        for each in statements
        if each.get("Sid", "").startswith("ReadSources")
    }
    assert parts.keys() == {"ReadSources", "ReadSources2"}
    read = [resource for part in parts.values() for resource in part]
    assert read == [arn(f"bucket-{number:02}", "/*") for number in range(20)]


def test_more_policies_than_a_role_can_have_are_refused() -> None:
    stack = make_stack()
    data = [existing_bucket(stack, f"bucket-{number:02}") for number in range(45)]
    add_engine(stack, source_buckets=data, registry_buckets=data)
    with pytest.raises(
        RuntimeError, match=r"need \d+ managed policies, .*divide the buckets among"
    ):
        App.of(stack).synth()  # type: ignore[union-attr]


def rules(count: int) -> list[EventSource]:
    return [
        CustomEvents({"source": ["lab"]}, construct_id=f"SequencerRun{number:02}")
        for number in range(count)
    ]


def test_more_rules_than_the_policy_of_a_queue_can_name_are_refused() -> None:
    with pytest.raises(LimitExceeded, match=r"PackagerQueue in .*8,\d+ bytes, .* takes 8,192: "):
        add_engine(make_stack("LaboratoryOfTheWest"), event_sources=rules(90))


def test_largest_accepted_policy_of_a_queue_fits_the_quota() -> None:
    stack = make_stack("LaboratoryOfTheWest")
    engine = add_engine(stack)
    added = 0
    with contextlib.suppress(LimitExceeded):
        for rule in rules(90):
            engine.add_event_source(rule)
            added += 1
    assert added > 60
    policy = properties_of(
        template_of(stack), "AWS::SQS::QueuePolicy", like="EnginePackagerQueuePolicy"
    )
    assert size_of(policy["PolicyDocument"]) <= 8192
