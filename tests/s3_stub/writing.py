"""PUT, copy and delete of whole objects."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from urllib.parse import unquote

from tests.s3_stub import checksums
from tests.s3_stub.bodies import Body, Bytes, digest_all
from tests.s3_stub.protocol import Refusal, Request, Response, iso_date, to_document
from tests.s3_stub.reading import (
    check_match,
    checksum_headers,
    find_version,
    matches,
    version_header,
)
from tests.s3_stub.store import Bucket, Store
from tests.s3_stub.versions import Version

MAX_COPY_BYTES = 5 * 1024**3
MAX_METADATA_BYTES = 2048
MAX_KEY_BYTES = 1024
_SHA256_HEX_LENGTH = 64


def put_object(bucket: Bucket, request: Request, data: bytes) -> Response:
    """PutObject, conditional or not."""
    check_names(request)
    body = Bytes(data)
    verify_body(request.headers, body)
    check_write_condition(bucket, request)
    algorithm = asked_algorithm(request.headers) or checksums.DEFAULT_ALGORITHM
    version = bucket.put(
        request.key,
        body,
        stored=(algorithm,),
        metadata=request.metadata,
        system_metadata=request.system_metadata,
        tags=request.tags,
    )
    headers = {
        "ETag": f'"{version.etag}"',
        "x-amz-server-side-encryption": "AES256",
        **checksum_headers(version),
        **version_header(bucket, version),
    }
    return Response(200, headers)


def copy_object(store: Store, bucket: Bucket, request: Request) -> Response:
    """CopyObject."""
    check_names(request)
    source, body = find_copy_source(store, request)
    if source.size_bytes > MAX_COPY_BYTES:
        raise Refusal(400, "InvalidRequest", "The specified copy source is larger than 5 GiB")
    check_write_condition(bucket, request)
    algorithm = asked_algorithm(request.headers)
    replaces = request.headers.get("x-amz-metadata-directive", "").upper() == "REPLACE"
    replaces_tags = request.headers.get("x-amz-tagging-directive", "").upper() == "REPLACE"
    version = bucket.put(
        request.key,
        body,
        stored=(algorithm,) if algorithm else source.algorithms or (checksums.DEFAULT_ALGORITHM,),
        metadata=request.metadata if replaces else source.metadata,
        system_metadata=request.system_metadata if replaces else source.system_metadata,
        tags=request.tags if replaces_tags else source.tags,
    )
    content = (
        f"<LastModified>{iso_date(int(version.last_modified))}</LastModified>"
        f"<ETag>&quot;{version.etag}&quot;</ETag>"
        f"{checksums.to_xml(version.checksums, version.checksum_type)}"
    )
    headers = {"Content-Type": "application/xml", **version_header(bucket, version)}
    return Response(200, headers, to_document("CopyObjectResult", content))


def delete_object(bucket: Bucket, request: Request) -> Response:
    """DeleteObject."""
    version_id = request.query.get("versionId")
    marker = bucket.delete(request.key, version_id)
    if marker is None:
        return Response(204, {"x-amz-version-id": version_id} if version_id else {})
    headers = {"x-amz-delete-marker": "true", "x-amz-version-id": marker.version_id}
    return Response(204, headers)


def find_copy_source(store: Store, request: Request) -> tuple[Version, Body]:
    """The version to copy from, and its bytes.

    Raises:
        Refusal: It is not there, archived, or changed.
    """
    location = request.headers["x-amz-copy-source"]
    path, _, version_id = location.partition("?versionId=")
    name, _, key = unquote(path).removeprefix("/").partition("/")
    bucket = store.buckets.get(name)
    if bucket is None:
        raise Refusal(404, "NoSuchBucket")
    version = find_version(bucket, key, unquote(version_id) or None)
    check_match(version, request.headers, "x-amz-copy-source-")
    if version.is_archived:
        raise Refusal(403, "InvalidObjectState")
    return version, version.body or Bytes(b"")


def check_names(request: Request) -> None:
    """Check the sizes of key and metadata.

    Raises:
        Refusal: One is too long.
    """
    if len(request.key.encode()) > MAX_KEY_BYTES:
        raise Refusal(400, "KeyTooLongError", "Your key is too long")
    if sum(len(k) + len(v) for k, v in request.metadata.items()) > MAX_METADATA_BYTES:
        raise Refusal(400, "MetadataTooLarge", "Your metadata headers exceed the maximum size")


def check_write_condition(bucket: Bucket, request: Request) -> None:
    """Check `If-Match` and `If-None-Match` of a write.

    Raises:
        Refusal: 412 where the condition does not hold, 404 where `If-Match` finds nothing.
    """
    current = bucket.get(request.key)
    wanted = request.headers.get("if-match")
    if wanted is not None and current is None:
        raise Refusal(404, "NoSuchKey")
    if wanted is not None and current is not None and not matches(current.etag, wanted):
        raise Refusal(412, "PreconditionFailed")
    unwanted = request.headers.get("if-none-match")
    if unwanted not in (None, "*"):
        raise Refusal(501, "NotImplemented", "If-None-Match of a write takes * alone")
    if unwanted and current is not None:
        raise Refusal(412, "PreconditionFailed")


def asked_algorithm(headers: Mapping[str, str]) -> str | None:
    """The checksum that an upload brings or asks for."""
    for name in checksums.ALGORITHMS:
        if checksums.header_name(name) in headers:
            return name
    asked = headers.get("x-amz-checksum-algorithm") or headers.get("x-amz-sdk-checksum-algorithm")
    return asked.upper() if asked else None


def verify_body(headers: Mapping[str, str], body: Body) -> None:
    """Check what the client says about the bytes it sends.

    Raises:
        Refusal: One of its digests is wrong.
    """
    for name in checksums.ALGORITHMS:
        value = headers.get(checksums.header_name(name))
        if value is not None and value != checksums.encode(digest_all(body, name)):
            message = f"The {name} you specified did not match the calculated checksum."
            raise Refusal(400, "BadDigest", message)
    md5 = headers.get("content-md5")
    if md5 is not None and _decode_md5(md5) != digest_all(body, "MD5"):
        message = "The Content-MD5 you specified did not match what we received."
        raise Refusal(400, "BadDigest", message)
    sha256 = headers.get("x-amz-content-sha256", "")
    if len(sha256) == _SHA256_HEX_LENGTH and sha256 != digest_all(body, "SHA256").hex():
        raise Refusal(400, "XAmzContentSHA256Mismatch")


def _decode_md5(text: str) -> bytes:
    try:
        decoded = base64.b64decode(text, validate=True)
    except binascii.Error:
        decoded = b""
    if len(decoded) != hashlib.md5(usedforsecurity=False).digest_size:
        raise Refusal(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")
    return decoded
