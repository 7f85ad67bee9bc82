"""`quilt-packager backfill`: what is found, what is sent, and what is let be."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.events import OmicsRun
from quilt_packager_runtime.messages import PackageRequest, parse_message

from tests.cli.conftest import Cli

QUEUE = "https://sqs.eu-west-1.amazonaws.com/123456789012/prod-PackagerQueue-1A"
CRATE = "ro-crate-metadata.json"


class Aws:
    """S3, SQS and HealthOmics, as far as the command asks them."""

    def __init__(self) -> None:
        self.keys: dict[str, list[str]] = {"raw": []}
        self.runs: list[dict[str, Any]] = []
        self.sent: list[str] = []

    def client(self, _service: str, *, region_name: str | None = None) -> "Aws":
        return self

    def get_paginator(self, operation: str) -> Any:
        calls = {"list_objects_v2": self._pages, "list_runs": self._run_pages}
        return type("Paginator", (), {"paginate": staticmethod(calls[operation])})

    def list_objects_v2(self, **wanted: Any) -> dict[str, Any]:
        (page,) = self._pages(Bucket=wanted["Bucket"], Prefix=wanted["Prefix"])
        return {"KeyCount": len(page["Contents"])}

    def get_run(self, *, id: str) -> dict[str, Any]:  # noqa: A002 - boto3's name
        return next(run for run in self.runs if run["id"] == id)

    def send_message(self, **message: str) -> None:
        assert message["QueueUrl"] == QUEUE
        self.sent.append(message["MessageBody"])

    def _pages(self, **wanted: str) -> Iterator[dict[str, Any]]:
        keys = self.keys[wanted["Bucket"]]
        yield {"Contents": [{"Key": key} for key in keys if key.startswith(wanted["Prefix"])]}

    def _run_pages(self, *, status: str) -> Iterator[dict[str, Any]]:
        yield {"items": [run for run in self.runs if run["status"] == status]}

    def add_run(self, run_id: str, *, day: int = 20, status: str = "COMPLETED") -> None:
        self.runs.append(
            {
                "id": run_id,
                "arn": f"arn:aws:omics:eu-west-1:123456789012:run/{run_id}",
                "status": status,
                "creationTime": datetime(2026, 11, day, tzinfo=UTC),
                "outputUri": "s3://raw/out/",
                "name": "NA12878",
            }
        )


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws()
    monkeypatch.setattr(boto3, "client", aws.client)
    return aws


def backfill_s3(cli: Cli, *arguments: str, prefix: str = "s3://raw/runs/") -> str:
    ran = cli("backfill", "s3", prefix, "--queue-url", QUEUE, *arguments)
    assert ran.code == 0, ran.err
    return ran.out


def backfill_omics(cli: Cli, *arguments: str) -> str:
    since = ("--since", "2026-11-20")
    ran = cli("backfill", "omics", *since, "--queue-url", QUEUE, *arguments)
    assert ran.code == 0, ran.err
    return ran.out


def test_folders_without_a_package_are_sent_as_their_crates_events(cli: Cli, aws: Aws) -> None:
    done = ".quilt/named_packages/runs/1/latest"
    aws.keys["raw"] = [done, f"runs/1/{CRATE}", f"runs/2 #/{CRATE}", "runs/3/a.txt"]
    out = backfill_s3(cli)
    assert "= packaged  runs/1    s3://raw/runs/1/" in out
    assert "2 folders: 1 sent, 1 packaged" in out
    (body,) = aws.sent
    request = parse_message(body)
    assert isinstance(request, PackageRequest)
    assert (request.source.prefix, request.metadata_format) == ("runs/2 #/", "ro-crate")


def test_other_sentinels_are_sent_as_messages(cli: Cli, aws: Aws) -> None:
    aws.keys["raw"] = ["runs/1/done.txt", "runs/2/notdone.txt"]
    backfill_s3(cli, "--sentinel", "done.txt")
    assert [json.loads(body) for body in aws.sent] == [{"source_prefix": "s3://raw/runs/1/"}]


def test_a_dry_run_sends_nothing(cli: Cli, aws: Aws) -> None:
    aws.keys["raw"] = [f"runs/1/{CRATE}"]
    assert "+ to send" in backfill_s3(cli, "--dry-run")
    assert not aws.sent


def test_all_are_sent_where_that_is_wanted(cli: Cli, aws: Aws) -> None:
    aws.keys["raw"] = [".quilt/named_packages/runs/1/latest", f"runs/1/{CRATE}"]
    backfill_s3(cli, "--all")
    assert len(aws.sent) == 1


def test_packages_are_looked_for_in_their_registry(cli: Cli, aws: Aws) -> None:
    aws.keys = {"raw": [f"runs/1/{CRATE}"], "reg": [".quilt/named_packages/runs/1/latest"]}
    assert "1 packaged" in backfill_s3(cli, "--registry", "reg")


def test_the_root_and_the_registry_itself_are_left_out(cli: Cli, aws: Aws) -> None:
    aws.keys["raw"] = [CRATE, f".quilt/x/{CRATE}"]
    assert "0 folders" in backfill_s3(cli, prefix="s3://raw/")


def test_a_prefix_that_is_none_is_told(cli: Cli, aws: Aws) -> None:
    ran = cli("backfill", "s3", "runs/", "--queue-url", QUEUE)
    assert ran.code == 3
    assert "no prefix to look below" in ran.err


def test_runs_without_a_package_are_sent_as_their_events(cli: Cli, aws: Aws) -> None:
    aws.keys["raw"] = [".quilt/named_packages/out/1/latest"]
    aws.add_run("1")
    aws.add_run("2")
    assert "2 folders: 1 sent, 1 packaged" in backfill_omics(cli)
    run = parse_message(aws.sent[0])
    assert isinstance(run, OmicsRun)
    assert (run.run_id, str(run.source), run.name) == ("2", "s3://raw/out/2/", "NA12878")


def test_runs_of_another_time_or_status_are_left_out(cli: Cli, aws: Aws) -> None:
    aws.add_run("1", day=19)
    aws.add_run("2", status="FAILED")
    assert "0 folders" in backfill_omics(cli)
    assert "1 folder: 1 sent" in backfill_omics(cli, "--status", "FAILED")
