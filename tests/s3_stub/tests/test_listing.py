from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.s3_stub import Bucket, S3Stub, Versioning
from tests.s3_stub.protocol import to_url_text

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

STRANGE_KEYS = [
    "a b",
    "a%2Fb",
    "a&<>\"'",
    "a+b",
    "a/b\n",
    "a\\b",
    "a\x01",
    "a~*",
    "ä/é",
    "\U0001f9ec",
]


def version_ids(page: Any) -> list[tuple[str, str]]:
    return [(v["Key"], v["VersionId"]) for v in page.get("Versions", [])]


@pytest.mark.parametrize("key", STRANGE_KEYS)
def test_versions_of_any_key_come_back_as_they_are(
    boto_s3: "S3Client", bucket: Bucket, key: str
) -> None:
    bucket.put(key, b"1")
    page = boto_s3.list_object_versions(Bucket="bucket", Prefix=key)
    assert [v["Key"] for v in page["Versions"]] == [key]
    assert page["Prefix"] == key


@pytest.mark.parametrize("key", STRANGE_KEYS)
def test_any_key_comes_back_as_it_is(boto_s3: "S3Client", bucket: Bucket, key: str) -> None:
    bucket.put(key, b"1")
    page = boto_s3.list_objects_v2(Bucket="bucket", Prefix=key)
    assert [each["Key"] for each in page["Contents"]] == [key]


def test_url_encoding_writes_a_space_as_plus_and_keeps_slashes() -> None:
    assert to_url_text("a b/c+d*ü") == "a+b/c%2Bd*%C3%BC"


def test_versions_are_listed_newest_first_with_delete_markers(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    old = bucket.put("k", b"1")
    marker = bucket.delete("k")
    new = bucket.put("k", b"22")
    page = boto_s3.list_object_versions(Bucket="bucket")
    assert marker
    assert [(v["VersionId"], v["IsLatest"], v["Size"]) for v in page["Versions"]] == [
        (new.version_id, True, 2),
        (old.version_id, False, 1),
    ]
    assert [m["VersionId"] for m in page["DeleteMarkers"]] == [marker.version_id]


def test_paging_goes_on_within_the_versions_of_a_key(boto_s3: "S3Client", bucket: Bucket) -> None:
    expected: list[tuple[str, str]] = []
    for key in ("a", "b", "c"):
        versions = [(key, bucket.put(key, str(n)).version_id) for n in range(3)]
        expected += reversed(versions)
    pages = boto_s3.get_paginator("list_object_versions").paginate(
        Bucket="bucket", PaginationConfig={"PageSize": 2}
    )
    seen = [row for page in pages for row in version_ids(page)]
    assert seen == expected


def test_a_key_marker_alone_skips_all_versions_of_that_key(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    for key in ("a", "a", "b"):
        bucket.put(key)
    page = boto_s3.list_object_versions(Bucket="bucket", KeyMarker="a")
    assert [v["Key"] for v in page["Versions"]] == ["b"]


def test_a_version_marker_without_a_key_marker_is_refused(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    with pytest.raises(ClientError, match="InvalidArgument"):
        boto_s3.list_object_versions(Bucket="bucket", VersionIdMarker="x")


def test_a_listing_tells_storage_class_and_checksum_algorithm(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    bucket.put("k", b"1", storage_class="DEEP_ARCHIVE", stored=["SHA256"])
    [version] = boto_s3.list_object_versions(Bucket="bucket")["Versions"]
    # The service model of boto3 knows only STANDARD here; S3 sends them all.
    assert version["StorageClass"] == "DEEP_ARCHIVE"  # type: ignore[comparison-overlap]
    assert version["ChecksumAlgorithm"] == ["SHA256"]
    assert version["ChecksumType"] == "FULL_OBJECT"


def test_an_unversioned_bucket_lists_the_null_version(boto_s3: "S3Client", s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("plain", versioning=Versioning.OFF).put("k")
    assert version_ids(boto_s3.list_object_versions(Bucket="plain")) == [("k", "null")]


def test_a_suspended_bucket_keeps_versions_below_the_null_one(
    boto_s3: "S3Client", bucket: Bucket
) -> None:
    kept = bucket.put("k", b"1")
    bucket.versioning = Versioning.SUSPENDED
    bucket.put("k", b"2")
    bucket.put("k", b"3")
    page = boto_s3.list_object_versions(Bucket="bucket")
    assert version_ids(page) == [("k", "null"), ("k", kept.version_id)]


def test_v2_leaves_deleted_keys_out(boto_s3: "S3Client", bucket: Bucket) -> None:
    bucket.put("a")
    bucket.put("b")
    bucket.delete("a")
    page = boto_s3.list_objects_v2(Bucket="bucket")
    assert [each["Key"] for each in page["Contents"]] == ["b"]
    assert page["KeyCount"] == 1


def test_v2_starts_after_a_key(boto_s3: "S3Client", bucket: Bucket) -> None:
    for key in ("a", "b", "c"):
        bucket.put(key)
    page = boto_s3.list_objects_v2(Bucket="bucket", StartAfter="a")
    assert [each["Key"] for each in page["Contents"]] == ["b", "c"]


@pytest.mark.parametrize("page_size", [1, 2, 1000])
def test_v2_rolls_keys_up_at_the_delimiter(
    boto_s3: "S3Client", bucket: Bucket, page_size: int
) -> None:
    for key in ("p/a", "p/b/1", "p/b/2", "p/c", "p/d/1", "q"):
        bucket.put(key)
    pages = list(
        boto_s3.get_paginator("list_objects_v2").paginate(
            Bucket="bucket",
            Prefix="p/",
            Delimiter="/",
            PaginationConfig={"PageSize": page_size},
        )
    )
    keys = [each["Key"] for page in pages for each in page.get("Contents", [])]
    prefixes = [each["Prefix"] for page in pages for each in page.get("CommonPrefixes", [])]
    assert (keys, prefixes) == (["p/a", "p/c"], ["p/b/", "p/d/"])


def test_a_wrong_continuation_token_is_refused(boto_s3: "S3Client", bucket: Bucket) -> None:
    with pytest.raises(ClientError, match="InvalidArgument"):
        boto_s3.list_objects_v2(Bucket="bucket", ContinuationToken="x")


def test_keys_stand_in_the_order_of_their_utf8_bytes(boto_s3: "S3Client", bucket: Bucket) -> None:
    keys = ["a-b", "a/b", "a", "ä", "\ufb00", "\U0001f9ec"]
    for key in keys:
        bucket.put(key)
    page = boto_s3.list_objects_v2(Bucket="bucket")
    assert [each["Key"] for each in page["Contents"]] == sorted(keys, key=str.encode)


def test_no_bucket_no_listing(boto_s3: "S3Client", s3_stub: S3Stub) -> None:
    with pytest.raises(ClientError, match="NoSuchBucket"):
        boto_s3.list_object_versions(Bucket="missing")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    writes=st.lists(st.sampled_from(["a", "a/b", "a/c", "b"]), max_size=12),
    page_size=st.integers(1, 5),
    delimiter=st.sampled_from(["", "/"]),
)
def test_pages_together_are_the_whole_listing(
    boto_s3: "S3Client", s3_stub: S3Stub, writes: list[str], page_size: int, delimiter: str
) -> None:
    bucket = s3_stub.create_bucket("pages")
    for number, key in enumerate(writes):
        if number % 3 == 2:
            bucket.delete(key)
        else:
            bucket.put(key)

    def rows(size: int) -> list[Any]:
        pages = boto_s3.get_paginator("list_object_versions").paginate(
            Bucket="pages", Delimiter=delimiter, PaginationConfig={"PageSize": size}
        )
        found: list[Any] = []
        for page in pages:
            found += [*page.get("Versions", []), *page.get("DeleteMarkers", [])]
            found += page.get("CommonPrefixes", [])
        return sorted(map(repr, found))

    assert rows(page_size) == rows(1000)
