"""Verifies packages: their pointers, and what their revisions name."""

from collections.abc import Callable
from typing import NamedTuple

from quilt_packager_runtime.auditing.entry_check import Depth
from quilt_packager_runtime.auditing.findings import Finding
from quilt_packager_runtime.auditing.packages import check_package, list_packages
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
    found: list[Finding] = []
    newest = await check_package(verification.s3, package, found.append)
    if newest is None and not found:
        raise UnknownPackage(
            f"{package.registry} has no package {quote(package.name)}.",
            why="The registry has no pointer of that name.",
            remedy="Check the name and --registry.",
        )
    for finding in found:
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
