"""The scenario of the demo, from the deployed app to its packages and events."""

import json

from quilt_packager_runtime.formats.outcome import Result

from quilt_packager.cli.console.outcomes import write_success
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.demo import promises
from quilt_packager.cli.demo.promises import show_promises
from quilt_packager.cli.demo.showing import show_package
from quilt_packager.cli.demo.steps import step
from quilt_packager.local import samples
from quilt_packager.local.engine import BUCKET, EDP_BUS, DeployedEngine
from quilt_packager.local.errors import LocalError
from quilt_packager.local.ministack import ACCOUNT, REGION
from quilt_packager.local.reading import read_packages
from quilt_packager.operations.checks.check import check
from quilt_packager.operations.checks.finding import Status
from quilt_packager.operations.checks.summary import describe_counts
from quilt_packager.operations.deployment.deployments import connect, find_deployment

NEXTFLOW_RUN = samples.nextflow_run("nextflow/rnaseq-7/")
HEALTH_OMICS_RUN = samples.health_omics_run("omics/3395667/")
PLATE = samples.plate("plates/plate-0093/")
ASSAY = samples.plate("elisa/2026-11-20/")
CYTOMETER_PREFIX = "cytometer/"
CYTOMETER_RUNS = (
    samples.cytometer_run(f"{CYTOMETER_PREFIX}run-0041/", seed=41),
    samples.cytometer_run(f"{CYTOMETER_PREFIX}run-0042/", seed=42),
)
IGNORED_PREFIXES = (
    "nextflow/",
    "omics/",
    "plates/",
    "elisa/",
    "reports/",
    "microscope/",
    *promises.PREFIXES,
)
"""Folders with their own events, which uploads must not package a second time."""

UPLOADS = {
    "buckets": [BUCKET],
    "threshold_event_count": 20,
    "prefix_depth": 2,
    "ignore_prefixes": IGNORED_PREFIXES,
}
"""Value of the flag `quilt:uploads`."""

FLAGS = {
    "quilt:audit": "rate(7 days)",
    "quilt:lineage": "true",
    "quilt:uploads": json.dumps(UPLOADS),
    "quilt:source_options": json.dumps(promises.SOURCE_OPTIONS),
}

MESSAGE_NAME = "assays/elisa-7"
MESSAGE = {
    "source_prefix": f"s3://{BUCKET}/{ASSAY.prefix}",
    "package_name": MESSAGE_NAME,
    "metadata": {"assay": "ELISA", "operator": "grace"},
    "commit_message": "First plate of the week",
}
INPUT_NAME = "nextflow/rnaseq-7"
INPUT_FILE = "star/SAMPLE1_PE.bam"
REPORT_NAME = "reports/rnaseq-7"
REPORT = samples.plate("reports/rnaseq-7/")
DAMAGED_NAME = "assays/elisa-8"
DAMAGED = samples.plate("elisa/2026-11-27/")
DAMAGED_FILE = next(iter(DAMAGED.files))
EMPTY_FOLDER_MESSAGE = {"source_prefix": f"s3://{BUCKET}/not/uploaded/yet/"}

PACKAGES = {
    "nextflow/rnaseq-7": "its RO-Crate was uploaded",
    "omics/3395667": "HealthOmics sent an event for the completed run",
    "plates/plate-0093": "EDP sent an event for the complete folder",
    "cytometer/run-0041": "the folder reached 20 uploads",
    "cytometer/run-0042": "the folder reached 20 uploads",
    MESSAGE_NAME: "a message requested it",
}
"""Expected packages, and their triggers."""


def run_scenario(terminal: Terminal, engine: DeployedEngine) -> None:
    """Deliver data, and show the packages and events that result.

    Raises:
        LocalError: A step did not have the expected result.
    """
    with step(terminal, "Subscribe to outcomes on EventBridge"):
        engine.subscribe()
    show_promises(terminal, engine)
    terminal.write()
    deliver_data(terminal, engine)
    names = list(PACKAGES)
    with step(terminal, "Wait for the packages"):
        outcomes = engine.wait_for_outcomes(names, Result.CREATED)
    with step(terminal, "Open and verify them with quilt3"):
        packages = read_packages(BUCKET, names, engine.directory / "quilt3")
    for outcome, package in zip(outcomes, packages, strict=True):
        show_package(terminal, outcome, package, reason=PACKAGES[package.name])
    _send_again(terminal, engine)
    _send_for_empty_folder(terminal, engine)
    _show_events(terminal, engine)
    _check(terminal, engine)
    _name_input(terminal, engine)
    _audit(terminal, engine)


def deliver_data(terminal: Terminal, engine: DeployedEngine) -> None:
    """Upload folders, and send the events and the message for those that need one."""
    with step(terminal, "Upload a Nextflow run, its RO-Crate last") as running:
        engine.upload(NEXTFLOW_RUN)
        running.note(NEXTFLOW_RUN.prefix)
    with step(terminal, "Upload a HealthOmics run, and send its event") as running:
        engine.upload(HEALTH_OMICS_RUN)
        engine.send_event(
            samples.health_omics_event(
                BUCKET, HEALTH_OMICS_RUN.prefix, account=ACCOUNT, region=REGION
            )
        )
        running.note(HEALTH_OMICS_RUN.prefix)
    with step(terminal, "Upload a plate, and send EDP's event") as running:
        engine.upload(PLATE)
        engine.send_event(samples.objects_ready_event(BUCKET, PLATE.prefix, bus=EDP_BUS))
        running.note(PLATE.prefix)
    with step(terminal, "Upload two cytometer runs without an event") as running:
        for run in CYTOMETER_RUNS:
            engine.upload(run)
        running.note(CYTOMETER_PREFIX)
    with step(terminal, "Upload an assay, and send a message") as running:
        engine.upload(ASSAY)
        engine.send_message(MESSAGE)
        running.note(ASSAY.prefix)


def _send_again(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Send the message again"):
        engine.send_message(MESSAGE)
        (outcome,) = engine.wait_for_outcomes([MESSAGE_NAME], Result.UNCHANGED)
    write_success(terminal, outcome, seconds=outcome.seconds)


def _send_for_empty_folder(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Send a message for an empty folder") as running:
        engine.send_message(EMPTY_FOLDER_MESSAGE)
        letter = engine.wait_for_dead_letter(EMPTY_FOLDER_MESSAGE)
        running.note("moved to the dead-letter queue")
    terminal.outcome(Result.REJECTED, letter.code)
    terminal.fields([("message", letter.body), ("reason", letter.reason)])


def _show_events(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Receive the outcomes from EventBridge"):
        # One for each package, one for the repeated message, one for the empty folder.
        events = engine.wait_for_events(promises.EVENTS + len(PACKAGES) + 2)
    terminal.table(
        ["EVENT", "PACKAGE"],
        [(event.detail_type, event.detail.package_name or "") for event in events],
        indent="  ",
    )


def _check(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Check the engine") as running:
        found = check(find_deployment(connect(), engine.stack_name))
        running.note(describe_counts(found))
    wrong = next((each for each in found if each.status is Status.WRONG), None)
    if wrong is not None:
        raise LocalError(
            f"{wrong.subject}: {wrong.text}",
            why="The engine of the demo should have no problem.",
            remedy="This is a bug. Please report it.",
        )


def send_report(engine: DeployedEngine) -> None:
    """Upload a folder, and send a message that names a file of the Nextflow run as its input."""
    engine.upload(REPORT)
    read = engine.newest_version(NEXTFLOW_RUN, INPUT_FILE)
    folder = f"s3://{BUCKET}/{REPORT.prefix}"
    metadata = {"input_uris": [str(read)]}
    engine.send_message(
        {"source_prefix": folder, "package_name": REPORT_NAME, "metadata": metadata}
    )


def send_damaged(engine: DeployedEngine) -> None:
    """Upload the folder whose package will be damaged, and send its message."""
    engine.upload(DAMAGED)
    folder = f"s3://{BUCKET}/{DAMAGED.prefix}"
    engine.send_message({"source_prefix": folder, "package_name": DAMAGED_NAME})


def _name_input(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Package a report of the Nextflow run, which names its input"):
        send_report(engine)
        (outcome,) = engine.wait_for_outcomes([REPORT_NAME], Result.CREATED)
    write_success(terminal, outcome, seconds=outcome.seconds)
    if not outcome.input_packages:
        raise LocalError(
            f"{REPORT_NAME} does not name the package of its input.",
            why=f"{INPUT_NAME} holds that version of {INPUT_FILE}.",
            remedy="This is a bug. Please report it.",
        )


def _audit(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Package an assay, and delete a version of a file") as running:
        send_damaged(engine)
        engine.wait_for_outcomes([DAMAGED_NAME], Result.CREATED)
        engine.delete_version(DAMAGED, DAMAGED_FILE)
        running.note(DAMAGED_FILE)
    with step(terminal, "Audit all packages"):
        [found] = engine.audit()
    for each in found.findings:
        terminal.finding(
            Status.WRONG,
            f"{found.package_name}  {each.code}",
            each.happened,
            remedy=each.remedy,
            note="",
        )
