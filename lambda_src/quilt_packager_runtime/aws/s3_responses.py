"""What S3 says in XML: pages of its listings above all."""

import re
from collections.abc import Callable, Container
from html import unescape
from typing import TypeAlias
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

import msgspec

from quilt_packager_runtime.errors import MalformedResponse
from quilt_packager_runtime.formats.checksums import MIN_CHUNK_BYTES
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, S3Uri, SourceObject

# Storage classes whose objects must be restored before their bytes can be read. Intelligent
# tiering's archive tiers do not show in a listing: they answer InvalidObjectState when read.
ARCHIVED_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
NULL_VERSION = "null"

NEWEST, NONCURRENT = "<IsLatest>true</IsLatest>", "<IsLatest>false</IsLatest>"
FIELDS = re.compile("<(Key|VersionId|ETag|Size|StorageClass)>([^<]*)</")
SHA256, CRC64NVME = (f"<ChecksumAlgorithm>{name}</" for name in ("SHA256", "CRC64NVME"))
COMPOSITE = "<ChecksumType>COMPOSITE</"

Position: TypeAlias = tuple[tuple[str, str], ...]
"""Where a page of a listing begins: the query parameters that say so."""


class ListingKind(msgspec.Struct, frozen=True):
    """One of S3's listings.

    Attributes:
        operation: S3's name of it.
        row_name: The element that is repeated.
        markers: Which query parameter takes what an answer says of the next page; the first must
            be there.
    """

    operation: str
    row_name: str
    markers: dict[str, str]


VERSIONS = ListingKind(
    "ListObjectVersions",
    "Version",
    {"NextKeyMarker": "key-marker", "NextVersionIdMarker": "version-id-marker"},
)
KEYS = ListingKind("ListObjectsV2", "Contents", {"NextContinuationToken": "continuation-token"})


class ListingPage(msgspec.Struct, frozen=True, gc=False):
    """A page of a listing. Its rows are kept apart: as trees they would take twice the time.

    Attributes:
        uri: What is listed, to tell in an error.
        kind: Of the listing.
        frame: All but the rows.
        rows: What stands between the tags of each.
    """

    uri: S3Uri
    kind: ListingKind
    frame: ET.Element
    rows: list[str]


class VersionPage(msgspec.Struct, frozen=True, gc=False):
    """A page of ListObjectVersions.

    Attributes:
        objects: The newest versions on it, in S3's order.
        folders: What it sums up as common prefixes, because of a delimiter.
        next_key: The key at which the next page goes on; None on the last.
    """

    objects: list[SourceObject]
    folders: list[str]
    next_key: str | None


def parse_xml(body: bytes | str, uri: S3Uri) -> ET.Element:
    """Read an answer.

    Args:
        body: The answer.
        uri: What it is about, to tell in an error.

    Raises:
        MalformedResponse: It is no XML.
    """
    try:
        return ET.fromstring(body)  # noqa: S314 - S3 wrote it, and expat refuses entity bombs
    except ET.ParseError as error:
        raise broken(uri, f"its XML does not parse ({error})") from error


def parse_listing(body: bytes, kind: ListingKind, uri: S3Uri) -> ListingPage:
    """Read a page of a listing.

    Args:
        body: The answer.
        kind: Of the listing.
        uri: What is listed, to tell in an error.

    Raises:
        MalformedResponse: It is no XML, or rows cannot be told from the rest of it.
    """
    row_name = kind.row_name
    try:
        *pieces, end = body.decode().split(f"</{row_name}>")
    except UnicodeDecodeError as error:
        raise broken(uri, "it is not UTF-8") from error
    frame, rows = [], []
    is_understood = True
    for piece in pieces:
        before, opening, row = piece.rpartition(f"<{row_name}>")
        is_understood = is_understood and bool(opening)
        frame.append(before)
        rows.append(row)
    root = parse_xml("".join([*frame, end]), uri)
    if not is_understood or root.find("{*}" + row_name) is not None:
        raise broken(uri, f"it writes {row_name} in a way that S3 does not")
    return ListingPage(uri, kind, root, rows)


def next_position(page: ListingPage, seen: Container[Position]) -> Position | None:
    """Where the next page of a listing begins; None if this is the last.

    Args:
        page: A page.
        seen: Where earlier pages began.

    Raises:
        MalformedResponse: The page does not tell, or it leads back.
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
        raise broken(page.uri, "it does not tell where the next page begins")
    return position


def version_page(
    page: ListingPage, following: Position | None, until: str | None = None
) -> VersionPage:
    """Read a page of ListObjectVersions. Delete markers and noncurrent versions are passed over.

    Args:
        page: The page.
        following: Where the next begins.
        until: The last key of interest; rows behind it are not read.

    Raises:
        MalformedResponse: A row lacks what S3 says of each version.
    """
    decode = key_decoder(page)
    objects = []
    for row in page.rows:
        if NEWEST not in row:
            if NONCURRENT in row:
                continue
            raise broken(page.uri, "a version does not say whether it is the newest")
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
            raise broken(page.uri, f"a version lacks what S3 tells of each ({error})") from error
        if until is not None and found.key > until:
            break
        objects.append(found)
    prefixes = page.frame.iterfind("{*}CommonPrefixes/{*}Prefix")
    folders = [decode(prefix.text or "") for prefix in prefixes]
    return VersionPage(objects, folders, dict(following or ()).get("key-marker"))


def _stored(row: str, size_bytes: int) -> ChecksumAlgorithm | None:
    """Which checksum HEAD should tell. Only there it shows whether parts are Quilt's chunks."""
    if CRC64NVME in row:
        return ChecksumAlgorithm.CRC64NVME
    if SHA256 in row and (size_bytes <= MIN_CHUNK_BYTES or COMPOSITE in row):
        return ChecksumAlgorithm.SHA256_CHUNKED
    return None


def key_page(page: ListingPage) -> list[str]:
    """The keys of a page of ListObjectsV2."""
    decode = key_decoder(page)
    fields = (field for row in page.rows for field in FIELDS.findall(row))
    return [decode(_text(key)) for name, key in fields if name == "Key"]


def key_decoder(page: ListingPage) -> Callable[[str], str]:
    """How to read a listing's keys: not every S3 encodes them when asked to, and each says so."""
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
    """A version's id; None in an unversioned bucket, and for what was written to it as such."""
    return None if text == NULL_VERSION else text or None


def broken(uri: S3Uri, how: str) -> MalformedResponse:
    """The error for an answer that cannot be right.

    Args:
        uri: What it is about.
        how: What is wrong with it.
    """
    return MalformedResponse(
        f"S3's answer about {uri} makes no sense: {how}.",
        why="It was cut on its way, or the endpoint is not quite S3.",
        remedy="The job is retried by itself; look into it if this returns.",
    )
