"""A finding of a check."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from quilt_packager.operations.checks.behaviours import ONLY_AWS, Behaviour

NOT_AWS = "Not confirmed here: this endpoint is not AWS."


class Status(StrEnum):
    """Result of a check, from worst to best."""

    WRONG = "wrong"
    NOTICE = "notice"
    UNCONFIRMED = "unconfirmed"
    OK = "ok"


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a check.

    Attributes:
        subject: Resource, such as the name of a bucket.
        status: Result.
        text: Fact, as a sentence.
        remedy: Action to take; empty if none is needed.
        behaviours: Behaviours of AWS that the fact confirms, or relies on.
        denied: True if your own permissions are insufficient to find out.
    """

    subject: str
    status: Status
    text: str
    remedy: str = ""
    behaviours: tuple[Behaviour, ...] = ()
    denied: bool = False


def ok(subject: str, text: str, *behaviours: Behaviour) -> Finding:
    """Return a finding without a problem."""
    return Finding(subject=subject, status=Status.OK, text=text, behaviours=behaviours)


def notice(subject: str, text: str, remedy: str = "", *behaviours: Behaviour) -> Finding:
    """Return a finding that deserves attention, while the engine works."""
    return _finding(Status.NOTICE, subject, text, remedy, behaviours)


def wrong(subject: str, text: str, remedy: str, *behaviours: Behaviour) -> Finding:
    """Return a finding that prevents packages."""
    return _finding(Status.WRONG, subject, text, remedy, behaviours)


def unconfirmed(subject: str, text: str, remedy: str = "", *behaviours: Behaviour) -> Finding:
    """Return a finding without a result."""
    return _finding(Status.UNCONFIRMED, subject, text, remedy, behaviours)


def judge(findings: Iterable[Finding], *, on_aws: bool) -> list[Finding]:
    """Sort findings, the worst first, without successes that only AWS could confirm.

    Args:
        findings: Findings.
        on_aws: True if AWS was asked, and not a server that imitates it.
    """
    judged = [_doubt(each) if not on_aws else each for each in findings]
    order = list(Status)
    return sorted(judged, key=lambda each: order.index(each.status))


def _doubt(finding: Finding) -> Finding:
    if finding.status is not Status.OK or ONLY_AWS.isdisjoint(finding.behaviours):
        return finding
    return msgspec.structs.replace(
        finding, status=Status.UNCONFIRMED, text=f"{finding.text} {NOT_AWS}"
    )


def _finding(
    status: Status, subject: str, text: str, remedy: str, behaviours: tuple[Behaviour, ...]
) -> Finding:
    return Finding(subject=subject, status=status, text=text, remedy=remedy, behaviours=behaviours)
