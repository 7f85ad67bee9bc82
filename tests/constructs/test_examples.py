"""The examples in the docstrings of the constructs run; so far none of them needs the CDK."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "name",
    [
        "bundling",
        "context",
        "limits",
        "package_options",
        "source_flags",
        "source_names",
        "upload_rules",
    ],
)
def test_examples_of_the_constructs_run(name: str) -> None:
    failed, tried = doctest.testmod(importlib.import_module(f"quilt_packager.{name}"))
    assert tried
    assert failed == 0
