"""Packages that the last audits found damaged, according to the log."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import msgspec
from quilt_packager_runtime.reporting.log_events import (
    DamagedEntry,
    PackageAudited,
    PackageDamaged,
)

from quilt_packager.operations.jobs.log_lines import message_of
from quilt_packager.operations.jobs.log_reader import LogReader, any_message

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

PERIOD = timedelta(days=35)
"""Time to read, in which a monthly audit has ended."""


class DamagedPackage(msgspec.Struct, frozen=True):
    """A package that its last audit found damaged.

    Attributes:
        registry: Bucket of the registry.
        package_name: Name of the package.
        since: Time of the first audit of those in a row that found it damaged.
        audited: Time of the last audit.
        damaged: Number of damaged entries.
        findings: The first of them.
    """

    registry: str
    package_name: str
    since: datetime
    audited: datetime
    damaged: int
    findings: tuple[DamagedEntry, ...]


class _Package:
    """The audits of one package, in the order of the log."""

    def __init__(self) -> None:
        self.since: datetime | None = None
        self.audited: datetime | None = None
        self.damaged = 0
        self.findings: tuple[DamagedEntry, ...] = ()

    def begin(self, at: datetime, event: PackageAudited) -> None:
        """Add an audit, or the continuation of one."""
        self.audited = at
        if event.block is None:
            self.damaged, self.findings = 0, ()
        self.damaged += event.damaged
        if not self.damaged:
            self.since = None
        elif self.since is None:
            self.since = at


def find_damaged(deployment: "Deployment", *, now: datetime | None = None) -> list[DamagedPackage]:
    """Find the packages that their last audits found damaged, those damaged longest first.

    Without an audit, no request is sent.

    Raises:
        TooManyRequests: The log is too long.
    """
    start = (now or datetime.now(UTC)) - PERIOD
    pattern = any_message([message_of(PackageAudited), message_of(PackageDamaged)])
    packages: dict[tuple[str, str], _Package] = {}
    lines = LogReader(deployment).read(pattern, start, function="audit")
    # Lines of one time stay in their order: the damage follows the audit.
    for line in sorted(lines, key=lambda each: each.at):
        event = line.event
        if isinstance(event, PackageAudited):
            key = event.registry, event.package_name
            packages.setdefault(key, _Package()).begin(line.at, event)
        elif isinstance(event, PackageDamaged):
            known = packages.setdefault((event.registry, event.package_name), _Package())
            known.findings += event.findings
    found = [
        DamagedPackage(
            registry, name, each.since, each.audited or each.since, each.damaged, each.findings
        )
        for (registry, name), each in packages.items()
        if each.since is not None
    ]
    return sorted(found, key=lambda each: each.since)
