"""The metadata of a package: as the message has it, or as a file in S3 has it, or as a crate tells.

Explicit metadata has to be usable. A crate that merely lies where an event points may be broken:
then the package is made without its metadata, and says so.
"""

from typing import Any

import msgspec

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    BadRequest,
    InvalidMetadata,
    InvalidObjectState,
    quote,
)
from quilt_packager_runtime.formats.json_documents import MAX_METADATA_BYTES, read_metadata
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.metadata.ro_crates import MAX_CRATE_BYTES, read_crate
from quilt_packager_runtime.requests.messages import PackageRequest, crate_in, name_by_crate


class PackageMetadata(msgspec.Struct, frozen=True):
    """What there is to say of a package.

    Attributes:
        metadata: The metadata; None: there is none.
        remark: Why metadata is missing that could have been there.
    """

    metadata: dict[str, Any] | None
    remark: str | None = None


async def describe(s3: S3, request: PackageRequest) -> PackageMetadata:
    """Find the metadata of a package.

    Args:
        s3: S3.
        request: The request.

    Raises:
        InvalidMetadata: It cannot be used, and is not optional.
        AccessDenied: It may not be read.
    """
    if request.metadata_uri is None:
        return PackageMetadata(request.metadata)
    try:
        return PackageMetadata(await _read(s3, request.metadata_uri, request.metadata_format))
    except InvalidMetadata as error:
        if not request.metadata_optional:
            raise
        return PackageMetadata(None, error.happened)


async def name_request(s3: S3, request: PackageRequest) -> PackageRequest:
    """Give a request the name that its template makes of its crate, or its folder's otherwise.

    Args:
        s3: S3.
        request: The request.

    Raises:
        AccessDenied: The crate may not be read.
        InvalidMessage: The name is longer than a package's may be.
    """
    if request.name_template is None:
        return request
    crate = request.metadata_uri or crate_in(request.source)
    try:
        facets = await _read(s3, crate, "ro-crate")
    except InvalidMetadata:
        facets = {}
    return name_by_crate(request, facets)


async def _read(s3: S3, uri: S3Uri, file_format: str) -> dict[str, Any]:
    is_crate = file_format == "ro-crate"
    max_bytes = MAX_CRATE_BYTES if is_crate else MAX_METADATA_BYTES
    try:
        body = await s3.read_if_exists(uri, max_bytes=max_bytes + 1)
    except (BadRequest, InvalidObjectState) as error:
        raise _no_metadata(error.happened) from error
    if body is None:
        raise _no_metadata(f"There is no object {quote(str(uri))}.")
    return _read_crate(body.data, uri) if is_crate else read_metadata(body.data, uri)


def _read_crate(document: bytes, uri: S3Uri) -> dict[str, Any]:
    try:
        return dict(read_crate(document))
    except ValueError as error:
        raise InvalidMetadata(
            f"The crate {quote(str(uri))} cannot be used: {error}.",
            why=f"A crate is JSON with a @graph, of at most {MAX_CRATE_BYTES:,} bytes.",
            remedy="Correct it, or send the metadata in the message.",
        ) from error


def _no_metadata(happened: str) -> InvalidMetadata:
    return InvalidMetadata(
        happened,
        why="The message's metadata_uri names it as the package's metadata.",
        remedy="Upload it, or correct metadata_uri, and send the message again.",
    )
