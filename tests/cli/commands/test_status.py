"""`quilt-packager status`, in the embedded AWS."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import boto3
import pytest
from botocore.exceptions import ClientError

from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.jobs.listing import JobList
from quilt_packager.operations.sources.sources import set_enabled
from tests.cli.conftest import Cli
from tests.cli.log import log_job, log_line
from tests.cli.terminals import on_terminal
from tests.embedded_aws import CreateStack
from tests.operations.event_rules import SOURCES
from tests.operations.queue_contents import send, tell_age
from tests.operations.state_machines import (
    LARGE_JOBS,
    QUICK,
    SLOW,
    start,
    stop,
    wait_until_done,
)

RUN = "from quilt_packager.cli.app import run; run(['status'])"


@pytest.fixture
def deployment(create_stack: CreateStack) -> Deployment:
    create_stack("lab", {**SOURCES, **LARGE_JOBS})
    return find_deployment(connect(), "lab")


def facts(out: str) -> dict[str, str]:
    """Parse the labelled lines."""
    lines = [line for line in out.splitlines() if line[:10].strip() in LABELS]
    return {line[:10].strip(): line[10:].strip() for line in lines}


LABELS = {"Queue", "In flight", "Failures"}


def test_begins_with_where_the_engine_is(cli: Cli, deployment: Deployment) -> None:
    ran = cli("status")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.splitlines()[0] == "lab  us-east-1  123456789012"


def test_an_idle_engine_has_empty_queues_and_no_jobs(cli: Cli, create_stack: CreateStack) -> None:
    create_stack("lab")
    assert cli("status").out.splitlines() == [
        "lab  us-east-1  123456789012",
        "",
        "Queue      0 waiting",
        "In flight  0",
        "Failures   none",
        "No jobs in the last 24 hours.",
    ]


def test_shows_each_source_in_its_state(cli: Cli, deployment: Deployment) -> None:
    set_enabled(deployment, "edp", enabled=False)
    ran = cli("status")
    lines = ran.out.splitlines()[2:8]
    assert lines[0].split() == ["SOURCE", "NOW", "DEPLOYED", "24", "H", "FAILED"]
    assert lines[3].split() == ["EDP", "off", "on", "differs", "0", "0"]
    assert ran.err.startswith("EDP is off until a deployment changes its rule")


def test_shows_the_length_and_age_of_the_queues(cli: Cli, create_stack: CreateStack) -> None:
    create_stack("busy")
    deployment = find_deployment(connect(), "busy")
    send(deployment.queue_url, 3)
    tell_age(deployment.queue_url, 41)
    send(deployment.dead_letter_queue_url, 2)
    tell_age(deployment.dead_letter_queue_url, 345_600 - 22 * 3600)
    ran = cli("status")
    assert facts(ran.out) == {
        "Queue": "3 waiting, oldest 41 s",
        "In flight": "0",
        "Failures": "2, oldest 3 d; SQS deletes it within 22 h",
    }
    assert ran.err == "Next: quilt-packager failures\n"
    chosen = ["--stack", "busy", "--region", "us-east-1"]
    next_command = "quilt-packager failures --stack busy --region us-east-1"
    assert cli("status", *chosen).err == f"Next: {next_command}\n"


def test_shows_the_last_ten_jobs(cli: Cli, deployment: Deployment) -> None:
    now = datetime.now(UTC)
    for number in range(12):
        started = now - timedelta(minutes=12 - number)
        log_job(deployment, f"job-{number:02}", started, "created", package_name=f"a/{number}")
    out = cli("status").out
    names = [line.split()[2] for line in out.splitlines() if line.startswith("✓ created")]
    assert names == [f"a/{number}" for number in range(11, 1, -1)]


def test_shows_reasons_and_progress_of_jobs(cli: Cli, deployment: Deployment) -> None:
    now = datetime.now(UTC)
    reason = {"code": "EmptySource", "happened": "s3://raw/a/ held no objects.", "why": "Early."}
    log_job(deployment, "job-1", now - timedelta(minutes=5), "rejected", **reason)
    log_job(deployment, "job-2", now - timedelta(minutes=1), package_name="a/b")
    progress = {"phase": "checksums", "done": 4, "total": 12}
    log_line(deployment, now, "package progress", message_id="job-2", **progress)
    running, rejected = cli("status").out.splitlines()[-2:]
    assert running.startswith("◐ running ")
    assert running.endswith("  Checking 4 of 12 objects")
    assert rejected.startswith("⊘ rejected ")
    assert rejected.endswith("  EmptySource: s3://raw/a/ held no objects.")


def test_shows_the_progress_of_large_jobs(cli: Cli, deployment: Deployment) -> None:
    arn = start(deployment, "glance-1", QUICK, SLOW)
    wait_until_done(arn, 1)
    out = cli("status").out
    stop(arn)
    (line,) = (line for line in out.splitlines() if line.startswith("Large jobs"))
    assert line.split()[2:5] == ["glance-1", "50", "%"]


def test_is_one_json_object(cli: Cli, deployment: Deployment) -> None:
    log_job(deployment, "job-1", datetime.now(UTC), "created", trigger="health_omics")
    ran = cli("status", "--json")
    (line,) = ran.out.splitlines()
    result = json.loads(line)
    assert (result["stack"], result["region"], result["account"]) == (
        "lab",
        "us-east-1",
        "123456789012",
    )
    assert (result["sources"][0]["name"], result["sources"][0]["jobs"]) == ("omics", 1)
    assert result["queues"]["waiting"] == 0
    assert result["large_jobs"] == []
    assert result["jobs"][0]["id"] == "job-1"


def test_fits_a_terminal_of_80_columns(deployment: Deployment) -> None:
    now = datetime.now(UTC)
    reason = {"code": "WorkflowViolations", "happened": "Metadata lacks assay, " * 6 + "and more."}
    log_job(deployment, "job-1", now, "rejected", package_name="imaging/plate-0093", **reason)
    boto3.client("sqs").send_message(QueueUrl=deployment.queue_url, MessageBody="{}")
    lines = on_terminal(RUN, NO_COLOR="1").splitlines()
    assert all(len(line) <= 80 for line in lines)
    (row,) = (line for line in lines if line.startswith("⊘ rejected  imaging/plate-0093"))
    assert " ago " in row


def refuse(code: str = "AccessDenied") -> Callable[..., None]:
    def answer(*_: object, **__: object) -> None:
        raise ClientError({"Error": {"Code": code, "Message": "Not you."}}, "Look")

    return answer


@pytest.mark.parametrize(
    ("asked", "name", "words"),
    [
        ("sources.sources.list_sources", "sources", "Could not read the event sources"),
        ("sources.activity.count_events", "events", "Could not count the events"),
        ("deployment.queues.read_queues", "queues", "Could not read the queues"),
        ("jobs.executions.list_large_jobs", "large_jobs", "Could not read the running large jobs"),
        ("jobs.listing.read_jobs", "jobs", "Could not read the latest jobs"),
    ],
)
def test_denied_parts_are_named_and_the_rest_is_shown(
    cli: Cli,
    deployment: Deployment,
    monkeypatch: pytest.MonkeyPatch,
    *,
    asked: str,
    name: str,
    words: str,
) -> None:
    log_job(deployment, "job-1", datetime.now(UTC), "created", package_name="a/1")
    monkeypatch.setattr(f"quilt_packager.operations.{asked}", refuse())
    ran = cli("status")
    assert (ran.code, ran.err.splitlines()[0]) == (4, f"error: {words}: AWS denied Look.")
    assert ("a/1" in ran.out) == (name != "jobs")
    assert ("Queue" in ran.out) == (name != "queues")
    assert ("OUTCOME" in ran.out, "DEPLOYED" in ran.out) == (name != "jobs", name != "sources")
    ran = cli("status", "--json")
    result = json.loads(ran.out)
    assert list(result["problems"]) == [name]
    assert result["problems"][name]["code"] == "AccessDenied"
    assert [part for part in result if result[part] is None] == ([name] if name != "events" else [])


def test_throttling_is_a_failure(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "quilt_packager.operations.jobs.listing.read_jobs", refuse("ThrottlingException")
    )
    assert cli("status").code == 1


def test_without_credentials_there_is_no_status(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "quilt_packager.operations.deployment.queues.read_queues", refuse("ExpiredToken")
    )
    ran = cli("status")
    assert (ran.code, ran.out) == (4, "")
    assert ran.err.startswith("error: AWS rejected the credentials: ExpiredToken.")


def test_an_incomplete_count_of_jobs_is_marked(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = JobList([], since=datetime.now(UTC), is_cut_off=True, requests=100)
    monkeypatch.setattr("quilt_packager.operations.jobs.listing.read_jobs", lambda *_, **__: few)
    assert "Too many jobs to count" in cli("status").err
    assert "Too many jobs to count" in cli("sources").err
