"""Results of the last audits of packages, according to the log."""

import contextlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, TypeAlias, get_args

import msgspec
from quilt_packager_runtime.reporting.log_events import (
    DamagedEntry,
    PackageAudited,
    PackageDamaged,
    PackageNotAudited,
)

from quilt_packager.operations.jobs.log_lines import message_of
from quilt_packager.operations.jobs.log_reader import (
    LogReader,
    TooManyRequests,
    any_message,
    windows,
)

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

PERIOD = timedelta(days=35)
"""Time to read, in which a monthly audit has ended."""

AuditEvent: TypeAlias = PackageAudited | PackageDamaged | PackageNotAudited


class AuditState(StrEnum):
    """Meaning of an audit for the readers of a package."""

    DAMAGED = "damaged"
    LOSING = "losing"
    SOUND = "sound"
    UNAUDITED = "unaudited"


class AuditedPackage(msgspec.Struct, frozen=True):
    """A package with the result of its last audit.

    Attributes:
        registry: Bucket of the registry.
        package_name: Name of the package.
        since: Time of the first audit of those in a row that found it damaged; None if it is not.
        audited: Time of the last audit.
        damaged: Number of damaged entries.
        findings: The first of them.
        top_hash: Top hash of the revision; None if the package had none.
        entries: Number of its entries.
        unchecked: Number of entries that could not be checked.
        expiring: Number of versions that lifecycle rules will delete or archive.
        first_loss: Date of the first of these losses.
        warnings: The first warnings.
        not_audited: Reason for which the last attempt failed; None if it ended.
    """

    registry: str
    package_name: str
    since: datetime | None
    audited: datetime
    damaged: int = 0
    findings: tuple[DamagedEntry, ...] = ()
    top_hash: str | None = None
    entries: int = 0
    unchecked: int = 0
    expiring: int = 0
    first_loss: str | None = None
    warnings: tuple[str, ...] = ()
    not_audited: str | None = None

    def state(self, published: datetime | None) -> AuditState:
        """Return the state of the package whose newest revision was published at a time.

        Damage stays until an audit no longer finds it; a newer revision may still refer to it.
        """
        if self.damaged:
            return AuditState.DAMAGED
        is_newer = published is not None and published > self.audited
        if is_newer or self.unchecked or self.not_audited is not None:
            return AuditState.UNAUDITED
        return AuditState.LOSING if self.expiring else AuditState.SOUND


def read_audits(deployment: "Deployment", *, now: datetime | None = None) -> list[AuditedPackage]:
    """Read the results of the last audits.

    Without an audit, no request is sent. Of a log that is too long, the newest part is read.
    """
    packages: dict[tuple[str, str], AuditedPackage] = {}
    # Lines of one time stay in their order: the damage follows the audit.
    for at, event in sorted(_read_events(deployment, now or datetime.now(UTC)), key=_time):
        key = event.registry, event.package_name
        known = packages.get(key)
        # Without the audit that found it, its damage is of a part of the log that was not read.
        if known is not None or not isinstance(event, PackageDamaged):
            packages[key] = _add(known or AuditedPackage(*key, None, at), at, event)
    return list(packages.values())


def find_damaged(deployment: "Deployment", *, now: datetime | None = None) -> list[AuditedPackage]:
    """Find the packages that their last audits found damaged."""
    return choose_damaged(read_audits(deployment, now=now))


def choose_damaged(audits: list[AuditedPackage]) -> list[AuditedPackage]:
    """Choose the damaged packages, those damaged longest first."""
    damaged = [(each.since, each) for each in audits if each.since is not None]
    return [each for _, each in sorted(damaged, key=_time)]


def _read_events(deployment: "Deployment", now: datetime) -> Iterator[tuple[datetime, AuditEvent]]:
    pattern = any_message([message_of(each) for each in get_args(AuditEvent)])
    reader = LogReader(deployment)
    with contextlib.suppress(TooManyRequests):
        for start, end in windows(now - PERIOD, now):
            for line in reader.read(pattern, start, end, function="audit"):
                if isinstance(line.event, AuditEvent):
                    yield line.at, line.event


def _add(known: AuditedPackage, at: datetime, event: AuditEvent) -> AuditedPackage:
    """Add a line of the log to the result of a package."""
    if isinstance(event, PackageDamaged):
        findings = known.findings + event.findings
        return msgspec.structs.replace(known, findings=findings)
    if isinstance(event, PackageNotAudited):
        return msgspec.structs.replace(known, not_audited=event.reason)
    # An event with a block continues an audit.
    before = known if event.block is not None else AuditedPackage("", "", None, at)
    damaged = before.damaged + event.damaged
    losses = [each for each in (before.first_loss, event.first_loss) if each is not None]
    return AuditedPackage(
        event.registry,
        event.package_name,
        (known.since or at) if damaged else None,
        at,
        damaged,
        before.findings,
        event.top_hash,
        event.entries,
        before.unchecked + event.unchecked,
        before.expiring + event.expiring,
        min(losses, default=None),
        before.warnings + event.warnings,
    )


def _time(item: tuple[datetime, object]) -> datetime:
    return item[0]
