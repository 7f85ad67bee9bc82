from typing import TYPE_CHECKING

import pytest

from tests.s3_stub import S3Stub, SyntheticBucket, Versioning
from tests.s3_stub.synthetic import create_synthetic_bucket

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client


def test_a_generated_bucket_lists_all_its_objects(boto_s3: "S3Client", s3_stub: S3Stub) -> None:
    s3_stub.store.add(SyntheticBucket("many", 2500))
    pages = boto_s3.get_paginator("list_object_versions").paginate(Bucket="many", Prefix="data/")
    keys = [version["Key"] for page in pages for version in page["Versions"]]
    assert len(keys) == 2500
    assert keys == sorted(keys)
    assert s3_stub.counts["ListObjectVersions"] == 3


def test_what_is_listed_can_be_read(boto_s3: "S3Client", s3_stub: S3Stub) -> None:
    s3_stub.store.add(SyntheticBucket("many", 10, stored=["SHA256"]))
    listed = boto_s3.list_object_versions(Bucket="many", Prefix="data/d00000/f007")["Versions"][0]
    answer = boto_s3.get_object(
        Bucket="many", Key=listed["Key"], VersionId=listed["VersionId"], ChecksumMode="ENABLED"
    )
    # boto3 compares the bytes with the stored checksum.
    assert len(answer["Body"].read()) == listed["Size"]
    assert answer["ETag"] == listed["ETag"]
    assert "ChecksumSHA256" in answer


def test_what_is_put_stands_among_the_generated(s3_stub: S3Stub) -> None:
    bucket = s3_stub.store.add(SyntheticBucket("many", 2))
    bucket.put("data/d00000/f000.csv", b"newer")
    bucket.put("data/d00000/f000.csx")
    bucket.put(".quilt/x")
    assert bucket.keys() == [
        ".quilt/x",
        "data/d00000/f000.csv",
        "data/d00000/f000.csx",
        "data/d00000/f001.csv",
    ]
    assert [v.size_bytes for v in bucket.versions("data/d00000/f000.csv")] == [5, 64]


def test_generated_keys_have_as_many_versions_as_asked(
    boto_s3: "S3Client", s3_stub: S3Stub
) -> None:
    create_synthetic_bucket(s3_stub.store, "many=2,v3,sha256")
    versions = boto_s3.list_object_versions(Bucket="many")["Versions"]
    assert [version["IsLatest"] for version in versions] == [True, False, False] * 2


def test_a_command_line_describes_a_bucket(s3_stub: S3Stub) -> None:
    bucket = create_synthetic_bucket(s3_stub.store, "big=1,sha256,size=20,part=8,unversioned")
    [version] = bucket.versions("data/d00000/f000.csv")
    assert bucket.versioning is Versioning.OFF
    assert version.part_sizes == (8, 8, 4)
    assert version.algorithms == ("SHA256",)


def test_an_unknown_option_is_named(s3_stub: S3Stub) -> None:
    with pytest.raises(ValueError, match="colour"):
        create_synthetic_bucket(s3_stub.store, "many=1,colour")
