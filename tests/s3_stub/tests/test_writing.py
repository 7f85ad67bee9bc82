import hashlib
from base64 import b64encode
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.s3_stub import Bucket, S3Stub, Versioning

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def test_put_stores_the_bytes_metadata_and_checksum(boto_s3: "S3Client", bucket: Bucket) -> None:
    answer = boto_s3.put_object(
        Bucket="bucket", Key="k", Body=b"hello", Metadata={"a": "b"}, ChecksumAlgorithm="SHA256"
    )
    version = bucket.get("k")
    assert version
    assert version.data == b"hello"
    assert version.metadata == {"a": "b"}
    assert version.algorithms == ("SHA256",)
    assert answer["VersionId"] == version.version_id
    assert answer["ChecksumSHA256"] == version.checksums["SHA256"]


def test_a_wrong_sha256_is_refused(boto_s3: "S3Client", bucket: Bucket) -> None:
    wrong = b64encode(hashlib.sha256(b"other").digest()).decode()
    with pytest.raises(ClientError, match="BadDigest"):
        boto_s3.put_object(Bucket="bucket", Key="k", Body=b"hello", ChecksumSHA256=wrong)
    assert not bucket.get("k")


def test_a_wrong_md5_is_refused(boto_s3: "S3Client", bucket: Bucket) -> None:
    wrong = b64encode(hashlib.md5(b"other", usedforsecurity=False).digest()).decode()
    with pytest.raises(ClientError, match="BadDigest"):
        boto_s3.put_object(Bucket="bucket", Key="k", Body=b"hello", ContentMD5=wrong)


def test_if_none_match_writes_only_where_nothing_is(boto_s3: "S3Client", bucket: Bucket) -> None:
    boto_s3.put_object(Bucket="bucket", Key="k", Body=b"1", IfNoneMatch="*")
    with pytest.raises(ClientError, match="PreconditionFailed"):
        boto_s3.put_object(Bucket="bucket", Key="k", Body=b"2", IfNoneMatch="*")
    assert len(bucket.versions("k")) == 1


def test_if_none_match_writes_over_a_delete_marker(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k")
    bucket.delete("k")
    boto_s3.put_object(Bucket="bucket", Key="k", Body=b"1", IfNoneMatch="*")
    assert bucket.get("k")


def test_if_match_writes_only_over_that_object(boto_s3: "S3Client", bucket: Bucket) -> None:
    etag = bucket.put("k", b"1").etag
    boto_s3.put_object(Bucket="bucket", Key="k", Body=b"2", IfMatch=f'"{etag}"')
    with pytest.raises(ClientError, match="PreconditionFailed"):
        boto_s3.put_object(Bucket="bucket", Key="k", Body=b"3", IfMatch=f'"{etag}"')


def test_if_match_finds_nothing_to_write_over(boto_s3: "S3Client", bucket: Bucket) -> None:
    with pytest.raises(ClientError, match="NoSuchKey"):
        boto_s3.put_object(Bucket="bucket", Key="k", Body=b"3", IfMatch='"0"')


def test_a_file_of_unknown_length_is_unframed(boto_s3: "S3Client", bucket: Bucket) -> None:
    """Clients send S3's own chunks, with a checksum behind them."""
    with open(__file__, "rb") as file:  # noqa: PTH123 - boto3 wants an open file
        boto_s3.put_object(Bucket="bucket", Key="k", Body=file, ChecksumAlgorithm="CRC32")
        file.seek(0)
        version = bucket.get("k")
        assert version
        assert version.data == file.read()


def test_too_long_a_key_is_refused(boto_s3: "S3Client", bucket: Bucket) -> None:
    with pytest.raises(ClientError, match="KeyTooLongError"):
        boto_s3.put_object(Bucket="bucket", Key="é" * 513, Body=b"")


def test_copy_keeps_bytes_metadata_and_checksum(boto_s3: "S3Client", bucket: Bucket) -> None:
    source = bucket.put("a b", b"hello", stored=["SHA256"], metadata={"a": "b"})
    bucket.put("a b", b"newer")
    boto_s3.copy_object(
        Bucket="bucket",
        Key="k",
        CopySource={"Bucket": "bucket", "Key": "a b", "VersionId": source.version_id},
    )
    version = bucket.get("k")
    assert version
    assert version.data == b"hello"
    assert version.metadata == {"a": "b"}
    assert version.checksums == source.checksums


def test_delete_writes_a_marker(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("k")
    answer = boto_s3.delete_object(Bucket="bucket", Key="k")
    assert answer["DeleteMarker"]
    assert bucket.versions("k")[0].version_id == answer["VersionId"]


def test_delete_of_a_version_removes_it(boto_s3: "S3Client", bucket: Bucket) -> None:
    old = bucket.put("k", b"1")
    bucket.put("k", b"2")
    boto_s3.delete_object(Bucket="bucket", Key="k", VersionId=old.version_id)
    assert [v.data for v in bucket.versions("k")] == [b"2"]


def test_delete_in_an_unversioned_bucket_leaves_nothing(
    boto_s3: "S3Client", s3_stub: S3Stub
) -> None:
    plain = s3_stub.create_bucket("plain", versioning=Versioning.OFF)
    plain.put("k")
    boto_s3.delete_object(Bucket="plain", Key="k")
    assert not plain.versions("k")
    assert not plain.keys()


def test_a_bucket_can_be_made_by_request(boto_s3: "S3Client", s3_stub: S3Stub) -> None:
    boto_s3.create_bucket(Bucket="new")
    assert s3_stub.store.buckets["new"].versioning is Versioning.OFF
