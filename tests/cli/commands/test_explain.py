"""`quilt-packager explain`, in the embedded AWS."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions
from quilt_packager_runtime.settings.upload_settings import UploadSettings

from quilt_packager.cli.console.exits import Exit
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.folders import history
from quilt_packager.operations.sources.sources import set_enabled
from tests.cli.conftest import Cli
from tests.cli.log import log_job
from tests.embedded_aws import CreateStack
from tests.operations.event_rules import SOURCES
from tests.operations.lambda_functions import lambda_function

BUCKET = "raw"
FOLDER = "s3://raw/lab/plate/"
OPTIONS = (
    SourceOptions(
        kind="workflow_run_crate",
        ignore_prefixes=("tmp",),
        exclude=("work/**",),
        require=("crate",),
    ),
    SourceOptions(kind="health_omics", include_prefixes=("omics/**",)),
)


@pytest.fixture
def deployment(create_stack: CreateStack) -> Deployment:
    client = boto3.client("s3")
    if BUCKET not in [each["Name"] for each in client.list_buckets()["Buckets"]]:
        client.create_bucket(Bucket=BUCKET)
    for each in client.list_objects_v2(Bucket=BUCKET).get("Contents", []):
        client.delete_object(Bucket=BUCKET, Key=each["Key"])
    coalescer: dict[str, Any] = lambda_function("coalescer", Settings())
    coalescer["Properties"]["Environment"]["Variables"] = UploadSettings().to_environment()
    functions = {
        "EnginePackagerFunction1A2B3C4D": lambda_function("packager", Settings(sources=OPTIONS)),
        "EngineObjectUploadsCoalescerFunction1A2B3C4D": coalescer,
    }
    create_stack("lab", {**SOURCES, **functions})
    return find_deployment(connect(), "lab")


def put(*keys: str) -> None:
    for key in keys:
        boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=b"data")


def explain(cli: Cli, folder: str = FOLDER) -> dict[str, Any]:
    ran = cli("explain", folder, "--json")
    assert ran.code == Exit.OK, ran.err
    result: dict[str, Any] = json.loads(ran.out)
    return result


def verdicts(result: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["verdict"] for each in result["sources"]}


def test_an_empty_folder_has_no_objects(cli: Cli, deployment: Deployment) -> None:
    result = explain(cli)
    assert result["answer"]["happened"] == "The folder has no objects."
    assert result["contents"]["objects"] == 0


def test_a_folder_without_a_job_has_a_source_that_packages_it(
    cli: Cli, deployment: Deployment
) -> None:
    put("lab/plate/a.csv")
    result = explain(cli)
    assert verdicts(result) == {
        "omics": "ignores",
        "wrroc": "off",
        "edp": "waits",
        "uploads": "packages",
        "lims": "waits",
    }
    assert result["answer"]["happened"] == (
        "No job was seen, although uploads packages the folder."
    )
    assert "quilt-packager check finds the reason" in result["answer"]["remedy"]


@pytest.mark.parametrize(
    ("folder", "why"),
    [
        ("s3://raw/lab/plate/raw/", "Uploads here are packaged as s3://raw/lab/plate/"),
        ("s3://raw/.quilt/", ".quilt/ is the registry itself."),
    ],
)
def test_uploads_ignore_a_folder(cli: Cli, deployment: Deployment, folder: str, why: str) -> None:
    put("lab/plate/raw/1.csv", ".quilt/packages/0")
    (found,) = (each for each in explain(cli, folder)["sources"] if each["name"] == "uploads")
    assert found["verdict"] == "ignores"
    assert found["why"].startswith(why)


def test_uploads_wait_for_a_completion_marker(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = [UploadSettings(ready_when=("illumina",))]
    monkeypatch.setattr(history, "read_upload_settings", lambda _: settings)
    put("lab/plate/raw/RunInfo.xml")

    def judged() -> tuple[str, str]:
        sources = explain(cli, "s3://raw/lab/plate/raw/")["sources"]
        (found,) = (each for each in sources if each["name"] == "uploads")
        return found["verdict"], found["why"]

    assert judged() == ("waits", "The folder has no CopyComplete.txt, which completes it.")
    put("lab/plate/raw/CopyComplete.txt")
    assert judged() == ("packages", "5 min after the upload of CopyComplete.txt.")


def test_a_crate_makes_its_source_package_the_folder(cli: Cli, deployment: Deployment) -> None:
    set_enabled(deployment, "wrroc", enabled=True)
    (before,) = (each for each in explain(cli)["sources"] if each["name"] == "wrroc")
    assert (before["verdict"], before["why"]) == (
        "waits",
        "The folder has no ro-crate-metadata.json.",
    )
    put("lab/plate/ro-crate-metadata.json")
    (after,) = (each for each in explain(cli)["sources"] if each["name"] == "wrroc")
    assert (after["verdict"], after["why"]) == (
        "packages",
        "The folder has a ro-crate-metadata.json. It leaves out work/**. It requires crate.",
    )


def test_a_source_names_the_option_that_ignores_the_folder(
    cli: Cli, deployment: Deployment
) -> None:
    (found,) = (
        each for each in explain(cli, "s3://raw/tmp/a/")["sources"] if each["name"] == "wrroc"
    )
    assert (found["verdict"], found["why"]) == ("ignores", "Its folder is among ignore_prefixes.")


def test_a_source_names_the_buckets_that_it_watches(cli: Cli, deployment: Deployment) -> None:
    boto3.client("s3").create_bucket(Bucket="unwatched")
    boto3.client("s3").put_object(Bucket="unwatched", Key="a/b/c", Body=b"")
    (found,) = (
        each for each in explain(cli, "s3://unwatched/a/b/")["sources"] if each["name"] == "uploads"
    )
    assert (found["verdict"], found["why"]) == ("ignores", "It does not watch unwatched, only raw.")
    assert "quilt:source_buckets" in found["remedy"]


def test_the_last_job_gives_the_answer(cli: Cli, deployment: Deployment) -> None:
    put("lab/plate/a.csv")
    now = datetime.now(UTC)
    reason = {"code": "EmptySource", "happened": "It held no objects.", "why": "Early."}
    log_job(deployment, "job-1", now - timedelta(hours=2), "created", source=FOLDER)
    log_job(deployment, "job-2", now - timedelta(hours=1), "rejected", source=FOLDER, **reason)
    log_job(deployment, "job-3", now, "created", source="s3://raw/other/")
    result = explain(cli)
    assert [each["id"] for each in result["jobs"]] == ["job-2", "job-1"]
    assert result["answer"]["state"] == "rejected"
    assert result["answer"]["happened"] == "It held no objects."
    assert "quilt-packager jobs show job-2" in result["answer"]["remedy"]


def test_objects_that_are_newer_than_the_package_are_mentioned(
    cli: Cli, deployment: Deployment
) -> None:
    put("lab/plate/a.csv")
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    fields = {"source": FOLDER, "package_name": "lab/plate", "trigger": "objects_ready"}
    log_job(deployment, "job-1", hour_ago, "created", **fields)
    result = explain(cli)
    assert result["answer"]["happened"].endswith("Objects were written after the last job began.")
    assert result["answer"]["why"] == "Trigger of its last job: Upload. No event was seen since."
    assert result["answer"]["remedy"] == f"quilt-packager send {FOLDER}"


def test_a_folder_inside_a_packaged_one_is_part_of_it(cli: Cli, deployment: Deployment) -> None:
    put("lab/plate/raw/1.csv")
    log_job(deployment, "job-1", datetime.now(UTC), "created", source=FOLDER)
    result = explain(cli, f"{FOLDER}raw/")
    assert result["answer"]["happened"].startswith(f"It is part of {FOLDER}, ")


def test_a_further_source_is_part_of_its_package(cli: Cli, deployment: Deployment) -> None:
    put("lab/plate/raw/1.csv")
    log_job(
        deployment,
        "job-1",
        datetime.now(UTC),
        "created",
        source="s3://raw/other/",
        sources=[{"prefix": "s3://raw/other/"}, {"prefix": FOLDER, "into": "plate/"}],
        package_name="lab/all",
    )
    happened = explain(cli)["answer"]["happened"]
    assert happened == "It is part of the package lab/all, of several sources."


def test_a_dead_letter_gives_the_answer(cli: Cli, deployment: Deployment) -> None:
    put("lab/plate/a.csv")
    texts = {"code": "AccessDenied", "happened": "Access denied.", "why": "A key.", "remedy": "Do."}
    sent = deployment.sqs.send_message(
        QueueUrl=deployment.dead_letter_queue_url,
        MessageBody=json.dumps({"source_prefix": FOLDER}),
        MessageAttributes={
            name: {"DataType": "String", "StringValue": text} for name, text in texts.items()
        },
    )
    result = explain(cli)
    assert result["answer"]["happened"] == "Access denied."
    assert f"quilt-packager failures retry {sent['MessageId']}" in result["answer"]["remedy"]
    assert [each["code"] for each in result["failures"]] == ["AccessDenied"]


def test_the_newest_revision_is_shown(cli: Cli, deployment: Deployment) -> None:
    top_hash, second = "ab" * 32, "1795900000"
    prefix = ".quilt/named_packages/lab/plate/"
    for name in (second, "latest"):
        boto3.client("s3").put_object(Bucket=BUCKET, Key=prefix + name, Body=top_hash.encode())
    put("lab/plate/a.csv")
    result = explain(cli)
    assert result["revision"]["top_hash"] == top_hash
    assert (result["package_name"], result["registry"]) == ("lab/plate", "raw")
    ran = cli("explain", FOLDER)
    assert f"Newest revision  lab/plate in raw, {top_hash}" in ran.out


def test_readers_get_the_answer_before_the_sources(cli: Cli, deployment: Deployment) -> None:
    put("lab/plate/a.csv")
    lines = cli("explain", "s3://raw/lab/plate").out.splitlines()
    assert lines[0].startswith("s3://raw/lab/plate/  1 object  newest ")
    assert lines[2] == "No job was seen, although uploads packages the folder."
    assert any(line.startswith("Uploads           packages") for line in lines)


def test_text_that_is_no_folder_is_refused(cli: Cli) -> None:
    ran = cli("explain", "raw/lab")
    assert ran.code == Exit.USAGE
    assert "Invalid folder: raw/lab" in ran.err


@pytest.mark.parametrize(
    ("folder", "watcher"),
    [("s3://raw/copies/", "uploads"), ("s3://elsewhere/copies/", None)],
)
def test_objects_are_not_copied_to_a_folder_that_is_packaged(
    cli: Cli, deployment: Deployment, folder: str, watcher: str | None
) -> None:
    arguments = ("--registry", "lab", "--to", "production", "--copy-data", folder)
    ran = cli("promote", "runs/42", *arguments)
    assert (f"The event source {watcher} of lab would package" in ran.err) is bool(watcher)
