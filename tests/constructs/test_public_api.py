"""The names of `from quilt_packager import …`, and the modules that they import."""

import ast
import inspect
import subprocess
import sys
from itertools import zip_longest
from typing import is_typeddict

import pytest

import quilt_packager


def run(code: str) -> str:
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return result.stdout


def test_public_names_are_exactly_these() -> None:
    assert quilt_packager.__all__ == [
        "AlarmThresholds",
        "Audit",
        "BundlingError",
        "ChecksumAlgorithm",
        "Coalescer",
        "CommonOptions",
        "ContextError",
        "ContextFlags",
        "CustomEvents",
        "EngineProps",
        "EventSource",
        "HealthOmicsRuns",
        "IPackagingEngine",
        "ImportedEngine",
        "LimitExceeded",
        "MetricOptions",
        "ObjectUploads",
        "ObjectsReady",
        "PackageOptions",
        "PackagingEngine",
        "PackagingEngineStack",
        "PromoteWhen",
        "Promotion",
        "RuleOptions",
        "StackOptions",
        "WorkflowRunCrates",
    ]


def test_public_names_can_be_imported() -> None:
    names = quilt_packager.__all__
    assert [getattr(quilt_packager, name).__name__ for name in names] == names
    assert {*names} <= {*dir(quilt_packager)}


def test_unknown_names_raise_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="no attribute 'NoSuchName'"):
        quilt_packager.NoSuchName  # noqa: B018


def undocumented_fields(typed_dict: type) -> list[str]:
    """The fields without a docstring below them, which editors would show."""
    (definition,) = ast.parse(inspect.getsource(typed_dict)).body
    assert isinstance(definition, ast.ClassDef)
    return [
        ast.unparse(field.target)
        for field, after in zip_longest(definition.body, definition.body[1:])
        if isinstance(field, ast.AnnAssign)
        and not (isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant))
    ]


@pytest.mark.parametrize(
    "typed_dict",
    [
        each
        for name in quilt_packager.__all__
        if is_typeddict(each := getattr(quilt_packager, name))
    ],
)
def test_every_field_of_a_typed_dict_is_documented_where_editors_look(typed_dict: type) -> None:
    assert undocumented_fields(typed_dict) == []


def test_constructor_names_every_prop() -> None:
    documentation = quilt_packager.PackagingEngine.__doc__ or ""
    assert [
        name
        for name in quilt_packager.EngineProps.__annotations__
        if f"`{name}`" not in documentation
    ] == []


@pytest.mark.parametrize("name", ["__all__", "BundlingError", "ChecksumAlgorithm", "ContextFlags"])
def test_import_does_not_start_node(name: str) -> None:
    modules = run(
        f"import quilt_packager, sys; quilt_packager.{name or '__all__'}; print(*sys.modules)"
    )
    assert not {"aws_cdk", "jsii", "constructs"} & set(modules.split())
