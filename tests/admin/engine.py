"""A scripted engine for tests of the page: it replaces the operations that read from AWS."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from quilt_packager_runtime.formats.manifest_lines import ManifestLine

from quilt_packager.admin.model import job_history, views
from quilt_packager.admin.model.package_views import Comparison, PackageViews
from quilt_packager.admin.web.rendering import EngineIdentity
from quilt_packager.operations.deployment.configurations import Configuration
from quilt_packager.operations.deployment.deployments import Options
from quilt_packager.operations.deployment.queues import Queues
from quilt_packager.operations.errors import UnknownJob
from quilt_packager.operations.jobs.job import Attempt, Job, Phase, Progress, State
from quilt_packager.operations.jobs.log_lines import LogLine, read_lines
from quilt_packager.operations.jobs.record import JobRecord
from quilt_packager.operations.revisions.contents import RevisionContents
from quilt_packager.operations.revisions.diff import Added, Changed, Summary

if TYPE_CHECKING:
    from quilt_packager_runtime.formats.outcome import OutcomeFields

    from quilt_packager.operations.audits import AuditedPackage

IDENTITY = EngineIdentity("prod-packager", "us-east-1", "123456789012")
ARN = "arn:aws:sts::123456789012:assumed-role/Admin/ana"
TOP_HASH = "8c2f0e6b91d4a7e35fb0c6b1" + "0" * 36 + "4e9d"


def ago(**span: float) -> datetime:
    return datetime.now(UTC) - timedelta(**span)


def make_job(job_id: str = "3f9a61c2-1", **facts: Any) -> Job:
    """Make a job that succeeded ten minutes ago, unless `facts` differ."""
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
    """Make a running job."""
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
    """Make a rejected job."""
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
    """The scripted answers of AWS; each may be an error instead."""

    name, region, account = IDENTITY[:3]
    partition = "aws"
    state_machine_arn = "arn:aws:states:us-east-1:123456789012:stateMachine:LargeJobs"
    s3 = None
    options = Options()
    queue_url = "https://sqs.us-east-1.amazonaws.com/123456789012/PackagerQueue-1A2B"
    dead_letter_queue_url = "https://sqs.us-east-1.amazonaws.com/123456789012/PackagerDLQ-4D5E"

    @property
    def sts(self) -> "Engine":
        """Stand in for the client of STS."""
        return self

    def get_caller_identity(self) -> dict[str, str]:
        """Stand in for that client."""
        return {"Arn": ARN}

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
        self.contents: RevisionContents | Exception = RevisionContents(
            {"workflow_name": "germline-wgs", "tools": ["bwa-mem2", "GATK"], "lanes": 4},
            "Packaged from s3://omics-out/3395667/",
            "ngs-v3",
            tuple(ManifestLine(f"bam/NA{number}.cram", size=1000 * number) for number in range(20)),
            True,
        )
        # None: the registry is read.
        self.comparison: Comparison | Exception | None = Comparison(
            (Added("vcf/NA17.vcf", 2 * 2**30), Changed("qc.html", 4096, 5000, only_metadata=False)),
            Summary(14, 0, 3, 114, metadata_changed=True),
        )
        self.users: Sequence[OutcomeFields] | Exception = ()
        self.configuration: Configuration | Exception = Configuration()
        self.audits: Sequence[AuditedPackage] | Exception = ()
        self.lines: Sequence[LogLine] = ()
        self.attempts: Sequence[Attempt] = ()
        self.asked: list[str] = []
        self.views: list[views.Views] = []

    def log_group(self, function: str) -> str:
        return f"/quilt/prod-packager/{function}"

    def command(self, *words: str, names_stack: bool = False) -> str:
        return Options(self.name if names_stack else None).command(*words)

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Replace the operations that the page reads from."""
        patch.setattr(job_history, "read_jobs", lambda *_, **__: Found(self._answer("jobs")))
        patch.setattr(views, "read_queues", lambda *_: self._answer("queues"))
        patch.setattr(views, "read_job", lambda _, job_id, **__: self._find(job_id))
        patch.setattr(views, "read_contents", lambda *_, **__: self._answer("contents"))
        patch.setattr(views, "read_users", lambda *_: self._answer("users"))
        patch.setattr(views, "read_configuration", lambda *_: self._answer("configuration"))
        patch.setattr(views, "read_audits", lambda *_: self._answer("audits"))
        compare = PackageViews._compare
        patch.setattr(
            PackageViews,
            "_compare",
            lambda *given: self._answer("comparison") if self.comparison else compare(*given),
        )
        patch.setattr(views, "find_logged", lambda *_, **__: frozenset())
        patch.setattr(job_history, "Watch", lambda *_, **__: self)

    def grow_old(self) -> None:
        """Invalidate the page's caches."""
        for each in self.views:
            each.invalidate()

    def poll(self, _now: datetime) -> list[Job]:
        """Stand in for the watch."""
        return list(self._answer("jobs"))

    def _find(self, job_id: str) -> JobRecord:
        found = [job for job in self._answer("jobs") if job.id == job_id]
        if not found:
            raise UnknownJob(f"No job {job_id}.", why="The log has none.", remedy="See the list.")
        return JobRecord(found[0], tuple(self.lines), tuple(self.attempts))

    def _answer(self, what: str) -> Any:
        self.asked.append(what)
        answer = getattr(self, what)
        if isinstance(answer, Exception):
            raise answer
        return answer


class Found(list[Job]):
    """A list of jobs with the attribute of the operation's result."""

    is_cut_off = False


def make_phases(started: datetime) -> tuple[Phase, ...]:
    """Make the phases of a job of nine seconds."""
    return (
        Phase("listing", started, 0.9),
        Phase("checksums", started + timedelta(seconds=0.9), 5.6),
        Phase("publishing", started + timedelta(seconds=6.5), 1.9),
    )


def make_line(message: str, level: str = "INFO", **fields: Any) -> LogLine:
    """Make a line of the log."""
    known = {"level": level, "message": message, "message_id": "a1", "location": "hash:1", **fields}
    (line,) = read_lines(json.dumps(known), ago(minutes=10))
    return line
