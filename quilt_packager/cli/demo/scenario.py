"""What happens in the demo once the app is deployed, and how it is told."""

import json

from quilt_packager_runtime.formats.outcome import Result

from quilt_packager.cli.console.outcomes import write_success
from quilt_packager.cli.console.progress import step
from quilt_packager.cli.console.tables import Column
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.local import samples
from quilt_packager.local.engine import (
    BUCKET,
    EDP_BUS,
    DeployedEngine,
    LoggedOutcome,
)
from quilt_packager.local.errors import LocalError
from quilt_packager.local.ministack import ACCOUNT, REGION
from quilt_packager.local.reading import ReadPackage, read_packages
from quilt_packager.operations import formats

NEXTFLOW_RUN = samples.nextflow_run("nextflow/rnaseq-7/")
HEALTH_OMICS_RUN = samples.health_omics_run("omics/3395667/")
PLATE = samples.plate("plates/plate-0093/")
ASSAY = samples.plate("elisa/2026-11-20/")
CYTOMETER_PREFIX = "cytometer/"
CYTOMETER_RUNS = (
    samples.cytometer_run(f"{CYTOMETER_PREFIX}run-0041/", seed=41),
    samples.cytometer_run(f"{CYTOMETER_PREFIX}run-0042/", seed=42),
)
IGNORED_PREFIXES = ("nextflow/", "omics/", "plates/", "elisa/", "microscope/")
"""Where others announce what is complete: it is not announced once more."""

UPLOADS = {
    "buckets": [BUCKET],
    "threshold_event_count": 20,
    "prefix_depth": 2,
    "ignore_prefixes": IGNORED_PREFIXES,
}
"""How uploads are packaged that have come to rest: the flag `quilt:uploads`."""

MESSAGE_NAME = "assays/elisa-7"
MESSAGE = {
    "source_prefix": f"s3://{BUCKET}/{ASSAY.prefix}",
    "package_name": MESSAGE_NAME,
    "metadata": {"assay": "ELISA", "operator": "grace"},
    "commit_message": "First plate of the week",
}
VAIN_MESSAGE = {"source_prefix": f"s3://{BUCKET}/not/uploaded/yet/"}

PACKAGES = {
    "nextflow/rnaseq-7": "its RO-Crate arrived in the bucket",
    "omics/3395667": "HealthOmics said that the run is complete",
    "plates/plate-0093": "EDP said that the folder is complete",
    "cytometer/run-0041": "20 uploads to the folder were enough",
    "cytometer/run-0042": "20 uploads to the folder were enough",
    MESSAGE_NAME: "a message asked for it",
}
"""The packages that appear, and why."""

HASH_CHARACTERS = 12


def tell(terminal: Terminal, engine: DeployedEngine) -> None:
    """Let data arrive, and show the packages that come of it.

    Args:
        terminal: Where to tell it.
        engine: The deployed engine.

    Raises:
        LocalError: Something that should have happened did not.
    """
    with step(terminal, "Listen to the outcomes on EventBridge"):
        engine.listen()
    let_data_arrive(terminal, engine)
    names = list(PACKAGES)
    with step(terminal, "Wait for the packages"):
        outcomes = engine.wait_for_outcomes(names, Result.CREATED)
    with step(terminal, "Open and verify them with quilt3"):
        packages = read_packages(BUCKET, names, engine.directory / "quilt3")
    for outcome, package in zip(outcomes, packages, strict=True):
        _show_package(terminal, outcome, package)
    _send_again(terminal, engine)
    _send_in_vain(terminal, engine)
    _show_events(terminal, engine)


def let_data_arrive(terminal: Terminal, engine: DeployedEngine) -> None:
    """Upload folders, and announce those that do not announce themselves.

    Args:
        terminal: Where to tell it.
        engine: The deployed engine.
    """
    with step(terminal, "Upload a Nextflow run, its RO-Crate last") as shown:
        engine.upload(NEXTFLOW_RUN)
        shown.note(NEXTFLOW_RUN.prefix)
    with step(terminal, "Upload a HealthOmics run, and send its event") as shown:
        engine.upload(HEALTH_OMICS_RUN)
        engine.send_event(
            samples.health_omics_event(
                BUCKET, HEALTH_OMICS_RUN.prefix, account=ACCOUNT, region=REGION
            )
        )
        shown.note(HEALTH_OMICS_RUN.prefix)
    with step(terminal, "Upload a plate, and send EDP's event") as shown:
        engine.upload(PLATE)
        engine.send_event(samples.objects_ready_event(BUCKET, PLATE.prefix, bus=EDP_BUS))
        shown.note(PLATE.prefix)
    with step(terminal, "Upload two cytometer runs, and say nothing") as shown:
        for run in CYTOMETER_RUNS:
            engine.upload(run)
        shown.note(CYTOMETER_PREFIX)
    with step(terminal, "Upload an assay, and send a message") as shown:
        engine.upload(ASSAY)
        engine.send_message(MESSAGE)
        shown.note(ASSAY.prefix)


def _show_package(terminal: Terminal, outcome: LoggedOutcome, package: ReadPackage) -> None:
    if not package.verified or package.top_hash != outcome.top_hash:
        raise LocalError(
            f"quilt3 does not accept the package {package.name}.",
            why="Its files, or its top hash, are not what the package says.",
            remedy="Report it: it should not happen.",
        )
    terminal.write()
    write_success(terminal, outcome, seconds=outcome.seconds)
    metadata = [("metadata", json.dumps(package.metadata))] if package.metadata else []
    terminal.fields(
        [
            ("because", PACKAGES[package.name]),
            *metadata,
            ("quilt3", "opened it, and verified the top hash and every byte"),
        ]
    )
    terminal.table(
        ["LOGICAL KEY", Column("SIZE", right=True), "HASH"],
        [
            (key, formats.size(size_bytes), terminal.shorten(value, HASH_CHARACTERS))
            for key, size_bytes, value in package.entries
        ],
        indent="  ",
    )


def _send_again(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Send the message again"):
        engine.send_message(MESSAGE)
        (outcome,) = engine.wait_for_outcomes([MESSAGE_NAME], Result.UNCHANGED)
    write_success(terminal, outcome, seconds=outcome.seconds)


def _send_in_vain(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Send a message for a missing folder") as shown:
        engine.send_message(VAIN_MESSAGE)
        letter = engine.wait_for_dead_letter(VAIN_MESSAGE)
        shown.note("now in the dead-letter queue")
    terminal.outcome(Result.REJECTED, letter.code)
    terminal.fields([("message", letter.body), ("reason", letter.reason)])


def _show_events(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Hear the outcomes on EventBridge"):
        # One of each package, of the message sent again, and of the one in vain.
        events = engine.wait_for_events(len(PACKAGES) + 2)
    terminal.table(
        ["EVENT", "PACKAGE"],
        [(event.detail_type, event.detail.package_name or "") for event in events],
        indent="  ",
    )
