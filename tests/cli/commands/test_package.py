"""`quilt-packager package`: outcomes, exit codes, and both forms of the result."""

import json
from pathlib import Path
from typing import Any

import pytest
from quilt_packager_runtime import packaging
from quilt_packager_runtime.aws import s3_transport

from quilt_packager.cli.console.outcomes import JSON_FIELDS
from quilt_packager.operations.deployment import known_metadata
from tests.cli.conftest import Cli
from tests.s3_stub import Bucket, S3Stub

FOLDER = "s3://raw/runs/42/"


@pytest.fixture
def bucket(stub: S3Stub) -> Bucket:
    bucket = stub.create_bucket("raw")
    bucket.put("runs/42/a.txt", b"hello")
    bucket.put("runs/42/b.txt", b"you")
    return bucket


def result_of(cli: Cli, message: str) -> tuple[int, dict[str, Any]]:
    ran = cli("package", "--json", message)
    assert ran.out.count("\n") == 1
    return ran.code, json.loads(ran.out)


def test_a_folder_becomes_a_package(cli: Cli, bucket: Bucket) -> None:
    code, result = result_of(cli, FOLDER)
    assert code == 0
    latest = bucket.get(".quilt/named_packages/runs/42/latest")
    assert latest is not None
    top_hash = latest.data.decode()
    assert result == {
        "outcome": "created",
        "package_name": "runs/42",
        "registry": "raw",
        "top_hash": top_hash,
        "objects": 2,
        "bytes": 8,
        "manifest_refreshed": None,
        "remark": None,
        "code": None,
        "reason": None,
        "metadata_found": None,
        "metadata_lost": [],
    }


def test_a_message_in_json_is_packaged(cli: Cli, bucket: Bucket, stub: S3Stub) -> None:
    packages = stub.create_bucket("packages")
    message = {"source_prefix": FOLDER, "registry": "packages", "package_name": "a/b"}
    code, result = result_of(cli, json.dumps(message))
    assert (code, result["registry"], result["package_name"]) == (0, "packages", "a/b")
    assert ".quilt/named_packages/a/b/latest" in packages.keys()  # noqa: SIM118 - not a dict


def test_an_event_is_packaged(cli: Cli, bucket: Bucket) -> None:
    event = {
        "source": "com.quiltdata.edp",
        "detail-type": "package-objects-ready",
        "detail": {"version": "0.1", "bucket": "raw", "prefix": "runs/42/"},
    }
    assert result_of(cli, json.dumps(event))[1]["package_name"] == "runs/42"


def test_a_crate_of_the_folder_is_its_metadata(cli: Cli, bucket: Bucket) -> None:
    bucket.put("runs/42/ro-crate-metadata.json", '{"@graph": [{"@id": "./", "name": "RNA"}]}')
    code, result = result_of(cli, FOLDER)
    assert (code, result["metadata_lost"]) == (0, [])
    assert result["metadata_found"].endswith(
        "ro-crate-metadata.json (RO-Crate found in the folder)"
    )
    ran = cli("package", "--no-metadata", FOLDER)
    assert (ran.code, ran.err) == (0, "")


def test_the_event_of_a_run_is_read_again(cli: Cli, bucket: Bucket) -> None:
    run = {"run_id": "42", "run_status": "COMPLETED", "output_uri": "s3://raw/runs/42/"}
    metadata = {**run, "duration": "PT9S"}
    result_of(cli, json.dumps({"source_prefix": FOLDER, "metadata": metadata}))
    code, result = result_of(cli, FOLDER)
    # HealthOmics cannot be reached: the fields of the newest revision are kept.
    assert (code, result["outcome"]) == (0, "unchanged")
    assert result["metadata_found"] == "HealthOmics run 42 (its event is sent again)"


def test_the_same_again_is_unchanged(cli: Cli, bucket: Bucket) -> None:
    created = result_of(cli, FOLDER)[1]
    code, result = result_of(cli, FOLDER)
    assert (code, result) == (0, created | {"outcome": "unchanged"})


def test_an_empty_folder_is_rejected(cli: Cli, bucket: Bucket) -> None:
    code, result = result_of(cli, "s3://raw/nothing/here/")
    assert (code, result["outcome"], result["code"]) == (2, "rejected", "EmptySource")
    assert "s3://raw/nothing/here/" in result["reason"]
    assert result["package_name"] == "nothing/here"


def test_an_invalid_message_is_rejected(cli: Cli) -> None:
    code, result = result_of(cli, "{}")
    assert (code, result["outcome"], result["code"]) == (2, "rejected", "InvalidMessage")
    assert result["package_name"] is None


def test_a_transient_error_is_a_failure(cli: Cli, bucket: Bucket, stub: S3Stub) -> None:
    stub.on("ListObjectVersions").answer(400, "InvalidRequest")
    code, result = result_of(cli, FOLDER)
    assert (code, result["outcome"]) == (1, "failed")


def test_without_credentials_the_exit_code_is_that_of_access(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, result = result_of(cli, FOLDER)
    assert (code, result["outcome"], result["code"]) == (4, "failed", "CredentialsRefused")


def test_a_message_that_asks_for_no_package_is_wrong_usage(cli: Cli) -> None:
    ran = cli("package", '{"Service": "Amazon S3", "Event": "s3:TestEvent"}')
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("error: This message requests no package.\n  why  S3's test")


def test_an_unexpected_error_has_an_outcome_in_json(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(packaging, "package", fail)
    ran = cli("package", "--json", FOLDER)
    result = json.loads(ran.out)
    assert (ran.code, result["outcome"], result["package_name"]) == (1, "failed", "runs/42")
    assert result["code"] == json.loads(ran.err)["error"]["code"] == "ZeroDivisionError"


def test_debug_shows_the_traceback(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by zero")

    monkeypatch.setattr(packaging, "package", fail)
    with pytest.raises(ZeroDivisionError):
        cli("package", FOLDER, "--debug")


def test_ctrl_c_ends_with_its_exit_code(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(packaging, "package", interrupt)
    ran = cli("package", FOLDER)
    assert (ran.code, ran.err) == (130, "Interrupted.\n")


def test_settings_of_the_environment_apply(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QUILT_PACKAGER_SOURCE_BUCKETS", "other")
    assert result_of(cli, FOLDER)[1]["code"] == "BucketNotAllowed"


def test_json_always_has_every_field() -> None:
    assert JSON_FIELDS == (
        "outcome",
        "package_name",
        "registry",
        "top_hash",
        "objects",
        "bytes",
        "manifest_refreshed",
        "remark",
        "code",
        "reason",
    )


def test_a_package_without_its_crates_metadata_has_a_warning(cli: Cli, bucket: Bucket) -> None:
    bucket.put("runs/42/ro-crate-metadata.json", b"{")
    ran = cli("package", f"{FOLDER}ro-crate-metadata.json")
    assert ran.code == 0
    assert "warning The crate was not used." in " ".join(ran.out.split())


def test_verified_objects_are_counted_with_their_lists(cli: Cli, bucket: Bucket) -> None:
    bucket.put("runs/42/empty", "")
    bucket.put("runs/42/empty.md5", "d41d8cd98f00b204e9800998ecf8427e")
    ran = cli("package", FOLDER)
    assert 'verified 1 object by "empty.md5"' in " ".join(ran.out.split())


def test_unknown_fields_of_a_message_are_a_warning(cli: Cli, bucket: Bucket) -> None:
    ran = cli("package", json.dumps({"source_prefix": FOLDER, "packge_name": "a/b"}))
    assert ran.code == 0
    text = " ".join(ran.out.split())
    assert "warning Unknown field packge_name; did you mean package_name?" in text


def test_a_folder_without_its_slash_is_not_its_parent(
    cli: Cli, bucket: Bucket, stub: S3Stub
) -> None:
    ran = cli("package", "s3://raw/runs/42")
    assert ran.code == 3
    assert "Did you mean s3://raw/runs/42/?" in ran.err
    assert bucket.keys(".quilt/") == []


def test_a_message_that_names_a_folder_without_its_slash_gets_a_hint(
    cli: Cli, bucket: Bucket
) -> None:
    ran = cli("package", '{"source_prefix": "s3://raw/runs/42"}')
    assert ran.code == 0
    assert "The message packages s3://raw/runs/. Did you mean s3://raw/runs/42/?" in ran.err
    assert "source     s3://raw/runs/\n" in ran.out


@pytest.mark.parametrize("name", ["a.txt", "a.txt?versionId=v1", "none"])
def test_a_file_stands_for_its_folder(cli: Cli, bucket: Bucket, name: str) -> None:
    ran = cli("package", f"{FOLDER}{name}")
    assert (ran.code, "Did you mean" in ran.err) == (0, False)


def test_a_folder_that_cannot_be_listed_is_no_error(cli: Cli, bucket: Bucket, stub: S3Stub) -> None:
    stub.on("ListObjectsV2", nth=1).answer(403, "AccessDenied")
    assert cli("package", "s3://raw/runs/42").code == 0


def test_a_created_package_is_written_in_two_lines(cli: Cli, bucket: Bucket) -> None:
    first, source, second = cli("package", FOLDER).out.splitlines()
    assert source.split() == ["source", FOLDER]
    assert first.startswith("✓ created  runs/42 in raw, 2 objects, 8 B, ")
    assert second.split()[:2] == ["top", "hash"]
    assert len(second.split()[2]) == 64


def test_a_rejection_is_written_in_three_sentences(cli: Cli, bucket: Bucket) -> None:
    lines = cli("package", "s3://raw/nothing/here/").out.splitlines()
    assert lines[0] == "⊘ rejected  EmptySource"
    assert [line.split()[0] for line in lines[1:]] == ["source", "happened", "why", "do"]
    assert "s3://raw/nothing/here/ has no objects." in lines[2]


def test_a_short_job_shows_no_progress(cli: Cli, bucket: Bucket) -> None:
    assert cli("package", FOLDER).err == ""


def test_a_profile_chooses_credentials_and_endpoint(
    cli: Cli, bucket: Bucket, stub: S3Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "config"
    path.write_text(
        "[profile lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = secret\n"
        f"endpoint_url = {stub.url}\n"
    )
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    assert cli("package", "--profile", "lab", "--region", "eu-north-1", FOLDER).code == 0
    signed = {(request.access_key, request.signing_region) for request in stub.requests}
    assert signed == {("AKIALAB", "eu-north-1")}


NO_SECRET = {"AWS_SECRET_ACCESS_KEY": None}


@pytest.mark.parametrize(
    ("environment", "code", "text"),
    [
        (NO_SECRET, 4, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_PROFILE": "gone"}, 4, "gone"),
        ({"AWS_ENDPOINT_URL": "banana"}, 3, "banana"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, 4, "Check the endpoint and the network"),
    ],
)
@pytest.mark.parametrize("command", ["package", "plan", "status"])
def test_aws_that_cannot_be_used_has_its_exit_code(
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
    *,
    command: str,
    environment: dict[str, str | None],
    code: int,
    text: str,
) -> None:
    monkeypatch.setattr(s3_transport, "RETRY_BASE_MS", 1)
    monkeypatch.setattr(known_metadata, "LIMIT_SECONDS", 0)
    for name, value in environment.items():
        if value is None:
            monkeypatch.delenv(name)
        else:
            monkeypatch.setenv(name, value)
    ran = cli(command, *([] if command == "status" else [FOLDER]))
    written = ran.out + ran.err
    assert ran.code == code
    assert text in written or "Check the network" in written
    assert "retried automatically" not in written
    assert "Unexpected error" not in written
