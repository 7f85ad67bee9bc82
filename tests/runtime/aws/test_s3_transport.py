import asyncio
from pathlib import Path

import pytest
from quilt_packager_runtime.aws.endpoints import Endpoint
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import (
    FILE_CONNECTIONS,
    Request,
    Response,
    _http_request,
    _region_elsewhere,
)
from quilt_packager_runtime.errors import S3Error
from quilt_packager_runtime.formats.objects import S3Uri

from tests.conftest import CREDENTIALS
from tests.runtime_s3 import connect_to
from tests.s3_stub import S3Stub


def test_a_version_goes_into_the_query() -> None:
    request = Request(operation="GetObject", method="GET", uri=S3Uri("raw", "k?x", "a+b/c"))
    made = _http_request(request, Endpoint("https", "h", "/s3/raw", "eu-west-1"))
    assert made.path == "/s3/raw/k%3Fx?versionId=a%2Bb%2Fc"


class TestRegion:
    @pytest.mark.parametrize("status", [301, 307, 400])
    async def test_a_bucket_elsewhere_is_followed_and_remembered(
        self, s3: S3, s3_stub: S3Stub, status: int
    ) -> None:
        s3_stub.create_bucket("far", region="eu-west-1").put("k", b"1")
        if status != 301:
            s3_stub.on("HeadObject").answer(
                status, "AuthorizationHeaderMalformed", headers={"x-amz-bucket-region": "eu-west-1"}
            )
        for _ in range(2):
            assert (await s3.head_object(S3Uri("far", "k"))).size_bytes == 1
        assert [request.signing_region for request in s3_stub.requests] == [
            "us-east-1",
            "eu-west-1",
            "eu-west-1",
        ]

    @pytest.mark.parametrize(
        ("status", "named", "found"),
        [
            (400, "eu-west-1", "eu-west-1"),
            (307, "eu-west-1", "eu-west-1"),
            (400, "us-east-1", None),
            (400, "", None),
            (403, "eu-west-1", None),
        ],
    )
    def test_may_be_named_by_the_body_alone(
        self, status: int, named: str, found: str | None
    ) -> None:
        body = f"<Error><Code>AuthorizationHeaderMalformed</Code><Region>{named}</Region></Error>"
        response = Response(status, {}, body.encode(), is_error=True)
        assert _region_elsewhere(response, "us-east-1") == found

    async def test_a_body_is_sent_again_to_the_right_region(self, s3: S3, s3_stub: S3Stub) -> None:
        far = s3_stub.create_bucket("far", region="eu-west-1")
        await s3.put_object(S3Uri("far", "k"), b"body")
        version = far.get("k")
        assert version
        assert version.data == b"body"

    async def test_listings_follow_too(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.create_bucket("far", region="eu-west-1").put("k")
        assert [keys async for keys in s3.list_keys("far", "")] == [["k"]]

    async def test_regions_of_buckets_are_compared_as_answers_told(
        self, s3: S3, s3_stub: S3Stub
    ) -> None:
        s3_stub.create_bucket("far", region="eu-west-1").put("k")
        s3_stub.create_bucket("near", region="us-east-1").put("k")
        for bucket in ("far", "near"):
            await s3.head_object(S3Uri(bucket, "k"))
        assert s3.region_of("far") != s3.region_of("near")

    async def test_a_redirect_to_nowhere_is_an_error(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.create_bucket("raw")
        s3_stub.on("HeadObject", times=None).answer(301, "PermanentRedirect")
        with pytest.raises(S3Error):
            await s3.head_object(S3Uri("raw", "k"))
        assert s3_stub.counts["HeadObject"] == 1

    async def test_two_regions_that_point_at_each_other_end(self, s3: S3, s3_stub: S3Stub) -> None:
        s3_stub.create_bucket("raw")
        for _ in range(2):
            for region in ("eu-west-1", "us-east-1"):
                s3_stub.on("HeadObject").answer(
                    301, "PermanentRedirect", headers={"x-amz-bucket-region": region}
                )
        with pytest.raises(S3Error):
            await s3.head_object(S3Uri("raw", "k"))
        assert s3_stub.counts["HeadObject"] == 2


@pytest.mark.parametrize("asked", [2, 128])
async def test_as_many_connections_are_opened_as_asked(s3_stub: S3Stub, asked: int) -> None:
    s3_stub.create_bucket("raw").put("k")
    s3 = connect_to(s3_stub.url, CREDENTIALS, max_connections=asked)
    others = set(s3_stub.connections)  # those of earlier tests close when they like
    pause = s3_stub.on("HeadObject", times=None).pause_before()
    async with asyncio.TaskGroup() as tasks:
        for _ in range(asked + 20):
            tasks.create_task(s3.head_object(S3Uri("raw", "k")))
        for _ in range(asked):
            await pause.reached()
        assert len(s3_stub.connections - others) == asked
        pause.open()
    assert s3_stub.counts["HeadObject"] == asked + 20


async def test_a_file_goes_through_few_connections_since_its_parts_are_in_memory(
    s3: S3, s3_stub: S3Stub, tmp_path: Path
) -> None:
    s3_stub.create_bucket("raw")
    others = set(s3_stub.connections)  # those of earlier tests close when they like
    path = tmp_path / "file"
    with path.open("wb") as file:
        file.truncate(10 * 8 * 2**20)
    pause = s3_stub.on("UploadPart", times=None).pause_before()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(s3.put_file(S3Uri("raw", "k"), path))
        for _ in range(FILE_CONNECTIONS):
            await pause.reached()
        assert len(s3_stub.connections - others) == FILE_CONNECTIONS
        pause.open()
