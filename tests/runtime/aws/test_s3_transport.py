import asyncio
from pathlib import Path

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import FILE_CONNECTIONS, Request, S3Transport
from quilt_packager_runtime.errors import CredentialsRefused, S3Error
from quilt_packager_runtime.formats.objects import S3Uri

from tests.s3_stub import S3Stub

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}


def address(uri: S3Uri, environment: dict[str, str], region: str = "eu-west-1") -> tuple[str, str]:
    """Host and path that a GET of an object would be sent to."""
    transport = S3Transport.from_environment({**CREDENTIALS, **environment})
    request = Request(operation="GetObject", method="GET", uri=uri)
    made = transport._http_request(request, region)
    host = made.headers.get("Host")
    assert host
    return host, made.path


class TestAddressing:
    def test_aws_is_addressed_by_virtual_host(self) -> None:
        assert address(S3Uri("raw", "a b/c"), {}) == ("raw.s3.eu-west-1.amazonaws.com", "/a%20b/c")

    def test_a_bucket_with_dots_goes_by_path_because_of_the_certificate(self) -> None:
        host, path = address(S3Uri("a.b", "k"), {})
        assert (host, path) == ("s3.eu-west-1.amazonaws.com", "/a.b/k")

    @pytest.mark.parametrize("bucket", ["data_bucket", "LabData", "LabData.2016", "-b", "x" * 64])
    def test_a_bucket_from_before_2018_that_is_no_host_name_goes_by_path(self, bucket: str) -> None:
        host, path = address(S3Uri(bucket, "k"), {})
        assert (host, path) == ("s3.eu-west-1.amazonaws.com", f"/{bucket}/k")

    def test_china_has_its_own_domain(self) -> None:
        host, _ = address(S3Uri("raw", "k"), {}, region="cn-north-1")
        assert host == "raw.s3.cn-north-1.amazonaws.com.cn"

    def test_an_endpoint_of_ones_own_is_addressed_by_path(self) -> None:
        environment = {"AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
        assert address(S3Uri("raw", "k"), environment) == ("127.0.0.1:4566", "/raw/k")

    def test_the_endpoint_of_s3_goes_before_that_of_all_services(self) -> None:
        environment = {"AWS_ENDPOINT_URL": "http://all:1", "AWS_ENDPOINT_URL_S3": "http://s3:2"}
        assert address(S3Uri("raw", "k"), environment)[0] == "s3:2"

    def test_a_version_goes_into_the_query(self) -> None:
        _, path = address(S3Uri("raw", "k?x", "a+b/c"), {})
        assert path == "/k%3Fx?versionId=a%2Bb%2Fc"


class TestRegion:
    @pytest.mark.parametrize("status", [301, 400])
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

    @pytest.mark.parametrize("variable", ["AWS_REGION", "AWS_DEFAULT_REGION"])
    async def test_requests_are_signed_for_the_environments_region(
        self, s3_stub: S3Stub, variable: str
    ) -> None:
        s3_stub.create_bucket("raw").put("k")
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_stub.url, variable: "eu-north-1"}
        await S3.from_environment(environment).head_object(S3Uri("raw", "k"))
        assert s3_stub.requests[0].signing_region == "eu-north-1"


class TestCredentials:
    @pytest.mark.parametrize(
        ("token", "sent"), [("token/+=", "token/+="), ("", None), (None, None)]
    )
    async def test_a_session_token_comes_along(
        self, s3_stub: S3Stub, token: str | None, sent: str | None
    ) -> None:
        s3_stub.create_bucket("raw").put("k")
        environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_stub.url}
        if token is not None:
            environment["AWS_SESSION_TOKEN"] = token
        await S3.from_environment(environment).head_object(S3Uri("raw", "k"))
        [request] = s3_stub.requests
        assert request.access_key == "AKIATEST"
        assert request.session_token == sent

    async def test_they_come_from_a_profile_where_the_environment_has_none(
        self,
        s3_stub: S3Stub,
        monkeypatch: pytest.MonkeyPatch,
        tmp_path_factory: pytest.TempPathFactory,
    ) -> None:
        s3_stub.create_bucket("raw").put("k")
        path = tmp_path_factory.mktemp("aws") / "credentials"
        path.write_text(
            "[default]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\n"
            "aws_session_token = token\n"
        )
        monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        s3 = S3.from_environment({"AWS_ENDPOINT_URL": s3_stub.url})
        await s3.head_object(S3Uri("raw", "k"))
        [request] = s3_stub.requests
        assert (request.access_key, request.session_token) == ("AKIAPROFILE", "token")

    def test_none_at_all_is_told_at_once(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("AWS_ACCESS_KEY_ID")
        monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        with pytest.raises(CredentialsRefused, match="aws configure"):
            S3.from_environment({})


@pytest.mark.parametrize("asked", [2, 128])
async def test_as_many_connections_are_opened_as_asked(s3_stub: S3Stub, asked: int) -> None:
    s3_stub.create_bucket("raw").put("k")
    environment = {**CREDENTIALS, "AWS_ENDPOINT_URL": s3_stub.url}
    s3 = S3.from_environment(environment, max_connections=asked)
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
