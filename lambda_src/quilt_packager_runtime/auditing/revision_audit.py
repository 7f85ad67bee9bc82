"""Audits a revision: its manifest, then the objects that it names, bucket by bucket."""

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import datetime

import msgspec

from quilt_packager_runtime.auditing.entry_check import Depth, EntryCheck
from quilt_packager_runtime.auditing.findings import Code, Finding
from quilt_packager_runtime.auditing.lifecycle import Losses, read_rules
from quilt_packager_runtime.auditing.manifest_reader import ManifestReader, UnreadableManifest
from quilt_packager_runtime.auditing.references import Reference, References
from quilt_packager_runtime.auditing.version_join import Match, find_versions
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.disk_space import translate_disk_full
from quilt_packager_runtime.errors import AccessDenied, NoSuchBucket, PackagerError, quote
from quilt_packager_runtime.formats.manifest_lines import ManifestLine
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.settings import Settings

BLOCK_ENTRIES = 10_000
"""Number of entries that are compared with one listing."""

BLOCKS_AT_ONCE = 16

RECORD_ENTRIES = 1000
"""Number of entries recorded at a time."""


class Revision(msgspec.Struct, frozen=True):
    """A revision to audit.

    Attributes:
        package: Its package.
        top_hash: Its top hash.
        published: Time of its pointer; None if it is not known.
    """

    package: Package
    top_hash: str
    published: datetime | None = None


class Audited(msgspec.Struct, frozen=True):
    """The extent of an audit.

    Attributes:
        entries: Number of entries of the revision; 0 if its manifest cannot be read.
        unread: Number of entries whose bytes should have been read, and the time was over.
        next_block: Block at which to continue, if the time was over; None at the end.
    """

    entries: int = 0
    unread: int = 0
    next_block: int | None = None


class RevisionAudit:
    """Audits one revision.

    Memory: `BLOCKS_AT_ONCE` blocks and pages, and the cache of `References`; disk as an inventory
    of as many objects.

    Args:
        s3: S3.
        revision: The revision.
        settings: Scratch buckets and concurrency.
        depth: Requests beside the listing.
        report: Called with each finding.
        on_progress: Called with the numbers of checked entries and of all, which is None while
            the manifest is read.
        until: Time after which no block is begun, on the event loop's clock.
    """

    def __init__(  # noqa: PLR0913 - what an audit needs, by name
        self,
        s3: S3,
        revision: Revision,
        *,
        settings: Settings,
        depth: Depth,
        report: Callable[[Finding], object],
        on_progress: Callable[[int, int | None], object] = lambda _done, _total: None,
        until: float | None = None,
    ) -> None:
        self._s3 = s3
        self._revision = revision
        self._settings = settings
        self._depth = depth
        self._report = report
        self._on_progress = on_progress
        self._until = until
        self._requests = asyncio.Semaphore(settings.max_requests_in_flight)
        self._checked = 0
        self._next_block: int | None = None

    async def run(self, first_block: int = 0) -> Audited:
        """Audit the revision from a block on.

        Raises:
            PackagerError: S3 failed, or denied the request for a reason that is no finding.
        """
        with translate_disk_full(), References() as references:
            if not await self._read_manifest(references):
                return Audited()
            check = EntryCheck(
                self._s3,
                self._settings,
                self._depth,
                count=references.count,
                published=self._revision.published,
            )
            block = 0
            for bucket, count in references.buckets():
                blocks = -(-count // BLOCK_ENTRIES)
                skipped = min(max(first_block - block, 0), blocks)
                if skipped < blocks and self._next_block is None:
                    await self._check_bucket(
                        _Bucket(bucket, count, block, skipped), references, check
                    )
                block += blocks
            return Audited(references.count, check.unread, self._next_block)

    async def _read_manifest(self, references: References) -> bool:
        revision = self._revision
        uri = revision.package.manifest(revision.top_hash)
        reader = ManifestReader(self._s3, uri, verify=True)
        batch: list[Reference] = []
        try:
            async for _, entry in reader.entries():
                reference = _reference(entry)
                if reference is None:
                    self._report(_not_in_s3(entry))
                    continue
                batch.append(reference)
                if len(batch) == RECORD_ENTRIES:
                    references.add(batch)
                    batch.clear()
                    self._on_progress(references.count, None)
                    await asyncio.sleep(0)
        except UnreadableManifest as error:
            code = Code.MANIFEST_MISSING if error.is_missing else Code.MANIFEST_CHANGED
            self._report_manifest(code, error.defect, uri)
            return False
        except AccessDenied as denied:
            self._report(Finding.about(Code.ACCESS_DENIED, denied.happened, uri=uri))
            return False
        references.add(batch)
        change = reader.find_change(revision.top_hash)
        if change is not None:
            self._report_manifest(Code.MANIFEST_CHANGED, change, uri)
        return True

    def _report_manifest(self, code: Code, defect: str, uri: S3Uri) -> None:
        happened = f"The manifest {self._revision.top_hash} is not as it was: {defect}."
        self._report(Finding.about(code, happened, uri=uri))

    async def _check_bucket(
        self, bucket: "_Bucket", references: References, check: EntryCheck
    ) -> None:
        losses = Losses(bucket.name, [])

        async def check_block(block: list[Reference]) -> None:
            self._checked += len(block)
            for finding in sorted(await self._check_block(block, check, losses), key=_order):
                self._report(finding)
            self._on_progress(self._checked, references.count)

        try:
            rules = await self._s3.get_lifecycle_rules(bucket.name)
            losses = Losses(bucket.name, read_rules(rules))
        except AccessDenied:
            happened = f"The lifecycle rules of {bucket.name} cannot be read."
            self._report(Finding.about(Code.RULES_UNKNOWN, happened, uri=bucket.uri))
        except NoSuchBucket:
            pass  # the listing finds the same
        try:
            blocks = self._blocks(bucket, references)
            await for_each(blocks, check_block, at_once=BLOCKS_AT_ONCE)
        except (AccessDenied, NoSuchBucket) as error:
            self._report(_bucket_finding(bucket, error))
        for finding in losses.findings():
            self._report(finding)

    async def _blocks(
        self, bucket: "_Bucket", references: References
    ) -> AsyncIterator[list[Reference]]:
        number = bucket.first_block
        async for block in references.blocks(bucket.name, size=BLOCK_ENTRIES):
            if number - bucket.first_block >= bucket.skipped:
                if self._is_over:
                    self._next_block = number
                    return
                yield block
            number += 1

    @property
    def _is_over(self) -> bool:
        return self._until is not None and asyncio.get_running_loop().time() > self._until

    async def _check_block(
        self, block: list[Reference], check: EntryCheck, losses: Losses
    ) -> list[Finding]:
        findings: list[Finding] = []
        pending: list[Match] = []
        async for match in find_versions(self._s3, block):
            losses.add(match)
            if check.needs_requests(match):
                pending.append(match)

        async def request(match: Match) -> None:
            async with self._requests:
                finding = await check.check(match)
            if finding is not None:
                findings.append(finding)

        await for_each(pending, request, at_once=self._settings.max_requests_in_flight)
        return findings


class _Bucket(msgspec.Struct, frozen=True):
    """A bucket of entries.

    Attributes:
        name: Its name.
        count: Number of its entries.
        first_block: Number of its first block.
        skipped: Number of its blocks that are done.
    """

    name: str
    count: int
    first_block: int
    skipped: int

    @property
    def uri(self) -> S3Uri:
        return S3Uri(self.name, "")


def _reference(entry: ManifestLine) -> Reference | None:
    """Return the reference of an entry; None if it names no object in S3."""
    try:
        [physical_key] = entry.physical_keys or []
        uri = S3Uri.parse(physical_key)
    except (AttributeError, ValueError):
        return None
    if entry.size is None or entry.hash is None or not uri.key:
        return None
    return Reference(entry.logical_key, uri.bucket, uri.key, uri.version_id, entry.size, entry.hash)


def _not_in_s3(entry: ManifestLine) -> Finding:
    happened = f"{quote(entry.logical_key)} names no object in S3: {entry.physical_keys}."
    return Finding.about(Code.NOT_IN_S3, happened, logical_key=entry.logical_key)


def _bucket_finding(bucket: _Bucket, error: PackagerError) -> Finding:
    code = Code.BUCKET_MISSING if isinstance(error, NoSuchBucket) else Code.ACCESS_DENIED
    return Finding.about(code, error.happened, uri=bucket.uri, entries=bucket.count)


def _order(finding: Finding) -> str:
    return finding.logical_key or ""
