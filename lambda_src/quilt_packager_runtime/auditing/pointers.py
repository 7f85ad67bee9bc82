"""Checks the pointers of a package: each names a manifest, and `latest` one of them."""

from quilt_packager_runtime.auditing.findings import Code, Finding
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.registry.publish import (
    LATEST,
    Package,
    list_pointers,
    read_latest,
    read_pointer,
)

POINTERS_IN_FLIGHT = 32


async def check_pointers(s3: S3, package: Package) -> list[Finding]:
    """Check all pointers of a package, with two requests for each.

    Raises:
        AccessDenied: A pointer or a manifest may exist, and may not be read.
    """
    seconds = await list_pointers(s3, package)
    latest = await read_latest(s3, package)
    if not seconds and latest.etag is None:
        return []  # there is no such package
    findings: list[Finding] = []
    names_by_hash: dict[str, list[str]] = {}

    def add(name: str, top_hash: str | None) -> None:
        if top_hash is None:
            happened = f"The pointer {name} of {package.name} holds no top hash."
            uri = package.pointer(name)
            findings.append(Finding.about(Code.INVALID_POINTER, happened, uri=uri))
        else:
            names_by_hash.setdefault(top_hash, []).append(name)

    async def read(second: int) -> None:
        add(str(second), (await read_pointer(s3, package, str(second))).top_hash)

    async def find_manifest(top_hash: str) -> None:
        uri = package.manifest(top_hash)
        if await s3.read_if_exists(uri, max_bytes=1) is None:
            names = ", ".join(sorted(names_by_hash[top_hash]))
            happened = f"The manifest {top_hash} of {package.name} ({names}) does not exist."
            findings.append(Finding.about(Code.MANIFEST_MISSING, happened, uri=uri))

    await for_each(seconds, read, at_once=POINTERS_IN_FLIGHT)
    newest = str(seconds[-1]) if seconds else None
    if latest.etag is None:
        findings.append(
            Finding.about(
                Code.LATEST_MISSING,
                f"{package.name} has {len(seconds)} revisions and no latest.",
                uri=package.pointer(LATEST),
            )
        )
    else:
        if latest.top_hash is not None:
            findings += _check_latest(package, latest.top_hash, names_by_hash, newest)
        add(LATEST, latest.top_hash)
    await for_each(names_by_hash, find_manifest, at_once=POINTERS_IN_FLIGHT)
    return sorted(findings, key=lambda each: (each.code, each.uri or ""))


def _check_latest(
    package: Package, top_hash: str, names_by_hash: dict[str, list[str]], newest: str | None
) -> list[Finding]:
    uri = package.pointer(LATEST)
    names = names_by_hash.get(top_hash)
    if names is None:
        happened = f"latest of {package.name} names {top_hash}, and no pointer does."
        return [Finding.about(Code.LATEST_WITHOUT_POINTER, happened, uri=uri)]
    if newest not in names:
        happened = f"latest of {package.name} names {top_hash}; the newest pointer, {newest}, not."
        return [Finding.about(Code.LATEST_IS_OLDER, happened, uri=uri)]
    return []
