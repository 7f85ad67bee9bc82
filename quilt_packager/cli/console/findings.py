"""Findings of a check, for readers and for programs."""

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations.checks.finding import Finding, Status
from quilt_packager.operations.checks.summary import describe_counts, group, name_subjects

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment


def write_findings(terminal: Terminal, found: Sequence[Finding]) -> None:
    """Write findings, and their number by status."""
    for subjects, each in group(found):
        terminal.finding(
            each.status,
            name_subjects(subjects),
            each.text,
            remedy=each.remedy,
            note=", ".join(each.behaviours),
        )
    terminal.write()
    terminal.write(describe_counts(found))


def write_findings_as_json(
    terminal: Terminal, deployment: "Deployment", found: Sequence[Finding]
) -> None:
    """Write findings, and their number by status, as one JSON object."""
    counts = Counter(each.status for each in found)
    terminal.json(
        {
            "stack": deployment.name,
            "region": deployment.region,
            "account": deployment.account,
            "counts": {status.value: counts[status] for status in Status},
            "findings": msgspec.to_builtins(list(found)),
        }
    )
