"""Findings of a check, for readers and for programs."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations.checks.finding import Finding, Status

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

MAX_NAMED = 3
"""Maximum number of subjects of one line that are named."""

WORDS = {
    Status.WRONG: "wrong",
    Status.NOTICE: "to know",
    Status.UNCONFIRMED: "not confirmed",
    Status.OK: "right",
}


def write_findings(terminal: Terminal, found: Sequence[Finding]) -> None:
    """Write findings, and their number by status."""
    for subjects, each in _group(found):
        terminal.finding(
            each.status,
            _name(subjects),
            each.text,
            remedy=each.remedy,
            note=", ".join(each.behaviours),
        )
    terminal.write()
    terminal.write(describe_counts(found))


def describe_counts(found: Sequence[Finding]) -> str:
    """Return the number of findings by status, in words."""
    counts = Counter(each.status for each in found)
    parts = [f"{counts[status]:,} {words}" for status, words in WORDS.items() if counts[status]]
    return ", ".join(parts) or "Nothing to check."


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


def _group(found: Sequence[Finding]) -> Iterator[tuple[list[str], Finding]]:
    """Join findings that differ in their subject only."""
    groups: dict[Finding, dict[str, None]] = {}
    for each in found:
        general = msgspec.structs.replace(each, subject="")
        groups.setdefault(general, {})[each.subject] = None
    for finding, subjects in groups.items():
        yield list(subjects), finding


def _name(subjects: Sequence[str]) -> str:
    """Name some subjects, and count the others.

    Example:
        >>> _name(["omics"]), _name(["omics", "wrroc", "edp", "uploads", "lims"])
        ('omics', 'omics, wrroc, edp and 2 more')
    """
    shown, rest = ", ".join(subjects[:MAX_NAMED]), len(subjects) - MAX_NAMED
    return f"{shown} and {rest:,} more" if rest > 0 else shown
