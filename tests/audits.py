"""Published packages in the S3 stub, written without a job, and their audit."""

import hashlib
import io
from collections.abc import Mapping
from typing import Any

from quilt_packager_runtime.auditing.entry_check import Depth
from quilt_packager_runtime.auditing.findings import Finding
from quilt_packager_runtime.auditing.packages import find_newest
from quilt_packager_runtime.auditing.revision_audit import Audited, Revision, RevisionAudit
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.manifest import WRITTEN_BY_US, Header, write_manifest
from quilt_packager_runtime.formats.objects import Entry, S3Uri, sort_key
from quilt_packager_runtime.registry.publish import MANIFEST_SHA256, Package
from quilt_packager_runtime.settings import Settings

from tests.hashes import quilt3_checksum
from tests.s3_stub import NULL, Bucket, Version

PACKAGE = Package("packages", "runs/42")
SECOND = 1_790_000_000
"""The second of the pointer; objects are written before."""

BEFORE, AFTER = SECOND - 100.0, SECOND + 100.0


def put(raw: Bucket, key: str, data: bytes = b"hello", **options: Any) -> Version:
    """Write an object before the revision."""
    return raw.put(key, data, **{"stored": ["SHA256"], "last_modified": BEFORE, **options})


def entry_of(raw: Bucket, key: str, version: Version) -> Entry:
    """Describe an object as the packager does: without the version id of an unversioned bucket."""
    version_id = None if version.version_id == NULL else version.version_id
    checksum = quilt3_checksum(version.data)
    uri = S3Uri(raw.name, key, version_id)
    return Entry(key, str(uri), version.size_bytes, checksum)


def publish(packages: Bucket, entries: Mapping[str, Entry] | list[Entry]) -> str:
    """Write manifest, pointer and `latest` of `PACKAGE`, and return the top hash."""
    given = entries.values() if isinstance(entries, Mapping) else entries
    manifest = io.BytesIO()
    ordered = sorted(given, key=lambda each: sort_key(each.logical_key))
    top_hash = write_manifest(Header(None, "message"), ordered, manifest.write)
    data = manifest.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    metadata = {**WRITTEN_BY_US, MANIFEST_SHA256: digest}
    packages.put(PACKAGE.manifest(top_hash).key, data, metadata=metadata)
    for name in (str(SECOND), "latest"):
        packages.put(PACKAGE.pointer(name).key, top_hash.encode())
    return top_hash


async def audit(
    s3: S3, depth: Depth | None = None, *, revision: Revision | None = None, first_block: int = 0
) -> tuple[Audited, list[Finding]]:
    """Audit the newest revision of `PACKAGE`."""
    found: list[Finding] = []
    newest = revision or await find_newest(s3, PACKAGE)
    assert newest is not None
    run = RevisionAudit(
        s3, newest, settings=Settings(), depth=depth or Depth(), report=found.append
    )
    return await run.run(first_block), found
