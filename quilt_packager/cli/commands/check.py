"""`quilt-packager check`: the acceptance test of a deployed engine."""

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.findings import write_findings, write_findings_as_json
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    find,
    parse_folder_argument,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations.checks.finding import Finding, Status

if TYPE_CHECKING:
    from quilt_packager_runtime.formats.objects import SourceFolder

    from quilt_packager.operations.deployment.deployments import Deployment


def check(
    *,
    canary: Annotated[
        str | None,
        typer.Option(
            metavar="FOLDER",
            help="Send a small folder below this one, such as s3://bucket/canary/, through every "
            "enabled source, verify the packages, and remove them.",
        ),
    ] = None,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check a deployed engine, with a remedy for each problem.

    Each line has the id of the behaviour of AWS that it confirms. Tries some requests in the
    scratch bucket, and removes them; nothing else is changed. The exit code is 0 if nothing is
    wrong, 1 if something is, and 4 if your permissions are insufficient to find out.

    Examples:
      quilt-packager check
      quilt-packager check --canary s3://raw/canary/
      quilt-packager check --stack prod-packager --json
    """
    from quilt_packager.operations.checks.check import check as run_checks

    terminal = Terminal()
    below = parse_folder_argument(canary) if canary is not None else None
    deployment = find(stack, profile, region)
    found = run_checks(deployment)
    if below is not None:
        found = [*_send_canary(terminal, deployment, below), *found]
        found.sort(key=lambda each: list(Status).index(each.status))
    if as_json:
        write_findings_as_json(terminal, deployment, found)
    else:
        terminal.title(deployment.name, deployment.region, deployment.account)
        terminal.write()
        write_findings(terminal, found)
    return exit_code(found)


def exit_code(found: Sequence[Finding]) -> Exit:
    """Return the exit code for findings."""
    if any(each.status is Status.WRONG for each in found):
        return Exit.FAILED
    return Exit.ACCESS if any(each.denied for each in found) else Exit.OK


def _send_canary(
    terminal: Terminal, deployment: "Deployment", below: "SourceFolder"
) -> list[Finding]:
    import tempfile
    from pathlib import Path

    from quilt_packager.cli.console.progress import JobProgress
    from quilt_packager.local.reading import open_package
    from quilt_packager.operations.checks.canary import run_canary
    from quilt_packager.operations.deployment.credentials import environment_of

    environment = environment_of(deployment.session, deployment.region)
    try:
        with tempfile.TemporaryDirectory() as home, JobProgress(terminal) as progress:
            return run_canary(
                deployment,
                below,
                partial(open_package, home=Path(home), environment=environment),
                on_step=progress.doing,
            )
    except BaseException:
        # Its jobs may still run, and would find nothing.
        terminal.hint(f"The files of the canary stay below {below}.")
        raise
