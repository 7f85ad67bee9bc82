"""Event sources, listed and switched, in the embedded AWS."""

import json
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest

from quilt_packager.cli.commands.sources import complete_name
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations.deployment.deployments import Deployment, connect, find_deployment
from quilt_packager.operations.sources.sources import find_source, set_enabled
from tests.cli.conftest import Cli
from tests.cli.log import log_job
from tests.cli.terminals import piped
from tests.embedded_aws import CreateStack
from tests.operations.event_rules import SOURCES

KEEP = (
    "EDP is off until a deployment changes its rule. To keep it off:\n"
    '  "quilt:edp": "" in the context of cdk.json\n'
)


@pytest.fixture
def deployment(create_stack: CreateStack) -> Deployment:
    create_stack("lab", SOURCES)
    return find_deployment(connect(), "lab")


def is_on(deployment: Deployment, name: str) -> bool:
    return find_source(deployment, name).enabled


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    """Answer all questions, and return them."""
    questions: list[str] = []

    def ask(_: Terminal, question: str) -> str:
        questions.append(question)
        return text

    monkeypatch.setattr(Terminal, "ask", ask)
    return questions


def test_lists_sources_with_their_state_and_what_they_match(
    cli: Cli, deployment: Deployment
) -> None:
    ran = cli("sources")
    assert (ran.code, ran.err) == (0, "")
    heading, omics, wrroc, *_ = ran.out.splitlines()
    assert heading.split() == ["NAME", "SOURCE", "NOW", "DEPLOYED", "24", "H", "FAILED"]
    assert omics.split()[:5] == ["omics", "HealthOmics", "runs", "on", "on"]
    assert wrroc.split()[:5] == ["wrroc", "Nextflow", "runs", "off", "off"]
    assert omics.endswith("A HealthOmics run reaches COMPLETED or FAILED.")


def test_counts_the_jobs_of_the_last_day(cli: Cli, deployment: Deployment) -> None:
    now = datetime.now(UTC)
    for number in range(3):
        outcome = "created" if number else "rejected"
        log_job(deployment, f"job-{number}", now, outcome, trigger="health_omics")
    omics = cli("sources").out.splitlines()[1]
    assert omics.split()[5:7] == ["3", "1"]


def test_shows_differences_from_the_deployment(cli: Cli, deployment: Deployment) -> None:
    set_enabled(deployment, "edp", enabled=False)
    ran = cli("sources")
    assert ran.err == KEEP
    assert ran.out.splitlines()[3].split()[:5] == ["edp", "EDP", "off", "on", "differs"]


def test_json_is_one_object_per_line(cli: Cli, deployment: Deployment) -> None:
    ran = cli("sources", "--json")
    first, *_ = map(json.loads, ran.out.splitlines())
    assert len(ran.out.splitlines()) == 5
    assert (first["name"], first["enabled"], first["differs"]) == ("omics", True, False)
    assert first["jobs"] == 0


def test_an_engine_without_named_sources_has_a_hint(cli: Cli, create_stack: CreateStack) -> None:
    create_stack("lab")
    ran = cli("sources")
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == "lab has no named event source.\n"


def test_turns_a_source_off_and_on(cli: Cli, deployment: Deployment) -> None:
    off = cli("sources", "disable", "edp", "--yes")
    assert (off.code, off.out) == (0, "EDP is off (it was on, and is deployed on).\n")
    assert off.err.endswith(f"backfill can find them later.\n{KEEP}")
    assert not is_on(deployment, "edp")
    on = cli("sources", "enable", "edp")
    assert (on.code, on.err) == (0, "")
    assert on.out == "EDP is on (it was off, and is deployed on).\n"
    assert is_on(deployment, "edp")


def test_a_switch_writes_the_source_as_json(cli: Cli, deployment: Deployment) -> None:
    result = json.loads(cli("sources", "disable", "edp", "--yes", "--json").out)
    assert (result["enabled"], result["differs"], result["keep"]) == (
        False,
        True,
        '"quilt:edp": "" in the context of cdk.json',
    )


def test_asks_before_it_turns_a_source_off(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    questions = answer(monkeypatch, "y")
    assert cli("sources", "disable", "uploads").code == 0
    (question,) = questions
    assert question.startswith("Turn off Uploads? Events that arrive while it is off are not kept")
    assert question.endswith(" [y/N]")
    assert not is_on(deployment, "uploads")


def test_a_declined_switch_changes_nothing(
    cli: Cli, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer(monkeypatch, "")
    ran = cli("sources", "disable", "uploads")
    assert (ran.code, ran.out, ran.err) == (0, "Uploads stays on.\n", "")
    assert is_on(deployment, "uploads")


def test_without_a_terminal_disable_needs_yes(cli: Cli, deployment: Deployment) -> None:
    ran = cli("sources", "disable", "uploads")
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.endswith("  do   Add --yes.\n")
    assert is_on(deployment, "uploads")


def test_a_switch_without_effect_asks_nothing(cli: Cli, deployment: Deployment) -> None:
    assert cli("sources", "disable", "wrroc").out == "Nextflow runs is already off.\n"
    assert cli("sources", "enable", "omics").out == "HealthOmics runs is already on.\n"


def test_an_unknown_source_is_wrong_usage(cli: Cli, deployment: Deployment) -> None:
    ran = cli("sources", "enable", "emics")
    assert (ran.code, ran.out) == (3, "")
    assert "It has omics, wrroc, edp, uploads, lims." in ran.err


def test_options_before_the_command_are_rejected(cli: Cli, deployment: Deployment) -> None:
    ran = cli("sources", "--stack", "lab", "disable", "edp", "--yes")
    assert ran.code == 3
    assert "sources disable go after it" in ran.err
    assert is_on(deployment, "edp")


def test_the_engine_can_be_named(
    cli: Cli, deployment: Deployment, create_stack: CreateStack
) -> None:
    create_stack("other")
    assert cli("sources", "enable", "edp").code == 3
    assert cli("sources", "enable", "edp", "--stack", "lab").code == 0


@pytest.mark.parametrize(
    ("typed", "names"), [("", ["omics", "wrroc", "edp", "uploads", "lims"]), ("e", ["edp"])]
)
def test_a_shell_completes_names(deployment: Deployment, typed: str, names: list[str]) -> None:
    words = ["quilt-packager", "sources", "disable", "--stack", "lab", typed]
    environment = {
        "_QUILT_PACKAGER_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    assert piped("from quilt_packager.cli import main; main()", **environment).split() == names


@pytest.mark.usefixtures("aws")
def test_without_an_engine_a_shell_completes_nothing() -> None:
    context: Any = SimpleNamespace(params={})
    assert complete_name(context, "") == []
