"""The app, deployed to an embedded AWS: what one can do to it and see of it from outside."""

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import boto3
import msgspec
from quilt_packager_runtime.formats.outcome import EVENT_SOURCE, Outcome, Result
from quilt_packager_runtime.reporting.outcome_events import OutcomeEvent

import quilt_packager
from quilt_packager.local import processes
from quilt_packager.local.cdk import Cdk, OnLine
from quilt_packager.local.errors import LocalError
from quilt_packager.local.ministack import ACCOUNT, REGION, MiniStack
from quilt_packager.local.samples import SampleFolder

BUCKET = "quilt-demo"
EDP_BUS = "edp"
LISTENER = "quilt-demo-outcomes"
"""The queue, and the rule, of who listens to the outcomes of jobs."""

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.2

APP = """
from aws_cdk import App
from quilt_packager import PackagingEngineStack
app = App()
PackagingEngineStack(app, "PackagingEngine")
app.synth()
"""
"""What `app.py` does, for those who have the wheel alone."""

_T = TypeVar("_T")


class LoggedOutcome(Outcome, frozen=True, kw_only=True):
    """The outcome of a job, as the function logs it.

    Attributes:
        seconds: How long the job took.
        final: Whether nobody tries again what has failed.
    """

    seconds: float
    final: bool = True


class DeadLetter(msgspec.Struct, frozen=True):
    """A message that was given up.

    Attributes:
        body: The message's body.
        code: The error's name.
        reason: The error in words.
    """

    body: str
    code: str
    reason: str


class DeployedEngine:
    """A stack of the app in an embedded AWS, with a bucket and an event bus that were there before.

    To be used inside `MiniStack.as_only_aws`.

    Args:
        aws: The AWS that it is deployed to.
        directory: For files. Not removed.

    Attributes:
        directory: As given.
        stack_name: The stack's name.
        queue_url: Where messages go.
        dead_letter_queue_url: Where rejected messages go.
        log_group: The log of the function.
    """

    def __init__(self, aws: MiniStack, directory: Path) -> None:
        """Make the clients; nothing is deployed."""
        self.stack_name = ""
        self.queue_url = ""
        self.dead_letter_queue_url = ""
        self.aws = aws
        self.directory = directory
        self._listener_url = ""
        self._heard: dict[tuple[str, str], OutcomeEvent] = {}
        self._s3 = boto3.client("s3")
        self._sqs = boto3.client("sqs")
        self._events = boto3.client("events")
        self._logs = boto3.client("logs")

    @property
    def log_group(self) -> str:
        """The log group of the function."""
        return f"/quilt/{self.stack_name}/PackagerLambda"

    def make_room(self) -> None:
        """Make what an account has before the app comes: a bucket of data, and EDP's bus."""
        self._s3.create_bucket(Bucket=BUCKET)
        self._s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        self._s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        self._events.create_event_bus(Name=EDP_BUS)

    def deploy(self, cdk: Cdk, *, on_line: OnLine, flags: Mapping[str, str] | None = None) -> None:
        """Deploy the app.

        Args:
            cdk: The CDK, talking to the same AWS.
            on_line: Told the last line of the CDK's output, now and then.
            flags: More of its context flags.

        Raises:
            LocalError: It failed.
        """
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
        self.queue_url = values["PackagerQueueUrl"]
        self.dead_letter_queue_url = values["PackagerDeadLetterQueueUrl"]

    def listen(self) -> None:
        """Have the events of all outcomes from now on sent to a queue, as anybody may."""
        self._listener_url = self._sqs.create_queue(QueueName=LISTENER)["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{LISTENER}"
        self._events.put_rule(Name=LISTENER, EventPattern=json.dumps({"source": [EVENT_SOURCE]}))
        self._events.put_targets(Rule=LISTENER, Targets=[{"Id": LISTENER, "Arn": arn}])

    def upload(self, folder: SampleFolder) -> None:
        """Upload a folder, file by file, in its order.

        Args:
            folder: The folder.
        """
        for path, data in folder.files.items():
            self._s3.put_object(Bucket=BUCKET, Key=folder.prefix + path, Body=data)

    def send_event(self, entry: Mapping[str, object]) -> None:
        """Put an event on its bus.

        Args:
            entry: The entry for EventBridge's PutEvents.

        Raises:
            LocalError: EventBridge refused it.
        """
        answer = self._events.put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise LocalError(
                "EventBridge refused an event.",
                why=str(answer["Entries"][0].get("ErrorMessage")),
                remedy="Report it: it should not happen.",
            )

    def send_message(self, message: Mapping[str, object]) -> None:
        """Put a message into the queue.

        Args:
            message: The message.
        """
        self._sqs.send_message(QueueUrl=self.queue_url, MessageBody=json.dumps(message))

    def wait_for_outcomes(self, names: Sequence[str], result: Result) -> list[LoggedOutcome]:
        """Wait until the function has logged an outcome for each of these packages.

        An attempt that failed is no outcome yet where its message is tried again.

        Args:
            names: The packages' names.
            result: How the jobs are to end.

        Returns:
            The outcome of each package, in the same order.

        Raises:
            LocalError: A job ended otherwise, or they did not come in time.
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
                        remedy="Report it: it should not happen.",
                    )
                if outcome.outcome is result:
                    outcomes[outcome.package_name] = outcome
            missing[:] = [name for name in names if name not in outcomes]
            return None if missing else [outcomes[name] for name in names]

        return self._wait_for(find, lambda: f"{', '.join(missing)} to be {result.value}")

    def wait_for_dead_letter(self, message: Mapping[str, object]) -> DeadLetter:
        """Wait for a message to be in the dead-letter queue; it stays there.

        Args:
            message: The message.

        Raises:
            LocalError: None came in time.
        """

        def find() -> DeadLetter | None:
            answer = self._sqs.receive_message(
                QueueUrl=self.dead_letter_queue_url,
                MessageAttributeNames=["All"],
                MaxNumberOfMessages=10,
                VisibilityTimeout=0,
            )
            for found in answer.get("Messages", []):
                if json.loads(found["Body"]) == message:
                    attributes = found.get("MessageAttributes", {})
                    texts = {name: each.get("StringValue", "") for name, each in attributes.items()}
                    return DeadLetter(found["Body"], texts.get("code", ""), texts.get("reason", ""))
            return None

        return self._wait_for(find, lambda: "a message in the dead-letter queue")

    def wait_for_events(self, count: int) -> list[OutcomeEvent]:
        """Wait until the events of so many outcomes were heard since `listen`.

        Args:
            count: How many.

        Returns:
            The events, as they came; what was told twice of a message, as it may be when
            EventBridge is slow to answer, is there once.

        Raises:
            LocalError: They did not come in time.
        """

        def find() -> list[OutcomeEvent] | None:
            answer = self._sqs.receive_message(QueueUrl=self._listener_url, MaxNumberOfMessages=10)
            for message in answer.get("Messages", []):
                event = msgspec.json.decode(message["Body"], type=OutcomeEvent)
                self._heard.setdefault((event.detail.message_id, event.detail_type), event)
                self._sqs.delete_message(
                    QueueUrl=self._listener_url, ReceiptHandle=message["ReceiptHandle"]
                )
            return [*self._heard.values()] if len(self._heard) >= count else None

        return self._wait_for(
            find, lambda: f"the events of {count} outcomes, and heard {len(self._heard)}"
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
        # What keeps a function from being loaded stands in MiniStack's log alone.
        lines = [*self._log_lines()][-processes.LOG_LINES :]
        raise LocalError(
            f"Nothing came of it: waited {WAIT_SECONDS:.0f} s for {what()}.",
            why="The function did not log it.",
            remedy="The ends of its log and of MiniStack's, above, tell more.",
            log="\n".join([*lines, self.aws.log()]),
        )


def find_app(directory: Path) -> tuple[list[str], Path]:
    """Find the app to deploy: a checkout's own, or the same app from an installed wheel.

    Args:
        directory: Where the app of a wheel may run.

    Returns:
        The command that synthesizes it, and where to run that.
    """
    checkout = Path(quilt_packager.__file__).parents[1]
    if (checkout / "cdk.json").is_file() and (checkout / "app.py").is_file():
        return [sys.executable, "app.py"], checkout
    return [sys.executable, "-c", APP], directory
