from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.s3_stub import Bucket, Pattern, S3Stub, Versioning

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MIB = 2**20
HELLO_SHA256 = "LPJNul+wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="
HELLO_CRC64NVME = "M3eFcAZSQlc="


def test_head_shows_the_crc64nvme_that_s3_stores_by_default(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    bucket.put("k", b"hello")
    head = boto_s3.head_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumCRC64NVME"] == HELLO_CRC64NVME
    assert head["ChecksumType"] == "FULL_OBJECT"
    assert head["ContentLength"] == 5


def test_head_shows_no_checksum_unasked(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"hello", stored=["SHA256"])
    assert "ChecksumSHA256" not in boto_s3.head_object(Bucket="bucket", Key="k")


def test_an_object_can_have_no_checksum_at_all(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"hello", stored=[])
    head = boto_s3.head_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
    assert not [name for name in head if name.startswith("Checksum")]


def test_a_stored_checksum_can_be_wrong(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"hello", stored={"SHA256": "wrong"})
    head = boto_s3.head_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == "wrong"


def test_a_multipart_sha256_is_a_composite(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", Pattern(20 * MIB), part_sizes=[8 * MIB, 8 * MIB, 4 * MIB], stored=["SHA256"])
    head = boto_s3.head_object(Bucket="bucket", Key="k", ChecksumMode="ENABLED")
    assert head["ChecksumType"] == "COMPOSITE"
    assert head["ChecksumSHA256"].endswith("-3")
    assert head["ETag"].endswith('-3"')


def test_get_gives_the_bytes(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("a b/c+d", b"hello")
    assert boto_s3.get_object(Bucket="bucket", Key="a b/c+d")["Body"].read() == b"hello"


def test_get_gives_user_metadata(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"hello", metadata={"message-id": "42"})
    assert boto_s3.get_object(Bucket="bucket", Key="k")["Metadata"] == {"message-id": "42"}


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("bytes=0-0", b"h"),
        ("bytes=1-3", b"ell"),
        ("bytes=3-", b"lo"),
        ("bytes=3-99", b"lo"),
        ("bytes=-2", b"lo"),
    ],
)
def test_get_gives_a_range(boto_s3: "S3Client", bucket: Bucket, asked: str, given: bytes) -> None:
    bucket.put("k", b"hello")
    answer = boto_s3.get_object(Bucket="bucket", Key="k", Range=asked)
    assert answer["Body"].read() == given
    assert answer["ContentRange"].endswith("/5")


def test_no_range_of_an_empty_object_is_valid(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"")
    with pytest.raises(ClientError, match="InvalidRange"):
        boto_s3.get_object(Bucket="bucket", Key="k", Range="bytes=0-9")


def test_an_old_version_is_read_by_its_id(boto_s3: "S3Client", bucket: Bucket) -> None:
    old = bucket.put("k", b"old")
    bucket.put("k", b"new")
    answer = boto_s3.get_object(Bucket="bucket", Key="k", VersionId=old.version_id)
    assert answer["Body"].read() == b"old"
    assert answer["VersionId"] == old.version_id


def test_an_unversioned_bucket_sends_no_version_id(boto_s3: "S3Client", s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("plain", versioning=Versioning.OFF).put("k", b"1")
    assert "VersionId" not in boto_s3.head_object(Bucket="plain", Key="k")
    assert boto_s3.head_object(Bucket="plain", Key="k", VersionId="null")["ContentLength"] == 1


def test_a_changed_object_fails_if_match(boto_s3: "S3Client", bucket: Bucket) -> None:
    etag = bucket.put("k", b"1").etag
    boto_s3.get_object(Bucket="bucket", Key="k", IfMatch=etag)
    bucket.put("k", b"2")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        boto_s3.get_object(Bucket="bucket", Key="k", IfMatch=etag)


def test_a_missing_key_is_not_found(boto_s3: "S3Client", bucket: Bucket) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        boto_s3.get_object(Bucket="bucket", Key="k")


def test_a_missing_key_is_forbidden_to_those_who_may_not_list(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    bucket.hides_missing_keys = True
    with pytest.raises(ClientError, match="AccessDenied"):
        boto_s3.get_object(Bucket="bucket", Key="k")


def test_a_missing_version_is_not_found(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k")
    with pytest.raises(ClientError, match="NoSuchVersion"):
        boto_s3.get_object(Bucket="bucket", Key="k", VersionId="other")


def test_a_delete_marker_hides_the_object_and_says_so(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k")
    bucket.delete("k")
    with pytest.raises(ClientError) as caught:
        boto_s3.get_object(Bucket="bucket", Key="k")
    assert caught.value.response["ResponseMetadata"]["HTTPHeaders"]["x-amz-delete-marker"] == "true"


def test_an_archived_object_has_a_head_but_no_bytes(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"1", storage_class="GLACIER")
    assert boto_s3.head_object(Bucket="bucket", Key="k")["StorageClass"] == "GLACIER"
    with pytest.raises(ClientError, match="InvalidObjectState"):
        boto_s3.get_object(Bucket="bucket", Key="k")


def test_a_restored_object_has_bytes_and_says_so(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", b"1", storage_class="GLACIER", restored=True)
    assert boto_s3.head_object(Bucket="bucket", Key="k")["StorageClass"] == "GLACIER"
    got = boto_s3.get_object(Bucket="bucket", Key="k")
    assert got["Restore"].startswith('ongoing-request="false", expiry-date="')
    assert got["Body"].read() == b"1"


def test_an_object_that_is_being_restored_has_no_bytes_yet(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    bucket.put("k", b"1", storage_class="GLACIER", restored=False)
    assert boto_s3.head_object(Bucket="bucket", Key="k")["Restore"] == 'ongoing-request="true"'
    with pytest.raises(ClientError, match="InvalidObjectState"):
        boto_s3.get_object(Bucket="bucket", Key="k")


def test_attributes_tell_the_parts_page_by_page(boto_s3: "S3Client", bucket: Bucket) -> None:
    sizes = [8 * MIB, 8 * MIB, 4 * MIB]
    bucket.put("k", Pattern(20 * MIB), part_sizes=sizes, stored=["SHA256"])
    seen = []
    marker = 0
    while True:
        page = boto_s3.get_object_attributes(
            Bucket="bucket",
            Key="k",
            ObjectAttributes=["ObjectParts", "Checksum", "ObjectSize"],
            MaxParts=2,
            PartNumberMarker=marker,
        )["ObjectParts"]
        seen += [part["Size"] for part in page["Parts"]]
        if not page["IsTruncated"]:
            break
        marker = page["NextPartNumberMarker"]
    assert seen == sizes
    assert page["TotalPartsCount"] == 3


def test_parts_without_checksums_are_not_told(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", Pattern(20 * MIB), part_sizes=[8 * MIB, 8 * MIB, 4 * MIB])
    answer = boto_s3.get_object_attributes(
        Bucket="bucket", Key="k", ObjectAttributes=["ObjectParts"]
    )
    assert answer["ObjectParts"]["TotalPartsCount"] == 3
    assert "Parts" not in answer["ObjectParts"]


def test_a_part_is_read_by_its_number(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k", Pattern(12 * MIB), part_sizes=[8 * MIB, 4 * MIB])
    answer = boto_s3.get_object(Bucket="bucket", Key="k", PartNumber=2)
    assert answer["ContentLength"] == 4 * MIB
    assert answer["PartsCount"] == 2


def test_a_computed_body_is_sent_whole(boto_s3: "S3Client", bucket: Bucket) -> None:
    body = Pattern(5 * MIB + 7)
    bucket.put("k", body)
    assert boto_s3.get_object(Bucket="bucket", Key="k")["Body"].read() == body.read(0, 5 * MIB + 7)


def test_a_bucket_tells_its_region(boto_s3: "S3Client", s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("here", region="us-east-1")
    assert boto_s3.head_bucket(Bucket="here")["BucketRegion"] == "us-east-1"


def test_another_region_redirects(boto_s3: "S3Client", s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("far", region="eu-west-1").put("k")
    s3_stub.forget_requests()
    # boto3 follows, and signs for the region that the answer names.
    boto_s3.head_object(Bucket="far", Key="k")
    regions = [request.signing_region for request in s3_stub.requests]
    assert regions[0] == "us-east-1"
    assert regions[-1] == "eu-west-1"
    assert s3_stub.requests[0].status == 301


def test_the_date_is_the_clocks(boto_s3: "S3Client", s3_stub: S3Stub, bucket: Bucket) -> None:
    s3_stub.store.clock = lambda: 1_000_000_000.0
    answer = boto_s3.head_bucket(Bucket="bucket")
    date = answer["ResponseMetadata"]["HTTPHeaders"]["date"]
    assert date == "Sun, 09 Sep 2001 01:46:40 GMT"
