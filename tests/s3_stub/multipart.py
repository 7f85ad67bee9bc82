"""Multipart uploads, their parts sent or copied."""

import re
from xml.etree import ElementTree as ET

from tests.s3_stub import checksums
from tests.s3_stub.bodies import Body, Bytes, Joined, Slice, digest_all
from tests.s3_stub.protocol import Refusal, Request, Response, iso_date, to_document, to_text
from tests.s3_stub.reading import checksum_headers, version_header
from tests.s3_stub.store import Bucket, Store
from tests.s3_stub.versions import Upload
from tests.s3_stub.writing import (
    asked_algorithm,
    check_names,
    check_write_condition,
    find_copy_source,
    verify_body,
)

MAX_PARTS = 10_000
MAX_PART_BYTES = 5 * 1024**3
MIN_PART_BYTES = 5 * 1024**2
_RANGE = re.compile(r"bytes=(\d+)-(\d+)")
_XML = {"Content-Type": "application/xml"}


def create_multipart_upload(bucket: Bucket, request: Request) -> Response:
    """CreateMultipartUpload."""
    check_names(request)
    algorithm = asked_algorithm(request.headers)
    checksum_type = request.headers.get("x-amz-checksum-type")
    if algorithm in ("SHA1", "SHA256") and checksum_type == checksums.FULL_OBJECT:
        raise Refusal(400, "InvalidRequest", f"{algorithm} of parts cannot be combined")
    if algorithm == "CRC64NVME" and checksum_type == checksums.COMPOSITE:
        raise Refusal(400, "InvalidRequest", "CRC64NVME is always of the full object")
    if checksum_type is None:
        is_full = algorithm in (None, "CRC64NVME")
        checksum_type = checksums.FULL_OBJECT if is_full else checksums.COMPOSITE
    upload = bucket.open_upload(
        request.key,
        algorithm,
        checksum_type,
        metadata=request.metadata,
        system_metadata=request.system_metadata,
        tags=request.tags,
    )
    headers = dict(_XML)
    if algorithm:
        headers["x-amz-checksum-algorithm"] = algorithm
        headers["x-amz-checksum-type"] = checksum_type
    content = (
        f"<Bucket>{bucket.name}</Bucket><Key>{to_text(request.key)}</Key>"
        f"<UploadId>{upload.upload_id}</UploadId>"
    )
    return Response(200, headers, to_document("InitiateMultipartUploadResult", content))


def upload_part(bucket: Bucket, request: Request, data: bytes) -> Response:
    """UploadPart."""
    upload = _find_upload(bucket, request)
    body = Bytes(data)
    verify_body(request.headers, body)
    _place_part(upload, request, body)
    algorithm = asked_algorithm(request.headers) or upload.algorithm
    headers = {"ETag": f'"{digest_all(body, "MD5").hex()}"'}
    if algorithm:
        headers[checksums.header_name(algorithm)] = checksums.encode(digest_all(body, algorithm))
    return Response(200, headers)


def upload_part_copy(store: Store, bucket: Bucket, request: Request) -> Response:
    """UploadPartCopy."""
    upload = _find_upload(bucket, request)
    source, body = find_copy_source(store, request)
    wanted = request.headers.get("x-amz-copy-source-range")
    if wanted is not None:
        match = _RANGE.fullmatch(wanted)
        if not match or not int(match[1]) <= int(match[2]) < source.size_bytes:
            message = f"Range specified is not valid for source object of {source.size_bytes}"
            raise Refusal(400, "InvalidArgument", message)
        body = Slice(body, int(match[1]), int(match[2]) - int(match[1]) + 1)
    _place_part(upload, request, body)
    content = f"<LastModified>{iso_date(int(store.clock()))}</LastModified>"
    content += f"<ETag>&quot;{digest_all(body, 'MD5').hex()}&quot;</ETag>"
    if not store.copies_return_checksums:
        upload.algorithm = None
    if upload.algorithm:
        value = checksums.encode(digest_all(body, upload.algorithm))
        content += checksums.to_xml({upload.algorithm: value})
    return Response(200, dict(_XML), to_document("CopyPartResult", content))


def complete_multipart_upload(bucket: Bucket, request: Request, data: bytes) -> Response:
    """CompleteMultipartUpload."""
    upload = _find_upload(bucket, request)
    bodies = [_named_part(upload, part) for part in _parse_parts(data)]
    if any(body.size_bytes < MIN_PART_BYTES for body in bodies[:-1]):
        raise Refusal(400, "EntityTooSmall", "Your proposed upload is smaller than the minimum")
    check_write_condition(bucket, request)
    version = bucket.put(
        upload.key,
        Joined(bodies),
        stored=(upload.algorithm or checksums.DEFAULT_ALGORITHM,),
        checksum_type=upload.checksum_type,
        part_sizes=[body.size_bytes for body in bodies],
        metadata=upload.metadata,
        system_metadata=upload.system_metadata,
        tags=upload.tags,
    )
    del bucket.uploads[upload.upload_id]
    headers = {**_XML, **version_header(bucket, version), **checksum_headers(version)}
    content = (
        f"<Bucket>{bucket.name}</Bucket><Key>{to_text(upload.key)}</Key>"
        f"<ETag>&quot;{version.etag}&quot;</ETag>"
        f"{checksums.to_xml(version.checksums, version.checksum_type)}"
    )
    return Response(200, headers, to_document("CompleteMultipartUploadResult", content))


def abort_multipart_upload(bucket: Bucket, request: Request) -> Response:
    """AbortMultipartUpload."""
    del bucket.uploads[_find_upload(bucket, request).upload_id]
    return Response(204)


def _find_upload(bucket: Bucket, request: Request) -> Upload:
    upload = bucket.uploads.get(request.query.get("uploadId", ""))
    if upload is None or upload.key != request.key:
        message = "The specified multipart upload does not exist."
        raise Refusal(404, "NoSuchUpload", message)
    return upload


def _place_part(upload: Upload, request: Request, body: Body) -> None:
    number = int(request.query["partNumber"])
    if not 1 <= number <= MAX_PARTS:
        raise Refusal(400, "InvalidArgument", "Part number must be between 1 and 10000")
    if body.size_bytes > MAX_PART_BYTES:
        raise Refusal(400, "EntityTooLarge", "A part holds at most 5 GiB")
    upload.parts[number] = body


def _parse_parts(data: bytes) -> list[dict[str, str]]:
    try:
        root = ET.fromstring(data)  # noqa: S314 - from the tests' own clients
    except ET.ParseError as error:
        raise Refusal(400, "MalformedXML") from error
    parts = [{e.tag.rpartition("}")[2]: e.text or "" for e in part} for part in root]
    numbers = [int(part["PartNumber"]) for part in parts]
    if not parts:
        raise Refusal(400, "MalformedXML", "An upload has at least one part")
    if numbers != sorted(set(numbers)):
        raise Refusal(400, "InvalidPartOrder", "The list of parts was not in ascending order.")
    return parts


def _named_part(upload: Upload, part: dict[str, str]) -> Body:
    body = upload.parts.get(int(part["PartNumber"]))
    message = "One or more of the specified parts could not be found."
    if body is None or part["ETag"].strip('"') != digest_all(body, "MD5").hex():
        raise Refusal(400, "InvalidPart", message)
    if upload.algorithm and upload.checksum_type == checksums.COMPOSITE:
        value = part.get(f"Checksum{upload.algorithm}")
        if value is None:
            text = f"The upload was created using {upload.algorithm}: name it for each part"
            raise Refusal(400, "InvalidRequest", text)
        if value != checksums.encode(digest_all(body, upload.algorithm)):
            raise Refusal(400, "InvalidPart", message)
    return body
