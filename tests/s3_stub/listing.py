"""The two listings: every version, and the newest keys."""

import base64
import binascii
from collections.abc import Iterator

from tests.s3_stub.protocol import (
    Refusal,
    Request,
    Response,
    iso_date,
    text_encoder,
    to_document,
)
from tests.s3_stub.store import Bucket
from tests.s3_stub.versions import Version

MAX_KEYS = 1000
_RESTORED = "<RestoreStatus><IsRestoreInProgress>false</IsRestoreInProgress>"
_RESTORED += "<RestoreExpiryDate>2030-01-01T00:00:00.000Z</RestoreExpiryDate></RestoreStatus>"
_OWNER = "<Owner><ID>75aa57f09aa0c8caeab4f8c24e99d10f8e7faeebf76c078efc7c6caea54ba06a</ID></Owner>"


class Page:
    """What a listing was asked for, and how its answer writes keys.

    Attributes:
        prefix: Keys begin with it.
        delimiter: Keys with the same text up to it become one common prefix.
        max_keys: At most so many rows and common prefixes.
    """

    def __init__(self, request: Request) -> None:
        self.prefix = request.query.get("prefix", "")
        self.delimiter = request.query.get("delimiter", "")
        try:
            self.max_keys = min(int(request.query.get("max-keys") or MAX_KEYS), MAX_KEYS)
        except ValueError as error:
            raise Refusal(400, "InvalidArgument", "max-keys is no number") from error
        self.encode = text_encoder(request)
        self._encoding = request.query.get("encoding-type")

    def common_prefix(self, key: str) -> str | None:
        """The common prefix that a key falls into, if it falls into one."""
        if not self.delimiter:
            return None
        head, found, _ = key[len(self.prefix) :].partition(self.delimiter)
        return self.prefix + head + found if found else None

    def to_xml(self, *, is_truncated: bool) -> str:
        """The elements that both listings echo."""
        delimiter = f"<Delimiter>{self.encode(self.delimiter)}</Delimiter>"
        encoding = f"<EncodingType>{self._encoding}</EncodingType>"
        return (
            f"<Prefix>{self.encode(self.prefix)}</Prefix><MaxKeys>{self.max_keys}</MaxKeys>"
            f"{delimiter if self.delimiter else ''}{encoding if self._encoding else ''}"
            f"<IsTruncated>{'true' if is_truncated else 'false'}</IsTruncated>"
        )

    def prefixes_to_xml(self, prefixes: list[str]) -> str:
        """Common prefixes as elements."""
        return "".join(
            f"<CommonPrefixes><Prefix>{self.encode(prefix)}</Prefix></CommonPrefixes>"
            for prefix in prefixes
        )


def list_object_versions(bucket: Bucket, request: Request) -> Response:
    """ListObjectVersions."""
    page = Page(request)
    encode = page.encode
    key_marker = request.query.get("key-marker", "")
    version_marker = request.query.get("version-id-marker", "")
    optional = request.headers.get("x-amz-optional-object-attributes", "")
    if version_marker and not key_marker:
        raise Refusal(
            400,
            "InvalidArgument",
            "A version-id marker cannot be specified without a key marker.",
        )
    rows: list[str] = []
    prefixes: list[str] = []
    last = ("", "")
    is_truncated = False
    for key, version, is_latest in _versions_after(bucket, page, key_marker, version_marker):
        if len(rows) + len(prefixes) >= page.max_keys:
            is_truncated = page.max_keys > 0
            break
        if version is None:
            prefixes.append(key)
            last = (key, "")
        else:
            row = _version_to_xml(encode(key), version, is_latest=is_latest)
            if version.restored and "RestoreStatus" in optional:
                row = row.replace("</Version>", f"{_RESTORED}</Version>")
            rows.append(row)
            last = (key, version.version_id)
    markers = (
        f"<Name>{bucket.name}</Name><KeyMarker>{encode(key_marker)}</KeyMarker>"
        f"<VersionIdMarker>{version_marker}</VersionIdMarker>"
    )
    if is_truncated:
        markers += f"<NextKeyMarker>{encode(last[0])}</NextKeyMarker>"
        if last[1]:
            markers += f"<NextVersionIdMarker>{last[1]}</NextVersionIdMarker>"
    content = markers + page.to_xml(is_truncated=is_truncated)
    content += "".join(rows) + page.prefixes_to_xml(prefixes)
    return _to_response("ListVersionsResult", content)


def list_objects_v2(bucket: Bucket, request: Request) -> Response:
    """ListObjectsV2."""
    page = Page(request)
    encode = page.encode
    token = request.query.get("continuation-token")
    start_after = request.query.get("start-after", "")
    marker = start_after if token is None else _from_token(token)
    rows: list[str] = []
    prefixes: list[str] = []
    last = ""
    is_truncated = False
    for key in bucket.iterate(page.prefix, marker):
        version = bucket.get(key)
        common = page.common_prefix(key)
        if key == marker or version is None:
            continue
        if common is not None and (common == marker or prefixes[-1:] == [common]):
            continue
        if len(rows) + len(prefixes) >= page.max_keys:
            is_truncated = page.max_keys > 0
            break
        if common is None:
            rows.append(f"<Contents><Key>{encode(key)}</Key>{_facts_to_xml(version)}</Contents>")
        else:
            prefixes.append(common)
        last = key if common is None else common
    content = f"<Name>{bucket.name}</Name>"
    if token is not None:
        content += f"<ContinuationToken>{token}</ContinuationToken>"
    if start_after:
        content += f"<StartAfter>{encode(start_after)}</StartAfter>"
    if is_truncated:
        content += f"<NextContinuationToken>{_to_token(last)}</NextContinuationToken>"
    content += f"<KeyCount>{len(rows) + len(prefixes)}</KeyCount>"
    content += page.to_xml(is_truncated=is_truncated)
    content += "".join(rows) + page.prefixes_to_xml(prefixes)
    return _to_response("ListBucketResult", content)


def _versions_after(
    bucket: Bucket, page: Page, key_marker: str, version_marker: str
) -> Iterator[tuple[str, Version | None, bool]]:
    """Versions behind the markers, and whether each is its key's newest; and common prefixes."""
    for key in _keys_or_prefixes(bucket, page, key_marker):
        if page.common_prefix(key) is not None:
            if key != key_marker:
                yield key, None, False
            continue
        versions = bucket.versions(key)
        first = 0
        if key == key_marker:
            if not version_marker:
                continue
            ids = [version.version_id for version in versions]
            if version_marker not in ids:
                raise Refusal(400, "InvalidArgument", "Invalid version id specified")
            first = ids.index(version_marker) + 1
        for index in range(first, len(versions)):
            yield key, versions[index], index == 0


def _keys_or_prefixes(bucket: Bucket, page: Page, start: str) -> Iterator[str]:
    """The keys from `start` on, a common prefix in place of all that it sums up."""
    while True:
        for key in bucket.iterate(page.prefix, start):
            common = page.common_prefix(key)
            if common is not None:
                yield common
                start = common[:-1] + chr(ord(common[-1]) + 1)  # behind all that it sums up
                break
            yield key
        else:
            return


def _version_to_xml(key: str, version: Version, *, is_latest: bool) -> str:
    identity = (
        f"<Key>{key}</Key><VersionId>{version.version_id}</VersionId>"
        f"<IsLatest>{'true' if is_latest else 'false'}</IsLatest>"
    )
    if version.is_delete_marker:
        modified = iso_date(int(version.last_modified))
        return (
            f"<DeleteMarker>{identity}<LastModified>{modified}</LastModified>"
            f"{_OWNER}</DeleteMarker>"
        )
    return f"<Version>{identity}{_facts_to_xml(version)}{_OWNER}</Version>"


def _facts_to_xml(version: Version) -> str:
    algorithms = "".join(
        f"<ChecksumAlgorithm>{name}</ChecksumAlgorithm>" for name in version.algorithms
    )
    if algorithms:
        algorithms += f"<ChecksumType>{version.checksum_type}</ChecksumType>"
    return (
        f"<LastModified>{iso_date(int(version.last_modified))}</LastModified>"
        f"<ETag>&quot;{version.etag}&quot;</ETag>{algorithms}<Size>{version.size_bytes}</Size>"
        f"<StorageClass>{version.storage_class}</StorageClass>"
    )


def _to_response(root: str, content: str) -> Response:
    return Response(200, {"Content-Type": "application/xml"}, to_document(root, content))


def _to_token(key: str) -> str:
    return base64.urlsafe_b64encode(key.encode()).decode()


def _from_token(token: str) -> str:
    try:
        return base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        message = "The continuation token provided is incorrect"
        raise Refusal(400, "InvalidArgument", message) from error
