"""What S3 says in XML: pages of its listings above all."""

from collections.abc import Callable, Container, Mapping
from typing import TypeAlias
from urllib.parse import unquote_plus
from xml.etree import ElementTree as ET

import msgspec

from quilt_packager_runtime.errors import BrokenAnswer
from quilt_packager_runtime.objects import S3Uri, SourceObject

# Storage classes whose objects must be restored before their bytes can be read. Intelligent
# tiering's archive tiers do not show in a listing: they answer InvalidObjectState when read.
ARCHIVED_CLASSES = frozenset({"GLACIER", "DEEP_ARCHIVE"})
NULL_VERSION = "null"

VERSION_MARKERS = {"NextKeyMarker": "key-marker", "NextVersionIdMarker": "version-id-marker"}
KEY_MARKERS = {"NextContinuationToken": "continuation-token"}
"""Which query parameter takes what an answer says of the next page; the first must be there."""

Position: TypeAlias = tuple[tuple[str, str], ...]
"""Where a page of a listing begins: the query parameters that say so."""


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


def parse_xml(body: bytes, uri: S3Uri) -> ET.Element:
    """Read an answer.

    Args:
        body: The answer.
        uri: What it is about, to tell in an error.

    Raises:
        BrokenAnswer: It is no XML.
    """
    try:
        return ET.fromstring(body)  # noqa: S314 - S3 wrote it, and expat refuses entity bombs
    except ET.ParseError as error:
        raise broken(uri, f"its XML does not parse ({error})") from error


def next_position(
    page: ET.Element, markers: Mapping[str, str], seen: Container[Position], uri: S3Uri
) -> Position | None:
    """Where the next page of a listing begins; None if this is the last.

    Args:
        page: A page.
        markers: `VERSION_MARKERS` or `KEY_MARKERS`.
        seen: Where earlier pages began.
        uri: What is listed, to tell in an error.

    Raises:
        BrokenAnswer: The page does not tell, or it leads back.
    """
    truncated = page.findtext("{*}IsTruncated")
    if truncated == "false":
        return None
    decode = key_decoder(page)
    texts = {parameter: page.findtext("{*}" + element) for element, parameter in markers.items()}
    is_told = truncated == "true" and bool(next(iter(texts.values())))
    position = tuple(
        (parameter, decode(text) if parameter == "key-marker" else text)
        for parameter, text in texts.items()
        if text
    )
    if not is_told or position in seen:
        raise broken(uri, "it does not tell where the next page begins")
    return position


def version_page(page: ET.Element, next_key: str | None) -> VersionPage:
    """Read a page of ListObjectVersions. Delete markers and noncurrent versions are passed over.

    Args:
        page: The page.
        next_key: The key at which the next page goes on.
    """
    namespace = page.tag.rpartition("}")[0]
    namespace = namespace + "}" if namespace else ""
    names = ("Key", "VersionId", "IsLatest", "ETag", "Size", "StorageClass")
    key, version, is_latest, etag, size, storage_class = (namespace + name for name in names)
    decode = key_decoder(page)
    objects = []
    for element in page.iterfind(namespace + "Version"):
        fields = {child.tag: child.text for child in element}
        if fields[is_latest] == "true":
            found = SourceObject(
                key=decode(fields[key] or ""),
                size_bytes=int(fields[size] or 0),
                etag=fields[etag] or "",
                version_id=version_id(fields.get(version)),
                archived=fields.get(storage_class) in ARCHIVED_CLASSES,
            )
            objects.append(found)
    prefixes = page.iterfind("{*}CommonPrefixes/{*}Prefix")
    return VersionPage(objects, [decode(prefix.text or "") for prefix in prefixes], next_key)


def key_decoder(page: ET.Element) -> Callable[[str], str]:
    """How to read a listing's keys: not every S3 encodes them when asked to, and each says so."""
    if page.findtext("{*}EncodingType") != "url":
        return str
    # A space is written as "+".
    return lambda key: unquote_plus(key) if "%" in key or "+" in key else key


def version_id(text: str | None) -> str | None:
    """A version's id; None in an unversioned bucket, and for what was written to it as such."""
    return None if text == NULL_VERSION else text or None


def broken(uri: S3Uri, how: str) -> BrokenAnswer:
    """The error for an answer that cannot be right.

    Args:
        uri: What it is about.
        how: What is wrong with it.
    """
    return BrokenAnswer(
        f"S3's answer about {uri} makes no sense: {how}.",
        why="It was cut on its way, or the endpoint is not quite S3.",
        remedy="The job is retried by itself; look into it if this returns.",
    )
