"""The commands, and how each ends: one exit code, and one form for every error."""

import importlib.metadata
import inspect
from collections.abc import Sequence
from typing import Annotated

import typer

from quilt_packager.cli import backfill
from quilt_packager.cli.demo import demo
from quilt_packager.cli.errors import Told, tell
from quilt_packager.cli.exits import Exit
from quilt_packager.cli.package import package
from quilt_packager.cli.send import send
from quilt_packager.cli.terminal import Terminal

PROGRAM = "quilt-packager"

HELP = """Make folders in S3 Quilt packages.

Examples:
  quilt-packager demo
  quilt-packager package s3://raw/runs/42/
  quilt-packager send s3://raw/runs/42/ --queue-url "$PACKAGER_QUEUE_URL"
  quilt-packager backfill s3 s3://raw/runs/ --queue-url "$PACKAGER_QUEUE_URL" --dry-run
"""

app = typer.Typer(
    name=PROGRAM,
    add_completion=False,
    # Markup would read the brackets of our text, and needs Rich for every --help.
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def keep_examples(text: str) -> str:
    """Mark the examples of a help text: Typer leaves alone what follows a backspace.

    Args:
        text: The help, which ends in its examples.
    """
    return inspect.cleandoc(text).replace("\nExamples:", "\n\b\nExamples:")


for command in (package, send, demo):
    app.command(help=keep_examples(command.__doc__ or ""))(command)


app.add_typer(backfill.app, help=keep_examples(backfill.HELP))


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
        told = tell(error)
        write_error(told, as_json="--json" in arguments)
        return told.exit_code
    if code == Exit.INTERRUPTED:
        Terminal().hint("Interrupted.")
    return Exit.OK if code is None else code


def write_error(told: Told, *, as_json: bool) -> None:
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
