"""Recognises one folder by few requests, for a person who is about to package it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_responses import VersionPage
from quilt_packager_runtime.formats.objects import SourceFolder, SourceObject
from quilt_packager_runtime.formats.recognisers import RECOGNISERS

from quilt_packager.operations.discovery.proposals import KINDS, find_missing, message_for
from quilt_packager.operations.discovery.roots import Roots
from quilt_packager.operations.discovery.walk import Walk

_SUBFOLDERS = frozenset(
    first
    for each in RECOGNISERS
    for first, _, rest in (glob.partition("/") for glob in (*each.markers, *each.completion))
    if rest
)
"""Subfolders whose files may be markers."""


class Recognised(msgspec.Struct, frozen=True):
    """A folder of a known kind.

    Attributes:
        title: Name of the kind for people.
        missing: The file that completes it, if it has none.
        fields: Fields of a message that its kind suggests, besides the folder.
    """

    title: str
    missing: tuple[str, ...]
    fields: dict[str, Any]


async def recognise(s3: S3, folder: SourceFolder) -> Recognised | None:
    """Recognise a folder by the first thousand names in it; None if it is of no known kind.

    Requests: a page of its listing, and of each of a few subfolders.
    """
    bucket, prefix = folder.bucket, folder.prefix
    page = await _first(s3.list_version_pages(bucket, prefix, delimiter="/"))
    found = {each.key: each for each in page.objects}
    for subfolder in page.folders:
        found[subfolder] = SourceObject(subfolder, 0, "", None)
        if subfolder.removeprefix(prefix).rstrip("/") in _SUBFOLDERS:
            below = await _first(s3.list_version_pages(bucket, subfolder))
            found |= {each.key: each for each in below.objects}
    with Roots() as roots:
        walk = Walk(folder, roots)
        walk.take(found[key] for key in sorted(found))
        walk.end()
        root = next((each for each, _ in roots if each.prefix == prefix), None)
    if root is None:
        return None
    fields = message_for(folder, root)
    del fields["source_prefix"]
    return Recognised(KINDS[root.kind].title, find_missing(root), fields)


async def _first(pages: AsyncGenerator[VersionPage, None]) -> VersionPage:
    async with aclosing(pages):
        return await anext(pages)
