"""Faults of the pages of a listing, and writes during it."""

from collections.abc import Callable

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    AccessDenied,
    MalformedResponse,
    NoSuchBucket,
    ServiceUnavailable,
)
from quilt_packager_runtime.formats.objects import SourceFolder

from tests.hashes import list_folder
from tests.s3_stub import Bucket, Rule, S3Stub

FOLDER = SourceFolder("raw", "run/")
KEYS = [f"run/{n}" for n in range(8)]
PAGES = 3
"""Number of pages that the stub makes of them."""


@pytest.fixture
def bucket(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> Bucket:
    """Create a bucket of several pages."""
    monkeypatch.setattr("tests.s3_stub.listing.MAX_KEYS", 3)
    bucket = s3_stub.create_bucket("raw")
    for key in KEYS:
        bucket.put(key, b"x")
    return bucket


async def list_keys(s3: S3) -> list[str]:
    return [found.key for found in await list_folder(s3, FOLDER)]


async def test_a_missing_bucket_is_named(s3: S3, s3_stub: S3Stub) -> None:
    with pytest.raises(NoSuchBucket, match='"raw"'):
        await list_keys(s3)
    assert s3_stub.counts == {"ListObjectVersions": 1}


async def test_a_denied_listing_names_action_and_bucket(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    s3_stub.deny("ListObjectVersions")
    with pytest.raises(AccessDenied, match=r"ListObjectVersions.*s3://raw/"):
        await list_keys(s3)
    assert s3_stub.counts == {"ListObjectVersions": 1}


ABSENT: dict[str, Callable[[Rule], object]] = {
    "throttled": lambda rule: rule.answer(503, "SlowDown"),
    "down": lambda rule: rule.answer(500, "InternalError"),
    "cut": lambda rule: rule.cut_body(300),
    "dropped": lambda rule: rule.drop_connection(),
}


@pytest.mark.parametrize("fault", ABSENT.values(), ids=ABSENT)
async def test_a_missing_page_is_requested_again(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, fault: Callable[[Rule], object]
) -> None:
    fault(s3_stub.on("ListObjectVersions", nth=2, times=2))
    assert await list_keys(s3) == KEYS


@pytest.mark.parametrize("fault", ABSENT.values(), ids=ABSENT)
async def test_a_page_that_stays_missing_fails_the_listing(
    s3: S3, s3_stub: S3Stub, bucket: Bucket, fault: Callable[[Rule], object]
) -> None:
    fault(s3_stub.on("ListObjectVersions", nth=2, times=None))
    with pytest.raises(ServiceUnavailable):
        await list_keys(s3)
    assert s3_stub.counts["ListObjectVersions"] == 1 + 6


def without_a_token(page: bytes) -> bytes:
    return page.replace(b"NextKeyMarker", b"Nothing").replace(b"NextVersionIdMarker", b"Nothing")


def with_the_token_that_was_sent(page: bytes) -> bytes:
    for name in (b"KeyMarker", b"VersionIdMarker"):
        sent = page.partition(b"<%s>" % name)[2].partition(b"<")[0]
        following = page.partition(b"<Next%s>" % name)[2].partition(b"<")[0]
        page = page.replace(b"<Next%s>%s<" % (name, following), b"<Next%s>%s<" % (name, sent))
    return page


BROKEN: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda page: page[: len(page) // 2],
    "empty": lambda _: b"",
    "of something else": lambda _: b"<html><body>Please log in</body></html>",
    "without IsTruncated": lambda page: page.replace(b"IsTruncated", b"IsWhat"),
    "without a token": without_a_token,
    "with the token that was sent": with_the_token_that_was_sent,
}


@pytest.mark.parametrize("break_page", BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("nth", [1, 2])
class TestBrokenPage:
    async def test_is_requested_again(
        self,
        s3: S3,
        s3_stub: S3Stub,
        bucket: Bucket,
        break_page: Callable[[bytes], bytes],
        nth: int,
    ) -> None:
        await list_keys(s3)
        unbroken = s3_stub.counts["ListObjectVersions"]
        s3_stub.forget_requests()
        s3_stub.on("ListObjectVersions", nth=nth, times=2).rewrite_body(break_page)
        assert await list_keys(s3) == KEYS
        assert s3_stub.counts == {"ListObjectVersions": unbroken + 2}

    async def test_fails_the_listing_if_it_persists(
        self,
        s3: S3,
        s3_stub: S3Stub,
        bucket: Bucket,
        break_page: Callable[[bytes], bytes],
        nth: int,
    ) -> None:
        s3_stub.on("ListObjectVersions", nth=nth, times=None).rewrite_body(break_page)
        with pytest.raises(MalformedResponse, match="s3://raw/"):
            await list_keys(s3)
        assert s3_stub.counts == {"ListObjectVersions": nth - 1 + 3}


async def test_the_region_of_a_bucket_is_found_once(s3: S3, s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("raw", region="eu-west-1").put("run/a", b"x")
    for _ in range(2):
        assert await list_keys(s3) == ["run/a"]
    assert [request.status for request in s3_stub.requests] == [301, 200, 200]


async def test_objects_that_are_overwritten_between_pages_are_listed_once(
    s3: S3, s3_stub: S3Stub, bucket: Bucket
) -> None:
    def overwrite(page: bytes) -> bytes:
        for key in KEYS:
            bucket.put(key, b"new")
        return page

    s3_stub.on("ListObjectVersions").rewrite_body(overwrite)
    listed = await list_folder(s3, FOLDER)
    assert [found.key for found in listed] == KEYS
    assert [found.size_bytes for found in listed] == [1] * 3 + [3] * 5
