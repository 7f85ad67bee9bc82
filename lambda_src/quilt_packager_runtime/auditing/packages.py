"""The packages of a registry, and the audit of one: its pointers and its newest revision."""

from collections.abc import AsyncGenerator, Callable
from datetime import UTC, datetime

from quilt_packager_runtime.auditing.findings import Finding
from quilt_packager_runtime.auditing.pointers import check_pointers
from quilt_packager_runtime.auditing.revision_audit import Revision
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.registry.publish import (
    NAMED_PACKAGES,
    Package,
    Pointer,
    list_pointers,
    read_latest,
    read_pointer,
)


async def list_packages(
    s3: S3, registry: str, *, prefix: str = "", after: str = ""
) -> AsyncGenerator[Package, None]:
    """List the packages of a registry in S3's order, with a request for each first part of a name.

    Args:
        s3: S3.
        registry: Bucket of the registry.
        prefix: Beginning of the names.
        after: Name after which to start.
    """
    # S3 sorts a/b-c/ before a/b/, the names without a slash the other way round.
    last = f"{NAMED_PACKAGES}{after}/" if after else ""
    if "/" in prefix:
        parents = [f"{NAMED_PACKAGES}{prefix}"]
    else:
        first = s3.list_folders(registry, f"{NAMED_PACKAGES}{prefix}")
        parents = [folder async for folder in first if folder >= last or last.startswith(folder)]
    for parent in parents:
        async for folder in s3.list_folders(registry, parent):
            if folder > last:
                yield Package(registry, folder.removeprefix(NAMED_PACKAGES).removesuffix("/"))


async def check_package(
    s3: S3, package: Package, report: Callable[[Finding], object]
) -> Revision | None:
    """Check the pointers of a package, and return the revision to audit: its newest."""
    newest = await find_newest(s3, package)
    # The audit of the revision reports its own manifest.
    audited = None if newest is None else str(package.manifest(newest.top_hash))
    for finding in await check_pointers(s3, package):
        if finding.uri != audited:
            report(finding)
    return newest


async def find_newest(s3: S3, package: Package) -> Revision | None:
    """Find the revision that a package's `latest` names; without one, its newest pointer."""
    seconds = await list_pointers(s3, package)
    newest = await read_pointer(s3, package, str(seconds[-1])) if seconds else Pointer()
    latest = await read_latest(s3, package)
    top_hash = latest.top_hash or newest.top_hash
    if top_hash is None:
        return None
    published = datetime.fromtimestamp(seconds[-1], UTC) if top_hash == newest.top_hash else None
    return Revision(package, top_hash, published)
