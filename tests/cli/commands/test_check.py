"""`quilt-packager check`, in the embedded AWS."""

import json

import pytest

from quilt_packager.cli.commands.check import exit_code
from quilt_packager.cli.console.exits import Exit
from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, Status, notice, ok, wrong
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.sources.sources import set_enabled
from tests.cli.conftest import Cli
from tests.embedded_aws import CreateStack
from tests.operations.event_rules import SOURCES


@pytest.fixture
def deployment(create_stack: CreateStack) -> Deployment:
    create_stack("lab", SOURCES)
    return find_deployment(connect(), "lab")


def test_lists_the_worst_first_with_a_remedy(cli: Cli, deployment: Deployment) -> None:
    set_enabled(deployment, "omics", enabled=False)
    ran = cli("check")
    assert (ran.code, ran.err) == (Exit.FAILED, "")
    assert ran.out.splitlines()[0] == "lab  us-east-1  123456789012"
    assert ran.out.splitlines()[2].startswith("✗ wrong  ")
    assert "  do: quilt-packager sources enable omics  aws: events-rule-state\n" in ran.out
    assert ran.out.splitlines()[-1].endswith(" right")


def test_findings_that_differ_in_their_subject_only_are_one_line(
    cli: Cli, deployment: Deployment
) -> None:
    (line,) = [line for line in cli("check").out.splitlines() if "The rule is enabled." in line]
    assert line.startswith("✓ ok  omics, edp, uploads and 2 more  The rule is enabled.")
    assert line.endswith(f"  aws: {Behaviour.EVENTS_RULE_STATE}")


def test_is_one_json_object(cli: Cli, deployment: Deployment) -> None:
    ran = cli("check", "--json")
    (line,) = ran.out.splitlines()
    result = json.loads(line)
    assert result["stack"] == "lab"
    assert sum(result["counts"].values()) == len(result["findings"])
    assert set(result["findings"][0]) == {*Finding.__struct_fields__}
    assert result["findings"][0]["status"] == "wrong"


def test_exit_codes() -> None:
    unread = Finding(subject="raw", status=Status.UNCONFIRMED, text="Unknown.", denied=True)
    assert exit_code([ok("raw", "Right."), notice("raw", "To know.")]) is Exit.OK
    assert exit_code([unread]) is Exit.ACCESS
    assert exit_code([unread, wrong("raw", "Wrong.", "Fix it.")]) is Exit.FAILED


def test_a_canary_needs_a_folder(cli: Cli) -> None:
    ran = cli("check", "--canary", "raw")
    assert (ran.code, ran.out) == (Exit.USAGE, "")
    assert "Invalid folder: raw" in ran.err


def test_a_canary_is_reported_with_the_other_findings(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    flown: list[str] = []

    def fly(_deployment: object, below: object, *_: object, **__: object) -> list[Finding]:
        flown.append(str(below))
        return [ok("message", "A message led to a package."), wrong("edp", "No job.", "Explain.")]

    monkeypatch.setattr("quilt_packager.operations.checks.canary.run_canary", fly)
    findings = json.loads(cli("check", "--canary", "s3://raw/a", "--json").out)["findings"]
    assert flown == ["s3://raw/a/"]
    order = [each["status"] for each in findings]
    assert order == sorted(order, key=[*Status].index)
    assert {"message", "edp"} <= {each["subject"] for each in findings}


def test_an_interrupted_canary_says_what_stays(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> list[Finding]:
        raise KeyboardInterrupt

    monkeypatch.setattr("quilt_packager.operations.checks.canary.run_canary", interrupt)
    ran = cli("check", "--canary", "s3://raw/a/")
    assert ran.code == Exit.INTERRUPTED
    assert "The files of the canary stay below s3://raw/a/." in ran.err
