"""`quilt-packager verify`: arguments, both forms of output, and exit codes."""

import json

import pytest

from tests.cli.conftest import Cli
from tests.s3_stub import Bucket, S3Stub, Version

FOLDER = "s3://raw/runs/42/"


@pytest.fixture
def raw(stub: S3Stub) -> Bucket:
    return stub.create_bucket("raw")


@pytest.fixture
def versions(raw: Bucket, cli: Cli) -> dict[str, Version]:
    """A package of two versions."""
    put = {key: raw.put(f"runs/42/{key}", key.encode(), stored=["SHA256"]) for key in "ab"}
    assert cli("package", FOLDER).code == 0
    return put


@pytest.mark.usefixtures("versions")
def test_an_intact_package_is_a_line_and_success(cli: Cli) -> None:
    ran = cli("verify", "runs/42", "--registry", "raw", "--deep")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == "1 package, 2 entries: nothing is damaged\n"


def test_damage_is_a_line_with_its_remedy_and_an_exit_code(
    cli: Cli, raw: Bucket, versions: dict[str, Version]
) -> None:
    raw.delete("runs/42/a", versions["a"].version_id)
    ran = cli("verify", "runs/42", "--registry", "raw")
    line, summary = ran.out.splitlines()
    assert ran.code == 2
    assert "runs/42  ObjectMissing" in line
    assert '"a" does not exist.' in line
    assert "do: Restore the object" in line
    assert summary == "1 package, 2 entries: 1 damage"


def test_json_is_a_line_for_each_finding_and_a_summary(
    cli: Cli, raw: Bucket, versions: dict[str, Version]
) -> None:
    newer = raw.put("runs/42/a", b"a", stored=["SHA256"])
    raw.delete("runs/42/a", versions["a"].version_id)
    ran = cli("verify", "runs/42", "--registry", "raw", "--json")
    finding, summary = map(json.loads, ran.out.splitlines())
    assert finding["kind"] == "finding"
    assert (finding["package_name"], finding["logical_key"]) == ("runs/42", "a")
    assert (finding["code"], finding["severity"]) == ("ObjectMissing", "damage")
    assert finding["replacement"].endswith(f"?versionId={newer.version_id}")
    assert finding["is_same_content"]
    assert len(finding["top_hash"]) == 64
    counts = {"damage": 1, "warning": 0, "unchecked": 0}
    assert summary == {"kind": "summary", "packages": 1, "entries": 2} | counts


@pytest.mark.usefixtures("versions")
def test_a_lifecycle_rule_is_a_warning_and_no_damage(cli: Cli, raw: Bucket) -> None:
    action = "<NoncurrentVersionExpiration><NoncurrentDays>7</NoncurrentDays>"
    raw.lifecycle = (
        f"<Rule><ID>tidy</ID><Filter/><Status>Enabled</Status>{action}"
        "</NoncurrentVersionExpiration></Rule>"
    )
    ran = cli("verify", "runs/42", "--registry", "raw")
    assert (ran.code, ran.out.splitlines()[-1]) == (0, "1 package, 2 entries: 2 warning")


@pytest.mark.usefixtures("versions")
def test_denied_objects_are_unchecked_and_a_failure(cli: Cli, stub: S3Stub) -> None:
    for operation in ("HeadObject", "GetObject"):
        stub.deny(operation, key="runs/42/*")
    assert cli("verify", "runs/42", "--registry", "raw").code == 1


def test_all_packages_are_verified_with_their_pointers(
    cli: Cli, raw: Bucket, versions: dict[str, Version]
) -> None:
    raw.put("runs/41/x", b"x")
    assert cli("package", "s3://raw/runs/41/").code == 0
    raw.delete(".quilt/named_packages/runs/41/latest")
    raw.delete("runs/42/b", versions["b"].version_id)
    ran = cli("verify", "--all", "--registry", "raw")
    *lines, summary = ran.out.splitlines()
    assert ran.code == 2
    assert sorted(line.split("  ")[1:3] for line in lines) == [
        ["runs/41", "LatestMissing"],
        ["runs/42", "ObjectMissing"],
    ]
    assert summary == "2 packages, 3 entries: 2 damage"


def test_an_older_revision_is_verified_alone(
    cli: Cli, raw: Bucket, versions: dict[str, Version]
) -> None:
    raw.put("runs/42/a", b"newer", stored=["SHA256"])
    assert cli("package", FOLDER).code == 0
    raw.delete("runs/42/a", versions["a"].version_id)
    assert cli("verify", "runs/42", "--registry", "raw").code == 0
    assert cli("verify", "runs/42", "-2", "--registry", "raw").code == 2


@pytest.mark.parametrize(
    ("arguments", "happened"),
    [
        ([], "Give the name of a package, or --all."),
        (["runs/42", "--all"], "Give the name of a package, or --all."),
        (["runs/43"], "raw has no package"),
        (["runs/42", "--sample", "1%"], "Invalid --sample: 1%\n  why  Without --deep"),
        (["runs/42", "--deep", "--sample", "0%"], "Invalid --sample: 0%"),
        (["runs/42", "--dep"], "No such option: --dep"),
    ],
)
@pytest.mark.usefixtures("versions")
def test_invalid_arguments_are_wrong_usage(cli: Cli, arguments: list[str], happened: str) -> None:
    ran = cli("verify", *arguments, "--registry", "raw")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith(f"error: {happened}")
