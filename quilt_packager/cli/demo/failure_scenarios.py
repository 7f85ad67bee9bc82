"""What goes wrong in a demo that is kept: so there is something to see and to do in each tab."""

import time

import boto3

from quilt_packager.cli.console.progress import step
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.local import samples
from quilt_packager.local.engine import BUCKET, DeployedEngine
from quilt_packager.local.errors import LocalError
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.sources.sources import set_enabled

SLIDE = samples.slide("microscope/slide-12/")

FLAGS = {"quilt:max_inline_objects": str(len(SLIDE.files) - 1)}
"""So that a slide is a large job already."""

SLIDE_MESSAGE = {"source_prefix": f"s3://{BUCKET}/{SLIDE.prefix}"}
WRONG_MESSAGE = {
    "source_prefix": f"s3://{BUCKET}/plates/plate-0094/",
    "registry": "Quilt Demo",
    "package_name": "plate 94",
}
"""Neither is its registry a bucket's name, nor is its package's name a prefix and a suffix."""

DISABLED_SOURCE = "edp"

WAIT_SECONDS = 120.0
POLL_SECONDS = 0.02


def let_things_go_wrong(terminal: Terminal, engine: DeployedEngine) -> None:
    """Make failures of several kinds, and an engine that is not as it was deployed.

    Args:
        terminal: Where to tell it.
        engine: The engine, deployed with `FLAGS`.

    Raises:
        LocalError: Something that should have failed did not.
    """
    deployment = find_deployment(connect(), engine.stack_name)
    terminal.write()
    with step(terminal, "Upload a slide, a large job, and stop its execution") as shown:
        engine.upload(SLIDE)
        engine.send_message(SLIDE_MESSAGE)
        _stop_running_execution(deployment)
        shown.note(engine.wait_for_dead_letter(SLIDE_MESSAGE).code)
    with step(terminal, "Send a message with two mistakes") as shown:
        engine.send_message(WRONG_MESSAGE)
        shown.note(engine.wait_for_dead_letter(WRONG_MESSAGE).code)
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
        "No large job was handed over to the state machine.",
        why=f"None ran within {WAIT_SECONDS:.0f} s.",
        remedy="Report it: it should not happen.",
    )
