"""The app, deployed to an embedded AWS and operated from outside."""

import json
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import boto3
import msgspec
from quilt_packager_runtime.formats.event_names import EVENT_SOURCE
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.reporting.log_events import FilesAwaited
from quilt_packager_runtime.reporting.outcome_events import OutcomeEvent

import quilt_packager
from quilt_packager.contract import (
    DEAD_LETTERS_OUTPUT,
    PACKAGER_LAMBDA,
    QUEUE_OUTPUT,
    log_group_name,
)
from quilt_packager.local import processes
from quilt_packager.local.cdk import Cdk, OnLine
from quilt_packager.local.errors import LocalError
from quilt_packager.local.ministack import ACCOUNT, REGION, MiniStack
from quilt_packager.local.samples import SampleFolder
from quilt_packager.operations.audits import AuditedPackage, find_damaged
from quilt_packager.operations.deployment.deployments import connect, find_deployment

BUCKET = "quilt-demo"
EDP_BUS = "edp"
SUBSCRIPTION = "quilt-demo-outcomes"
"""Name of the rule and the queue that receive the events of outcomes."""

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.2

APP = """
from aws_cdk import App
from quilt_packager import PackagingEngineStack
app = App()
PackagingEngineStack(app, "PackagingEngine")
app.synth()
"""
"""Equivalent of `app.py` for an installed wheel."""

_T = TypeVar("_T")


class LoggedOutcome(Outcome, frozen=True, kw_only=True):
    """A job's outcome, as the function logs it.

    Attributes:
        seconds: Duration of the job.
        final: False if a failed message will be retried.
    """

    seconds: float
    final: bool = True


class DeadLetter(msgspec.Struct, frozen=True):
    """A message in the dead-letter queue, with its error."""

    body: str
    code: str
    reason: str


class DeployedEngine:
    """A stack of the app in an embedded AWS, with a bucket and an event bus that precede it.

    Use it inside `MiniStack.as_only_aws`.

    Args:
        aws: The AWS to deploy to.
        directory: Folder for files. The caller removes it.
    """

    def __init__(self, aws: MiniStack, directory: Path) -> None:
        """Create the clients. `deploy` deploys."""
        self.stack_name = ""
        self.queue_url = ""
        self.dead_letter_queue_url = ""
        self.aws = aws
        self.directory = directory
        self._subscription_url = ""
        self._received: dict[tuple[str, str], OutcomeEvent] = {}
        self._s3 = boto3.client("s3")
        self._sqs = boto3.client("sqs")
        self._events = boto3.client("events")
        self._logs = boto3.client("logs")

    @property
    def log_group(self) -> str:
        """Log group of the packager function."""
        return log_group_name(self.stack_name, PACKAGER_LAMBDA)

    def create_prerequisites(self) -> None:
        """Create a data bucket and EDP's bus, which exist before the app is deployed."""
        self._s3.create_bucket(Bucket=BUCKET)
        self._s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self._s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        self._events.create_event_bus(Name=EDP_BUS)

    def deploy(self, cdk: Cdk, *, on_line: OnLine, flags: Mapping[str, str] | None = None) -> None:
        """Deploy the app, with additional context flags."""
        app, directory = find_app(self.directory)
        outputs = cdk.deploy(
            app,
            directory=directory,
            on_line=on_line,
            context={
                "quilt:architecture": "host",
                "quilt:edp": EDP_BUS,
                "quilt:source_buckets": BUCKET,
                **(flags or {}),
            },
        )
        ((self.stack_name, values),) = outputs.items()
        self.queue_url = values[QUEUE_OUTPUT]
        self.dead_letter_queue_url = values[DEAD_LETTERS_OUTPUT]

    def subscribe(self) -> None:
        """Send the events of all outcomes from now on to a queue."""
        self._subscription_url = self._sqs.create_queue(QueueName=SUBSCRIPTION)["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{SUBSCRIPTION}"
        self._events.put_rule(
            Name=SUBSCRIPTION, EventPattern=json.dumps({"source": [EVENT_SOURCE]})
        )
        self._events.put_targets(Rule=SUBSCRIPTION, Targets=[{"Id": SUBSCRIPTION, "Arn": arn}])

    def upload(self, folder: SampleFolder) -> None:
        """Upload the files of a folder in their order."""
        for path, data in folder.files.items():
            self._s3.put_object(Bucket=BUCKET, Key=folder.prefix + path, Body=data)

    def delete_version(self, folder: SampleFolder, path: str) -> None:
        """Delete the newest version of a file, as a lifecycle rule may."""
        newest = self.newest_version(folder, path)
        self._s3.delete_object(Bucket=BUCKET, Key=newest.key, VersionId=newest.version_id or "")

    def newest_version(self, folder: SampleFolder, path: str) -> S3Uri:
        """Return the newest version of a file."""
        key = folder.prefix + path
        return S3Uri(BUCKET, key, self._s3.head_object(Bucket=BUCKET, Key=key)["VersionId"])

    def audit(self) -> list[AuditedPackage]:
        """Start the audit, and wait until it has found damage."""
        deployment = find_deployment(connect(), self.stack_name)
        machine = deployment.audit_machine_arn or ""
        deployment.states.start_execution(stateMachineArn=machine, input="{}")
        return self._wait_for(
            lambda: find_damaged(deployment) or None, lambda: "the audit to find damage"
        )

    def send_event(self, entry: Mapping[str, object]) -> None:
        """Put an entry of EventBridge's PutEvents on its bus."""
        response = self._events.put_events(Entries=[entry])
        if response["FailedEntryCount"]:
            raise LocalError(
                "EventBridge rejected an event.",
                why=str(response["Entries"][0].get("ErrorMessage")),
                remedy="This is a bug. Please report it.",
            )

    def send_message(self, message: Mapping[str, object]) -> None:
        """Send a message to the queue."""
        self._sqs.send_message(QueueUrl=self.queue_url, MessageBody=json.dumps(message))

    def wait_for_outcomes(
        self, names: Sequence[str], result: Result, *, known: Collection[str | None] = ()
    ) -> list[LoggedOutcome]:
        """Wait until the function has logged an outcome for each package.

        Attempts that will be retried are ignored.

        Args:
            names: The packages' names.
            result: The expected result of the jobs.
            known: Top hashes of revisions that are known already.

        Returns:
            The outcome of each package, in the order of `names`.

        Raises:
            LocalError: A job ended otherwise, or the wait timed out.
        """
        missing = list(names)

        def find() -> list[LoggedOutcome] | None:
            outcomes = {}
            for outcome in self._outcomes():
                has_failed = outcome.code is not None and outcome.final
                if has_failed and outcome.package_name in names:
                    raise LocalError(
                        f"{outcome.package_name} was {outcome.outcome.value}: {outcome.code}.",
                        why=outcome.reason or "",
                        remedy="This is a bug. Please report it.",
                    )
                if outcome.outcome is result and outcome.top_hash not in known:
                    outcomes[outcome.package_name] = outcome
            missing[:] = [name for name in names if name not in outcomes]
            return None if missing else [outcomes[name] for name in names]

        return self._wait_for(find, lambda: f"{', '.join(missing)} to be {result.value}")

    def wait_for_dead_letter(self, message: Mapping[str, object]) -> DeadLetter:
        """Wait until the dead-letter queue holds a message, and leave it there."""

        def find() -> DeadLetter | None:
            response = self._sqs.receive_message(
                QueueUrl=self.dead_letter_queue_url,
                MessageAttributeNames=["All"],
                MaxNumberOfMessages=10,
                VisibilityTimeout=0,
            )
            for found in response.get("Messages", []):
                if json.loads(found["Body"]) == message:
                    attributes = found.get("MessageAttributes", {})
                    texts = {name: each.get("StringValue", "") for name, each in attributes.items()}
                    return DeadLetter(found["Body"], texts.get("code", ""), texts.get("reason", ""))
            return None

        return self._wait_for(find, lambda: "a message in the dead-letter queue")

    def wait_for_pause(self, folder: SampleFolder) -> str:
        """Wait until the job of a folder waits for required files, and return the reason."""
        source = f"s3://{BUCKET}/{folder.prefix}"

        def find() -> str | None:
            for line in self._log_lines():
                if '"files awaited"' in line:
                    awaited = msgspec.json.decode(line, type=FilesAwaited)
                    if awaited.source == source:
                        return awaited.happened
            return None

        return self._wait_for(find, lambda: f"the job of {source} to wait for files")

    def wait_for_events(self, count: int) -> list[OutcomeEvent]:
        """Wait for the events of a number of outcomes since `subscribe`.

        Duplicates, which occur when EventBridge responds slowly, are removed.
        """

        def find() -> list[OutcomeEvent] | None:
            response = self._sqs.receive_message(
                QueueUrl=self._subscription_url, MaxNumberOfMessages=10
            )
            for message in response.get("Messages", []):
                event = msgspec.json.decode(message["Body"], type=OutcomeEvent)
                self._received.setdefault((event.detail.message_id, event.detail_type), event)
                self._sqs.delete_message(
                    QueueUrl=self._subscription_url, ReceiptHandle=message["ReceiptHandle"]
                )
            return [*self._received.values()] if len(self._received) >= count else None

        return self._wait_for(
            find, lambda: f"the events of {count} outcomes, {len(self._received)} received"
        )

    def _outcomes(self) -> Iterator[LoggedOutcome]:
        for line in self._log_lines():
            # Lambda's own lines stand between those of the jobs.
            if '"outcome"' in line:
                yield msgspec.json.decode(line, type=LoggedOutcome)

    def _log_lines(self) -> Iterator[str]:
        pages = self._logs.get_paginator("filter_log_events")
        try:
            for page in pages.paginate(logGroupName=self.log_group):
                for event in page["events"]:
                    yield from event["message"].splitlines()
        except self._logs.exceptions.ResourceNotFoundException:
            return

    def _wait_for(self, find: Callable[[], _T | None], what: Callable[[], str]) -> _T:
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            found = find()
            if found is not None:
                return found
            time.sleep(POLL_SECONDS)
        # Only MiniStack's log explains why a function could not be loaded.
        lines = [*self._log_lines()][-processes.LOG_LINES :]
        raise LocalError(
            f"Timed out after {WAIT_SECONDS:.0f} s: waited for {what()}.",
            why="The function's log does not contain it.",
            remedy="See the last lines of its log and of MiniStack's above.",
            log="\n".join([*lines, self.aws.log()]),
        )


def find_app(directory: Path) -> tuple[list[str], Path]:
    """Find the app to deploy: a checkout's own, or the same app from an installed wheel.

    Args:
        directory: Working directory for the app of a wheel.

    Returns:
        The command that synthesizes the app, and its working directory.
    """
    checkout = Path(quilt_packager.__file__).parents[1]
    if (checkout / "cdk.json").is_file() and (checkout / "app.py").is_file():
        return [sys.executable, "app.py"], checkout
    return [sys.executable, "-c", APP], directory
