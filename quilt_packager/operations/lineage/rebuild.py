"""Makes the index of lineage again from what a registry has."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec
from quilt_packager_runtime.auditing.packages import list_packages
from quilt_packager_runtime.aws.s3 import S3, ObjectBody
from quilt_packager_runtime.formats.manifest import MAX_LINE_BYTES, is_ours
from quilt_packager_runtime.formats.names import parse_source_prefix
from quilt_packager_runtime.formats.objects import Source
from quilt_packager_runtime.lineage.index import LineageIndex
from quilt_packager_runtime.lineage.inputs import record_revision
from quilt_packager_runtime.registry.publish import Package, list_pointers, read_pointer
from quilt_packager_runtime.registry.run_fields import INPUT_PACKAGES
from quilt_packager_runtime.requests.package_request import DEFAULT_COMMIT_MESSAGE
from quilt_packager_runtime.requests.sources import MessageSource

from quilt_packager.operations.lineage.tree import is_revision


class _Header(msgspec.Struct):
    message: str | None = None
    source: str | None = None
    sources: list[MessageSource] = []
    user_meta: dict[str, Any] | None = None


async def rebuild_index(s3: S3, index: LineageIndex, registry: str) -> AsyncIterator[Package]:
    """Record all revisions of a registry, the oldest of each package first.

    It reads the pointers, and the first line of each manifest that the packager wrote. Items that
    the index has keep their time, so it may run at any time, and again.

    Yields:
        Each package, after its revisions.

    Raises:
        PackagerError: S3 or DynamoDB did not respond, or refused.
    """
    async for package in list_packages(s3, registry):
        for second in await list_pointers(s3, package):
            pointer = await read_pointer(s3, package, str(second))
            if pointer.top_hash is None:
                continue
            manifest = package.manifest(pointer.top_hash)
            body = await s3.read_if_exists(manifest, max_bytes=MAX_LINE_BYTES + 1)
            header = _read_header(body)
            if header is not None:
                await asyncio.to_thread(
                    record_revision,
                    index,
                    package.link(pointer.top_hash),
                    _sources(header),
                    filter(is_revision, (header.user_meta or {}).get(INPUT_PACKAGES) or ()),
                    published_ms=second * 1000,
                )
        yield package


def _read_header(body: ObjectBody | None) -> _Header | None:
    if body is None or not is_ours(body.metadata):
        return None
    try:
        return msgspec.json.decode(body.data.partition(b"\n")[0], type=_Header)
    except msgspec.DecodeError:
        return None


def _sources(header: _Header) -> Iterable[Source]:
    """Return the folders that a header names: all, or the only one, which its message may name."""
    message = (header.message or "").removeprefix(DEFAULT_COMMIT_MESSAGE)
    named = header.sources or [MessageSource(header.source or message)]
    found = []
    for each in named:
        try:
            folder = parse_source_prefix(each.prefix)
        except ValueError:
            continue  # a message of another form
        found.append(Source(folder.bucket, folder.prefix, each.into))
    return found
