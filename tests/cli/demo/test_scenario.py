"""The scenario of the demo: its output, and its waits for lines of the function's log."""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import pytest
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.formats.outcome import Result
from quilt_packager_runtime.reporting.outcome_events import OutcomeEvent

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.demo import promises, scenario
from quilt_packager.local import engine
from quilt_packager.local.engine import BUCKET, DeadLetter, DeployedEngine, LoggedOutcome
from quilt_packager.local.errors import LocalError
from quilt_packager.local.ministack import MiniStack
from quilt_packager.local.reading import ReadPackage
from quilt_packager.local.samples import SampleFolder
from quilt_packager.operations.audits import AuditedPackage
from quilt_packager.operations.checks.finding import wrong
from tests.embedded_aws import WriteLog
from tests.operations.job_lines import ago, failed, line, succeeded

H = "ab" * 32


@pytest.fixture
def demo(
    aws: MiniStack, write_log: WriteLog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> DeployedEngine:
    """An engine with the log of the stack `lab`, which it polls once."""
    monkeypatch.setattr(engine, "WAIT_SECONDS", 0.5)
    monkeypatch.setattr(engine, "POLL_SECONDS", 0.5)
    demo = DeployedEngine(aws, tmp_path)
    demo.stack_name = "lab"
    return demo


def test_outcomes_are_those_of_the_packages_in_their_order(
    demo: DeployedEngine, write_log: WriteLog
) -> None:
    write_log(*(succeeded(name, ago(), name=name) for name in ("a/1", "a/2", "a/3")))
    found = demo.wait_for_outcomes(["a/3", "a/1"], Result.CREATED)
    assert [each.package_name for each in found] == ["a/3", "a/1"]


def test_known_revisions_are_ignored(demo: DeployedEngine, write_log: WriteLog) -> None:
    for second, top_hash in enumerate(["new", "old"]):
        write_log(succeeded(top_hash, ago(seconds=second), name="a/1", top_hash=top_hash))
    (found,) = demo.wait_for_outcomes(["a/1"], Result.CREATED, known=["old"])
    assert found.top_hash == "new"


def test_attempts_that_will_be_retried_are_ignored(
    demo: DeployedEngine, write_log: WriteLog
) -> None:
    write_log(failed("a", ago(seconds=9), name="a/1", final=False))
    with pytest.raises(LocalError, match="waited"):
        demo.wait_for_outcomes(["a/1"], Result.CREATED)
    write_log(succeeded("a", ago(), name="a/1"))
    (found,) = demo.wait_for_outcomes(["a/1"], Result.CREATED)
    assert found.outcome is Result.CREATED


@pytest.mark.parametrize("result", ["failed", "rejected"])
def test_unexpected_result_is_an_error_at_once(
    demo: DeployedEngine, write_log: WriteLog, result: str
) -> None:
    write_log(failed("a", ago(), result, name="a/1", final=True))
    with pytest.raises(LocalError, match=rf"^a/1 was {result}: EmptySource\."):
        demo.wait_for_outcomes(["a/1"], Result.CREATED)


def test_missing_packages_are_named(demo: DeployedEngine, write_log: WriteLog) -> None:
    write_log(succeeded("a", ago(), name="a/1"))
    with pytest.raises(LocalError, match=r"waited for a/2, a/3 to be created\."):
        demo.wait_for_outcomes(["a/1", "a/2", "a/3"], Result.CREATED)


def test_wait_for_files_is_that_of_the_folder(demo: DeployedEngine, write_log: WriteLog) -> None:
    source = f"s3://{BUCKET}/runs/7/"
    for folder in (source, f"s3://{BUCKET}/runs/8/"):
        fields = {"source": folder, "seconds": 15, "happened": f"{folder} lacks a file."}
        write_log(line("files awaited", "a", ago(), execution="a", **fields))
    assert demo.wait_for_pause(SampleFolder("runs/7/", {})) == f"{source} lacks a file."


class InstantEngine(DeployedEngine):
    """An engine that meets every expectation at once."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.stack_name = "lab"

    def subscribe(self) -> None:
        """Nothing."""

    def upload(self, folder: SampleFolder) -> None:
        """Nothing."""

    def send_event(self, entry: Mapping[str, object]) -> None:
        """Nothing."""

    def send_message(self, message: Mapping[str, object]) -> None:
        """Nothing."""

    def wait_for_outcomes(
        self, names: Sequence[str], result: Result, *, known: Collection[str | None] = ()
    ) -> list[LoggedOutcome]:
        return [
            LoggedOutcome(
                outcome=result,
                package_name=name,
                registry=BUCKET,
                seconds=1,
                top_hash=H,
                input_packages=(f"quilt+s3://{BUCKET}#package={scenario.INPUT_NAME}@{H}",),
            )
            for name in names
        ]

    def wait_for_dead_letter(self, message: Mapping[str, object]) -> DeadLetter:
        return DeadLetter(json.dumps(message), "EmptySource", "It is empty.")

    def wait_for_pause(self, folder: SampleFolder) -> str:
        return "It lacks a file."

    def wait_for_events(self, count: int) -> list[OutcomeEvent]:
        return []

    def delete_version(self, folder: SampleFolder, path: str) -> None:
        """Nothing."""

    def newest_version(self, folder: SampleFolder, path: str) -> S3Uri:
        return S3Uri(BUCKET, folder.prefix + path, "v1")

    def audit(self) -> list[AuditedPackage]:
        return [AuditedPackage(BUCKET, scenario.DAMAGED_NAME, ago(), ago(), 0, ())]


def test_steps_fit_a_terminal_of_80_columns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read(registry: str, names: Sequence[str], home: Path) -> list[ReadPackage]:
        return [ReadPackage(name, H, None, [], verified=True) for name in names]

    monkeypatch.setattr(scenario, "read_packages", read)
    monkeypatch.setattr(promises, "read_packages", read)
    monkeypatch.setattr(promises, "add_object", lambda *_, home: None)
    monkeypatch.setattr(scenario, "find_deployment", lambda *_: None)
    monkeypatch.setattr(scenario, "check", lambda _: [])
    scenario.run_scenario(Terminal(), InstantEngine(tmp_path))
    steps = re.findall(r"^(✓.*  )\d+\.\d s$", capsys.readouterr().out, re.MULTILINE)
    assert len(steps) == 24
    assert [step for step in steps if len(step + "59.9 s") > 80] == []


def test_a_problem_of_the_engine_ends_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scenario, "show_promises", lambda *_: None)
    monkeypatch.setattr(scenario, "read_packages", lambda *_: [])
    monkeypatch.setattr(scenario, "PACKAGES", {})
    monkeypatch.setattr(scenario, "find_deployment", lambda *_: None)
    monkeypatch.setattr(scenario, "check", lambda _: [wrong("raw", "It is gone.", "Create it.")])
    with pytest.raises(LocalError, match=r"^raw: It is gone\."):
        scenario.run_scenario(Terminal(), InstantEngine(tmp_path))
