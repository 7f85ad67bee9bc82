"""`quilt-packager check`: the acceptance test of a deployed engine."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from quilt_packager.cli.console.exits import Exit
from quilt_packager.cli.console.options import (
    JsonOption,
    ProfileOption,
    RegionOption,
    StackOption,
    find,
)
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations.checks.finding import Finding, Status

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

WORDS = {
    Status.WRONG: "wrong",
    Status.NOTICE: "to know",
    Status.UNCONFIRMED: "not confirmed",
    Status.OK: "right",
}


def check(
    *,
    stack: StackOption = None,
    profile: ProfileOption = None,
    region: RegionOption = None,
    as_json: JsonOption = False,
) -> int:
    """Check that a deployed engine works, with a remedy for each problem.

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
    write_findings(terminal, deployment, found, as_json=as_json)
    return exit_code(found)


def exit_code(found: Sequence[Finding]) -> Exit:
    """Return the exit code for findings."""
    if any(each.status is Status.WRONG for each in found):
        return Exit.FAILED
    return Exit.ACCESS if any(each.denied for each in found) else Exit.OK


def write_findings(
    terminal: Terminal, deployment: "Deployment", found: Sequence[Finding], *, as_json: bool
) -> None:
    """Write findings, and their number by status."""
    counts = Counter(each.status for each in found)
    if as_json:
        terminal.json(
            {
                "stack": deployment.name,
                "region": deployment.region,
                "account": deployment.account,
                "counts": {status.value: counts[status] for status in Status},
                "findings": msgspec.to_builtins(list(found)),
            }
        )
        return
    terminal.title(deployment.name, deployment.region, deployment.account)
    terminal.write()
    for each in found:
        terminal.finding(each.status, each.subject, each.text, " ".join(each.behaviours))
        if each.remedy:
            terminal.fields([("do", each.remedy)])
    terminal.write()
    parts = [f"{counts[status]:,} {words}" for status, words in WORDS.items() if counts[status]]
    terminal.write(", ".join(parts) or "Nothing to check.")
