"""Help is complete, and quick."""

import os
import re
import subprocess
import sys

import pytest

from quilt_packager.cli import app
from quilt_packager.cli.console.typer_groups import name_of
from tests.cli.conftest import Cli

COMMANDS = [name_of(each) for each in app.COMMANDS]
WIDTH = 80
SLOW_TO_IMPORT = ["aws_cdk", "awscrt", "aws_lambda_powertools", "boto3", "botocore", "quilt3"]


def test_commands_are_listed_in_their_order(cli: Cli) -> None:
    listed = cli("--help").out.partition("Commands:")[2]
    assert re.findall(r"^  (\w+)", listed, re.MULTILINE) == COMMANDS


def test_the_help_shows_an_example_of_every_command(cli: Cli) -> None:
    example = "\n    quilt-packager {}"
    overview = cli("--help").out
    assert [each for each in COMMANDS if example.format(each) not in overview] == []
    helps = {each: cli(each, "--help").out for each in COMMANDS}
    assert [each for each in COMMANDS if example.format(each) not in helps[each]] == []


def test_every_option_has_a_description(cli: Cli) -> None:
    options = [
        (command, option)
        for command in COMMANDS
        for option in re.findall(
            r"^  -.*(?:\n {4,}.*)*", cli(command, "-h").out.partition("Options:")[2], re.MULTILINE
        )
    ]
    assert {command for command, _ in options} == set(COMMANDS)
    assert [each for each in options if not re.search(r"\S {2,}\S|\n {4,}\S", each[1])] == []


def test_descriptions_are_shown_in_full(cli: Cli) -> None:
    groups = [[], ["jobs"], ["failures"], ["sources"], ["backfill"]]
    lists = [cli(*each, "-h").out.partition("Commands:")[2] for each in groups]
    assert all(lists)
    assert [each for each in lists if "..." in each] == []


def test_every_help_fits_into_80_columns(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line for each in COMMANDS for line in cli(each, "--help").out.splitlines()]
    assert [line for line in lines if len(line) > WIDTH] == []


def test_the_help_imports_nothing_slow() -> None:
    code = (
        "import sys; from quilt_packager.cli.app import run; run(['package', '--help']);"
        f"print([name for name in {SLOW_TO_IMPORT} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("quilt-packager so", ["sources"]),
        ("quilt-packager sources ", ["enable", "disable"]),
        ("quilt-packager status --pro", ["--profile"]),
    ],
)
def test_a_shell_completes_commands_and_options(typed: str, completed: list[str]) -> None:
    words = typed.split(" ")
    environment = {
        "_QUILT_PACKAGER_COMPLETE": "complete_bash",
        "COMP_WORDS": "\n".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }
    ran = subprocess.run(
        [sys.executable, "-m", "quilt_packager.cli"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == completed


def test_without_arguments_the_help_is_shown_as_wrong_usage(cli: Cli) -> None:
    ran = cli()
    assert (ran.code, ran.out) == (3, cli("--help").out)


def test_the_version_is_shown(cli: Cli) -> None:
    ran = cli("--version")
    assert ran.code == 0
    assert re.fullmatch(r"\d+\.\d+\.\d+.*\n", ran.out)
