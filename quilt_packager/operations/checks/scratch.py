"""Tries the requests of S3 on which publishing and hashing rely, in the scratch bucket.

Each attempt is removed at its end; a lifecycle rule of the bucket removes what is left after a day.
"""

import contextlib
import hashlib
import uuid
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from quilt_packager_runtime.formats.objects import SCRATCH_PREFIX

from quilt_packager.operations.checks.behaviours import Behaviour
from quilt_packager.operations.checks.finding import Finding, notice, ok, wrong

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

    from quilt_packager.operations.checks.inspection import Inspection

CONTENT = b"quilt-packager check\n"
DIGEST = b64encode(hashlib.sha256(CONTENT).digest()).decode()
OTHER_ETAG = '"00000000000000000000000000000000"'
PRECONDITION_FAILED = frozenset({"PreconditionFailed", "412"})
CONDITIONS = "Use a server that enforces conditions: two jobs can overwrite each other's revision."


def check_scratch(engine: "Inspection") -> Iterator[Finding]:
    """Try conditional writes, part copies and checksums."""
    bucket = engine.deployment.scratch_bucket
    if bucket is None:
        return
    s3, key = engine.deployment.s3, f"{SCRATCH_PREFIX}check/{uuid.uuid4()}"

    def write(**condition: str) -> str:
        answer = s3.put_object(
            Bucket=bucket,
            Key=key,
            Body=CONTENT,
            ChecksumAlgorithm="SHA256",
            **condition,  # type: ignore[arg-type]
        )
        return answer["ETag"]

    try:
        etag = write(IfNoneMatch="*")
        yield _check_if_none_match(bucket, write)
        yield _check_if_match(bucket, write, etag)
        yield _check_stored_checksum(s3, bucket, key)
        yield _check_listing(s3, bucket, key)
        yield from _check_part_copy(s3, bucket, key)
    finally:
        s3.delete_object(Bucket=bucket, Key=key)


def _check_if_none_match(bucket: str, write: Callable[..., str]) -> Finding:
    behaviour = Behaviour.S3_IF_NONE_MATCH
    if _is_refused(lambda: write(IfNoneMatch="*")):
        return ok(bucket, "S3 refuses to overwrite with If-None-Match.", behaviour)
    return wrong(bucket, "S3 ignores If-None-Match.", CONDITIONS, behaviour)


def _check_if_match(bucket: str, write: Callable[..., str], etag: str) -> Finding:
    behaviour = Behaviour.S3_IF_MATCH
    if not _is_refused(lambda: write(IfMatch=OTHER_ETAG)):
        return wrong(bucket, "S3 ignores If-Match.", CONDITIONS, behaviour)
    if _is_refused(lambda: write(IfMatch=etag)):
        return wrong(
            bucket,
            "S3 refuses If-Match with the ETag that it returned itself.",
            "Use another server or version: only the first revision of a package can be published.",
            behaviour,
        )
    text = "S3 accepts If-Match with the current ETag, and refuses another."
    return ok(bucket, text, behaviour)


def _check_stored_checksum(s3: "S3Client", bucket: str, key: str) -> Finding:
    found = s3.head_object(Bucket=bucket, Key=key, ChecksumMode="ENABLED").get("ChecksumSHA256")
    behaviour = Behaviour.S3_STORED_CHECKSUMS
    if found is None:
        text = "S3 returns no stored checksum: the engine reads or copies every object."
        return notice(bucket, text, "", behaviour)
    if found != DIGEST:
        return wrong(
            bucket,
            f"S3 returns the checksum {found} for bytes whose checksum is {DIGEST}.",
            "Use another server: packages would not verify.",
            behaviour,
        )
    return ok(bucket, "S3 returns the stored checksum of an object.", behaviour)


def _check_listing(s3: "S3Client", bucket: str, key: str) -> Finding:
    behaviour = Behaviour.S3_LIST_VERSIONS
    etag = s3.head_object(Bucket=bucket, Key=key)["ETag"]
    listed = s3.list_object_versions(Bucket=bucket, Prefix=key).get("Versions", [])
    newest = next((each["ETag"] for each in listed if each["IsLatest"]), None)
    if newest != etag:
        return wrong(
            bucket,
            f"ListObjectVersions gives the ETag {newest} for an object whose ETag is {etag}.",
            "Use another server: every job would find that its source changes.",
            behaviour,
        )
    return ok(bucket, "ListObjectVersions and HEAD agree.", behaviour)


def _check_part_copy(s3: "S3Client", bucket: str, key: str) -> Iterator[Finding]:
    target = f"{key}.copy"
    upload = s3.create_multipart_upload(Bucket=bucket, Key=target, ChecksumAlgorithm="SHA256")

    def copy(**condition: str) -> str | None:
        return s3.upload_part_copy(
            Bucket=bucket,
            Key=target,
            UploadId=upload["UploadId"],
            PartNumber=1,
            CopySource={"Bucket": bucket, "Key": key},
            **condition,  # type: ignore[arg-type]
        )["CopyPartResult"].get("ChecksumSHA256")

    behaviour = Behaviour.S3_PART_CHECKSUMS
    try:
        checksum = copy()
        if checksum == DIGEST:
            yield ok(bucket, "S3 returns the checksum of a copied part.", behaviour)
        elif checksum is None:
            text = "S3 returns no checksum of a copied part: the engine reads all bytes itself."
            yield notice(bucket, text, "", behaviour)
        else:
            yield wrong(
                bucket,
                f"S3 returns the checksum {checksum} for a part whose checksum is {DIGEST}.",
                "Use another server: packages would not verify.",
                behaviour,
            )
        if _is_refused(lambda: copy(CopySourceIfMatch=OTHER_ETAG)):
            yield ok(
                bucket,
                "S3 refuses to copy a part of an object that has changed.",
                Behaviour.S3_COPY_CONDITION,
            )
        else:
            yield wrong(
                bucket,
                "S3 copies a part of an object that has changed.",
                "Use another server: a checksum could belong to other bytes.",
                Behaviour.S3_COPY_CONDITION,
            )
    finally:
        with contextlib.suppress(s3.exceptions.NoSuchUpload):
            s3.abort_multipart_upload(Bucket=bucket, Key=target, UploadId=upload["UploadId"])


def _is_refused(request: Callable[[], object]) -> bool:
    from botocore.exceptions import ClientError

    try:
        request()
    except ClientError as error:
        if error.response["Error"]["Code"] not in PRECONDITION_FAILED:
            raise
        return True
    return False
