"""How the command writes failures: by their reasons for a reader, one by one for a program."""

from datetime import datetime
from typing import TYPE_CHECKING

from quilt_packager_runtime.errors import InvalidMessage

from quilt_packager.cli.console.tables import Row
from quilt_packager.cli.console.terminal import Terminal
from quilt_packager.operations import formats
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
"""How many messages of a group are listed on a terminal."""

ID_CHARACTERS = 8

INDENT = "    "
"""What stands before all that is said of a group, below its count and its code."""

COMMAND_INDENT = INDENT + " " * 11
"""The same before a command, which stands below the text of the fields."""


def write_failures(
    terminal: Terminal, deployment: "Deployment", read: Failures, now: datetime
) -> None:
    """Write the failures for a reader, by their reasons.

    Args:
        terminal: Where to.
        deployment: The engine, which the suggested commands address.
        read: The failures.
        now: From when to count the time that is left.
    """
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
            # Not cut into lines, of which a shell would take the first.
            terminal.write(f"{COMMAND_INDENT}{_command_for(deployment, each)}")
        _write_letters(terminal, each, now)


def warn_about_unread(terminal: Terminal, read: Failures) -> None:
    """Say of which failures nothing is known, if there are such.

    Args:
        terminal: Where to.
        read: The failures that were read.
    """
    if read.elsewhere:
        terminal.hint(
            f"{formats.count(read.elsewhere, 'more message')}: somebody else reads them at the "
            f"moment. Look again in {formats.age(HOLD_SECONDS)}."
        )
    if not read.is_complete:
        terminal.hint(f"These are the first {len(read.letters):,} of about {read.total:,}.")


def summarise(read: Failures, now: datetime) -> str:
    """Say how many failures there are, and which are about to be lost.

    Args:
        read: The failures.
        now: From when to count.
    """
    if not read.letters:
        return "No failure can be read now." if read.elsewhere else "Nothing has failed."
    messages = formats.count(len(read.letters), "message")
    told = f"{messages} in {formats.count(len(group(read.letters)), 'group')}."
    soon = expiring(read.letters, now)
    if soon:
        left = formats.age((soon[-1].expires - now).total_seconds())
        which = "them" if len(soon) == len(read.letters) else f"{len(soon):,} of them"
        told += f" SQS deletes {which} within {left}."
    return told


def advise(found: Group) -> str:
    """What to do about a group, and whether it helps to do nothing but try again.

    Args:
        found: The group.
    """
    return f"{found.remedy} A plain retry fails again." if found.needs_change else found.remedy


def action_for(code: str) -> str:
    """The command for failures of a code: what its sender wrote wrongly, no retry makes right.

    Args:
        code: The code.
    """
    return "discard" if code == InvalidMessage.__name__ else "retry"


def to_json(failure: Failure) -> dict[str, object]:
    """A failure for a program.

    Args:
        failure: The failure.
    """
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


def _command_for(deployment: "Deployment", found: Group) -> str:
    return deployment.command("failures", action_for(found.code), "--code", found.code)


def _tell_apart(found: Group, failure: Failure) -> str:
    """What is to be said of a failure that the group's own sentences do not say of it."""
    happened = failure.happened if found.tells_each else ""
    remedy = failure.remedy if found.retriable and not failure.can_retry else ""
    return f"{happened} {remedy}".strip()


def _write_letters(terminal: Terminal, found: Group, now: datetime) -> None:
    shown = found.failures[:SHOWN_LETTERS] if terminal.is_terminal else found.failures
    terminal.table(
        ["MESSAGE", "PACKAGE", "FAILED", "LEFT"],
        [
            Row(
                [
                    terminal.shorten(each.id, ID_CHARACTERS),
                    each.package_name or each.source or "-",
                    terminal.when(each.sent),
                    formats.age((each.expires - now).total_seconds()),
                ],
                _tell_apart(found, each),
            )
            for each in shown
        ],
        indent=INDENT,
    )
    if len(shown) < len(found.failures):
        terminal.hint(f"  and {len(found.failures) - len(shown):,} more; --json has all")
