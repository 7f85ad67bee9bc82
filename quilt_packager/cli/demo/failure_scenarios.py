"""Failures for a demo that keeps running, so that every tab of the page has content."""

import time

import boto3

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.demo.steps import step
from quilt_packager.local import samples
from quilt_packager.local.engine import BUCKET, DeployedEngine
from quilt_packager.local.errors import LocalError
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.sources.sources import set_enabled

SLIDE = samples.slide("microscope/slide-12/")

FLAGS = {"quilt:max_inline_objects": str(len(SLIDE.files) - 1)}
"""Makes the slide a large job."""

SLIDE_MESSAGE = {"source_prefix": f"s3://{BUCKET}/{SLIDE.prefix}"}
INVALID_MESSAGE = {
    "source_prefix": f"s3://{BUCKET}/plates/plate-0094/",
    "registry": "Quilt Demo",
    "package_name": "plate 94",
}
"""Its registry is not a bucket name, and its package name has no prefix."""

DISABLED_SOURCE = "edp"

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.02


def cause_failures(terminal: Terminal, engine: DeployedEngine) -> None:
    """Cause several kinds of failures, and a source that differs from its deployment.

    Raises:
        LocalError: A job did not fail as expected.
    """
    deployment = find_deployment(connect(), engine.stack_name)
    terminal.write()
    with step(terminal, "Upload a slide, a large job, and stop its execution") as running:
        engine.upload(SLIDE)
        engine.send_message(SLIDE_MESSAGE)
        _stop_running_execution(deployment)
        running.note(engine.wait_for_dead_letter(SLIDE_MESSAGE).code)
    with step(terminal, "Send a message with two mistakes") as running:
        engine.send_message(INVALID_MESSAGE)
        running.note(engine.wait_for_dead_letter(INVALID_MESSAGE).code)
    with step(terminal, f"Turn the source {DISABLED_SOURCE} off"):
        set_enabled(deployment, DISABLED_SOURCE, enabled=False)


def _stop_running_execution(deployment: Deployment) -> None:
    states = boto3.client("stepfunctions")
    machine = deployment.state_machine_arn or ""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = states.list_executions(stateMachineArn=machine, statusFilter="RUNNING")
        for execution in found["executions"]:
            states.stop_execution(executionArn=execution["executionArn"])
            return
        time.sleep(POLL_SECONDS)
    raise LocalError(
        "The state machine started no large job.",
        why=f"Waited {WAIT_SECONDS:.0f} s for an execution.",
        remedy="This is a bug. Please report it.",
    )
