from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from tests.s3_stub import Bucket, Pattern, S3Stub
from tests.s3_stub.checksums import digest, encode

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 2**20


def begin(client: "S3Client", **options: Any) -> dict[str, Any]:
    upload_id = client.create_multipart_upload(Bucket="bucket", Key="up", **options)["UploadId"]
    return {"Bucket": "bucket", "Key": "up", "UploadId": upload_id}


def test_parts_become_an_object(boto_s3: "S3Client", bucket: Bucket) -> None:
    upload = begin(boto_s3, ChecksumAlgorithm="SHA256")
    parts: list[Any] = []
    for number, body in enumerate((b"a" * 5 * MIB, b"b"), start=1):
        answer = boto_s3.upload_part(
            **upload, PartNumber=number, Body=body, ChecksumAlgorithm="SHA256"
        )
        parts.append(
            {
                "PartNumber": number,
                "ETag": answer["ETag"],
                "ChecksumSHA256": answer["ChecksumSHA256"],
            }
        )
    completed = boto_s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    version = bucket.get("up")
    assert version
    assert version.data == b"a" * 5 * MIB + b"b"
    assert version.part_sizes == (5 * MIB, 1)
    assert completed["ChecksumSHA256"] == version.checksums["SHA256"]
    assert completed["ETag"] == f'"{version.etag}"'
    assert not bucket.uploads


def test_an_upload_without_an_algorithm_gets_crc64nvme_of_the_whole(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    source = bucket.put("big", Pattern(6 * MIB), stored=["CRC64NVME"])
    upload = begin(boto_s3)
    etag = boto_s3.upload_part_copy(
        **upload, PartNumber=1, CopySource={"Bucket": "bucket", "Key": "big"}
    )["CopyPartResult"]["ETag"]
    boto_s3.complete_multipart_upload(
        **upload, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]}
    )
    version = bucket.get("up")
    assert version
    assert version.checksums == source.checksums


def test_a_copied_range_has_its_own_checksum(boto_s3: "S3Client", bucket: Bucket) -> None:
    body = Pattern(20 * MIB)
    source = bucket.put("a+b c", body)
    upload = begin(boto_s3, ChecksumAlgorithm="SHA256")
    answer = boto_s3.upload_part_copy(
        **upload,
        PartNumber=1,
        CopySource={"Bucket": "bucket", "Key": "a+b c", "VersionId": source.version_id},
        CopySourceRange=f"bytes={8 * MIB}-{16 * MIB - 1}",
        CopySourceIfMatch=source.etag,
    )
    expected = encode(body.digest("SHA256", 8 * MIB, 8 * MIB))
    assert answer["CopyPartResult"]["ChecksumSHA256"] == expected


def test_copies_can_answer_without_a_checksum(
    boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket
) -> None:
    s3_stub.store.copies_return_checksums = False
    bucket.put("k", b"1")
    upload = begin(boto_s3, ChecksumAlgorithm="SHA256")
    answer = boto_s3.upload_part_copy(
        **upload, PartNumber=1, CopySource={"Bucket": "bucket", "Key": "k"}
    )
    assert "ChecksumSHA256" not in answer["CopyPartResult"]


def test_a_copy_of_what_changed_is_refused(boto_s3: "S3Client", bucket: Bucket) -> None:
    etag = bucket.put("k", b"1").etag
    bucket.put("k", b"2")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        boto_s3.upload_part_copy(
            **begin(boto_s3),
            PartNumber=1,
            CopySource={"Bucket": "bucket", "Key": "k"},
            CopySourceIfMatch=etag,
        )


def test_a_copy_beyond_the_end_is_refused(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"12345")
    with pytest.raises(ClientError, match="InvalidArgument"):
        boto_s3.upload_part_copy(
            **begin(boto_s3),
            PartNumber=1,
            CopySource={"Bucket": "bucket", "Key": "k"},
            CopySourceRange="bytes=0-5",
        )


def test_a_copy_of_an_archived_object_is_refused(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"1", storage_class="GLACIER")
    with pytest.raises(ClientError, match="InvalidObjectState"):
        boto_s3.upload_part_copy(
            **begin(boto_s3), PartNumber=1, CopySource={"Bucket": "bucket", "Key": "k"}
        )


def test_an_aborted_upload_is_gone(boto_s3: "S3Client", bucket: Bucket) -> None:
    upload = begin(boto_s3)
    assert [u.key for u in bucket.uploads.values()] == ["up"]
    boto_s3.abort_multipart_upload(**upload)
    assert not bucket.uploads
    with pytest.raises(ClientError, match="NoSuchUpload"):
        boto_s3.abort_multipart_upload(**upload)


def test_a_small_part_in_the_middle_is_refused(boto_s3: "S3Client", bucket: Bucket) -> None:
    upload = begin(boto_s3)
    parts: list[Any] = [
        {
            "PartNumber": number,
            "ETag": boto_s3.upload_part(**upload, PartNumber=number, Body=b"1")["ETag"],
        }
        for number in (1, 2)
    ]
    with pytest.raises(ClientError, match="EntityTooSmall"):
        boto_s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})


def test_completing_can_be_conditional(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("up")
    upload = begin(boto_s3)
    etag = boto_s3.upload_part(**upload, PartNumber=1, Body=b"1")["ETag"]
    with pytest.raises(ClientError, match="PreconditionFailed"):
        boto_s3.complete_multipart_upload(
            **upload,
            MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]},
            IfNoneMatch="*",
        )


def test_a_copy_from_a_huge_object_holds_no_bytes(boto_s3: "S3Client", bucket: Bucket) -> None:
    body = Pattern(2**40)
    bucket.put("huge", body, stored=[])
    first = 2**40 - 8 * MIB
    answer = boto_s3.upload_part_copy(
        **begin(boto_s3, ChecksumAlgorithm="SHA256"),
        PartNumber=1,
        CopySource={"Bucket": "bucket", "Key": "huge"},
        CopySourceRange=f"bytes={first}-{2**40 - 1}",
    )
    expected = encode(digest("SHA256", [body.read(first, 8 * MIB)]))
    assert answer["CopyPartResult"]["ChecksumSHA256"] == expected
