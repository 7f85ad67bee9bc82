"""`quilt-packager packages` and `show`, on the S3 stub."""

import json

import pytest

from tests.cli.conftest import Cli
from tests.s3_stub import Bucket, S3Stub

REGISTRY = ("--registry", "raw")


@pytest.fixture
def raw(stub: S3Stub, cli: Cli) -> Bucket:
    """A registry with two packages, the second one with metadata."""
    bucket = stub.create_bucket("raw")
    for key in ("runs/41/a", "runs/42/a.bam", "runs/42/b.txt"):
        bucket.put(key, b"xy")
    assert cli("package", "s3://raw/runs/41/").code == 0
    assert cli("package", "s3://raw/runs/42/", "--metadata", "run=42").code == 0
    return bucket


@pytest.mark.usefixtures("raw")
class TestPackages:
    def test_are_listed_with_their_newest_revisions(self, cli: Cli) -> None:
        header, *rows = cli("packages", *REGISTRY).out.splitlines()
        assert header.split() == ["PACKAGE", "REVISIONS", "NEWEST", "MADE", "BY", "REVISION"]
        assert [row.split()[:2] for row in rows] == [["runs/41", "1"], ["runs/42", "1"]]

    def test_are_listed_by_prefix_and_in_pages(self, cli: Cli) -> None:
        assert cli("packages", "lab/", *REGISTRY).out == "No packages in raw begin with lab/.\n"
        ran = cli("packages", "--limit", "1", "--json", *REGISTRY)
        assert json.loads(ran.out)["package_name"] == "runs/41"
        assert "--after runs/41" in ran.err
        ran = cli("packages", "--after", "runs/41", "--json", *REGISTRY)
        assert json.loads(ran.out)["package_name"] == "runs/42"


@pytest.mark.usefixtures("raw")
class TestShow:
    def test_has_the_metadata_and_the_entries(self, cli: Cli) -> None:
        lines = [line.split() for line in cli("show", "runs/42", *REGISTRY).out.splitlines()]
        assert ["Metadata", "run:", "42"] in lines
        assert [line[:3] for line in lines[-2:]] == [["a.bam", "2", "B"], ["b.txt", "2", "B"]]

    def test_selects_entries_by_glob_and_revisions_by_name(self, cli: Cli) -> None:
        ran = cli("show", "runs/42@-1", "--glob", "*.bam", "--json", *REGISTRY)
        shown = json.loads(ran.out)
        assert [each["logical_key"] for each in shown["entries"]] == ["a.bam"]
        assert (shown["metadata"], shown["has_more"]) == ({"run": 42}, False)

    def test_lists_revisions(self, cli: Cli) -> None:
        (line,) = cli("show", "runs/42", "--revisions", "--json", *REGISTRY).out.splitlines()
        shown = json.loads(cli("show", "runs/42", "--json", *REGISTRY).out)
        assert json.loads(line)["top_hash"] == shown["top_hash"]

    def test_of_an_invalid_glob_is_an_error(self, cli: Cli) -> None:
        ran = cli("show", "runs/42", "--glob", "/a", *REGISTRY)
        assert (ran.code, ran.err.startswith("error: Invalid --glob: /a")) == (3, True)

    def test_of_an_unknown_package_is_an_error(self, cli: Cli) -> None:
        ran = cli("show", "runs/43", *REGISTRY)
        assert (ran.code, "has no package" in ran.err) == (3, True)
