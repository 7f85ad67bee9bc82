"""`quilt-packager backfill`, on an embedded AWS: items found, messages sent, items skipped."""

import json
import uuid
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.requests.events import OmicsRun
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.operations.deployment import configurations
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.deployments import Deployment
from tests.cli.conftest import Cli
from tests.omics_stub import OmicsStub
from tests.operations.dead_letters.letters import bodies_in

CRATE = "ro-crate-metadata.json"


@pytest.fixture
def bucket(deployment: Deployment) -> str:
    """A new bucket in the AWS of the engine."""
    name = f"raw-{uuid.uuid4()}"
    deployment.s3.create_bucket(Bucket=name)
    return name


@pytest.fixture
def omics(monkeypatch: pytest.MonkeyPatch, deployment: Deployment) -> Iterator[OmicsStub]:
    with OmicsStub() as stub:
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        yield stub


def put(bucket: str, *keys: str) -> None:
    for key in keys:
        boto3.client("s3").put_object(Bucket=bucket, Key=key, Body=b"{}")


def add_run(omics: OmicsStub, bucket: str, run_id: str, **more: Any) -> None:
    more |= {"outputUri": f"s3://{bucket}/out/", "runOutputUri": f"s3://{bucket}/out/{run_id}"}
    omics.add_run(run_id, **more)


def pointer(name: str) -> str:
    return f".quilt/named_packages/{name}/latest"


def sent_by(deployment: Deployment) -> list[str]:
    return bodies_in(deployment, deployment.queue_url)


def backfill(cli: Cli, *arguments: str) -> str:
    ran = cli("backfill", *arguments)
    assert ran.code == 0, ran.err
    return ran.out


def backfill_omics(cli: Cli, *arguments: str) -> str:
    return backfill(cli, "omics", "--since", "2026-11-20", *arguments)


def configure(monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
    """Set the engine's settings, since its stack has no function here."""
    configuration = Configuration(settings=Settings(**settings))
    monkeypatch.setattr(configurations, "read_configuration", lambda _: configuration)


def test_folders_without_a_package_are_sent_as_their_crates_events(
    cli: Cli, deployment: Deployment, bucket: str
) -> None:
    put(bucket, pointer("runs/1"), f"runs/1/{CRATE}", f"runs/2 #/{CRATE}", "runs/3/a.txt")
    out = backfill(cli, "s3", f"s3://{bucket}/runs/")
    assert out.startswith("Sent 1 of 2 folders; 1 has a package.\n")
    (body,) = sent_by(deployment)
    request = parse_message(body)
    assert isinstance(request, UnresolvedRequest)
    assert request.source.prefix == "runs/2 #/"
    assert request.metadata_file is not None
    assert request.metadata_file.format == "ro-crate"


def test_other_sentinels_are_sent_as_messages(
    cli: Cli, deployment: Deployment, bucket: str
) -> None:
    put(bucket, "runs/1/done.txt", "runs/2/notdone.txt")
    backfill(cli, "s3", f"s3://{bucket}/runs/", "--sentinel", "done.txt")
    (body,) = sent_by(deployment)
    assert json.loads(body) == {"source_prefix": f"s3://{bucket}/runs/1/"}


def test_suggested_command_addresses_the_same_engine(
    cli: Cli, deployment: Deployment, bucket: str
) -> None:
    put(bucket, "runs/1/done.txt")
    arguments = ["backfill", "s3", f"s3://{bucket}/runs/", "--sentinel", "done.txt"]
    ran = cli(*arguments, "--stack", deployment.name)
    assert ran.err == f"To follow them: quilt-packager jobs --follow --stack {deployment.name}\n"
    ran = cli(*arguments, "--queue-url", deployment.queue_url, "--region", deployment.region)
    assert ran.err == f"To follow them: quilt-packager jobs --follow --region {deployment.region}\n"
    assert len(sent_by(deployment)) == 2


def test_dry_run_lists_and_sends_nothing(cli: Cli, deployment: Deployment, bucket: str) -> None:
    put(bucket, f"runs/1/{CRATE}")
    ran = cli("backfill", "s3", f"s3://{bucket}/runs/", "--dry-run")
    assert ran.out.startswith("Would send 1 of 1 folder; 0 have a package.\n")
    assert f"s3://{bucket}/runs/1/  runs/1 " in ran.out
    assert " REGISTRY " in ran.out.splitlines()[1]
    assert ran.out.splitlines()[1].endswith(" WRITTEN")
    assert ran.err == "Remove --dry-run to send them.\n"
    assert sent_by(deployment) == []


def test_all_sends_packaged_folders_too(cli: Cli, deployment: Deployment, bucket: str) -> None:
    put(bucket, pointer("runs/1"), f"runs/1/{CRATE}")
    assert backfill(cli, "s3", f"s3://{bucket}/", "--all").startswith("Sent 1 of 1 folder.\n")
    assert len(sent_by(deployment)) == 1


def test_packages_are_searched_in_the_given_registry(
    cli: Cli, deployment: Deployment, bucket: str
) -> None:
    registry = f"reg-{uuid.uuid4()}"
    deployment.s3.create_bucket(Bucket=registry)
    put(bucket, f"runs/1/{CRATE}")
    put(registry, pointer("runs/1"))
    assert "1 has a package" in backfill(cli, "s3", f"s3://{bucket}/", "--registry", registry)


def test_packages_are_searched_in_the_registry_of_the_engine(
    cli: Cli, deployment: Deployment, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = f"reg-{uuid.uuid4()}"
    deployment.s3.create_bucket(Bucket=registry)
    configure(monkeypatch, default_registry=registry)
    put(bucket, f"runs/1/{CRATE}")
    put(registry, pointer("runs/1"))
    assert "1 has a package" in backfill(cli, "s3", f"s3://{bucket}/")


def test_package_named_by_its_crate_is_sent(
    cli: Cli, deployment: Deployment, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SourceOptions(kind="workflow_run_crate", package_name="x/{run_id}")
    configure(monkeypatch, sources=(options,))
    put(bucket, pointer("runs/1"), f"runs/1/{CRATE}")
    assert "named by its crate" in backfill(cli, "s3", f"s3://{bucket}/", "--dry-run")


def test_files_that_the_engine_ignores_are_skipped(
    cli: Cli, deployment: Deployment, bucket: str
) -> None:
    put(bucket, CRATE, f".quilt/x/{CRATE}", f"runs/1/{CRATE}", pointer("runs/1"))
    options = ("s3", f"s3://{bucket}/")
    assert backfill(cli, *options) == "Sent 0 of 1 folder; 1 has a package.\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("runs/",), "Invalid prefix: runs/\n  why  An S3 URI begins with s3://."),
        (("s3://raw/runs/", "--sentinel", ""), "Invalid --sentinel: it is empty."),
    ],
)
def test_invalid_arguments_are_an_error(cli: Cli, arguments: tuple[str, ...], error: str) -> None:
    ran = cli("backfill", "s3", *arguments)
    assert ran.code == 3
    assert ran.err.startswith(f"error: {error}")


def test_runs_of_all_pages_without_a_package_are_sent_as_their_events(
    cli: Cli, deployment: Deployment, bucket: str, omics: OmicsStub
) -> None:
    put(bucket, pointer("out/2"))
    for run_id in ("1", "2", "3"):
        add_run(omics, bucket, run_id)
    out = backfill_omics(cli)
    assert out.startswith("Sent 2 of 3 completed runs; 1 has a package.\n")
    runs = [parse_message(body) for body in sent_by(deployment)]
    assert all(isinstance(run, OmicsRun) for run in runs)
    assert [str(run.source) for run in runs if isinstance(run, OmicsRun)] == [
        f"s3://{bucket}/out/1/",
        f"s3://{bucket}/out/3/",
    ]


def test_runs_are_selected_by_time_and_status(cli: Cli, bucket: str, omics: OmicsStub) -> None:
    add_run(omics, bucket, "1", day=19)
    add_run(omics, bucket, "2", status="FAILED")
    assert "of 0 completed runs" in backfill_omics(cli, "--dry-run")
    assert "1 of 1 failed run" in backfill_omics(cli, "--dry-run", "--status", "FAILED")


def test_run_named_by_a_template_is_searched(
    cli: Cli, bucket: str, omics: OmicsStub, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = SourceOptions(kind="health_omics", package_name="{name}/{run_id}")
    configure(monkeypatch, sources=(options,))
    add_run(omics, bucket, "1")
    put(bucket, pointer("NA12878/1"))
    assert "1 has a package" in backfill_omics(cli)


def test_run_without_an_output_is_skipped(
    cli: Cli, deployment: Deployment, omics: OmicsStub
) -> None:
    omics.add_run("1", outputUri=None, runOutputUri=None)
    ran = cli("backfill", "omics", "--since", "2026-11-20")
    assert ran.out == "Sent 0 of 1 completed run; 0 have a package.\n"
    assert ran.err == "Skipped 1: HealthOmics does not report the output location.\n"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--since", "yesterday"), "neither an age"),
        (("--since", "7d", "--status", "DONE"), "Invalid run status: DONE"),
        (("--since", "7d", "--queue-url", "http://q", "--stack", "lab"), "cannot be combined"),
    ],
)
def test_invalid_options_are_errors(cli: Cli, arguments: tuple[str, ...], error: str) -> None:
    ran = cli("backfill", "omics", *arguments)
    assert (ran.code, ran.out) == (3, "")
    assert error in ran.err


def test_queue_url_needs_no_stack(
    cli: Cli, deployment: Deployment, bucket: str, omics: OmicsStub
) -> None:
    add_run(omics, bucket, "1")
    backfill_omics(cli, "--queue-url", deployment.queue_url)
    assert len(sent_by(deployment)) == 1


def test_json_lists_the_messages(cli: Cli, deployment: Deployment, bucket: str) -> None:
    put(bucket, f"runs/1/{CRATE}")
    result = json.loads(backfill(cli, "s3", f"s3://{bucket}/", "--json"))
    (missing,) = result.pop("missing")
    assert result == {"dry_run": False, "found": 1, "packaged": 0, "unusable": []}
    assert missing["message_id"]
    assert missing["source"] == f"s3://{bucket}/runs/1/"
    assert (missing["package_name"], missing["registry"]) == ("runs/1", bucket)
