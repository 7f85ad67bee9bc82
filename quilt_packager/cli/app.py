"""The commands, and how each ends: one exit code, and one form for every error."""

import importlib.metadata
from collections.abc import Sequence
from typing import Annotated

import typer

from quilt_packager.cli.commands import backfill, failures, jobs, sources
from quilt_packager.cli.commands.admin import admin
from quilt_packager.cli.commands.demo import demo
from quilt_packager.cli.commands.diff import diff
from quilt_packager.cli.commands.package import package
from quilt_packager.cli.commands.plan import plan
from quilt_packager.cli.commands.send import send
from quilt_packager.cli.commands.status import status
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

COMMANDS: tuple[Command, ...] = (
    # Look: how is it, and what happened?
    status,
    jobs.app,
    admin,
    # Act: on what happened, and on what will.
    failures.app,
    sources.app,
    # Ask for packages.
    plan,
    send,
    package,
    backfill.app,
    # Look at packages.
    diff,
    # Try it.
    demo,
)
"""All commands, in the order in which they are listed. Slow imports belong into their functions."""

HELP = "\n".join(
    [
        "Make folders in S3 Quilt packages.",
        "",
        "Examples:",
        *(first_example(help_of(each)) for each in COMMANDS),
    ]
)

app = typer.Typer(
    name=PROGRAM,
    # Markup would read the brackets of our text, and needs Rich for every --help.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
register(app, COMMANDS)


def write_version(wanted: bool) -> None:
    """Write the version and end, where it is asked for."""
    if wanted:
        Terminal().write(importlib.metadata.version(PROGRAM))
        raise typer.Exit


@app.callback(help=keep_examples(HELP))
def take_options(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Write the version.", callback=write_version, is_eager=True),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of an unexpected error.")
    ] = False,
) -> None:
    """Take the options that stand before a command; `run` looks for --debug itself."""


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
    try:
        # Typer hands through what a command returns, and what it raises.
        code: int | None = app(list(arguments), prog_name=PROGRAM, standalone_mode=False)
    except Exception as error:
        if "--debug" in arguments:
            raise
        told = report_error(error)
        write_error(told, as_json="--json" in arguments)
        return told.exit_code
    if code == Exit.INTERRUPTED:
        Terminal().hint("Interrupted.")
    return Exit.OK if code is None else code


def write_error(told: ErrorReport, *, as_json: bool) -> None:
    """Write what ended a command to stderr.

    Args:
        told: The error in words.
        as_json: Write it for a program.
    """
    terminal = Terminal()
    if as_json:
        terminal.json_error({"code": told.code, "reason": told.reason, "remedy": told.remedy})
    else:
        terminal.error(told.happened, why=told.why, remedy=told.remedy, log=told.log)
