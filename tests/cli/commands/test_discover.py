"""`quilt-packager discover`: proposals for readers, and as the input of `backfill -`."""

import gzip
import io
import json
from typing import Any

import pytest
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.package_request import UnresolvedRequest

from quilt_packager.cli.commands import discover
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.discovery import packaged
from tests.cli.conftest import Cli
from tests.operations.dead_letters.letters import bodies_in
from tests.s3_stub import Bucket, S3Stub

BUCKET = "s3://raw/"
HASH = "0" * 64


@pytest.fixture
def bucket(aws: object, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """A bucket in the S3 stub. All other services are those of the embedded AWS."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3_stub.url)
    bucket = s3_stub.create_bucket("raw")
    for key in (
        "crates/1/ro-crate-metadata.json",
        "crates/1/a.csv",
        "runs/1/CopyComplete.txt",
        "runs/1/RunInfo.xml",
        "runs/2/RunInfo.xml",
        "sent/md5sum.txt",
        "notes.txt",
    ):
        bucket.put(key, b"hello")
    return bucket


def publish(bucket: Bucket, name: str, folder: str, top_hash: str = HASH) -> None:
    header = {"version": "v0", "message": f"Packaged from {folder}"}
    bucket.put(f".quilt/packages/{top_hash}", json.dumps(header).encode() + b"\n")
    bucket.put(f".quilt/named_packages/{name}/latest", top_hash.encode())


def proposals(cli: Cli, *arguments: str) -> dict[str, Any]:
    ran = cli("discover", BUCKET, "--json", *arguments)
    assert ran.code == 0, ran.err
    lines = map(json.loads, ran.out.splitlines())
    return {each["folder"].removeprefix(BUCKET): each for each in lines}


def test_readers_get_a_summary_and_a_table(cli: Cli, bucket: Bucket) -> None:
    ran = cli("discover", BUCKET)
    lines = [" ".join(line.split()) for line in ran.out.splitlines()]
    assert lines == [
        "4 folders in 7 objects: 3 ready, 1 incomplete.",
        "STATE KIND OBJECTS SIZE PACKAGE FOLDER",
        "ready ro-crate 2 10 B crates/1 s3://raw/crates/1/",
        "ready illumina 2 10 B runs/1 s3://raw/runs/1/",
        "incomplete illumina 1 5 B runs/2 s3://raw/runs/2/ It has no CopyComplete.txt.",
        "ready checksum-list 1 5 B package/sent s3://raw/sent/",
    ]
    assert "1 object in no such folder." in ran.err
    assert "Packages of the 3 ready would cost about $0.0" in ran.err


def test_table_is_limited(cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "MAX_ROWS", 2)
    ran = cli("discover", BUCKET)
    assert len(ran.out.splitlines()) == 4
    assert "2 more folders: --json has all." in ran.err


def test_bucket_without_such_folders_is_no_error(cli: Cli, bucket: Bucket) -> None:
    assert cli("discover", "s3://raw/none/").out == "0 folders in 0 objects.\n"


def test_archived_objects_are_mentioned(cli: Cli, bucket: Bucket) -> None:
    bucket.put("crates/1/old.bam", b"x", storage_class="GLACIER")
    assert "1 archived object may have to be restored" in cli("discover", BUCKET).err
    assert proposals(cli)["crates/1/"]["archived"] == 1


def test_messages_are_valid_and_ask_for_what_the_kind_promises(cli: Cli, bucket: Bucket) -> None:
    bucket.put("runs/1/.nextflow/cache", b"x")
    found = proposals(cli)
    messages = {prefix: each["message"] for prefix, each in found.items()}
    assert messages["crates/1/"] == {
        "source_prefix": "s3://raw/crates/1/",
        "metadata_uri": "ro-crate-metadata.json",
        "metadata_format": "ro-crate",
    }
    assert messages["runs/1/"] == {
        "source_prefix": "s3://raw/runs/1/",
        "require": [{"files": ["CopyComplete.txt"]}],
        "exclude": ["**/.nextflow/**"],
    }
    assert messages["sent/"]["require"] == ["checksum_lists"]
    for each in found.values():
        request = parse_message(json.dumps(each["message"]))
        assert isinstance(request, UnresolvedRequest)
        assert request.package_name == each["package_name"]


def test_bucket_is_listed_once(cli: Cli, bucket: Bucket, s3_stub: S3Stub) -> None:
    cli("discover", BUCKET)
    # The bucket, and the packages of the registry.
    assert s3_stub.counts["ListObjectsV2"] == 2
    assert s3_stub.counts.total() == 2


def test_packaged_folders_are_named(cli: Cli, bucket: Bucket) -> None:
    publish(bucket, "my/own", "s3://raw/crates/1/")
    publish(bucket, "all/runs", "s3://raw/runs/", "1" * 64)
    found = proposals(cli)
    assert found["crates/1/"]["packaged_as"] == "my/own"
    assert found["runs/1/"]["packaged_as"] == "all/runs"
    assert found["sent/"]["packaged_as"] is None
    publish(bucket, "whole/bucket", "s3://raw/", "2" * 64)
    assert proposals(cli)["sent/"]["packaged_as"] == "whole/bucket"


@pytest.mark.parametrize("limit", [0, 10])
def test_name_of_another_folder_is_a_problem(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setattr(packaged, "MAX_PACKAGES", limit)
    publish(bucket, "runs/1", "s3://other/runs/1/")
    publish(bucket, "crates/1", "s3://raw/crates/1/", "1" * 64)
    found = proposals(cli)
    assert found["runs/1/"]["problem"] == "The package is that of s3://other/runs/1/."
    assert found["crates/1/"]["packaged_as"] == "crates/1"
    assert found["runs/2/"]["problem"] is None


def test_large_registry_is_read_for_the_names_of_folders_only(
    cli: Cli, bucket: Bucket, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packaged, "MAX_PACKAGES", 3)
    for number in range(20):
        publish(bucket, f"other/{number}", "s3://other/")
    proposals(cli)
    # One pointer for each of the four names.
    assert s3_stub.counts["GetObject"] == 4


def test_folders_with_the_same_name_are_a_problem(cli: Cli, bucket: Bucket) -> None:
    bucket.put("runs/a b/.zgroup", b"")
    bucket.put("runs/a-b/.zgroup", b"")
    found = proposals(cli)
    for prefix in ("runs/a%20b/", "runs/a-b/"):
        assert found[prefix]["problem"] == "Another folder here has the same package name."


def test_inventory_report_replaces_the_listing(cli: Cli, bucket: Bucket, s3_stub: S3Stub) -> None:
    reports = s3_stub.create_bucket("reports")
    rows = '"raw","runs/9/RunInfo.xml","5"\n"raw","runs/9/CopyComplete.txt","5"\n'
    reports.put("data/1.csv.gz", gzip.compress(rows.encode()))
    manifest = {
        "sourceBucket": "raw",
        "destinationBucket": "arn:aws:s3:::reports",
        "fileFormat": "CSV",
        "fileSchema": "Bucket, Key, Size",
        "files": [{"key": "data/1.csv.gz"}],
    }
    reports.put("manifest.json", json.dumps(manifest).encode())
    found = proposals(cli, "--inventory", "s3://reports/manifest.json")
    assert list(found) == ["runs/9/"]


@pytest.mark.parametrize(
    ("arguments", "error"),
    [(("raw",), "Invalid folder: raw"), ((BUCKET, "--inventory", "x"), "Invalid inventory: x")],
)
def test_invalid_arguments_are_errors(cli: Cli, arguments: tuple[str, ...], error: str) -> None:
    ran = cli("discover", *arguments)
    assert ran.code == 3
    assert error in ran.err


def pipe(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_backfill_sends_what_is_ready(
    cli: Cli, bucket: Bucket, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(bucket, "my/own", "s3://raw/crates/1/")
    pipe(monkeypatch, cli("discover", BUCKET, "--json").out)
    ran = cli("backfill", "-")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("Sent 2 of 4 folders; 1 has a package.\n")
    assert "Skipped s3://raw/runs/2/: It has no CopyComplete.txt." in ran.err
    sources = [
        json.loads(body)["source_prefix"] for body in bodies_in(deployment, deployment.queue_url)
    ]
    assert sorted(sources) == ["s3://raw/runs/1/", "s3://raw/sent/"]


def test_backfill_continues_with_folders_that_have_no_package_yet(
    cli: Cli, bucket: Bucket, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    proposed = cli("discover", BUCKET, "--json").out
    publish(bucket, "runs/1", "s3://raw/runs/1/")
    pipe(monkeypatch, proposed)
    assert cli("backfill", "-", "--dry-run").out.startswith("Would send 2 of 4 folders; 1 has")


def test_backfill_of_other_input_is_an_error(
    cli: Cli, bucket: Bucket, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe(monkeypatch, cli("discover", BUCKET).out)
    ran = cli("backfill", "-")
    assert ran.code == 3
    assert "discover s3://bucket/ --json" in ran.err
