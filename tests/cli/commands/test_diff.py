"""`quilt-packager diff`: revisions, differences, and both forms of output."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from quilt_packager_runtime.settings import Settings

from tests.cli.conftest import Cli
from tests.embedded_aws import CreateStack
from tests.operations.lambda_functions import lambda_function
from tests.s3_stub import Bucket, S3Stub

FOLDER = "s3://raw/runs/42/"
MIB = 2**20


@pytest.fixture
def raw(stub: S3Stub) -> Bucket:
    return stub.create_bucket("raw")


@pytest.fixture
def packaged(raw: Bucket, cli: Cli) -> Bucket:
    """A folder with two revisions."""
    for key, data in [("changed", b"x"), ("gone", b"x" * 1127), ("same", b"x")]:
        raw.put(f"runs/42/{key}", data)
    assert cli("package", FOLDER).code == 0
    raw.put("runs/42/changed", b"x" * 3072)
    raw.put("runs/42/new[y/N]", b"x")
    raw.delete("runs/42/gone")
    assert cli("package", FOLDER).code == 0
    return raw


@pytest.mark.usefixtures("packaged")
def test_the_latest_is_compared_with_the_one_before(cli: Cli) -> None:
    ran = cli("diff", "runs/42", "--registry", "raw")
    first, *lines = ran.out.splitlines()
    assert (ran.code, ran.err) == (0, "")
    assert "  ->  " in first
    assert [line.split(maxsplit=2) for line in lines[:-1]] == [
        ["~", "changed", "1 B -> 3.0 KiB"],
        ["-", "gone", "1.1 KiB"],
        ["+", "new[y/N]", "1 B"],
    ]
    assert lines[-1] == "1 added, 1 changed, 1 removed, 1 unchanged"


def test_everything_in_a_first_revision_is_added(cli: Cli, raw: Bucket) -> None:
    raw.put("runs/42/a", b"x")
    assert cli("package", FOLDER).code == 0
    ran = cli("diff", "runs/42", "--registry", "raw")
    first, *lines = ran.out.splitlines()
    assert (ran.code, first.startswith("(first revision)  ->  ")) == (0, True)
    assert lines[0].split() == ["+", "a", "1", "B"]
    assert lines[1] == "1 added, 0 changed, 0 removed, 0 unchanged"
    summary = json.loads(cli("diff", "runs/42", "--registry", "raw", "--json").out.splitlines()[-1])
    assert (summary["before"], summary["added"]) == (None, 1)


@pytest.mark.usefixtures("packaged")
def test_revisions_are_counted_from_the_end(cli: Cli) -> None:
    ran = cli("diff", "runs/42", "-1", "-2", "--registry", "s3://raw")
    assert "+ gone" in ran.out
    assert "- new" in ran.out


@pytest.mark.usefixtures("packaged")
def test_json_is_a_line_for_each_difference_and_a_summary(cli: Cli) -> None:
    ran = cli("diff", "runs/42", "--registry", "raw", "--json")
    *changes, summary = map(json.loads, ran.out.splitlines())
    assert changes == [
        {
            "change": "changed",
            "logical_key": "changed",
            "before_bytes": 1,
            "after_bytes": 3072,
            "only_metadata": False,
        },
        {"change": "removed", "logical_key": "gone", "size_bytes": 1127},
        {"change": "added", "logical_key": "new[y/N]", "size_bytes": 1},
    ]
    assert summary["change"] == "summary"
    assert (summary["added"], summary["same"]) == (1, 1)
    assert len(summary["before"]["top_hash"]) == 64


@pytest.mark.usefixtures("packaged")
def test_a_limit_cuts_differences_and_not_the_summary(cli: Cli) -> None:
    ran = cli("diff", "runs/42", "--registry", "raw", "--limit", "1")
    assert len(ran.out.splitlines()) == 3
    assert ran.out.endswith("1 added, 1 changed, 1 removed, 1 unchanged\n")


def test_metadata_fields_are_named_without_their_values(cli: Cli, raw: Bucket) -> None:
    raw.put("runs/42/a.txt", "1")
    for metadata in ({"run_id": "r-1", "lane": 1}, {"lane": 2}):
        message = {"source_prefix": "s3://raw/runs/42/", "metadata": metadata}
        assert cli("package", json.dumps(message)).code == 0
    out = cli("diff", "runs/42", "--registry", "raw").out
    assert out.splitlines()[-2:] == [
        "metadata fields removed: run_id",
        "metadata fields changed: lane",
    ]


@pytest.mark.parametrize(
    ("arguments", "happened"),
    [
        (["runs/43"], "raw has no package"),
        (["runs/42", "-3"], 'runs/42 has no revision "-3"'),
        (
            ["runs"],
            "Invalid package name: runs\n  why  A package name is prefix/suffix, each of A-Z, ",
        ),
        (["runs/42", "--jsn"], "No such option: --jsn"),
    ],
)
@pytest.mark.usefixtures("packaged")
def test_invalid_arguments_are_wrong_usage(cli: Cli, arguments: list[str], happened: str) -> None:
    ran = cli("diff", *arguments, "--registry", "raw")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(f"error: {happened}")


def test_a_missing_registry_is_wrong_usage(cli: Cli, raw: Bucket) -> None:
    assert cli("diff", "runs/42", "--registry", "nowhere").code == 3


def test_denied_access_has_its_exit_code(cli: Cli, packaged: Bucket, stub: S3Stub) -> None:
    stub.deny("GetObject", key=".quilt/packages/*")
    assert cli("diff", "runs/42", "--registry", "raw").code == 4


def test_the_registry_is_that_of_the_engine(
    aws: object,
    create_stack: CreateStack,
    cli: Cli,
    s3_stub: S3Stub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_stub.url)
    s3_stub.create_bucket("packages")
    settings = Settings(registry_buckets=("packages",))
    create_stack("lab", {"EnginePackagerFunction729271DB": lambda_function("packager", settings)})
    assert "packages has no package" in cli("diff", "runs/42").err


def test_an_engine_with_several_registries_needs_the_option(
    aws: object, create_stack: CreateStack, cli: Cli
) -> None:
    settings = Settings(registry_buckets=("a", "b"))
    create_stack("lab", {"EnginePackagerFunction729271DB": lambda_function("packager", settings)})
    ran = cli("diff", "runs/42")
    assert ran.code == 3
    assert "--registry BUCKET" in ran.err


def test_revisions_of_quilt3_and_of_ours_are_compared(
    cli: Cli, raw: Bucket, stub: S3Stub, tmp_path: Path
) -> None:
    stub.create_bucket("packages")
    raw.put("runs/42/a-b", b"x")
    raw.put("runs/42/a/b", b"y")
    raw.put("runs/42/large", b"z" * 9 * MIB)
    push = ["raw", "runs/42/", "packages", "runs/42"]
    subprocess.run(
        [sys.executable, "-m", "benchmarks.package_with_quilt3", *push],
        check=True,
        capture_output=True,
        env=os.environ | {"HOME": str(tmp_path), "XDG_DATA_HOME": str(tmp_path)},
    )
    raw.put("runs/42/a/c", b"new")
    message = {"source_prefix": FOLDER, "registry": "packages"}
    assert cli("package", json.dumps(message)).code == 0
    lines = cli("diff", "runs/42", "--registry", "packages").out.splitlines()
    assert [line.split()[:2] for line in lines[1:-1]] == [["+", "a/c"]]
    assert lines[-1].startswith("1 added, 0 changed, 0 removed, 3 unchanged")
