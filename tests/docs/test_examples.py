"""The examples in docstrings run."""

import doctest
import importlib
import pkgutil

import pytest
import quilt_packager_runtime

MODULES = [
    module.name
    for module in pkgutil.walk_packages(quilt_packager_runtime.__path__, "quilt_packager_runtime.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_the_runtime_run(name: str) -> None:
    failed, _ = doctest.testmod(
        importlib.import_module(name),
        optionflags=doctest.ELLIPSIS | doctest.IGNORE_EXCEPTION_DETAIL,
    )
    assert failed == 0
