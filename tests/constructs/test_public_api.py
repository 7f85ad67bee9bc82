"""The names of `from quilt_packager import …`, and the modules that they import."""

import subprocess
import sys

import pytest

import quilt_packager


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout


def test_public_names_are_exactly_these() -> None:
    assert quilt_packager.__all__ == [
        "BundlingError",
        "ChecksumAlgorithm",
        "ContextError",
        "ContextFlags",
        "CustomEvents",
        "EventSource",
        "HealthOmicsRuns",
        "LimitExceeded",
        "ObjectUploads",
        "ObjectsReady",
        "PackagingEngine",
        "PackagingEngineStack",
        "WorkflowRunCrates",
    ]


def test_public_names_can_be_imported() -> None:
    names = quilt_packager.__all__
    assert [getattr(quilt_packager, name).__name__ for name in names] == names
    assert {*names} <= {*dir(quilt_packager)}


def test_unknown_names_raise_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        quilt_packager.NoSuchName  # noqa: B018


@pytest.mark.parametrize("name", ["__all__", "BundlingError", "ChecksumAlgorithm", "ContextFlags"])
def test_import_does_not_start_node(name: str) -> None:
    modules = run(
        f"import quilt_packager, sys; quilt_packager.{name or '__all__'}; print(*sys.modules)"
    )
    assert not {"aws_cdk", "jsii", "constructs"} & set(modules.split())
