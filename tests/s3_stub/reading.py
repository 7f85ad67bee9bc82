"""HEAD, GET and GetObjectAttributes."""

import re
from collections.abc import Mapping

from tests.s3_stub import checksums
from tests.s3_stub.protocol import Refusal, Request, Response, http_date, to_document, to_text
from tests.s3_stub.store import NULL, Bucket, Versioning
from tests.s3_stub.versions import Version

MAX_PARTS = 1000
RESTORED_SECONDS = 7 * 24 * 60 * 60
_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def read_object(bucket: Bucket, request: Request) -> Response:
    """HeadObject and GetObject; HTTP leaves the body of a HEAD out."""
    version = find_version(bucket, request.key, request.query.get("versionId"))
    check_match(version, request.headers, "")
    is_head = request.method == "HEAD"
    if version.is_archived and not is_head:
        raise Refusal(403, "InvalidObjectState")
    headers = _object_headers(bucket, version)
    part_number = request.query.get("partNumber")
    wants_checksum = request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    if part_number is not None:
        span = _part_span(version, int(part_number))
        if version.part_sizes:
            headers["x-amz-mp-parts-count"] = str(len(version.part_sizes))
        wants_checksum = wants_checksum and len(version.part_sizes) <= 1
    else:
        span = _parse_range(request.headers.get("range"), version.size_bytes)
        wants_checksum = wants_checksum and span is None
    if wants_checksum:
        headers.update(checksum_headers(version))
    body = version.body or b""
    if span is None:
        return Response(200, headers, body)
    first, size_bytes = span
    headers["Content-Range"] = f"bytes {first}-{first + size_bytes - 1}/{version.size_bytes}"
    return Response(206, headers, body, span)


def get_object_attributes(bucket: Bucket, request: Request) -> Response:
    """GetObjectAttributes."""
    wanted = {a.strip() for a in request.headers.get("x-amz-object-attributes", "").split(",")}
    if not wanted - {""}:
        raise Refusal(400, "InvalidRequest", "x-amz-object-attributes is missing")
    version = find_version(bucket, request.key, request.query.get("versionId"))
    content = ""
    if "ETag" in wanted:
        content += f"<ETag>{version.etag}</ETag>"
    if "Checksum" in wanted and version.algorithms:
        # The value stands here without the count of parts that HEAD shows.
        values = {name: value.partition("-")[0] for name, value in version.checksums.items()}
        content += f"<Checksum>{checksums.to_xml(values, version.checksum_type)}</Checksum>"
    if "ObjectParts" in wanted and version.part_sizes:
        content += _parts_to_xml(version, request.headers)
    if "StorageClass" in wanted:
        content += f"<StorageClass>{version.storage_class}</StorageClass>"
    if "ObjectSize" in wanted:
        content += f"<ObjectSize>{version.size_bytes}</ObjectSize>"
    headers = _object_headers(bucket, version)
    kept = {k: v for k, v in headers.items() if k in ("Last-Modified", "x-amz-version-id")}
    return Response(
        200,
        {"Content-Type": "application/xml", **kept},
        to_document("GetObjectAttributesResponse", content),
    )


def get_object_tagging(bucket: Bucket, request: Request) -> Response:
    """GetObjectTagging."""
    version = find_version(bucket, request.key, request.query.get("versionId"))
    tags = "".join(
        f"<Tag><Key>{to_text(key)}</Key><Value>{to_text(value)}</Value></Tag>"
        for key, value in version.tags.items()
    )
    document = to_document("Tagging", f"<TagSet>{tags}</TagSet>")
    return Response(200, {"Content-Type": "application/xml"}, document)


def find_version(bucket: Bucket, key: str, version_id: str | None) -> Version:
    """The version that a request means.

    Raises:
        Refusal: There is none, or it is a delete marker.
    """
    version = bucket.get(key, version_id)
    if version is not None and not version.is_delete_marker:
        return version
    if version is not None:
        marker = {"x-amz-delete-marker": "true", "x-amz-version-id": version.version_id}
        raise Refusal(405, "MethodNotAllowed", headers={**marker, "Allow": "DELETE"})
    if bucket.hides_missing_keys:
        raise Refusal(403, "AccessDenied")
    if version_id is not None:
        raise Refusal(404, "NoSuchVersion", "The specified version does not exist.")
    newest = next(iter(bucket.versions(key)), None)
    if newest is None:
        raise Refusal(404, "NoSuchKey")
    marker = {"x-amz-delete-marker": "true", "x-amz-version-id": newest.version_id}
    raise Refusal(404, "NoSuchKey", headers=marker)


def check_match(version: Version, headers: Mapping[str, str], header_prefix: str) -> None:
    """Check `If-Match` and `If-None-Match` of a read.

    Args:
        version: What would be read.
        headers: The request's.
        header_prefix: `x-amz-copy-source-` for the source of a copy, else empty.

    Raises:
        Refusal: 412, or 304 where `If-None-Match` of a plain read holds the ETag.
    """
    wanted = headers.get(header_prefix + "if-match")
    if wanted is not None and not matches(version.etag, wanted):
        raise Refusal(412, "PreconditionFailed")
    unwanted = headers.get(header_prefix + "if-none-match")
    if unwanted is not None and matches(version.etag, unwanted):
        raise Refusal(412 if header_prefix else 304, "PreconditionFailed")


def matches(etag: str, condition: str) -> bool:
    """Whether a condition, with or without quotes, holds for an ETag."""
    return condition == "*" or condition.strip('"') == etag


def checksum_headers(version: Version) -> dict[str, str]:
    """The stored checksums as headers."""
    headers = {checksums.header_name(name): value for name, value in version.checksums.items()}
    if headers:
        headers["x-amz-checksum-type"] = version.checksum_type
    return headers


def version_header(bucket: Bucket, version: Version) -> dict[str, str]:
    """The version id as a header; a bucket that never had versioning sends none."""
    if version.version_id == NULL and bucket.versioning is Versioning.OFF:
        return {}
    return {"x-amz-version-id": version.version_id}


def _object_headers(bucket: Bucket, version: Version) -> dict[str, str]:
    headers = {
        "Last-Modified": http_date(int(version.last_modified)),
        "ETag": f'"{version.etag}"',
        "Accept-Ranges": "bytes",
        "x-amz-server-side-encryption": version.encryption,
        **version_header(bucket, version),
        "content-type": "binary/octet-stream",
        **version.system_metadata,
    }
    if version.tags:
        headers["x-amz-tagging-count"] = str(len(version.tags))
    if version.storage_class != "STANDARD":
        headers["x-amz-storage-class"] = version.storage_class
    if version.restored:
        expiry = http_date(int(version.last_modified) + RESTORED_SECONDS)
        headers["x-amz-restore"] = f'ongoing-request="false", expiry-date="{expiry}"'
    elif version.restored is not None:
        headers["x-amz-restore"] = 'ongoing-request="true"'
    for name, value in version.metadata.items():
        headers[f"x-amz-meta-{name}"] = value
    return headers


def _parse_range(text: str | None, size_bytes: int) -> tuple[int, int] | None:
    """First byte and size of the range asked for; None for everything."""
    match = _RANGE.fullmatch(text or "")
    if not match or match[0] == "bytes=-":
        return None
    if match[1]:
        first = int(match[1])
        last = min(int(match[2] or size_bytes), size_bytes - 1)
    else:
        first = max(0, size_bytes - int(match[2]))
        last = size_bytes - 1
    if first >= size_bytes or last < first:
        raise Refusal(416, "InvalidRange", "The requested range is not satisfiable")
    return first, last - first + 1


def _part_span(version: Version, part_number: int) -> tuple[int, int] | None:
    parts = list(version.part_ranges()) or [(0, version.size_bytes)]
    if not 1 <= part_number <= len(parts):
        raise Refusal(416, "InvalidPartNumber", "The requested partnumber is not satisfiable")
    return parts[part_number - 1] if version.size_bytes else None


def _parts_to_xml(version: Version, headers: Mapping[str, str]) -> str:
    marker = int(headers.get("x-amz-part-number-marker") or 0)
    limit = min(int(headers.get("x-amz-max-parts") or MAX_PARTS), MAX_PARTS)
    count = len(version.part_sizes)
    end = min(marker + limit, count)
    content = (
        f"<PartsCount>{count}</PartsCount><PartNumberMarker>{marker}</PartNumberMarker>"
        f"<MaxParts>{limit}</MaxParts><IsTruncated>{'true' if end < count else 'false'}"
        f"</IsTruncated><NextPartNumberMarker>{end}</NextPartNumberMarker>"
    )
    # S3 tells the parts only of objects that were uploaded with a checksum for each.
    if version.algorithms and version.checksum_type == checksums.COMPOSITE:
        body = version.body
        spans = list(version.part_ranges())
        for number in range(marker + 1, end + 1):
            values = {
                name: checksums.encode(body.digest(name, *spans[number - 1]))
                for name in version.algorithms
                if body is not None
            }
            content += (
                f"<Part><PartNumber>{number}</PartNumber>"
                f"<Size>{version.part_sizes[number - 1]}</Size>{checksums.to_xml(values)}</Part>"
            )
    return f"<ObjectParts>{content}</ObjectParts>"
