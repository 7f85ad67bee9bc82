"""The audit of all packages of an engine, which continues from invocation to invocation.

The packages are checked one after another. An invocation that runs out of time returns a cursor,
and the next one continues there, even within a package: docs/adr/0034-scheduled-audits.md.
"""

import asyncio
import time

import msgspec

from quilt_packager_runtime.auditing.damage_events import Damage, DamageDetail, format_damage
from quilt_packager_runtime.auditing.entry_check import Depth
from quilt_packager_runtime.auditing.findings import Finding, Severity
from quilt_packager_runtime.auditing.packages import check_package, find_newest, list_packages
from quilt_packager_runtime.auditing.revision_audit import Audited, RevisionAudit
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import AwsError, DeadlineExceeded, PackagerError
from quilt_packager_runtime.formats.event_names import DAMAGE_DETAIL_TYPE, EVENT_SOURCE
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.reporting.log_events import (
    DamageNotPublished,
    PackageAudited,
    PackageDamaged,
    PackageNotAudited,
)
from quilt_packager_runtime.reporting.telemetry import log, record_audit
from quilt_packager_runtime.settings import Settings

MAX_WARNINGS = 10
"""Maximum number of warnings in a log line."""


class Cursor(msgspec.Struct, frozen=True):
    """The place at which an audit continues.

    Attributes:
        registry: Bucket of the registry; those before it are done.
        package_name: Package of the registry; those before it are done.
        block: Block of the package at which to continue; 0: the package is done.
    """

    registry: str = ""
    package_name: str = ""
    block: int = 0


class ScheduledAudit:
    """Audits packages until a time.

    Args:
        s3: S3.
        settings: The engine's settings.
        until: Time after which no package and no block is begun, on the event loop's clock.
    """

    def __init__(self, s3: S3, settings: Settings, *, until: float) -> None:
        self._s3 = s3
        self._settings = settings
        self._until = until
        self._is_first = True
        self._audited = 0
        self._damaged: list[DamageDetail] = []

    async def run(self, cursor: Cursor) -> Cursor | None:
        """Audit all packages from a cursor on; return where to continue, or None at the end."""
        following = await self._audit_registries(cursor)
        self._notify()
        record_audit(audited=self._audited, damaged=len(self._damaged))
        return following

    async def _audit_registries(self, cursor: Cursor) -> Cursor | None:
        for registry in sorted(self._settings.registry_buckets):
            if registry < cursor.registry:
                continue
            done = cursor.package_name if registry == cursor.registry else ""
            if done and cursor.block:
                block = await self._audit(Package(registry, done), cursor.block)
                if block is not None:
                    return Cursor(registry, done, block)
            async for package in list_packages(self._s3, registry, after=done):
                if asyncio.get_running_loop().time() > self._until:
                    return Cursor(registry, done)
                block = await self._audit(package, 0)
                if block == 0:
                    return Cursor(registry, done)
                if block is not None:
                    return Cursor(registry, package.name, block)
                done = package.name
        return None

    async def _audit(self, package: Package, first_block: int) -> int | None:
        """Audit a package from a block on, and return the block at which to continue, if any.

        A package for which the time does not suffice at all is skipped if it had the whole of it.
        """
        is_first, self._is_first = self._is_first, False
        audit = _PackageAudit(self._s3, self._settings, package, until=self._until)
        try:
            audited = await audit.run(first_block)
        except PackagerError as error:
            self._skip(package, error.code, error.reason)
            return None
        if audited.next_block is not None and audited.next_block <= first_block:
            if not is_first:
                return first_block
            reason = "Its manifest takes a whole invocation to read."
            self._skip(package, DeadlineExceeded.__name__, reason)
            return None
        self._audited += 1
        log(audit.logged(audited, first_block))
        if audit.damage.total:
            self._publish(audit, package)
        return audited.next_block

    def _publish(self, audit: "_PackageAudit", package: Package) -> None:
        detail = audit.damage.detail(package, audit.top_hash, engine=self._settings.engine or "")
        self._damaged.append(detail)
        log(
            PackageDamaged(
                registry=package.registry,
                package_name=package.name,
                top_hash=audit.top_hash,
                damaged=detail.damaged,
                findings=detail.findings,
            )
        )
        if self._settings.event_bus is None:
            return
        try:
            clients.put_event(
                self._settings.event_bus,
                source=EVENT_SOURCE,
                detail_type=DAMAGE_DETAIL_TYPE,
                detail=msgspec.json.encode(detail).decode(),
            )
        except AwsError as error:
            log(DamageNotPublished(destination="event bus", reason=error.reason))

    def _notify(self) -> None:
        topic_arn = self._settings.notifications_topic_arn
        if topic_arn is None or not self._damaged:
            return
        notification = format_damage(self._damaged)
        try:
            clients.publish_notice(topic_arn, notification.subject, notification.text)
        except AwsError as error:
            log(DamageNotPublished(destination="topic", reason=error.reason))

    @staticmethod
    def _skip(package: Package, code: str, reason: str) -> None:
        log(
            PackageNotAudited(
                registry=package.registry, package_name=package.name, code=code, reason=reason
            )
        )


class _PackageAudit:
    """The audit of the pointers and of the newest revision of one package.

    Attributes:
        damage: The damage.
        top_hash: Top hash of the revision; None if the package has none.
    """

    def __init__(self, s3: S3, settings: Settings, package: Package, *, until: float) -> None:
        self.damage = Damage()
        self.top_hash: str | None = None
        self._s3 = s3
        self._settings = settings
        self._package = package
        self._until = until
        self._unchecked = 0
        self._expiring = 0
        self._first_losses: list[str] = []
        self._warnings: list[str] = []
        self._started = time.monotonic()

    async def run(self, first_block: int) -> Audited:
        """Audit the package; its pointers only with the first block."""
        if first_block == 0:
            revision = await check_package(self._s3, self._package, self._add)
        else:
            revision = await find_newest(self._s3, self._package)
        if revision is None:
            return Audited()
        self.top_hash = revision.top_hash
        audit = RevisionAudit(
            self._s3,
            revision,
            settings=self._settings,
            depth=Depth(read_share=self._settings.audit_sample or 0.0, read_until=self._until),
            report=self._add,
            until=self._until,
        )
        return await audit.run(first_block)

    def logged(self, audited: Audited, first_block: int) -> PackageAudited:
        """Return the event for the log."""
        return PackageAudited(
            registry=self._package.registry,
            package_name=self._package.name,
            top_hash=self.top_hash,
            entries=audited.entries,
            damaged=self.damage.total,
            unchecked=self._unchecked,
            unread=audited.unread,
            expiring=self._expiring,
            first_loss=min(self._first_losses, default=None),
            block=first_block or None,
            warnings=tuple(self._warnings),
            seconds=round(time.monotonic() - self._started, 3),
        )

    def _add(self, finding: Finding) -> None:
        if finding.severity is Severity.DAMAGE:
            self.damage.add(finding)
            return
        if finding.severity is Severity.UNCHECKED:
            self._unchecked += finding.entries
            return
        if finding.first_loss is not None:
            self._expiring += finding.entries
            self._first_losses.append(finding.first_loss)
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings.append(finding.happened)
