"""The examples in the docstrings of the command and of the embedded AWS run."""

import doctest
import importlib
import pkgutil

import pytest

import quilt_packager.cli
import quilt_packager.local

# One runs the command, the other needs the server's own process.
PROGRAMS = {"quilt_packager.cli.__main__", "quilt_packager.local.ministack_server"}
MODULES = [
    module.name
    for package in (quilt_packager.cli, quilt_packager.local)
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
    if module.name not in PROGRAMS
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str) -> None:
    failed, _ = doctest.testmod(importlib.import_module(name))
    assert failed == 0
