"""The list of commands; exit codes and error output for all of them."""

import importlib.metadata
from collections.abc import Sequence
from typing import Annotated

import typer

from quilt_packager.cli.commands import backfill, failures, jobs, sources
from quilt_packager.cli.commands.admin import admin
from quilt_packager.cli.commands.check import check
from quilt_packager.cli.commands.demo import demo
from quilt_packager.cli.commands.diff import diff
from quilt_packager.cli.commands.discover import discover
from quilt_packager.cli.commands.explain import explain
from quilt_packager.cli.commands.lineage import lineage
from quilt_packager.cli.commands.package import package
from quilt_packager.cli.commands.packages import packages
from quilt_packager.cli.commands.plan import plan
from quilt_packager.cli.commands.promote import promote
from quilt_packager.cli.commands.send import send
from quilt_packager.cli.commands.show import show
from quilt_packager.cli.commands.status import status
from quilt_packager.cli.commands.verify import verify
from quilt_packager.cli.console.errors import ErrorReport, report_error
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.cli.console.typer_groups import (
    Command,
    first_example,
    help_of,
    keep_examples,
    register,
)

PROGRAM = "quilt-packager"

DEBUG = "--debug"

COMMANDS: tuple[Command, ...] = (
    # Show the engine and its jobs.
    status,
    check,
    explain,
    jobs.app,
    admin,
    # Change queues and event sources.
    failures.app,
    sources.app,
    # Request packages.
    discover,
    plan,
    send,
    package,
    backfill.app,
    # Show packages.
    packages,
    show,
    # Compare revisions, with each other and with what is there.
    diff,
    verify,
    lineage,
    # Publish revisions elsewhere.
    promote,
    # Try it out.
    demo,
)
"""All commands in the order of --help. Their functions contain their slow imports."""

HELP = "\n".join(
    [
        "Turn folders in S3 into Quilt packages.",
        "",
        "Examples:",
        *(first_example(help_of(each)) for each in COMMANDS),
    ]
)

app = typer.Typer(
    name=PROGRAM,
    # Markup would interpret brackets in help texts, and import Rich for every --help.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register(app, COMMANDS)


def write_version(wanted: bool) -> None:
    """Write the version and exit, if requested."""
    if wanted:
        Terminal().write(importlib.metadata.version(PROGRAM))
        raise typer.Exit


@app.callback(help=keep_examples(HELP))
def take_options(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=write_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option(DEBUG, help="Show the traceback of an error. Anywhere in the line.")
    ] = False,
) -> None:
    """Accept the options that precede a command. `run` reads --debug itself, anywhere."""


def run(arguments: Sequence[str]) -> int:
    """Run a command.

    Args:
        arguments: The command line without the program's name.

    Returns:
        The exit code, one of `Exit`.
    """
    if not arguments:
        app(["--help"], prog_name=PROGRAM, standalone_mode=False)
        return Exit.USAGE
    is_debugged = DEBUG in arguments
    arguments = [each for each in arguments if each != DEBUG]
    try:
        # Typer passes on the return value and the exceptions of a command.
        code: int | None = app(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except Exception as error:
        if is_debugged:
            raise
        report = report_error(error)
        write_error(report, as_json="--json" in arguments)
        return report.exit_code
    if code == Exit.INTERRUPTED:
        Terminal().hint("Interrupted.")
    return Exit.OK if code is None else code


def write_error(report: ErrorReport, *, as_json: bool) -> None:
    """Write the error that ended a command to stderr."""
    terminal = Terminal()
    if as_json:
        terminal.json_error({"code": report.code, "reason": report.reason, "remedy": report.remedy})
    else:
        terminal.error(report.happened, why=report.why, remedy=report.remedy, log=report.log)
