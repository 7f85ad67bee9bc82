"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest
import quilt_packager_runtime

from quilt_packager import admin, formats, operations

MODULES = [
    formats.__name__,
    *(
        module.name
        for package in (quilt_packager_runtime, operations, admin)
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    ),
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL,
    )
    assert failed == 0
