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
    assert "  do         quilt-packager sources enable omics\n" in ran.out
    assert ran.out.splitlines()[-1].endswith(" right")


def test_each_line_names_the_behaviour_of_aws(cli: Cli, deployment: Deployment) -> None:
    lines = [line for line in cli("check").out.splitlines() if " is enabled." in line]
    assert lines
    assert all(line.endswith(f"  {Behaviour.EVENTS_RULE_STATE}") for line in lines)


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
