"""From a request to the operation that it names, and to what S3 answers."""

from tests.s3_stub.listing import list_object_versions, list_objects_v2
from tests.s3_stub.multipart import (
    abort_multipart_upload,
    complete_multipart_upload,
    create_multipart_upload,
    upload_part,
    upload_part_copy,
)
from tests.s3_stub.protocol import Refusal, Request, Response, to_document
from tests.s3_stub.reading import get_object_attributes, get_object_tagging, read_object
from tests.s3_stub.store import Bucket, Store, Versioning
from tests.s3_stub.writing import copy_object, delete_object, put_object

UNKNOWN = "Unknown"


def name_operation(request: Request) -> str:
    """S3's name for what a request asks."""
    if not request.key:
        return _name_bucket_operation(request.method, request.query)
    return _name_object_operation(request)


def apply(store: Store, request: Request, data: bytes) -> Response:
    """Do what a request asks.

    Raises:
        Refusal: S3 would answer with an error.
    """
    operation = request.operation
    if operation == "CreateBucket":
        store.create_bucket(request.bucket, versioning=Versioning.OFF)
        return Response()
    bucket = store.buckets.get(request.bucket)
    if bucket is None:
        raise Refusal(404, "NoSuchBucket")
    if bucket.region is not None:
        _check_region(bucket, bucket.region, request)
    if operation in _ON_BUCKET:
        return _ON_BUCKET[operation](bucket, request)
    if operation in _WITH_DATA:
        return _WITH_DATA[operation](bucket, request, data)
    if operation in _COPIES:
        return _COPIES[operation](store, bucket, request)
    raise Refusal(501, "NotImplemented", f"{request.method} {request.query} is not in the stub")


def _head_bucket(bucket: Bucket, request: Request) -> Response:
    region = bucket.region or request.signing_region or "us-east-1"
    return Response(200, {"x-amz-bucket-region": region})


def _get_bucket_versioning(bucket: Bucket, _request: Request) -> Response:
    status = f"<Status>{bucket.versioning}</Status>" if bucket.versioning else ""
    document = to_document("VersioningConfiguration", status)
    return Response(200, {"Content-Type": "application/xml"}, document)


def _get_lifecycle(bucket: Bucket, _request: Request) -> Response:
    if not bucket.lifecycle:
        raise Refusal(404, "NoSuchLifecycleConfiguration")
    document = to_document("LifecycleConfiguration", bucket.lifecycle)
    return Response(200, {"Content-Type": "application/xml"}, document)


_ON_BUCKET = {
    "AbortMultipartUpload": abort_multipart_upload,
    "CreateMultipartUpload": create_multipart_upload,
    "DeleteObject": delete_object,
    "GetBucketLifecycleConfiguration": _get_lifecycle,
    "GetBucketVersioning": _get_bucket_versioning,
    "GetObject": read_object,
    "GetObjectAttributes": get_object_attributes,
    "GetObjectTagging": get_object_tagging,
    "HeadBucket": _head_bucket,
    "HeadObject": read_object,
    "ListObjectVersions": list_object_versions,
    "ListObjectsV2": list_objects_v2,
}
_WITH_DATA = {
    "CompleteMultipartUpload": complete_multipart_upload,
    "PutObject": put_object,
    "UploadPart": upload_part,
}
_COPIES = {"CopyObject": copy_object, "UploadPartCopy": upload_part_copy}


def _check_region(bucket: Bucket, region: str, request: Request) -> None:
    signed_for = request.signing_region
    if signed_for in (None, region):
        return
    raise Refusal(
        301,
        "PermanentRedirect",
        f"The bucket {bucket.name} must be addressed using its own endpoint.",
        {"x-amz-bucket-region": region},
    )


def _name_bucket_operation(method: str, query: dict[str, str]) -> str:
    if method == "HEAD":
        return "HeadBucket"
    if method == "PUT" and not query:
        return "CreateBucket"
    if method != "GET":
        return UNKNOWN
    named = {
        "versions": "ListObjectVersions",
        "lifecycle": "GetBucketLifecycleConfiguration",
        "versioning": "GetBucketVersioning",
        "list-type": "ListObjectsV2",
    }
    return next((name for field, name in named.items() if field in query), UNKNOWN)


def _name_get(query: dict[str, str]) -> str:
    if "attributes" in query:
        return "GetObjectAttributes"
    return "GetObjectTagging" if "tagging" in query else "GetObject"


def _name_object_operation(request: Request) -> str:
    query = request.query
    in_upload = "uploadId" in query
    copies = "x-amz-copy-source" in request.headers
    names = {
        "HEAD": "HeadObject",
        "GET": _name_get(query),
        "PUT": "CopyObject" if copies else "PutObject",
        "POST": "CreateMultipartUpload" if "uploads" in query else UNKNOWN,
        "DELETE": "DeleteObject",
    }
    names_in_upload = {
        "PUT": "UploadPartCopy" if copies else "UploadPart",
        "POST": "CompleteMultipartUpload",
        "DELETE": "AbortMultipartUpload",
    }
    return (names_in_upload if in_upload else names).get(request.method, UNKNOWN)
