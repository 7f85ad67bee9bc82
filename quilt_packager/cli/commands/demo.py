"""`quilt-packager demo`: the whole story on this machine, with nothing but Python."""

import contextlib
import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from quilt_packager.cli.console import signals
from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats

if TYPE_CHECKING:
    from quilt_packager.local.engine import DeployedEngine
    from quilt_packager.local.ministack import MiniStack
    from quilt_packager.local.page import Page


def demo(
    *,
    keep: Annotated[
        bool,
        typer.Option(
            "--keep", help="Leave the AWS running, and serve a page to see it in a browser."
        ),
    ] = False,
) -> int:
    """Deploy the app to an embedded AWS, and watch packages appear.

    Starts an AWS on 127.0.0.1, deploys the CDK app to it, lets a Nextflow run, a HealthOmics run,
    uploads and a message arrive, opens the packages with quilt3, and hears how the jobs ended. No
    account, no Docker and no Node are needed. Everything is stopped and removed at the end.

    Examples:
      quilt-packager demo
      quilt-packager demo --keep
    """
    from quilt_packager.cli.console.progress import step
    from quilt_packager.cli.demo import failure_scenarios, scenario
    from quilt_packager.local.cdk import Cdk
    from quilt_packager.local.engine import DeployedEngine
    from quilt_packager.local.ministack import MiniStack
    from quilt_packager.local.page import Page
    from quilt_packager.local.processes import make_private_directory, remove

    terminal = Terminal()
    started = time.monotonic()
    try:
        with signals.ended_in_order(), contextlib.ExitStack() as cleanup:
            directory = make_private_directory("quilt-packager-demo-")
            # No context manager: a generator that is let go of runs its end.
            cleanup.callback(remove, directory)
            aws = MiniStack(directory)
            cdk = Cdk(aws, directory, os.environ)
            cleanup.callback(aws.stop)
            # The last to come is the first to run: nothing may disturb the clean-up.
            cleanup.callback(signals.ignore)
            with step(terminal, "Start MiniStack, an AWS on this machine") as shown:
                aws.start()
                shown.note(aws.endpoint_url)
            with aws.as_only_aws():
                engine = DeployedEngine(aws, directory)
                with step(terminal, "Bootstrap the account for the CDK") as shown:
                    cdk.bootstrap(on_line=shown.doing)
                with step(terminal, "Deploy the CDK app") as shown:
                    engine.make_room()
                    engine.deploy(
                        cdk,
                        on_line=shown.doing,
                        flags={
                            "quilt:uploads": json.dumps(scenario.UPLOADS),
                            **(failure_scenarios.FLAGS if keep else {}),
                        },
                    )
                    shown.note(f"stack {engine.stack_name}")
                scenario.tell(terminal, engine)
                if keep:
                    failure_scenarios.let_things_go_wrong(terminal, engine)
                    page = Page(directory, dict(os.environ))
                    cleanup.callback(page.stop)
                    with step(terminal, "Open the page of the engine"):
                        page.start()
            terminal.write()
            terminal.write(f"Done in {formats.duration(time.monotonic() - started)}.")
            if keep:
                _tell_how_to_go_on(terminal, aws, engine, page)
                cleanup.pop_all()
    except signals.Ended:
        terminal.hint("Interrupted. What was started is stopped, and its files are removed.")
        raise
    return Exit.OK


def _tell_how_to_go_on(
    terminal: Terminal, aws: "MiniStack", engine: "DeployedEngine", page: "Page"
) -> None:
    from quilt_packager.cli.demo.scenario import ASSAY
    from quilt_packager.local.engine import BUCKET

    terminal.write()
    terminal.write("The page of the engine, for your browser; nothing there is of a real account:")
    terminal.write(f"  {page.url}")
    terminal.write()
    terminal.write("The AWS keeps running, for shells with these settings:")
    if sys.prefix != sys.base_prefix:
        terminal.write(f"  . {shlex.quote(str(Path(sys.prefix) / 'bin' / 'activate'))}")
    for name, value in aws.client_settings().items():
        terminal.write(f"  export {name}={shlex.quote(value)}")
    terminal.write("Then, for example:")
    terminal.write("  quilt-packager status")
    terminal.write("  quilt-packager failures")
    terminal.write("  quilt-packager admin")
    terminal.write(f"  quilt-packager package s3://{BUCKET}/{ASSAY.prefix}")
    terminal.write(f"  quilt-packager send s3://{BUCKET}/{ASSAY.prefix} \\")
    terminal.write(f"    --queue-url {shlex.quote(engine.queue_url)}")
    terminal.write(f"  tail -f {shlex.quote(str(aws.log_path))}")
    terminal.write()
    terminal.write("It ends, and all of its files are removed, by:")
    # The groups: with MiniStack end the functions that it runs.
    terminal.write(
        f"  kill -- -{aws.process_id} -{page.process_id}; rm -rf {shlex.quote(str(aws.directory))}"
    )
