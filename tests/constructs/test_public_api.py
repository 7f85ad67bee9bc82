"""What `from quilt_packager import …` gives, and at what price."""

import subprocess
import sys

import pytest

import quilt_packager


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout


def test_public_names_fail_if_they_change_unnoticed() -> None:
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


@pytest.mark.parametrize("name", quilt_packager.__all__)
def test_public_names_fail_if_they_cannot_be_imported(name: str) -> None:
    public = getattr(quilt_packager, name)
    assert public.__name__ == name
    assert name in dir(quilt_packager)


def test_unknown_names_fail_if_they_do_not_raise_as_python_does() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        quilt_packager.NoSuchName  # noqa: B018


@pytest.mark.parametrize("name", ["__all__", "BundlingError", "ChecksumAlgorithm", "ContextFlags"])
def test_import_fails_if_it_starts_node(name: str) -> None:
    modules = run(
        f"import quilt_packager, sys; quilt_packager.{name or '__all__'}; print(*sys.modules)"
    )
    assert not {"aws_cdk", "jsii", "constructs"} & set(modules.split())
