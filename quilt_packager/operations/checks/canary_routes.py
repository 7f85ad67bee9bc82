"""The routes from a folder to the queue, and the events that a canary sends on them."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from quilt_packager_runtime.errors import name_some
from quilt_packager_runtime.requests.events import EDP_SOURCE, OBJECTS_READY
from quilt_packager_runtime.settings.name_templates import name_package
from quilt_packager_runtime.settings.requirements import required_globs
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, ok, unconfirmed, wrong
from quilt_packager.operations.folders.contents import read_contents
from quilt_packager.operations.folders.verdicts import Judge, Verdict
from quilt_packager.operations.sources.patterns import is_about_objects
from quilt_packager.operations.sources.sample_events import matches, omics_event

if TYPE_CHECKING:
    from quilt_packager.operations.checks.canary_folder import CanaryFolder
    from quilt_packager.operations.checks.inspection import Inspection
    from quilt_packager.operations.jobs.job import Job
    from quilt_packager.operations.sources.sources import Source

MESSAGE = "message"
COMPLETED = "COMPLETED"


class Route(NamedTuple):
    """A route on which the folder of a canary becomes a job.

    Attributes:
        name: Name of the event source, or `message`.
        kind: Kind of the event, as in the `trigger` of the job.
        sender: `source` of the event, if several senders use its kind.
        message_id: Id of the job, if it is known.
    """

    name: str
    kind: str
    sender: str | None = None
    message_id: str | None = None

    def is_of(self, job: "Job", folder: str) -> bool:
        """Return True if a job came on this route."""
        if self.message_id is not None:
            return job.id == self.message_id
        is_sender = self.sender is None or job.event_source == self.sender
        return job.source == folder and job.trigger == self.kind and is_sender


def find_unsafe(engine: "Inspection", canary: "CanaryFolder") -> list[str]:
    """Name the sources whose package of the folder would be a revision of another package."""
    kinds = {each.kind for each in engine.sources if each.enabled}
    return [
        str(options.kind)
        for options in engine.configuration.settings.sources
        if options.kind in kinds and canary.id not in _name(options, canary)
    ]


def _name(options: SourceOptions, canary: "CanaryFolder") -> str:
    run = {"run_id": canary.id, "run_status": COMPLETED}
    values = run if options.kind == "health_omics" else {}
    name, _ = name_package(options.package_name, canary.folder, values)
    return name


def send(engine: "Inspection", canary: "CanaryFolder", judge: Judge) -> Iterator[Route | Finding]:
    """Send a message, and an event for each source that takes one from a user.

    Yields:
        Each route to wait for, and a finding for each source that cannot be tried.
    """
    folder = str(canary.folder)
    body = json.dumps({"source_prefix": folder})
    yield Route(MESSAGE, MESSAGE, message_id=_send_message(engine, body))
    contents = read_contents(engine.deployment, canary.folder)
    for source in engine.sources:
        if not source.enabled:
            continue
        decided = judge.judge(source, canary.folder, contents)
        if globs := _required_globs(engine, source):
            text = f"The source requires files that no canary has: {name_some(globs)}."
            yield unconfirmed(source.name, text, "Send a folder that has them.")
        elif decided.verdict is Verdict.IGNORES:
            text = f"The source leaves out {folder}. {decided.why}"
            yield unconfirmed(source.name, text, "Choose another --canary.")
        elif source.kind == "health_omics":
            yield from _send_run(engine, source, canary)
        elif source.kind == "custom":
            remedy = "Send one of its events: aws events put-events"
            yield unconfirmed(source.name, "Events of a custom rule are not known here.", remedy)
        elif source.kind == "objects_ready" and not is_about_objects(source.pattern):
            yield _announce(engine, source, canary)
        elif decided.verdict is Verdict.WAITS:
            yield unconfirmed(source.name, decided.why, "Upload such a folder.")
        else:
            # S3 sends the events of the uploads itself.
            yield Route(source.name, source.kind, source.sender)


def _required_globs(engine: "Inspection", source: "Source") -> tuple[str, ...]:
    """Return the globs of files without which a source packages no folder."""
    options = (
        each
        for each in engine.configuration.settings.sources
        if each.kind == source.kind and each.sender in {None, source.sender}
    )
    return tuple(glob for each in options for glob in required_globs(each.require))


def _send_run(
    engine: "Inspection", source: "Source", canary: "CanaryFolder"
) -> Iterator[Route | Finding]:
    """Test the rule with a sample event, and put the event onto the queue."""
    statuses = source.pattern.get("detail", {}).get("status") or [COMPLETED]
    bucket, prefix = canary.folder.bucket, canary.folder.prefix
    event = omics_event(engine.deployment, bucket, prefix, statuses[0])
    behaviour = Behaviour.EVENTS_PATTERN
    if not matches(engine.deployment, source.pattern, event):
        yield wrong(
            source.name,
            "The pattern of the rule does not match the event of a run.",
            "Deploy the stack again, which restores the pattern.",
            behaviour,
        )
        return
    text = "The pattern of the rule matches a sample event. AWS accepts events of HealthOmics from "
    text += "no user, so the event goes to the queue directly: its delivery is not confirmed."
    yield ok(source.name, text, behaviour)
    message_id = _send_message(engine, json.dumps(event))
    yield Route(source.name, source.kind, message_id=message_id)


def _announce(engine: "Inspection", source: "Source", canary: "CanaryFolder") -> Route:
    bucket, prefix = canary.folder.bucket, canary.folder.prefix
    detail = {"version": "0.1", "bucket": bucket, "prefix": prefix}
    engine.deployment.events.put_events(
        Entries=[
            {
                "Source": EDP_SOURCE,
                "DetailType": OBJECTS_READY,
                "Detail": json.dumps(detail),
                "Resources": [f"arn:{engine.deployment.partition}:s3:::{bucket}"],
                "EventBusName": source.event_bus,
            }
        ]
    )
    return Route(source.name, source.kind, EDP_SOURCE)


def _send_message(engine: "Inspection", body: str) -> str:
    deployment = engine.deployment
    answer = deployment.sqs.send_message(QueueUrl=deployment.queue_url, MessageBody=body)
    return answer["MessageId"]
