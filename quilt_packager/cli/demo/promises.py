"""Scenes of the demo: what a package promises about its files."""

from collections.abc import Collection

from quilt_packager_runtime.formats.outcome import Result

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.demo.showing import show_package
from quilt_packager.cli.demo.steps import step
from quilt_packager.local import samples
from quilt_packager.local.engine import BUCKET, DeadLetter, DeployedEngine, LoggedOutcome
from quilt_packager.local.ministack import ACCOUNT, REGION
from quilt_packager.local.reading import add_object, read_packages
from quilt_packager.local.samples import SampleFolder

PREFIXES = ("sequencing/", "genomes/")

RUN = samples.sequencing_run("sequencing/run-0042/")
RUN_NAME = "genomes/run-0042"
RUN_MESSAGE = {
    "source_prefix": f"s3://{BUCKET}/{RUN.prefix}",
    "package_name": RUN_NAME,
    "require": ["checksum_lists"],
    "verify_checksums": [samples.CHECKSUM_LIST],
}

LATE_RUN = samples.listed_health_omics_run("omics/3395668/", bucket=BUCKET)
LATE_FILE = "out/variants/NA12878.vcf.tbi"
LATE_NAME = "omics/3395668"
SOURCE_OPTIONS = {
    "omics": {"require": ["healthomics_outputs"], "require_timeout_seconds": 8},
}
"""Value of the flag `quilt:source_options`. A job looks once more, at the end of the timeout."""

DAMAGED_PLATE = samples.with_checksum_list(
    samples.plate("plates/plate-0099/"), damaged="raw/scan_01.tiff"
)
DAMAGED_MESSAGE = {
    "source_prefix": f"s3://{BUCKET}/{DAMAGED_PLATE.prefix}",
    "verify_checksums": [samples.CHECKSUM_LIST],
}

README = "README.md"
NOTES = SampleFolder(
    f"{RUN_NAME}/", {README: b"# Run 42\n\nLane 1 only: see the notebook of Josiah Carberry.\n"}
)
LONGER_RUN = samples.sequencing_run(RUN.prefix, samples=3)
CARRY_MESSAGE = {**RUN_MESSAGE, "on_foreign_revision": "carry"}

EVENTS = 4
"""Number of outcomes of the scenes."""


def show_promises(terminal: Terminal, engine: DeployedEngine) -> None:
    """Show that packages are complete, verified, and keep the work of people.

    Raises:
        LocalError: A scene did not have the expected result.
    """
    revision = _package_complete_run(terminal, engine)
    _wait_for_late_file(terminal, engine)
    _reject_damaged_file(terminal, engine)
    _carry_readme(terminal, engine, revision)


def _package_complete_run(terminal: Terminal, engine: DeployedEngine) -> LoggedOutcome:
    terminal.write()
    with step(terminal, "Upload a sequencing run and its checksum list") as running:
        engine.upload(RUN)
        engine.send_message(RUN_MESSAGE)
        running.note(RUN.prefix)
    reason = "a message requested it, and all listed files are there"
    return _show_created(terminal, engine, RUN_NAME, reason)


def _wait_for_late_file(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    late = {path: data for path, data in LATE_RUN.files.items() if path == LATE_FILE}
    early = {path: data for path, data in LATE_RUN.files.items() if path not in late}
    with step(terminal, "Upload a run that is COMPLETED, but lacks a file") as running:
        engine.upload(SampleFolder(LATE_RUN.prefix, early))
        event = samples.health_omics_event(BUCKET, LATE_RUN.prefix, account=ACCOUNT, region=REGION)
        engine.send_event(event)
        reason = engine.wait_for_pause(LATE_RUN)
        running.note(LATE_RUN.prefix)
    terminal.fields([("waiting", reason)])
    with step(terminal, "Upload the file, and wait until the job looks again"):
        engine.upload(SampleFolder(LATE_RUN.prefix, late))
        engine.wait_for_outcomes([LATE_NAME], Result.CREATED)
    _show_created(terminal, engine, LATE_NAME, "the run is whole")


def _reject_damaged_file(terminal: Terminal, engine: DeployedEngine) -> None:
    terminal.write()
    with step(terminal, "Upload a plate with a damaged file") as running:
        engine.upload(DAMAGED_PLATE)
        engine.send_message(DAMAGED_MESSAGE)
        running.note(DAMAGED_PLATE.prefix)
        letter = engine.wait_for_dead_letter(DAMAGED_MESSAGE)
    _show_rejected(terminal, letter)


def _carry_readme(terminal: Terminal, engine: DeployedEngine, revision: LoggedOutcome) -> None:
    terminal.write()
    with step(terminal, "Add a README with quilt3, as a person does") as running:
        engine.upload(NOTES)
        uri = f"s3://{BUCKET}/{NOTES.prefix}{README}"
        add_object(BUCKET, RUN_NAME, README, uri, home=engine.directory / "quilt3")
        running.note(RUN_NAME)
    with step(terminal, "Upload the reads of another sample, and send the run again"):
        engine.upload(LONGER_RUN)
        engine.send_message(CARRY_MESSAGE)
    reason = f"the run has more files, and a person has added {README}"
    _show_created(terminal, engine, RUN_NAME, reason, known=[revision.top_hash])


def _show_created(
    terminal: Terminal,
    engine: DeployedEngine,
    name: str,
    reason: str,
    *,
    known: Collection[str | None] = (),
) -> LoggedOutcome:
    with step(terminal, "Open and verify the package with quilt3"):
        (outcome,) = engine.wait_for_outcomes([name], Result.CREATED, known=known)
        (package,) = read_packages(BUCKET, [name], engine.directory / "quilt3")
    show_package(terminal, outcome, package, reason=reason)
    return outcome


def _show_rejected(terminal: Terminal, letter: DeadLetter) -> None:
    terminal.outcome(Result.REJECTED, letter.code)
    terminal.fields([("message", letter.body), ("reason", letter.reason)])
