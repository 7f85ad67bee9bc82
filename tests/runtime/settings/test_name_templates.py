"""Templates of package names."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quilt_packager_runtime.formats.names import PACKAGE_NAME
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.settings.name_templates import check_template, name_package

SOURCE = SourceFolder("raw", "out/run#42/")
FIELDS = ("workflow_name", "run_id")
TEMPLATE = "{workflow_name}/{run_id}"


@pytest.mark.parametrize("template", [TEMPLATE, "omics/{run_id}", "{bucket}/x-{folder}_y"])
def test_a_legal_template_is_accepted(template: str) -> None:
    assert check_template(template, FIELDS) == template


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("runs/{id}", r"names \{id\}; there are bucket, folder, workflow_name, run_id"),
        ("runs/{run_id.__class__}", "names"),
        ("runs/{}", "names"),
        ("runs", "makes no name"),
        ("a/b/{run_id}", "makes no name"),
        ("a/{run_id", "makes no name"),
        ("a b/{run_id}", "makes no name"),
    ],
)
def test_an_illegal_template_is_refused_with_the_rule(template: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        check_template(template, FIELDS)


def test_values_cannot_add_a_component() -> None:
    values = {"workflow_name": "nf-core/rna seq", "run_id": "../42"}
    assert name_package(TEMPLATE, SOURCE, values) == ("nf-core-rna-seq/---42", [])


def test_the_folder_can_be_named() -> None:
    assert name_package("{bucket}/{folder}", SOURCE, {}) == ("raw/run-42", [])


@pytest.mark.parametrize("value", ["", None, ["a"], 5])
def test_without_a_value_the_folder_names_the_package(value: object) -> None:
    values = {"workflow_name": value, "run_id": "42"}
    assert name_package(TEMPLATE, SOURCE, values) == ("out/run-42", ["workflow_name"])


@given(st.fixed_dictionaries({"workflow_name": st.text(), "run_id": st.text()}))
def test_every_name_is_legal(values: dict[str, str]) -> None:
    name, _ = name_package(TEMPLATE, SOURCE, values)
    assert PACKAGE_NAME.fullmatch(name)
