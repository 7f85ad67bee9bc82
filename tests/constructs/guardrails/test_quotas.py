"""Texts that exceed a quota of AWS fail synthesis, with a remedy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aws_cdk import Stack
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
    existing_bucket,
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
