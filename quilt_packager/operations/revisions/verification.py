"""Verifies packages: their pointers, and what their revisions name."""

from collections.abc import Callable
from typing import NamedTuple

from quilt_packager_runtime.auditing.entry_check import Depth
from quilt_packager_runtime.auditing.findings import Code, Finding
from quilt_packager_runtime.auditing.packages import find_newest, list_packages
from quilt_packager_runtime.auditing.pointers import check_pointers
from quilt_packager_runtime.auditing.revision_audit import Audited, Revision, RevisionAudit
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import quote
from quilt_packager_runtime.registry.publish import Package
from quilt_packager_runtime.settings import Settings

from quilt_packager.operations.errors import UnknownPackage
from quilt_packager.operations.revisions.revisions import RevisionLookup

PACKAGES_AT_ONCE = 4


class Verification(NamedTuple):
    """The parameters of a verification.

    Attributes:
        s3: S3.
        settings: Scratch buckets and concurrency.
        depth: Requests beside the listing.
        report: Called with each finding, its package, and its top hash if it concerns a revision.
        on_progress: Called with a phase, the completed count and the total.
    """

    s3: S3
    settings: Settings
    depth: Depth
    report: Callable[[Package, str | None, Finding], object]
    on_progress: Callable[[str, int, int | None], object]


async def verify_revision(verification: Verification, package: Package, name: str) -> int:
    """Verify one revision by its name, and return the number of its entries.

    Raises:
        LookupFailed: There is no such revision.
    """
    found = await RevisionLookup(verification.s3, package).find(name)
    revision = Revision(package, found.top_hash, found.published)
    return (await _audit(verification, revision)).entries


async def verify_package(verification: Verification, package: Package) -> int:
    """Verify the pointers of a package and its newest revision, and return its entries' number.

    Raises:
        UnknownPackage: The registry has no such package.
    """
    newest = await find_newest(verification.s3, package)
    findings = await check_pointers(verification.s3, package)
    if newest is None and not any(each.code is Code.INVALID_POINTER for each in findings):
        raise UnknownPackage(
            f"{package.registry} has no package {quote(package.name)}.",
            why="The registry has no pointer of that name.",
            remedy="Check the name and --registry.",
        )
    # The audit of the revision reports its own manifest.
    audited = None if newest is None else str(package.manifest(newest.top_hash))
    for finding in findings:
        if finding.uri != audited:
            verification.report(package, None, finding)
    return 0 if newest is None else (await _audit(verification, newest)).entries


async def verify_all(verification: Verification, registry: str) -> tuple[int, int]:
    """Verify all packages of a registry, and return their number and that of their entries."""
    packages = entries = 0

    async def verify(package: Package) -> None:
        nonlocal packages, entries
        quiet = verification._replace(on_progress=lambda *_: None)
        count = await verify_package(quiet, package)
        entries += count
        packages += 1
        verification.on_progress("packages", packages, None)

    await for_each(list_packages(verification.s3, registry), verify, at_once=PACKAGES_AT_ONCE)
    return packages, entries


async def _audit(verification: Verification, revision: Revision) -> Audited:
    return await RevisionAudit(
        verification.s3,
        revision,
        settings=verification.settings,
        depth=verification.depth,
        report=lambda finding: verification.report(revision.package, revision.top_hash, finding),
        on_progress=lambda done, total: verification.on_progress("entries", done, total),
    ).run()
