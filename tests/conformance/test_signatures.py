"""awscrt signs every request as botocore does: whatever the key, the version and the credentials.

The requests are rebuilt from what S3 decodes of them, as S3 does when it checks a signature, so
that what is signed is also proved to be what was meant.
"""

import string
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl, quote, unquote

import boto3
import pytest
from awscrt.auth import AwsCredentialsProvider, aws_sign_request
from awscrt.s3 import create_default_s3_signing_config
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSPreparedRequest, AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quilt_packager_runtime.aws.endpoints import Endpoint, endpoints_of
from quilt_packager_runtime.aws.multipart import MultipartUpload
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import Request as S3Request
from quilt_packager_runtime.aws.s3_transport import _http_request
from quilt_packager_runtime.errors import PackagerError
from quilt_packager_runtime.formats.objects import ChecksumAlgorithm, S3Uri

from tests.conftest import CREDENTIALS
from tests.runtime_s3 import connect_to
from tests.s3_stub import S3Stub

ACCESS_KEY, SECRET_KEY = CREDENTIALS["AWS_ACCESS_KEY_ID"], CREDENTIALS["AWS_SECRET_ACCESS_KEY"]
TOKEN = "session+token/with=everything=="
VERSION = "3sL4kqtJlcpXroDTDmJ+rmSpXd3dIbrHY+MTRCxf3vjVBH40Nr8X8gdRQBpUMLUo"
REGION = "eu-west-1"

KEYS = [
    "plain.txt", "a b", "a+b", "a%2Fb", "a%", "run#1/x", "what?/x", "a?versionId=v", "a&b=c",
    "a//b", "/a", "a/../b", "./a", ".", "..", "a\n", "\x01", "\x7f", '"', "'", "\\", "\u00e9",
    "e\u0301", "\U0001f9ec", "~", "*", "!$&'()*,;=:@", "a/", "a//", "[]{}|^`<>",
]  # fmt: skip


def signature_of_botocore(
    method: str, url: str, headers: dict[str, str], *, region: str, token: str | None
) -> str:
    """The Authorization that botocore gives this very request.

    Args:
        method: HTTP's.
        url: With its query, percent-encoded.
        headers: As they arrived, by lower-case name; which were signed stands among them.
        region: Signed for.
        token: The session token.
    """
    signed = headers["authorization"].partition("SignedHeaders=")[2].partition(",")[0].split(";")
    request = AWSRequest(method, url, headers={name: headers[name] for name in signed})
    request.context["timestamp"] = headers["x-amz-date"]
    auth = S3SigV4Auth(Credentials(ACCESS_KEY, SECRET_KEY, token), "s3", region)
    text = auth.string_to_sign(request, auth.canonical_request(request))
    return (
        f"AWS4-HMAC-SHA256 Credential={auth.scope(request)}, "
        f"SignedHeaders={';'.join(signed)}, Signature={auth.signature(text, request)}"
    )


def check_requests(stub: S3Stub, *, token: str | None = None) -> None:
    """Sign again all that arrived."""
    assert stub.requests
    for request in stub.requests:
        path = quote(f"/{request.bucket}/{request.key}", safe="/~")
        query = "&".join(
            f"{quote(name, safe='~')}={quote(value, safe='~')}"
            for name, value in sorted(request.query.items())
        )
        expected = signature_of_botocore(
            request.method,
            f"{stub.url}{path}" + (f"?{query}" if query else ""),
            request.headers,
            region=CREDENTIALS["AWS_DEFAULT_REGION"],
            token=token,
        )
        assert request.headers["authorization"] == expected
        assert request.headers.get("x-amz-security-token") == token


async def copy_part(s3: S3, uri: S3Uri) -> None:
    await upload_to(s3, uri).copy_part(1, source=uri, first_byte=0, last_byte=1, if_match='"e"')


def upload_to(s3: S3, uri: S3Uri) -> MultipartUpload:
    target = S3Uri("scratch", uri.key)
    return MultipartUpload(s3, target, "u+/=", ChecksumAlgorithm.SHA256_CHUNKED)


async def list_all(pages: Any) -> None:
    async for _ in pages:
        pass


OPERATIONS: dict[str, Callable[[S3, S3Uri], Awaitable[object]]] = {
    "HeadObject": lambda s3, uri: s3.head_object(uri, if_match='"e"'),
    "GetObject": lambda s3, uri: s3.get_object(uri, first_byte=1, last_byte=2, if_match='"e"'),
    "GetObjectAttributes": lambda s3, uri: s3.get_part_sizes_bytes(uri),
    "PutObject": lambda s3, uri: s3.put_object(
        S3Uri(uri.bucket, uri.key), b"body", if_none_match=True
    ),
    "ListObjectVersions": lambda s3, uri: list_all(s3.list_latest_versions(uri.bucket, uri.key)),
    "ListObjectsV2": lambda s3, uri: list_all(s3.list_keys(uri.bucket, uri.key)),
    "CreateMultipartUpload": lambda s3, uri: MultipartUpload.create(
        s3, S3Uri("scratch", uri.key), ChecksumAlgorithm.CRC64NVME
    ),
    "UploadPartCopy": copy_part,
    "AbortMultipartUpload": lambda s3, uri: upload_to(s3, uri).abort(),
}


@pytest.fixture(autouse=True)
def buckets(s3_stub: S3Stub) -> None:
    s3_stub.create_bucket("raw")
    s3_stub.create_bucket("scratch")


async def send(s3: S3, operation: str, uri: S3Uri) -> None:
    # Most of these find nothing: they have arrived all the same.
    try:
        await OPERATIONS[operation](s3, uri)
    except PackagerError:
        return


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_every_operation_on_every_key_is_signed_as_by_botocore(
    s3: S3, s3_stub: S3Stub, operation: str
) -> None:
    for key in KEYS:
        await send(s3, operation, S3Uri("raw", key, VERSION))
    check_requests(s3_stub)
    assert s3_stub.counts[operation] == len(KEYS)


@given(key=st.text(max_size=50), version_id=st.none() | st.text(string.printable, min_size=1))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
async def test_any_key_and_version_is_signed_as_by_botocore(
    s3: S3, s3_stub: S3Stub, key: str, version_id: str | None
) -> None:
    s3_stub.forget_requests()
    await send(s3, "HeadObject", S3Uri("raw", "k" + key, version_id))
    check_requests(s3_stub)
    [request] = s3_stub.requests
    assert (request.key, request.query.get("versionId")) == ("k" + key, version_id)


async def test_pages_of_a_listing_are_signed_as_by_botocore(
    s3: S3, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.s3_stub.listing.MAX_KEYS", 1)
    for key in KEYS:
        s3_stub.store.buckets["raw"].put(key, b"x")
    await list_all(s3.list_latest_versions("raw", ""))
    await list_all(s3.list_keys("raw", ""))
    assert len(s3_stub.requests) == 2 * len(KEYS)
    check_requests(s3_stub)


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_session_token_is_signed(s3_stub: S3Stub, operation: str) -> None:
    s3 = connect_to(s3_stub.url, {**CREDENTIALS, "AWS_SESSION_TOKEN": TOKEN}, retry_base_ms=1)
    await send(s3, operation, S3Uri("raw", "run#1/a b", VERSION))
    check_requests(s3_stub, token=TOKEN)
    [request] = s3_stub.requests
    assert "x-amz-security-token" in request.headers["authorization"]


@pytest.mark.parametrize("operation", ["HeadObject", "GetObject", "PutObject", "ListObjectsV2"])
async def test_requests_below_the_path_of_an_endpoint_are_signed(
    s3_stub: S3Stub, operation: str
) -> None:
    s3_stub.create_bucket("s3")  # the stub takes the path of the endpoint for a bucket
    s3 = connect_to(f"{s3_stub.url}/s3", CREDENTIALS, retry_base_ms=1)
    await send(s3, operation, S3Uri("raw", "run#1/a b"))
    check_requests(s3_stub)
    assert s3_stub.requests[0].bucket == "s3"
    assert s3_stub.requests[0].key.startswith("raw/")


async def test_the_region_that_a_bucket_turns_out_to_be_in_is_signed(
    s3: S3, s3_stub: S3Stub
) -> None:
    s3_stub.create_bucket("raw", region=REGION).put("k", b"x")
    await s3.head_object(S3Uri("raw", "k"))
    first, second = s3_stub.requests
    assert first.signing_region == CREDENTIALS["AWS_DEFAULT_REGION"]
    expected = signature_of_botocore(
        "HEAD", f"{s3_stub.url}/raw/k", second.headers, region=REGION, token=None
    )
    assert second.headers["authorization"] == expected


# On AWS itself: no request is sent, but the request and the signing are those of the transport.


@pytest.mark.parametrize("bucket", ["raw", "raw.data", "Raw_data"])
@pytest.mark.parametrize("key", KEYS)
async def test_requests_to_aws_are_signed_as_by_botocore(
    key: str, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    credentials = AwsCredentialsProvider.new_static(ACCESS_KEY, SECRET_KEY, TOKEN)
    wanted = S3Request(operation="HeadObject", method="HEAD", uri=S3Uri(bucket, key, VERSION))
    request = _http_request(wanted, endpoints_of(boto3.Session()).find(bucket, REGION))
    config = create_default_s3_signing_config(region=REGION, credential_provider=credentials)
    signed = aws_sign_request(request, config).result(timeout=10)

    host = (
        f"{bucket}.s3.{REGION}.amazonaws.com" if bucket == "raw" else f"s3.{REGION}.amazonaws.com"
    )
    path = f"/{key}" if bucket == "raw" else f"/{bucket}/{key}"
    headers = {name.lower(): value for name, value in signed.headers}
    url = f"https://{host}{quote(path, safe='/~')}?versionId={quote(VERSION, safe='~')}"
    assert headers["host"] == host
    assert headers["authorization"] == signature_of_botocore(
        "HEAD", url, headers, region=REGION, token=TOKEN
    )
    sent_path, _, query = signed.path.partition("?")
    assert unquote(sent_path) == path
    assert dict(parse_qsl(query)) == {"versionId": VERSION}


class Captured(Exception):
    """Instead of being sent."""


@pytest.fixture(scope="module")
def boto3_url() -> Callable[[str], str]:
    client = boto3.client(
        "s3",
        endpoint_url=f"https://s3.{REGION}.amazonaws.com",
        config=Config(s3={"addressing_style": "virtual"}),
    )

    def capture(request: AWSPreparedRequest, **_: object) -> None:
        raise Captured(request.url)

    def url_of(key: str) -> str:
        with pytest.raises(Captured) as captured:
            client.head_object(Bucket="raw", Key=key, VersionId=VERSION)
        return str(captured.value)

    client.meta.events.register("before-send.s3.HeadObject", capture)
    return url_of


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_written_into_requests_as_by_boto3(
    key: str, boto3_url: Callable[[str], str]
) -> None:
    ours = _http_request(
        S3Request(operation="HeadObject", method="HEAD", uri=S3Uri("raw", key, VERSION)),
        Endpoint("https", f"raw.s3.{REGION}.amazonaws.com", "", REGION),
    )
    assert f"https://raw.s3.{REGION}.amazonaws.com{ours.path}" == boto3_url(key)
