"""`quilt-packager check`: the acceptance test of a deployed engine."""

from collections.abc import Sequence

from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.findings import write_findings, write_findings_as_json
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    find,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations.checks.finding import Finding, Status


def check(
    *,
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
      quilt-packager check --stack prod-packager --json
    """
    from quilt_packager.operations.checks.check import check as run_checks

    terminal = Terminal()
    deployment = find(stack, profile, region)
    found = run_checks(deployment)
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
