"""`quilt-packager lineage`, of packages that name their inputs."""

import json
import sys

import pytest
from quilt_packager_runtime.lineage.index import LineageIndex

from quilt_packager.cli.commands import lineage
from quilt_packager.cli.console.exits import Exit
from tests.cli.conftest import Cli
from tests.lineage_table import LineageTable
from tests.s3_stub import S3Stub


@pytest.fixture(autouse=True)
def table(stub: S3Stub, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> LineageTable:
    """An index, and the package runs/2, whose metadata names runs/1 as its input."""
    table = LineageTable()
    index = LineageIndex("lineage", table)
    monkeypatch.setattr(lineage, "_find_index", lambda *_: index)
    raw = stub.create_bucket("raw")
    inputs: list[str] = []
    for folder in ("runs/1", "runs/2"):
        raw.put(f"{folder}/file", "x")
        metadata = {"run_id": folder, "input_packages": [*inputs]}
        message = {"source_prefix": f"s3://raw/{folder}/", "metadata": metadata}
        made = json.loads(cli("package", json.dumps(message), "--json").out)
        inputs.append(f"quilt+s3://raw#package={folder}@{made['top_hash']}")
    assert cli("lineage", "rebuild", "--registry", "raw").code == 0
    return table


def test_a_tree_is_written_in_both_directions(cli: Cli) -> None:
    above = cli("lineage", "runs/2", "--registry", "raw").out.splitlines()
    assert above[1] == "  made from"
    assert above[2].startswith("    runs/1  ")
    assert above[2].endswith(", run runs/1")
    assert above[3] == "  used by: nothing that is known"
    below = cli("lineage", "runs/1", "--registry", "raw").out.splitlines()
    assert below[2] == "  used by"
    assert below[3].startswith("    runs/2  ")


def test_what_it_was_made_from_needs_no_index(cli: Cli, table: LineageTable) -> None:
    table.calls.clear()
    tree = json.loads(cli("lineage", "runs/2", "-1", "--up", "--registry", "raw", "--json").out)
    assert ([each["package_name"] for each in tree["inputs"]], table.calls) == (["runs/1"], [])


def test_openlineage_is_an_event_in_each_line(cli: Cli) -> None:
    out = cli("lineage", "runs/2", "--registry", "raw", "--openlineage").out
    events = [json.loads(line) for line in out.splitlines()]
    assert [each["outputs"][0]["name"] for each in events] == ["runs/2", "runs/1"]
    assert {each["eventType"] for each in events} == {"COMPLETE"}


def test_a_missing_library_is_named_with_its_extra(
    cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    ran = cli("lineage", "runs/2", "--registry", "raw", "--openlineage")
    assert ran.code == Exit.USAGE
    assert "pip install 'quilt-packager[openlineage]'" in ran.err


@pytest.mark.parametrize("arguments", [["runs/2", "--jsn"], ["runs"]])
def test_misspelled_arguments_are_refused(cli: Cli, arguments: list[str]) -> None:
    assert cli("lineage", *arguments, "--registry", "raw").code == 3
