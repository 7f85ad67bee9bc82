"""What the page knows of an engine in the embedded AWS."""

from collections.abc import Iterator
from datetime import datetime

import boto3
import pytest
from quilt_packager_runtime.formats.manifest import Header, ManifestWriter
from quilt_packager_runtime.formats.objects import Checksum, Entry

from quilt_packager.admin.model.charts import DAY, WEEK
from quilt_packager.admin.model.manifests import RevisionEntry, read_revision
from quilt_packager.admin.model.views import History, Views
from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.errors import BrokenManifest
from quilt_packager.operations.jobs.job import State
from tests.embedded_aws import WriteLog
from tests.operations.job_lines import (
    before_now,
    failed,
    handed_over,
    progress,
    started,
    succeeded,
)

REGISTRY = "lab-registry"
TOP_HASH = "ab" * 32


def outcomes(history: History) -> list[tuple[str, State]]:
    return [(job.id, job.outcome) for job in history.read().jobs]


def test_history_goes_on_from_what_was_read(deployment: Deployment, write_log: WriteLog) -> None:
    write_log(started("a", before_now(hours=2)), succeeded("a", before_now(hours=1.9)))
    write_log(started("b", before_now(minutes=4)))
    history = History(deployment, DAY)
    assert outcomes(history) == [("b", State.RUNNING), ("a", State.CREATED)]
    write_log(succeeded("b", before_now(seconds=2)), started("c", before_now(seconds=1)))
    assert outcomes(history) == [
        ("c", State.RUNNING),
        ("b", State.CREATED),
        ("a", State.CREATED),
    ]


def test_history_tells_a_second_attempt_as_the_same_job(
    deployment: Deployment, write_log: WriteLog
) -> None:
    first = before_now(minutes=20)
    write_log(started("a", first), failed("a", before_now(minutes=19), final=False))
    history = History(deployment, DAY)
    assert outcomes(history) == [("a", State.FAILED)]
    write_log(started("a", before_now(seconds=5), delivery=2), succeeded("a", before_now()))
    (job,) = history.read().jobs
    assert (job.outcome, job.attempts) == (State.CREATED, 2)
    assert abs((job.started - first).total_seconds()) < 1


class Executions:
    """The state machine's, all of which ended at some time; None: they run."""

    class exceptions:  # noqa: N801 - as the client's
        class ExecutionDoesNotExist(Exception):
            pass

    def __init__(self) -> None:
        self.stopped: datetime | None = None

    def describe_execution(self, **_: str) -> dict[str, datetime]:
        return {} if self.stopped is None else {"stopDate": self.stopped}


@pytest.fixture
def executions(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Executions:
    told = Executions()
    machine = "arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs"
    monkeypatch.setattr(Deployment, "state_machine_arn", machine)
    deployment.__dict__["states"] = told
    return told


def test_history_hears_how_a_job_of_long_before_ends(
    deployment: Deployment, executions: Executions, write_log: WriteLog
) -> None:
    write_log(started("a", before_now(hours=3)), handed_over("a", before_now(hours=2.9)))
    history = History(deployment, DAY)
    assert outcomes(history) == [("a", State.RUNNING)]
    write_log(progress("a", before_now(seconds=3), "publishing"))
    (job,) = history.read().jobs
    assert (job.outcome, job.execution) == (State.RUNNING, "a")
    write_log(succeeded("a", before_now(seconds=1)))
    assert outcomes(history) == [("a", State.CREATED)]


def test_history_finds_out_that_a_job_of_long_before_is_lost(
    deployment: Deployment, executions: Executions, write_log: WriteLog
) -> None:
    write_log(started("a", before_now(hours=3)), handed_over("a", before_now(hours=2.9)))
    history = History(deployment, DAY)
    assert outcomes(history) == [("a", State.RUNNING)]
    executions.stopped = before_now(minutes=4)
    assert outcomes(history) == [("a", State.RUNNING)]
    executions.stopped = before_now(minutes=6)
    (job,) = history.read().jobs
    assert (job.outcome, job.code) == (State.FAILED, "Lost")


def test_history_holds_its_period_alone(deployment: Deployment, write_log: WriteLog) -> None:
    write_log(started("old", before_now(days=3)), succeeded("old", before_now(days=3)))
    assert outcomes(History(deployment, DAY)) == []
    assert outcomes(History(deployment, WEEK)) == [("old", State.CREATED)]


def test_views_of_an_engine_are_told_by_aws(deployment: Deployment, write_log: WriteLog) -> None:
    write_log(started("a1", before_now(minutes=2)), succeeded("a1", before_now(minutes=1)))
    deployment.sqs.send_message(QueueUrl=deployment.dead_letter_queue_url, MessageBody="{}")
    views = Views(deployment)
    assert views.failures_waiting() is None
    queues = views.queues()
    assert queues.error is None
    assert views.failures_waiting() == 1
    jobs = views.jobs(DAY)
    assert (jobs.error, jobs.value and len(jobs.value.jobs)) == (None, 1)
    record = views.job("a1").value
    assert record is not None
    assert record.job.package_name == "runs/1"
    assert views.configuration().error is None
    assert views.identity() is None
    views.find_identity()
    assert views.identity() == "arn:aws:iam::123456789012:root"


@pytest.fixture
def registry(deployment: Deployment) -> Iterator[str]:
    boto3.client("s3").create_bucket(Bucket=REGISTRY)
    yield REGISTRY
    bucket = boto3.resource("s3").Bucket(REGISTRY)
    bucket.objects.all().delete()
    bucket.delete()


def put_manifest(data: bytes) -> None:
    key = f".quilt/packages/{TOP_HASH}"
    boto3.client("s3").put_object(Bucket=REGISTRY, Key=key, Body=data)


def test_revision_is_read_as_far_as_it_is_shown(deployment: Deployment, registry: str) -> None:
    lines: list[bytes] = []
    writer = ManifestWriter(Header({"run": 1}, "Packaged.", {"id": "ngs"}), lines.append)
    checksum = Checksum("CRC64NVME", "AAAAAAAAAAA=")
    keys = [f"é/{number}" for number in range(5)]
    writer.add([Entry(key, f"s3://raw/{key}", 7, checksum) for key in keys])
    put_manifest(b"".join(lines))
    revision = read_revision(deployment.s3, registry, TOP_HASH, limit=4)
    assert (revision.metadata, revision.message, revision.workflow) == (
        {"run": 1},
        "Packaged.",
        "ngs",
    )
    assert revision.entries == tuple(RevisionEntry(key, 7) for key in keys[:4])
    assert revision.has_more
    assert not read_revision(deployment.s3, registry, TOP_HASH, limit=5).has_more


@pytest.mark.parametrize("data", [b"", b"{", b"[]\n", b'{"version": "v0"}\n{"size": "x"}\n'])
def test_what_is_no_manifest_is_told(deployment: Deployment, registry: str, data: bytes) -> None:
    put_manifest(data)
    with pytest.raises(BrokenManifest, match="cannot be read"):
        read_revision(deployment.s3, registry, TOP_HASH, limit=5)


@pytest.mark.parametrize("top_hash", ["", "../latest", "AB" * 32])
def test_what_is_no_top_hash_is_not_asked_for(deployment: Deployment, top_hash: str) -> None:
    with pytest.raises(BrokenManifest):
        read_revision(deployment.s3, REGISTRY, top_hash, limit=5)
