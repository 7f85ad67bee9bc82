"""The objects of a folder, as far as events and packages depend on them."""

from datetime import datetime
from typing import TYPE_CHECKING

import msgspec
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder

if TYPE_CHECKING:
    from quilt_packager.operations.deployment.deployments import Deployment

MAX_PAGES = 10
"""Maximum number of pages, of 1,000 objects each."""


class Contents(msgspec.Struct, frozen=True):
    """The objects of a folder.

    Attributes:
        objects: Number of objects.
        newest_key: Key of the object that was written last; None if there is none.
        newest: Time at which it was written.
        is_cut_off: There are more objects.
    """

    objects: int = 0
    newest_key: str | None = None
    newest: datetime | None = None
    is_cut_off: bool = False


def parse_folder(text: str) -> SourceFolder:
    """Parse the URI of a folder, with or without its last `/`.

    Raises:
        ValueError: It is not an S3 URI.

    Example:
        >>> parse_folder("s3://raw/runs/42") == parse_folder("s3://raw/runs/42/")
        True
    """
    uri = S3Uri.parse(text)
    return SourceFolder(uri.bucket, f"{uri.key.rstrip('/')}/" if uri.key else "")


def read_contents(deployment: "Deployment", folder: SourceFolder) -> Contents:
    """List a folder, up to `MAX_PAGES` pages."""
    pages = deployment.s3.get_paginator("list_objects_v2").paginate(
        Bucket=folder.bucket, Prefix=folder.prefix
    )
    found = Contents()
    for number, page in enumerate(pages, start=1):
        objects = page.get("Contents", [])
        newest = max(objects, key=lambda each: each["LastModified"], default=None)
        found = msgspec.structs.replace(
            found,
            objects=found.objects + len(objects),
            is_cut_off=number == MAX_PAGES and page["IsTruncated"],
        )
        if newest and (found.newest is None or newest["LastModified"] > found.newest):
            found = msgspec.structs.replace(
                found, newest_key=newest["Key"], newest=newest["LastModified"]
            )
        if found.is_cut_off:
            break
    return found
