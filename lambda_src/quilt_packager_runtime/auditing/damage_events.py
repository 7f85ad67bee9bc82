"""The event and the notification of damage that the scheduled audit found."""

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from quilt_packager_runtime.auditing.findings import Finding
from quilt_packager_runtime.formats.event_names import DAMAGE_DETAIL_TYPE
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.reporting.log_events import DamagedEntry
from quilt_packager_runtime.reporting.notifications import Notification, format_text

MAX_PUBLISHED = 10
"""Maximum number of findings in an event and in a log line; the counts have all."""


class DamageDetail(msgspec.Struct, frozen=True, kw_only=True):
    """The detail of the event: a package, the number of damaged entries, and some of them."""

    version: Literal["1"] = "1"
    engine: str
    registry: str
    package_name: str
    top_hash: str | UnsetType = UNSET
    damaged: int
    codes: dict[str, int]
    findings: tuple[DamagedEntry, ...]


class Damage:
    """The damage of a package, counted by code, with its first findings."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()
        self.first: list[DamagedEntry] = []

    @property
    def total(self) -> int:
        """The number of damaged entries; a damage of the whole package counts as one."""
        return self.codes.total()

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self.codes[finding.code.value] += finding.entries
        if len(self.first) < MAX_PUBLISHED:
            self.first.append(
                DamagedEntry(
                    code=finding.code.value,
                    happened=finding.happened,
                    remedy=finding.remedy,
                    logical_key=finding.logical_key,
                    uri=finding.uri,
                    replacement=finding.replacement,
                    is_same_content=finding.is_same_content,
                )
            )

    def detail(self, package: Package, top_hash: str | None, *, engine: str) -> DamageDetail:
        """Return the detail of the event."""
        return DamageDetail(
            engine=engine,
            registry=package.registry,
            package_name=package.name,
            top_hash=UNSET if top_hash is None else top_hash,
            damaged=self.total,
            codes=dict(self.codes),
            findings=tuple(self.first),
        )


def format_damage(details: Sequence[DamageDetail]) -> Notification:
    """Format one notification of all damaged packages of an invocation."""
    first = details[0].package_name
    rest = len(details) - 1
    subject = f"{DAMAGE_DETAIL_TYPE}: {first}" + (f" and {rest} more" if rest else "")
    lines = [
        line
        for each in details
        for line in (
            f"{each.package_name} in {each.registry}: {_count(each)}",
            *(f"  {finding.happened} {finding.remedy}" for finding in each.findings),
        )
    ]
    return format_text(subject, [f"Engine: {details[0].engine}", "", *lines])


def _count(detail: DamageDetail) -> str:
    return ", ".join(f"{count:,} {code}" for code, count in detail.codes.items())
