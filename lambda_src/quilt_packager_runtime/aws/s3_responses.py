"""S3's responses in XML, mainly pages of its listings."""

import re
from collections.abc import Callable, Container
from html import unescape
from typing import TypeAlias
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

import msgspec

from quilt_packager_runtime.errors import MalformedResponse, UnsupportedEndpoint
from quilt_packager_runtime.formats.checksums import MIN_CHUNK_BYTES
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, S3Uri, SourceObject

# Storage classes whose objects must be restored before their bytes can be read. Intelligent
# tiering's archive tiers do not show in a listing: they answer InvalidObjectState when read.
ARCHIVED_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
NULL_VERSION = "null"

NEWEST, NONCURRENT = "<IsLatest>true</IsLatest>", "<IsLatest>false</IsLatest>"
FIELDS = re.compile("<(Key|VersionId|ETag|Size|StorageClass)>([^<]*)</")
MODIFIED = re.compile("<LastModified>([^<]*)</")
RESTORED_COPY = "<RestoreExpiryDate>"
MARKER = "<DeleteMarker/>"
"""Begins the row of a delete marker, in a listing that has rows for them."""

NAMED = "<ChecksumAlgorithm>"
SHA256, CRC64NVME = (f"{NAMED}{name}</" for name in ("SHA256", "CRC64NVME"))
COMPOSITE = "<ChecksumType>COMPOSITE</"

Position: TypeAlias = tuple[tuple[str, str], ...]
"""Start of a page of a listing, as query parameters."""


class ListingKind(msgspec.Struct, frozen=True):
    """One of S3's listings.

    Attributes:
        operation: Name of the operation.
        row_name: Name of the repeated element.
        start_after: Query parameter of the key after which the listing starts.
        markers: Query parameters of the next page, by elements of a response; the first is
            required.
        has_markers: Delete markers are rows, too.
    """

    operation: str
    row_name: str
    start_after: str
    markers: dict[str, str]
    has_markers: bool = False


VERSIONS = ListingKind(
    "ListObjectVersions",
    "Version",
    "key-marker",
    {"NextKeyMarker": "key-marker", "NextVersionIdMarker": "version-id-marker"},
)
KEYS = ListingKind(
    "ListObjectsV2",
    "Contents",
    "start-after",
    {"NextContinuationToken": "continuation-token"},
)


ALL_VERSIONS = ListingKind(
    VERSIONS.operation, VERSIONS.row_name, VERSIONS.start_after, VERSIONS.markers, has_markers=True
)


class ListingPage(msgspec.Struct, frozen=True, gc=False):
    """A page of a listing. Rows stay text, because parsing them as trees would take twice the time.

    Attributes:
        uri: Listed location, for errors.
        kind: Kind of the listing.
        frame: The response without the rows.
        rows: Text between the tags of each row.
    """

    uri: S3Uri
    kind: ListingKind
    frame: ET.Element
    rows: list[str]


class ListedVersion(msgspec.Struct, frozen=True, gc=False):
    """A version or a delete marker, as listed.

    Attributes:
        key: Key of the object.
        version_id: Version; None in an unversioned bucket, and for S3's "null" version.
        is_marker: It is a delete marker.
        modified: Time when it was written, in RFC 3339.
        size_bytes: Size of the object.
        etag: ETag with its quotes.
        archived: Its bytes cannot be read before it is restored.
    """

    key: str
    version_id: str | None
    is_marker: bool
    modified: str
    size_bytes: int = 0
    etag: str = ""
    archived: bool = False


class VersionPage(msgspec.Struct, frozen=True, gc=False):
    """A page of ListObjectVersions, or of ListObjectsV2 where a server has no other.

    Attributes:
        objects: Newest versions on the page, in S3's order.
        folders: Common prefixes, if the listing has a delimiter.
        next_key: Key at which the next page continues; None on the last page.
        names_checksums: A row names the algorithm of a stored checksum.
    """

    objects: list[SourceObject]
    folders: list[str]
    next_key: str | None
    names_checksums: bool = False


def parse_xml(body: bytes | str, uri: S3Uri) -> ET.Element:
    """Parse a response.

    Args:
        body: The response.
        uri: Requested location, for errors.

    Raises:
        MalformedResponse: The body is not XML.
    """
    try:
        return ET.fromstring(body)  # noqa: S314 - S3 wrote it, and expat refuses entity bombs
    except ET.ParseError as error:
        raise malformed_response(uri, f"its XML does not parse ({error})") from error


def parse_listing(body: bytes, kind: ListingKind, uri: S3Uri) -> ListingPage:
    """Parse a page of a listing.

    Args:
        body: The response.
        kind: Kind of the listing.
        uri: Listed location, for errors.

    Raises:
        MalformedResponse: The body is not XML, or its rows cannot be separated.
        UnsupportedEndpoint: It is the other listing: the server ignored the request for versions.
    """
    row_name = kind.row_name
    try:
        text = body.decode()
        if kind.has_markers:
            text = text.replace("<DeleteMarker>", f"<{row_name}>{MARKER}")
            text = text.replace("</DeleteMarker>", f"</{row_name}>")
        *pieces, end = text.split(f"</{row_name}>")
    except UnicodeDecodeError as error:
        raise malformed_response(uri, "it is not UTF-8") from error
    frame, rows = [], []
    is_understood = True
    for piece in pieces:
        before, opening, row = piece.rpartition(f"<{row_name}>")
        is_understood = is_understood and bool(opening)
        frame.append(before)
        rows.append(row)
    root = parse_xml("".join([*frame, end]), uri)
    if not is_understood or root.find("{*}" + row_name) is not None:
        raise malformed_response(uri, f"it writes {row_name} in a way that S3 does not")
    if kind is not KEYS and root.tag.endswith("ListBucketResult"):
        raise UnsupportedEndpoint(
            f"{kind.operation} on {uri} failed: this endpoint lists keys instead of versions.",
            why="The S3 server does not implement it.",
            remedy="Use a server that does: see docs/reference/s3-servers.md.",
        )
    return ListingPage(uri, kind, root, rows)


def next_position(page: ListingPage, seen: Container[Position]) -> Position | None:
    """Return the start of the next page; None after the last page.

    Args:
        page: A page.
        seen: Starts of earlier pages.

    Raises:
        MalformedResponse: The page names no next page, or an earlier one.
    """
    truncated = page.frame.findtext("{*}IsTruncated")
    if truncated == "false":
        return None
    decode = key_decoder(page)
    texts = {
        parameter: page.frame.findtext("{*}" + element)
        for element, parameter in page.kind.markers.items()
    }
    is_told = truncated == "true" and bool(next(iter(texts.values())))
    position = tuple(
        (parameter, decode(text) if parameter == "key-marker" else text)
        for parameter, text in texts.items()
        if text
    )
    if not is_told or position in seen:
        raise malformed_response(page.uri, "it does not name the next page")
    return position


def version_page(
    page: ListingPage, following: Position | None, until: str | None = None
) -> VersionPage:
    """Parse a page of a listing, without delete markers and noncurrent versions.

    Args:
        page: The page.
        following: Start of the next page.
        until: Last key of interest; later rows are skipped.

    Raises:
        MalformedResponse: A row lacks a required field.
    """
    decode = key_decoder(page)
    objects = []
    for row in page.rows:
        if page.kind is VERSIONS and NEWEST not in row:
            if NONCURRENT in row:
                continue
            raise malformed_response(page.uri, "a version lacks IsLatest")
        fields = dict(FIELDS.findall(row))
        try:
            size_bytes = int(fields["Size"])
            found = SourceObject(
                key=decode(_text(fields["Key"])),
                size_bytes=size_bytes,
                etag=_text(fields["ETag"]),
                version_id=version_id(_text(fields.get("VersionId", ""))),
                archived=fields.get("StorageClass") in ARCHIVED_CLASSES,
                stored=_stored(row, size_bytes),
            )
        except (KeyError, ValueError) as error:
            raise malformed_response(page.uri, f"a version lacks a field ({error})") from error
        if until is not None and found.key > until:
            break
        objects.append(found)
    return VersionPage(
        objects,
        folder_page(page),
        next_key=_next_key(page, following),
        names_checksums=any(NAMED in row for row in page.rows),
    )


def listed_versions(page: ListingPage) -> list[ListedVersion]:
    """Parse all rows of a page: versions and delete markers, or keys.

    Raises:
        MalformedResponse: A row lacks a required field.
    """
    decode = key_decoder(page)
    listed = []
    for row in page.rows:
        fields = dict(FIELDS.findall(row))
        is_marker = row.startswith(MARKER)
        modified = MODIFIED.search(row)
        try:
            found = ListedVersion(
                key=decode(_text(fields["Key"])),
                version_id=version_id(_text(fields.get("VersionId", ""))),
                is_marker=is_marker,
                modified=modified[1] if modified else "",
                size_bytes=0 if is_marker else int(fields["Size"]),
                etag="" if is_marker else _text(fields["ETag"]),
                archived=fields.get("StorageClass") in ARCHIVED_CLASSES
                and RESTORED_COPY not in row,
            )
        except (KeyError, ValueError) as error:
            raise malformed_response(page.uri, f"a version lacks a field ({error})") from error
        listed.append(found)
    return listed


def folder_page(page: ListingPage) -> list[str]:
    """Return the common prefixes of a page."""
    decode = key_decoder(page)
    prefixes = page.frame.iterfind("{*}CommonPrefixes/{*}Prefix")
    return [decode(prefix.text or "") for prefix in prefixes]


def _next_key(page: ListingPage, following: Position | None) -> str | None:
    if following is None or page.kind is VERSIONS:
        return dict(following or ()).get("key-marker")
    keys = key_page(page)
    return keys[-1] if keys else ""


def _stored(row: str, size_bytes: int) -> ChecksumAlgorithm | None:
    """Return the checksum that HEAD should provide; its parts may differ from Quilt's chunks."""
    if CRC64NVME in row:
        return ChecksumAlgorithm.CRC64NVME
    if SHA256 in row and (size_bytes <= MIN_CHUNK_BYTES or COMPOSITE in row):
        return ChecksumAlgorithm.SHA256_CHUNKED
    return None


def key_page(page: ListingPage) -> list[str]:
    """Return the keys of a page of ListObjectsV2."""
    decode = key_decoder(page)
    fields = (field for row in page.rows for field in FIELDS.findall(row))
    return [decode(_text(key)) for name, key in fields if name == "Key"]


def key_decoder(page: ListingPage) -> Callable[[str], str]:
    """Return the decoder of a listing's keys: not every server encodes them when asked to."""
    if page.frame.findtext("{*}EncodingType") != "url":
        return str
    # A space is written as "+".
    return lambda key: unquote_plus(key) if "%" in key or "+" in key else key


def _text(xml: str) -> str:
    if "&" not in xml:
        return xml
    text = xml.replace("&quot;", '"')  # most often that is all
    return unescape(text) if "&" in text else text


def version_id(text: str | None) -> str | None:
    """Return a version id; None for `null` versions and in unversioned buckets."""
    return None if text == NULL_VERSION else text or None


def malformed_response(uri: S3Uri, problem: str) -> MalformedResponse:
    """Return the error for a response that cannot be right.

    Args:
        uri: Requested location.
        problem: The defect of the response.
    """
    return MalformedResponse(
        f"Malformed response of S3 for {uri}: {problem}.",
        why="It was truncated in transit, or the endpoint differs from S3.",
        remedy="Retry; investigate if this recurs.",
    )
