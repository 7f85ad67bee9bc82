"""The engine for the tests of the page: deployed once, with content for every tab."""

import contextlib
import json
import os
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from quilt_packager_runtime.formats.outcome import Result

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.demo import failure_scenarios, scenario
from quilt_packager.local.cdk import Cdk
from quilt_packager.local.engine import BUCKET, DeployedEngine
from quilt_packager.local.ministack import MiniStack
from quilt_packager.local.samples import SampleFolder
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from tests.operations import job_lines

if TYPE_CHECKING:
    from types_boto3_logs.type_defs import InputLogEventTypeDef

WAIT_SECONDS = 60
POLL_SECONDS = 0.1

OLD_JOBS = 140
"""Number of jobs in the log on the day before the tests."""

UPLOADS = {
    **scenario.UPLOADS,
    # Uploads of the tests must not start jobs.
    "ignore_prefixes": [
        *scenario.IGNORED_PREFIXES,
        *(f"{name}/" for name in ("hostile", "late", "live", "new", "typed", "unwanted")),
    ],
}

HOSTILE_NAME = "hostile/keys"
HOSTILE = SampleFolder(
    "hostile/keys/",
    {
        "<script>document.title='taken'</script>.txt": b"1\n",
        "\"><img src=x onerror=document.title='taken'>.csv": b"2\n",
        "{{ 7*7 }}.json": b"{}\n",
    },
)
HOSTILE_MESSAGE = {
    "source_prefix": f"s3://{BUCKET}/{HOSTILE.prefix}",
    "metadata": {"<script>document.title='taken'</script>": "</dd><script>document.title='taken'"},
    "commit_message": "<script>document.title='taken'</script>",
}


class Stack(NamedTuple):
    """A deployed engine with its owner's access.

    Attributes:
        engine: The engine.
        deployment: The same engine for the operations, with its own clients.
        environment: The variables of a shell that uses this AWS only.
    """

    engine: DeployedEngine
    deployment: Deployment
    environment: Mapping[str, str]

    def rule_state(self, mark: str) -> str:
        """Return the state of the rule whose pattern contains a text, according to EventBridge."""
        rules = self.deployment.events.list_rules()["Rules"]
        (state,) = [each["State"] for each in rules if mark in each.get("EventPattern", "")]
        return state

    def dead_letters(self) -> list[str]:
        """Return the folders of the messages in the dead-letter queue, or empty texts."""
        answer = self.deployment.sqs.receive_message(
            QueueUrl=self.engine.dead_letter_queue_url,
            MaxNumberOfMessages=10,
            VisibilityTimeout=0,
        )
        letters = answer.get("Messages", [])
        return [json.loads(each["Body"]).get("source_prefix", "") for each in letters]

    def fail(self, folder: str) -> None:
        """Send a message for an empty folder, and wait until it is rejected."""
        message = {"source_prefix": f"s3://{BUCKET}/{folder}"}
        self.engine.send_message(message)
        self.engine.wait_for_dead_letter(message)

    def upload(self, folder: str) -> None:
        """Upload one file to a folder."""
        self.engine.upload(SampleFolder(folder, {"a.csv": b"1,2\n"}))

    def write_log(self, function: str, lines: list[dict[str, Any]]) -> None:
        """Write lines to the log of a function, in a stream of their own."""
        logs, group = self.deployment.logs, self.deployment.log_group(function) or ""
        stream = uuid4().hex
        with contextlib.suppress(logs.exceptions.ResourceAlreadyExistsException):
            logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName=stream)
        events: list[InputLogEventTypeDef] = [
            {"timestamp": milliseconds(line["timestamp"]), "message": json.dumps(line)}
            for line in sorted(lines, key=lambda line: str(line["timestamp"]))
        ]
        logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)

    def has_package(self, name: str) -> bool:
        """Return True if the package exists."""
        prefix = f".quilt/named_packages/{name}/latest"
        found = self.deployment.s3.list_objects_v2(Bucket=BUCKET, Prefix=prefix)
        return bool(found.get("KeyCount"))

    def send(self, message: Mapping[str, object]) -> str:
        """Send a message to the queue, and return the id of its job."""
        answer = self.deployment.sqs.send_message(
            QueueUrl=self.engine.queue_url, MessageBody=json.dumps(message)
        )
        return answer["MessageId"]


@contextlib.contextmanager
def deployed(directory: Path) -> Iterator[Stack]:
    """Deploy an engine with the jobs and failures of a demo that is kept.

    Args:
        directory: For the files of the AWS.
    """
    terminal = Terminal()
    with MiniStack(directory) as aws:
        # Change the variables of the process only while clients are created: other tests follow.
        with aws.as_only_aws():
            engine = DeployedEngine(aws, directory)
            cdk = Cdk(aws, directory, os.environ)
            cdk.bootstrap(on_line=lambda _line: None)
            engine.create_prerequisites()
            flags = {
                "quilt:uploads": json.dumps(UPLOADS),
                "quilt:lineage": "true",
                **failure_scenarios.FLAGS,
            }
            engine.deploy(cdk, on_line=lambda _line: None, flags=flags)
            stack = attach(engine)
            write_a_day_of_jobs(stack)
            scenario.deliver_data(terminal, engine)
            # Do not wait for packages of uploads, which may take long.
            announced = [name for name in scenario.PACKAGES if not name.startswith("cytometer/")]
            engine.wait_for_outcomes(announced, Result.CREATED)
            failure_scenarios.cause_failures(terminal, engine)
            engine.send_message(scenario.MESSAGE)
            engine.send_message(scenario.EMPTY_FOLDER_MESSAGE)
            engine.wait_for_dead_letter(scenario.EMPTY_FOLDER_MESSAGE)
            engine.wait_for_outcomes([scenario.MESSAGE_NAME], Result.UNCHANGED)
        yield stack


def attach(engine: DeployedEngine) -> Stack:
    """Attach the operations to an engine, while the process uses no other AWS."""
    deployment = find_deployment(connect(), engine.stack_name)
    # Create the clients now: they keep the current endpoint.
    for name in ("events", "logs", "s3", "sqs"):
        getattr(deployment, name)
    return Stack(engine, deployment, dict(os.environ))


def write_a_day_of_jobs(stack: Stack) -> None:
    """Write a day of jobs to the log."""
    chance = Random(5)  # noqa: S311 - always the same
    now = datetime.now(UTC)
    lines: list[dict[str, Any]] = []
    for number in range(OLD_JOBS):
        # More at noon than at night, and none in the last hour.
        hours = 23 * chance.betavariate(2, 2)
        lines += make_old_job(chance, number, now - timedelta(hours=1 + hours))
    stack.write_log("packager", lines)


def milliseconds(timestamp: str) -> int:
    at = datetime.strptime(timestamp, "%Y-%m-%d %H:%M:%S,%f%z")
    return round(at.timestamp() * 1000)


def make_old_job(chance: Random, number: int, at: datetime) -> list[dict[str, Any]]:
    job = f"{chance.getrandbits(128):032x}"
    job = "-".join([job[:8], job[8:12], job[12:16], job[16:20], job[20:]])
    kind, trigger = chance.choice(
        [
            ("rnaseq", "workflow_run_crate"),
            ("omics", "health_omics"),
            ("plates", "objects_ready"),
            ("exports", "message"),
        ]
    )
    name = f"{kind}/run-{1000 + number}"
    seconds = round(chance.lognormvariate(1.6, 0.9), 2)
    end = at + timedelta(seconds=seconds)
    described = {"registry": BUCKET, "trigger": trigger, "source": f"s3://{BUCKET}/{name}/"}
    begun = job_lines.started(job, at, name, **described)
    share = chance.random()
    if share < 0.05:
        reason = {"happened": f"s3://{BUCKET}/{name}/ has no objects.", "code": "EmptySource"}
        why = {"why": "The upload has not begun.", "remedy": "Check the folder."}
        ended = job_lines.failed(
            job, end, "rejected", name, **described, **reason, **why, final=True, seconds=seconds
        )
    elif share < 0.07:
        reason = {"happened": "S3 answered 503 for 15 min.", "code": "ServiceUnavailable"}
        why = {"why": "S3 is throttled.", "remedy": "Retry."}
        ended = job_lines.failed(
            job, end, "failed", name, **described, **reason, **why, final=True, seconds=seconds
        )
    else:
        objects = round(chance.lognormvariate(4, 1.5)) + 1
        ended = job_lines.succeeded(
            job,
            end,
            "unchanged" if share < 0.2 else "created",
            name,
            **described,
            top_hash=f"{chance.getrandbits(256):064x}",
            objects=objects,
            bytes=objects * chance.randrange(10**6, 10**9),
            reused=0,
            stored=objects - 1,
            computed=1,
            seconds=seconds,
        )
    return [begun, ended]


def wait_until(holds: Any, what: str) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + WAIT_SECONDS
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(POLL_SECONDS)
