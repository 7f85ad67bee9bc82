"""The examples in docstrings run."""

import doctest
import importlib
from pathlib import Path

import pytest
import quilt_packager_runtime

import benchmarks
import quilt_packager

PACKAGES = (quilt_packager, quilt_packager_runtime, benchmarks)


def find_modules() -> list[str]:
    """The names of all modules that have examples; the others are not imported."""
    return sorted(
        ".".join((package.__name__, *path.relative_to(folder).with_suffix("").parts))
        for package in PACKAGES
        for folder in map(Path, package.__path__)
        for path in folder.rglob("*.py")
        if ">>>" in path.read_text("utf-8")
    )


@pytest.mark.parametrize("name", find_modules())
def test_examples_run(name: str) -> None:
    failed, tried = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL,
    )
    assert tried
    assert failed == 0
