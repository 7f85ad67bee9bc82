"""The template for deployments without the CDK."""

import json
from pathlib import Path
from typing import Any

import pytest

from quilt_packager.app import template
from quilt_packager.app.template import MAX_BODY_BYTES, write_template
from quilt_packager.bundling import Platform
from quilt_packager.guardrails.quotas import LimitExceeded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("template")
    write_template(folder, stack_name="lab", platform=Platform.host())
    return folder


@pytest.fixture(scope="module")
def body(folder: Path) -> dict[str, Any]:
    body: dict[str, Any] = json.loads((folder / "template.json").read_bytes())
    return body


def test_template_fits_into_a_request(folder: Path) -> None:
    assert (folder / "template.json").stat().st_size <= MAX_BODY_BYTES


def test_larger_template_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(template, "MAX_BODY_BYTES", 1000)
    with pytest.raises(LimitExceeded, match=r"The template has .* bytes; CloudFormation takes 1,"):
        write_template(tmp_path, stack_name="lab", platform=Platform.host())


def test_code_beside_the_template_is_the_default_of_its_parameter(
    folder: Path, body: dict[str, Any]
) -> None:
    (code,) = folder.glob("*.zip")
    assert body["Parameters"]["CodeKey"]["Default"] == code.name


def test_only_the_buckets_are_required(body: dict[str, Any]) -> None:
    required = {name for name, each in body["Parameters"].items() if "Default" not in each}
    assert required == {"SourceBucket", "CodeBucket"}


def test_each_event_source_has_a_switch(body: dict[str, Any]) -> None:
    sources = {
        each["Metadata"]["quilt:source"]["name"]: each["Properties"]["State"]
        for each in body["Resources"].values()
        if "quilt:source" in each.get("Metadata", {})
    }
    assert sources == {
        "omics": {"Ref": "OmicsState"},
        "wrroc": {"Ref": "WrrocState"},
        "uploads": {"Ref": "UploadsState"},
    }


def test_template_needs_no_bootstrap(body: dict[str, Any]) -> None:
    assert "cdk-bootstrap" not in json.dumps(body)
    assert "BootstrapVersion" not in body["Parameters"]
