"""`quilt-packager plan`: output for readers and programs, with and without an engine."""

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.settings import Settings

from quilt_packager.cli.commands import plan
from quilt_packager.operations.plans.sampling import SAMPLE_OBJECTS
from tests.cli.conftest import Cli
from tests.embedded_aws import CreateStack
from tests.operations.lambda_functions import lambda_function
from tests.s3_stub import Bucket, S3Stub

FOLDER = "s3://raw/runs/42/"


@pytest.fixture
def bucket(aws: object, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A folder in the S3 stub. All other services are those of the embedded AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_stub.url)
    bucket = s3_stub.create_bucket("raw")
    bucket.put("runs/42/a.txt", b"hello", stored=["SHA256"])
    bucket.put("runs/42/b.txt", b"hello you", stored=["CRC64NVME"])
    return bucket


@pytest.fixture
def engine(bucket: Bucket, create_stack: CreateStack) -> None:
    settings = Settings(max_inline_objects=1, scratch_bucket="scratch", state_machine_arn="arn")
    create_stack("lab", {"EnginePackagerFunction729271DB": lambda_function("packager", settings)})


def test_a_plan_is_written_in_a_few_lines(cli: Cli, bucket: Bucket) -> None:
    ran = cli("plan", FOLDER)
    lines = ran.out.splitlines()
    assert ran.code == 0
    assert lines[:8] == [
        "Can be packaged. Nothing was written.",
        "",
        "  Source     s3://raw/runs/42/",
        "  Package    runs/42 in raw, revision 1",
        "  Workflow   none",
        "  Objects    2, 14 B, largest 9 B",
        "  Checksums  1 stored, 0 reusable, 1 to compute",
        "  Route      inline, one invocation",
    ]
    assert [line.split()[0] for line in lines[8:]] == ["Requests", "Price", "Time"]


def test_all_sources_are_planned_together(cli: Cli, bucket: Bucket) -> None:
    bucket.put("other/1/b.txt", b"x")
    out = cli("plan", f"{FOLDER}=raw/", "--source", "s3://raw/other/=o/").out
    lines = [line.split() for line in out.splitlines()]
    first = lines.index(["Sources", FOLDER, "raw/"])
    assert lines[first + 1] == ["s3://raw/other/", "o/"]
    assert ["Objects", "3,"] in [line[:2] for line in lines]


def test_a_folder_without_its_slash_is_noted(cli: Cli, bucket: Bucket) -> None:
    ran = cli("plan", "s3://raw/runs/42")
    text = " ".join(ran.out.split())
    assert ran.code == 0
    assert "Source s3://raw/runs/ " in text
    assert "Note It packages s3://raw/runs/. Did you mean s3://raw/runs/42/?" in text


def test_the_crate_of_the_folder_is_planned_with(cli: Cli, bucket: Bucket) -> None:
    metadata = {"source_prefix": FOLDER, "metadata": {"study": "A"}}
    assert cli("package", json.dumps(metadata)).code == 0
    bucket.put("runs/42/ro-crate-metadata.json", '{"@graph": [{"@id": "./", "name": "RNA"}]}')
    made = json.loads(cli("plan", FOLDER, "--json").out)
    assert made["metadata_found"].startswith(f"{FOLDER}ro-crate-metadata.json")
    assert made["metadata_lost"] == ["study"]
    assert json.loads(cli("plan", FOLDER, "--json", "--no-metadata").out)["metadata_found"] is None


def test_an_unknown_field_is_noted(cli: Cli, bucket: Bucket) -> None:
    ran = cli("plan", json.dumps({"source_prefix": FOLDER, "exlude": ["b.txt"]}))
    assert "Note       Unknown field exlude; did you mean exclude?" in ran.out


def test_without_an_engine_the_default_settings_apply(cli: Cli, bucket: Bucket) -> None:
    err = cli("plan", FOLDER).err
    assert err.startswith("There is no engine in us-east-1. Using the settings of an engine")


@pytest.mark.parametrize(
    ("code", "exit_code"), [("AccessDenied", 0), ("ExpiredToken", 4), ("InternalFailure", 1)]
)
def test_a_plan_needs_no_access_to_stacks(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, code: str, exit_code: int
) -> None:
    def refuse(*_: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "No."}}, "DescribeStacks")

    monkeypatch.setattr(plan, "find", refuse)
    assert cli("plan", FOLDER).code == exit_code


def test_insufficient_permissions_are_no_rejection(
    cli: Cli, bucket: Bucket, s3_stub: S3Stub
) -> None:
    s3_stub.deny("ListObjectVersions")
    ran = cli("plan", FOLDER)
    assert ran.code == 4
    assert ran.out.startswith("Unknown: your permissions are insufficient.")


def test_the_reference_has_the_size_of_the_sample() -> None:
    reference = Path(__file__).parents[3] / "docs" / "reference" / "command.md"
    assert f"a sample of {SAMPLE_OBJECTS} of the objects" in reference.read_text("utf-8")


def test_a_named_engine_must_exist(cli: Cli, bucket: Bucket) -> None:
    ran = cli("plan", FOLDER, "--stack", "prod")
    assert (ran.code, ran.out) == (3, "")


@pytest.mark.usefixtures("engine")
def test_the_settings_of_the_engine_apply(cli: Cli) -> None:
    ran = cli("plan", FOLDER)
    assert "  Route      large, 1 shard: 2 checksums to find, more than 1\n" in ran.out
    assert ran.err == ""


@pytest.mark.usefixtures("engine")
def test_json_is_the_whole_plan(cli: Cli) -> None:
    ran = cli("plan", "--json", FOLDER)
    result = json.loads(ran.out)
    assert (ran.code, result["engine"], result["package_name"]) == (0, "lab", "runs/42")
    assert result["refusals"] == []
    assert result["contents"]["objects"] == 2
    assert result["checksums"]["basis"] == "listing"
    assert result["route"]["is_large"]
    assert set(result["estimate"]) == {"requests", "seconds", "usd"}


def test_exact_checks_every_object(cli: Cli, bucket: Bucket, s3_stub: S3Stub) -> None:
    result = json.loads(cli("plan", "--exact", "--json", FOLDER).out)
    assert (result["checksums"]["basis"], s3_stub.counts["HeadObject"]) == ("asked", 2)


def test_an_unchanged_folder_is_reported(cli: Cli, bucket: Bucket) -> None:
    assert cli("package", FOLDER).code == 0
    ran = cli("plan", FOLDER)
    assert ran.code == 0
    assert ran.out.startswith("Already packaged: the latest revision is identical.\n")
    assert "runs/42 in raw, revision 1\n" in ran.out


def test_a_rejection_has_every_reason(cli: Cli, bucket: Bucket) -> None:
    bucket.put("runs/42/a.txt/b", b"x", stored=["SHA256"])
    bucket.put("runs/42/old", b"x", stored=[], storage_class="GLACIER")
    ran = cli("plan", FOLDER)
    assert ran.code == 2
    assert ran.out.startswith(
        "Would be rejected. Nothing was written.\n\n⊘ rejected  InvalidKeys\n"
    )
    assert "⊘ rejected  ArchivedObjects\n" in ran.out
    assert "  Objects    4, " in ran.out
    assert "Price" not in ran.out


def test_json_has_the_reasons_of_a_rejection(cli: Cli, bucket: Bucket) -> None:
    ran = cli("plan", "--json", "s3://raw/nothing/")
    (refusal,) = json.loads(ran.out)["refusals"]
    assert (ran.code, refusal["code"]) == (2, "EmptySource")
    assert set(refusal) == {"code", "happened", "why", "remedy"}


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_invalid_message_would_be_rejected(
    cli: Cli, bucket: Bucket, options: tuple[str, ...]
) -> None:
    ran = cli("plan", *options, "{}")
    assert (ran.code, "InvalidMessage" in ran.out) == (2, True)


def test_json_always_has_every_field(cli: Cli, bucket: Bucket) -> None:
    messages = (FOLDER, "s3://raw/nothing/", "{}")
    fields = [json.loads(cli("plan", "--json", each).out).keys() for each in messages]
    assert fields[0] == fields[1] == fields[2]


def test_refused_credentials_are_not_a_rejection(cli: Cli, bucket: Bucket, s3_stub: S3Stub) -> None:
    s3_stub.on("ListObjectVersions").answer(403, "InvalidAccessKeyId")
    ran = cli("plan", FOLDER)
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.splitlines()[-3].startswith("error: ")
