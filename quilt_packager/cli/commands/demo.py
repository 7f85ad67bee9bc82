"""`quilt-packager demo`: the whole system on this machine, with Python only."""

import contextlib
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats

if TYPE_CHECKING:
    from quilt_packager.local.ministack import MiniStack
    from quilt_packager.local.page import Page


def demo(
    *,
    keep: Annotated[
        bool,
        typer.Option("--keep", help="Keep the AWS running, with some failures and an admin page."),
    ] = False,
    stop: Annotated[
        bool, typer.Option("--stop", help="Stop the demos that were kept, and remove their files.")
    ] = False,
) -> int:
    """Deploy the app to an embedded AWS, and create packages.

    Starts an AWS on 127.0.0.1, deploys the CDK app to it, and shows what a package promises: a run
    that is complete and verified, a run that lacks a file, a damaged file, and a person's README.
    Then it delivers a Nextflow run, a HealthOmics run, uploads and a message, opens the packages
    with quilt3, and receives the events of their jobs. Needs no account, no Docker and no Node.
    Stops and removes everything at the end.

    Examples:
      quilt-packager demo
      quilt-packager demo --keep
      quilt-packager demo --stop
    """
    if stop:
        return _stop_kept()
    from quilt_packager.cli.demo import failure_scenarios, scenario, signals
    from quilt_packager.cli.demo.steps import step
    from quilt_packager.local import kept
    from quilt_packager.local.cdk import Cdk
    from quilt_packager.local.engine import DeployedEngine
    from quilt_packager.local.ministack import MiniStack
    from quilt_packager.local.page import Page
    from quilt_packager.local.processes import make_private_directory, remove

    terminal = Terminal()
    started = time.monotonic()
    try:
        with signals.ended_in_order(), contextlib.ExitStack() as cleanup:
            directory = make_private_directory(kept.DIRECTORY_PREFIX)
            # Not a context manager: a discarded generator would run its clean-up.
            cleanup.callback(remove, directory)
            aws = MiniStack(directory)
            cdk = Cdk(aws, directory, os.environ)
            cleanup.callback(aws.stop)
            # Registered last, it runs first and protects the clean-up.
            cleanup.callback(signals.ignore)
            with step(terminal, "Start MiniStack, an AWS on this machine") as running:
                aws.start()
                running.note(aws.endpoint_url)
            with aws.as_only_aws():
                engine = DeployedEngine(aws, directory)
                with step(terminal, "Bootstrap the account for the CDK") as running:
                    cdk.bootstrap(on_line=running.show_activity)
                with step(terminal, "Deploy the CDK app") as running:
                    engine.create_prerequisites()
                    engine.deploy(
                        cdk,
                        on_line=running.show_activity,
                        flags=scenario.FLAGS | (failure_scenarios.FLAGS if keep else {}),
                    )
                    running.note(f"stack {engine.stack_name}")
                scenario.run_scenario(terminal, engine)
                if keep:
                    failure_scenarios.cause_failures(terminal, engine)
                    page = Page(directory, dict(os.environ))
                    cleanup.callback(page.stop)
                    with step(terminal, "Start the admin page"):
                        page.start()
            terminal.write()
            terminal.write(f"Done in {formats.duration(time.monotonic() - started)}.")
            if keep:
                kept.keep(directory, [aws, page])
                _write_next_steps(terminal, aws, page)
                cleanup.pop_all()
            else:
                terminal.write("To keep it running, with a page to try: quilt-packager demo --keep")
    except signals.Ended:
        terminal.hint("Interrupted. All processes are stopped, and all files are removed.")
        raise
    return Exit.OK


def _stop_kept() -> int:
    from quilt_packager.local import kept

    count = kept.stop_all()
    Terminal().write(f"Stopped {formats.count(count, 'demo')}." if count else "No demo is running.")
    return Exit.OK


def _write_next_steps(terminal: Terminal, aws: "MiniStack", page: "Page") -> None:
    from quilt_packager.cli.demo.promises import RUN
    from quilt_packager.cli.demo.scenario import ASSAY
    from quilt_packager.local.engine import BUCKET

    terminal.write()
    terminal.write("The AWS keeps running. To use it in a shell:")
    if sys.prefix != sys.base_prefix:
        terminal.write(f"  . {shlex.quote(str(Path(sys.prefix) / 'bin' / 'activate'))}")
    for name, value in aws.client_settings().items():
        terminal.write(f"  export {name}={shlex.quote(value)}")
    terminal.write()
    terminal.write("To stop it and remove all of its files:")
    terminal.write("  quilt-packager demo --stop")
    terminal.write()
    terminal.write("The admin page, for your browser. It shows no real account:")
    terminal.write(f"  {page.url}")
    terminal.write()
    terminal.write("Three things to try:")
    terminal.write("  quilt-packager failures")
    terminal.write(f"  quilt-packager plan s3://{BUCKET}/{RUN.prefix}")
    terminal.write(f"  quilt-packager package s3://{BUCKET}/{ASSAY.prefix}")
