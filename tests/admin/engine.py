"""An engine as the page's tests need it: what the operations would have read of AWS."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from quilt_packager.admin.model import views
from quilt_packager.admin.model.manifests import Revision, RevisionEntry
from quilt_packager.admin.web.rendering import EngineIdentity
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.deployments import Options
from quilt_packager.operations.deployment.queues import Queues
from quilt_packager.operations.errors import UnknownJob
from quilt_packager.operations.jobs.job import Attempt, Job, Phase, Progress, State
from quilt_packager.operations.jobs.listing import JobRecord
from quilt_packager.operations.jobs.log_lines import LogLine

PLACE = EngineIdentity("prod-packager", "us-east-1", "123456789012")
IDENTITY = "arn:aws:sts::123456789012:assumed-role/Admin/ana"
TOP_HASH = "8c2f0e6b91d4a7e35fb0c6b1" + "0" * 36 + "4e9d"


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def make_job(job_id: str = "3f9a61c2-1", **facts: Any) -> Job:
    """A job that ended well ten minutes ago, unless told otherwise."""
    started = facts.pop("started", ago(minutes=10))
    known: dict[str, Any] = {
        "outcome": State.CREATED,
        "updated": started + timedelta(seconds=9),
        "ended": started + timedelta(seconds=9),
        "seconds": 9.0,
        "package_name": "omics-quilt/3395667",
        "registry": "quilt-prod",
        "source": "s3://omics-out/3395667/",
        "trigger": "health_omics",
        "objects": 2310,
        "bytes": 640 * 2**30,
        "reused": 1980,
        "stored": 318,
        "computed": 12,
        "top_hash": TOP_HASH,
        "previous_top_hash": "5d10" + "0" * 56 + "77ac",
        "final": True,
        "attempts": 1,
        **facts,
    }
    return Job(id=job_id, started=started, **known)


def make_running(job_id: str = "b2", **facts: Any) -> Job:
    """A job that runs."""
    nothing = dict.fromkeys(("ended", "seconds", "top_hash", "objects", "bytes", "computed"))
    return make_job(
        job_id,
        **{
            **nothing,
            "started": ago(seconds=12),
            "outcome": State.RUNNING,
            "final": False,
            "progress": Progress("checksums", 31_940, 48_112),
            **facts,
        },
    )


def make_failed(job_id: str = "c3", **facts: Any) -> Job:
    """A job that failed for good."""
    return make_job(
        job_id,
        **{
            "outcome": State.REJECTED,
            "top_hash": None,
            "code": "EmptySource",
            "happened": "s3://exports/2026/ held no objects.",
            "why": "The upload had not begun.",
            "remedy": "Check the folder.",
            **facts,
        },
    )


class Engine:
    """What AWS would tell; each may be an error instead."""

    name, region, account = PLACE[:3]
    partition = "aws"
    state_machine_arn = "arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs"
    s3 = None
    session = None
    queue_url = "https://sqs.us-east-1.amazonaws.com/123456789012/PackagerQueue-1A2B"
    dead_letter_queue_url = "https://sqs.us-east-1.amazonaws.com/123456789012/PackagerDLQ-4D5E"

    @property
    def sts(self) -> "Engine":
        """As the client of STS."""
        return self

    def get_caller_identity(self) -> dict[str, str]:
        """As that client."""
        return {"Arn": IDENTITY}

    def __init__(self, jobs: Sequence[Job] = ()) -> None:
        self.jobs: Sequence[Job] | Exception = jobs
        self.queues: Queues | Exception = Queues(
            waiting=12,
            in_flight=1,
            delayed=0,
            oldest_seconds=41.0,
            dead_letters=7,
            oldest_dead_letter_seconds=13 * 86_400.0,
            dead_letter_retention_seconds=14 * 86_400,
        )
        self.revision: Revision | Exception = Revision(
            {"workflow_name": "germline-wgs", "tools": ["bwa-mem2", "GATK"], "lanes": 4},
            "Packaged from s3://omics-out/3395667/",
            "ngs-v3",
            tuple(RevisionEntry(f"bam/NA{number}.cram", 1000 * number) for number in range(20)),
            True,
        )
        self.configuration: Configuration | Exception = Configuration()
        self.lines: Sequence[LogLine] = ()
        self.attempts: Sequence[Attempt] = ()
        self.asked: list[str] = []
        self.views: list[views.Views] = []

    def log_group(self, function: str) -> str:
        return f"/quilt/prod-packager/{function}"

    def command(self, *words: str, names_stack: bool) -> str:
        assert names_stack
        return Options(self.name).command(*words)

    def take_place(self, patch: pytest.MonkeyPatch) -> None:
        """Be what the page reads."""
        patch.setattr(views, "read_jobs", lambda *_, **__: Found(self._tell("jobs")))
        patch.setattr(views, "read_queues", lambda *_: self._tell("queues"))
        patch.setattr(views, "read_job", lambda _, job_id, **__: self._find(job_id))
        patch.setattr(views, "read_revision", lambda *_, **__: self._tell("revision"))
        patch.setattr(views, "read_configuration", lambda *_: self._tell("configuration"))
        patch.setattr(views, "Watch", lambda *_, **__: self)

    def grow_old(self) -> None:
        """Let the page forget what it was told."""
        for each in self.views:
            each.forget()

    def poll(self, _now: datetime) -> list[Job]:
        """As the watch."""
        return list(self._tell("jobs"))

    def _find(self, job_id: str) -> JobRecord:
        found = [job for job in self._tell("jobs") if job.id == job_id]
        if not found:
            raise UnknownJob(f"No job {job_id}.", why="The log has none.", remedy="See the list.")
        return JobRecord(found[0], tuple(self.lines), tuple(self.attempts))

    def _tell(self, what: str) -> Any:
        self.asked.append(what)
        told = getattr(self, what)
        if isinstance(told, Exception):
            raise told
        return told


class Found(list[Job]):
    """A list of jobs, as the operation returns it."""

    is_cut_off = False


def make_phases(started: datetime) -> tuple[Phase, ...]:
    """The phases of nine seconds."""
    return (
        Phase("listing", started, 0.9),
        Phase("checksums", started + timedelta(seconds=0.9), 5.6),
        Phase("publishing", started + timedelta(seconds=6.5), 1.9),
    )


def make_line(message: str, level: str = "INFO", **fields: Any) -> LogLine:
    """A line of the log."""
    known = {"level": level, "message": message, "location": "hash:1", **fields}
    return LogLine(ago(minutes=10), str(known), known)
