"""The packager's role, as the template writes it, enforced by an embedded AWS while it packages."""

import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.errors import AccessDenied
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.settings import Settings

from tests.constructs.templates import add_engine, make_stack, permissions_of, template_of
from tests.integration.enforcement import Credentials, EnforcingMiniStack, resolve
from tests.package_requests import package_request, request_of
from tests.runtime_s3 import connect_to

WORKFLOWS = ".quilt/workflows/config.yml"
WORKFLOW_CONFIG = b"""\
version: '1'
is_workflow_required: false
workflows: {plain: {name: Plain}, described: {name: Described, metadata_schema: run}}
schemas: {run: {url: 's3://rules/schemas/run.json'}}
"""
READ_SCHEMAS = {
    "Sid": "ReadSchemas",
    "Effect": "Allow",
    "Action": ["s3:GetObject", "s3:GetObjectVersion"],
    "Resource": "arn:aws:s3:::rules/schemas/*",
}
MESSAGE = {
    "source_prefix": "s3://raw/run/",
    "registry": "reg",
    "metadata_uri": "meta.json",
    "workflow": "plain",
}
SETTINGS = Settings(source_buckets=("raw",), registry_buckets=("reg",), scratch_bucket="scratch")


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EnforcingMiniStack]:
    """With a source, a registry that has workflows, a scratch bucket, and a run to package."""
    with EnforcingMiniStack(tmp_path_factory.mktemp("aws")) as started:
        s3 = started.client("s3")
        for name in ("raw", "reg", "scratch", "rules"):
            s3.create_bucket(Bucket=name)
        s3.put_object(Bucket="reg", Key=WORKFLOWS, Body=WORKFLOW_CONFIG)
        s3.put_object(Bucket="rules", Key="schemas/run.json", Body=b'{"type": "object"}')
        s3.put_object(Bucket="raw", Key="run/meta.json", Body=b'{"assay": "rna-seq"}')
        s3.put_object(Bucket="raw", Key="run/large.bin", Body=os.urandom(9 * 1024 * 1024))
        yield started


@pytest.fixture(scope="module")
def statements() -> dict[str, dict[str, Any]]:
    """Return the statements of the role for S3, by Sid."""
    stack = make_stack()
    add_engine(stack)
    return {
        sid: resolve(statement, {"Scratch": "arn:aws:s3:::scratch"})
        for sid, statement in permissions_of(template_of(stack)).items()
        if "s3:" in str(statement["Action"])
    }


@pytest.fixture
def assume(aws: EnforcingMiniStack) -> Callable[[list[dict[str, Any]]], Credentials]:
    """Makes a role of statements, and gives its credentials."""
    return aws.assume


async def run(
    aws: EnforcingMiniStack, credentials: Credentials, name: str, **fields: str
) -> Outcome:
    request = request_of(MESSAGE | {"package_name": f"test/{name}"} | fields)
    s3 = connect_to(aws.endpoint_url, {name.upper(): value for name, value in credentials.items()})
    return await package_request(s3, request, SETTINGS)


async def test_role_suffices(
    aws: EnforcingMiniStack,
    assume: Callable[..., Credentials],
    statements: dict[str, dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    credentials = assume(list(statements.values()))
    created = await run(aws, credentials, "suffices")
    unchanged = await run(aws, credentials, "suffices")
    assert (created.outcome, unchanged.outcome) == ("created", "unchanged")
    assert created.objects == 2
    assert "server-side copy denied" not in caplog.text


@pytest.mark.parametrize(
    "sid", ["ListSources", "ReadSources", "ListRegistries", "ReadRegistries", "WriteRegistries"]
)
async def test_each_statement_is_needed(
    aws: EnforcingMiniStack,
    assume: Callable[..., Credentials],
    statements: dict[str, dict[str, Any]],
    sid: str,
) -> None:
    credentials = assume([each for name, each in statements.items() if name != sid])
    with pytest.raises(AccessDenied):
        await run(aws, credentials, f"without-{sid}")


async def test_schema_elsewhere_needs_a_statement_of_its_own(
    aws: EnforcingMiniStack,
    assume: Callable[..., Credentials],
    statements: dict[str, dict[str, Any]],
) -> None:
    denied, allowed = assume([*statements.values()]), assume([*statements.values(), READ_SCHEMAS])
    with pytest.raises(AccessDenied, match=r"GetObject on .*s3://rules/schemas/run\.json"):
        await run(aws, denied, "described", workflow="described")
    assert (await run(aws, allowed, "described", workflow="described")).outcome == "created"


async def test_hash_in_scratch_is_needed(
    aws: EnforcingMiniStack,
    assume: Callable[..., Credentials],
    statements: dict[str, dict[str, Any]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    credentials = assume([each for sid, each in statements.items() if sid != "HashInScratch"])
    with caplog.at_level(logging.WARNING):
        await run(aws, credentials, "without-scratch")
    assert "server-side copy denied" in caplog.text


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("delete_object", {"Bucket": "raw", "Key": "run/meta.json"}),
        ("delete_object", {"Bucket": "reg", "Key": WORKFLOWS}),
        ("put_object", {"Bucket": "reg", "Key": WORKFLOWS, "Body": b""}),
        ("put_object_acl", {"Bucket": "raw", "Key": "run/meta.json", "ACL": "public-read"}),
        ("delete_bucket", {"Bucket": "reg"}),
    ],
)
def test_denials_override_a_wide_grant(
    aws: EnforcingMiniStack,
    assume: Callable[..., Credentials],
    statements: dict[str, dict[str, Any]],
    action: str,
    arguments: dict[str, Any],
) -> None:
    everything = {"Effect": "Allow", "Action": "s3:*", "Resource": "*"}
    s3 = aws.client("s3", assume([*statements.values(), everything]))
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(s3, action)(**arguments)


@pytest.mark.parametrize(
    ("action", "arguments"),
    [
        ("put_object", {"Bucket": "raw", "Key": "run/new", "Body": b""}),
        ("put_object", {"Bucket": "reg", "Key": "data", "Body": b""}),
        ("put_object", {"Bucket": "scratch", "Key": "data", "Body": b""}),
        ("get_object", {"Bucket": "reg", "Key": "data"}),
        ("list_objects_v2", {"Bucket": "reg"}),
        ("list_objects_v2", {"Bucket": "reg", "Prefix": "data"}),
        ("get_bucket_policy", {"Bucket": "raw"}),
    ],
)
def test_role_allows_nothing_more(
    aws: EnforcingMiniStack,
    assume: Callable[..., Credentials],
    statements: dict[str, dict[str, Any]],
    action: str,
    arguments: dict[str, Any],
) -> None:
    s3 = aws.client("s3", assume(list(statements.values())))
    with pytest.raises(ClientError, match="AccessDenied"):
        getattr(s3, action)(**arguments)
