"""The workflows of a registry."""

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.workflows.gate import CONFIG_KEY, MAX_DOCUMENT_BYTES

from quilt_packager.operations.deployment.known_workflows import KnownWorkflows, find_workflows
from tests.s3_stub import Bucket, S3Stub


@pytest.fixture
def registry(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ("", KnownWorkflows()),
        (
            "version: '1'\ndefault_workflow: b\nworkflows:\n  a: {name: A}\n  b: {name: B}\n",
            KnownWorkflows(("a", "b"), "b", True),
        ),
        (
            "version: '1'\nis_workflow_required: false\nworkflows:\n  a: {name: A}\n",
            KnownWorkflows(("a",), None, False),
        ),
    ],
)
async def test_workflows_of_a_registry_are_named(
    s3: S3, registry: Bucket, config: str, expected: KnownWorkflows
) -> None:
    if config:
        registry.put(CONFIG_KEY, config.encode())
    assert await find_workflows(s3, "packages") == expected


@pytest.mark.parametrize(
    "config",
    [b"[", b"- a", b"workflows: 7", b"\xff", b"[" * 100_000, b" " * (MAX_DOCUMENT_BYTES + 1)],
    ids=["yaml", "list", "number", "text", "depth", "size"],
)
async def test_unusable_configuration_is_an_error(s3: S3, registry: Bucket, config: bytes) -> None:
    registry.put(CONFIG_KEY, config)
    with pytest.raises(ValueError, match=CONFIG_KEY):
        await find_workflows(s3, "packages")
