"""Servers that cannot list versions: unversioned buckets are listed by their keys."""

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import UnsupportedEndpoint
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, SourceFolder

from tests.hashes import list_folder
from tests.s3_stub import S3Stub, Versioning

FOLDER = SourceFolder("raw", "run/")
STRANGE_KEYS = [f"run/{name}" for name in ("a b", "a+b", "%2F", "#?", "\u00e9", "&amp;")]
UNABLE = [(405, "MethodNotAllowed"), (501, "NotImplemented")]


async def list_keys(s3: S3) -> list[str]:
    return [found.key for found in await list_folder(s3, FOLDER)]


@pytest.mark.parametrize(("status", "code"), UNABLE)
async def test_an_unversioned_bucket_is_listed_by_its_keys(
    s3: S3, s3_stub: S3Stub, status: int, code: str
) -> None:
    bucket = s3_stub.create_bucket("raw", versioning=Versioning.OFF)
    version = bucket.put("run/a", b"hello")
    s3_stub.on("ListObjectVersions", times=None).answer(status, code)
    [found] = await list_folder(s3, FOLDER)
    assert (found.key, found.size_bytes, found.etag) == ("run/a", 5, f'"{version.etag}"')
    assert (found.version_id, found.stored) == (None, ChecksumAlgorithm.CRC64NVME)


async def test_a_server_that_ignores_the_request_for_versions_is_listed_by_its_keys(
    s3: S3, s3_stub: S3Stub
) -> None:
    s3_stub.create_bucket("raw", versioning=Versioning.OFF).put("run/a", b"hello")
    page = b"<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"
    s3_stub.on("ListObjectVersions", times=None).rewrite_body(lambda _: page)
    assert await list_keys(s3) == ["run/a"]


async def test_pages_are_listed_once_and_in_parallel(
    s3: S3, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.s3_stub.listing.MAX_KEYS", 10)
    bucket = s3_stub.create_bucket("raw", versioning=Versioning.OFF)
    keys = [f"run/{n // 50}/{n:03}" for n in range(500)] + STRANGE_KEYS
    for key in keys:
        bucket.put(key, b"x")
    s3_stub.on("ListObjectVersions", times=None).answer(501, "NotImplemented")
    assert sorted(await list_keys(s3)) == sorted(keys)
    assert any("start-after" in request.query for request in s3_stub.requests)


@pytest.mark.parametrize("versioning", [Versioning.ENABLED, Versioning.SUSPENDED])
async def test_a_versioned_bucket_is_rejected(
    s3: S3, s3_stub: S3Stub, versioning: Versioning
) -> None:
    s3_stub.create_bucket("raw", versioning=versioning).put("run/a", b"hello")
    s3_stub.on("ListObjectVersions", times=None).answer(501, "NotImplemented")
    with pytest.raises(UnsupportedEndpoint, match="this endpoint has no ListObjectVersions"):
        await list_keys(s3)


@pytest.mark.parametrize(("status", "code"), UNABLE)
async def test_a_server_that_knows_no_versioning_has_unversioned_buckets(
    s3: S3, s3_stub: S3Stub, status: int, code: str
) -> None:
    s3_stub.create_bucket("raw", versioning=Versioning.OFF).put("run/a", b"hello")
    for operation in ("ListObjectVersions", "GetBucketVersioning"):
        s3_stub.on(operation, times=None).answer(status, code)
    assert await list_keys(s3) == ["run/a"]
