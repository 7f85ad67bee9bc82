"""A summary of findings, for the command and the page."""

from collections import Counter
from collections.abc import Iterator, Sequence

import msgspec

from quilt_packager.operations.checks.finding import Finding, Status

MAX_NAMED = 3
"""Maximum number of subjects of one line that are named."""

WORDS = {
    Status.WRONG: "wrong",
    Status.NOTICE: "to know",
    Status.UNCONFIRMED: "not confirmed",
    Status.OK: "right",
}


def describe_counts(found: Sequence[Finding]) -> str:
    """Return the number of findings by status, in words."""
    counts = Counter(each.status for each in found)
    parts = [f"{counts[status]:,} {words}" for status, words in WORDS.items() if counts[status]]
    return ", ".join(parts) or "Nothing to check."


def group(found: Sequence[Finding]) -> Iterator[tuple[list[str], Finding]]:
    """Join findings that differ in their subject only."""
    groups: dict[Finding, dict[str, None]] = {}
    for each in found:
        general = msgspec.structs.replace(each, subject="")
        groups.setdefault(general, {})[each.subject] = None
    for finding, subjects in groups.items():
        yield list(subjects), finding


def name_subjects(subjects: Sequence[str]) -> str:
    """Name some subjects, and count the others.

    Example:
        >>> name_subjects(["omics"]), name_subjects(["omics", "wrroc", "edp", "uploads", "lims"])
        ('omics', 'omics, wrroc, edp and 2 more')
    """
    shown, rest = ", ".join(subjects[:MAX_NAMED]), len(subjects) - MAX_NAMED
    return f"{shown} and {rest:,} more" if rest > 0 else shown
