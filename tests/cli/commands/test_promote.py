"""`quilt-packager promote`: outcomes, both forms of output, and what it refuses."""

import json

import pytest

from tests.cli.conftest import Cli
from tests.s3_stub import S3Stub

TO = ("--registry", "lab", "--to", "production")
MESSAGE = '{"source_prefix": "s3://raw/r/", "registry": "lab", "package_name": "runs/42"}'


@pytest.fixture
def packaged(stub: S3Stub, cli: Cli) -> S3Stub:
    """A package in the registry `lab`."""
    for name in ("lab", "production"):
        stub.create_bucket(name)
    stub.create_bucket("raw").put("r/a.txt", b"a", stored=["SHA256"])
    assert cli("package", MESSAGE).code == 0
    return stub


@pytest.mark.usefixtures("packaged")
def test_the_result_names_both_packages(cli: Cli) -> None:
    ran = cli("promote", "runs/42", *TO, "--name", "assays/42")
    assert (ran.code, ran.err) == (0, "")
    assert "promoted  assays/42 in production, 1 object, 1 B" in ran.out
    assert "from       runs/42 in lab" in ran.out


@pytest.mark.usefixtures("packaged")
def test_repeated_it_is_unchanged(cli: Cli) -> None:
    copy = ("promote", "runs/42", *TO, "--copy-data", "s3://production/data/")
    assert cli(*copy).code == 0
    ran = cli(*copy)
    assert ran.code == 0
    assert "unchanged" in ran.out
    assert "0 copied to s3://production/data/runs/42/, 1 were there" in ran.out


@pytest.mark.usefixtures("packaged")
def test_json_has_the_provenance(cli: Cli) -> None:
    top_hash = json.loads(cli("package", MESSAGE, "--json").out)["top_hash"]
    ran = cli("promote", f"runs/42@{top_hash[:8]}", *TO, "--json")
    outcome = json.loads(ran.out)
    assert outcome["outcome"] == "promoted"
    assert (outcome["from_registry"], outcome["from_top_hash"]) == ("lab", top_hash)
    assert outcome["promoted_by"]


@pytest.mark.parametrize(
    ("as_json", "expected"), [((), "HeldForReview"), (("--json",), '"code":"HeldForReview"')]
)
def test_a_revision_of_another_writer_is_rejected(
    cli: Cli, packaged: S3Stub, as_json: tuple[str, ...], expected: str
) -> None:
    packaged.store.buckets["production"].put(".quilt/named_packages/runs/42/latest", "a" * 64)
    ran = cli("promote", "runs/42", *TO, *as_json)
    assert ran.code == 2
    assert expected in ran.out.replace('": "', '":"')
    replaced = cli("promote", "runs/42", *TO, "--on-foreign-revision", "replace")
    assert replaced.code == 0
    assert "a" * 64 in replaced.out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("runs", *TO), "runs"),
        (("runs/42", *TO, "--name", "a/b/c"), "a/b/c"),
        (("runs/42", "--registry", "lab", "--to", "s3://b/x"), "s3://b/x"),
        (("runs/42", *TO, "--copy-data", "data/"), "data/"),
        (("runs/42", *TO, "--copy-data", "s3://production/.quilt/x/"), ".quilt/"),
        (("runs/42", *TO, "--on-foreign-revision", "carry"), "carry"),
        (("runs/9", *TO), "runs/9"),
        (("runs/42@abcdef", *TO), "abcdef"),
    ],
)
@pytest.mark.usefixtures("packaged")
def test_wrong_arguments_are_named(cli: Cli, arguments: tuple[str, ...], named: str) -> None:
    ran = cli("promote", *arguments)
    assert ran.code == 3
    assert named in ran.err
