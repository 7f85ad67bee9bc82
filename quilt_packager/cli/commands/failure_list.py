"""Output of failures: grouped by reason for readers, one by one for programs."""

from datetime import datetime
from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import HeldForReview

from quilt_packager.cli.console.tables import Row
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats
from quilt_packager.operations.dead_letters.error_codes import UNCORRECTABLE
from quilt_packager.operations.dead_letters.queue import (
    HOLD_SECONDS,
    Failure,
    Failures,
    Group,
    expiring,
    group,
)

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

SHOWN_LETTERS = 10
"""Number of messages listed for a group on a terminal."""

ID_CHARACTERS = 8

INDENT = "    "
"""Indentation below the count and the code of a group."""

LABEL_COLUMNS = 11
"""Width of a label, after which the text of the fields begins."""


def write_failures(
    terminal: Terminal, deployment: "Deployment", read: Failures, now: datetime
) -> None:
    """Write the failures by reason. `now` is the reference for ages."""
    terminal.write(summarise(read, now))
    for each in group(read.letters):
        terminal.write()
        terminal.title(f"{len(each.failures):>2}  {each.code}", each.title)
        terminal.fields(
            [
                ("happened", each.happened),
                *([("why", each.why)] if each.why else []),
                ("do", advise(each)),
            ],
            indent=INDENT,
        )
        if each.retriable:
            # In one line, so that it can be copied.
            label = "then" if _is_after_change(each) else ""
            command = _command_for(deployment, each)
            terminal.write(f"{INDENT}{label:{LABEL_COLUMNS}}{command}")
        _write_letters(terminal, each, now)


def warn_about_unread(terminal: Terminal, read: Failures) -> None:
    """Write the number of failures that could not be read, if any."""
    if read.in_flight:
        terminal.hint(
            f"{formats.count(read.in_flight, 'more message')} being read by another process. "
            f"Try again in {formats.age(HOLD_SECONDS)}."
        )
    if not read.is_complete:
        terminal.hint(f"Showing the first {len(read.letters):,} of about {read.total:,}.")


def summarise(read: Failures, now: datetime) -> str:
    """Return the number of failures, and of those about to expire."""
    if not read.letters:
        return "No failures can be read at the moment." if read.in_flight else "No failures."
    messages = formats.count(len(read.letters), "message")
    summary = f"{messages} in {formats.count(len(group(read.letters)), 'group')}."
    soon = expiring(read.letters, now)
    if soon:
        left = formats.age((soon[-1].expires - now).total_seconds())
        which = "them" if len(soon) == len(read.letters) else f"{len(soon):,} of them"
        summary += f" SQS deletes {which} within {left}."
    return summary


def advise(found: Group) -> str:
    """Return the remedy of a group, and whether a plain retry fails."""
    return (
        f"{found.remedy} Until then, a retry fails again." if found.needs_change else found.remedy
    )


def to_json(failure: Failure) -> dict[str, object]:
    """Return a failure as JSON."""
    return {
        "id": failure.id,
        "job_id": failure.job_id,
        "code": failure.code,
        "happened": failure.happened,
        "why": failure.why,
        "remedy": failure.remedy,
        "needs_change": failure.needs_change,
        "can_retry": failure.can_retry,
        "package_name": failure.package_name,
        "registry": failure.registry,
        "source": failure.source,
        "sent": failure.sent,
        "expires": failure.expires,
        "origin": failure.origin,
        "body": failure.body,
    }


def _is_after_change(found: Group) -> bool:
    """Return True if the command of a group fails before something else was changed."""
    return found.needs_change and found.code not in {*UNCORRECTABLE, HeldForReview.__name__}


def _command_for(deployment: "Deployment", found: Group) -> str:
    if found.code in UNCORRECTABLE:
        return deployment.command("failures", "edit", found.retriable[0].shown_id[:ID_CHARACTERS])
    held = found.code == HeldForReview.__name__
    decision = ("--on-foreign-revision", "replace") if held else ()
    return deployment.command("failures", "retry", "--code", found.code, *decision)


def _specifics(found: Group, failure: Failure) -> str:
    """Return the facts about a failure that the group's sentences leave out."""
    happened = failure.happened if found.has_individual_reasons else ""
    remedy = failure.remedy if found.retriable and not failure.can_retry else ""
    return f"{happened} {remedy}".strip()


def _write_letters(terminal: Terminal, found: Group, now: datetime) -> None:
    shown = found.failures[:SHOWN_LETTERS] if terminal.is_terminal else found.failures
    terminal.table(
        ["JOB", "PACKAGE", "FAILED", "LEFT"],
        [
            Row(
                [
                    terminal.shorten(each.shown_id, ID_CHARACTERS),
                    each.package_name or each.source or "-",
                    terminal.when(each.sent),
                    formats.age((each.expires - now).total_seconds()),
                ],
                _specifics(found, each),
            )
            for each in shown
        ],
        indent=INDENT,
    )
    if len(shown) < len(found.failures):
        terminal.hint(f"  and {len(found.failures) - len(shown):,} more; use --json for all")
