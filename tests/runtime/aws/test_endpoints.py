"""Address and signing region of a bucket, compared with botocore's."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from awscrt.http import HttpRequest
from awscrt.s3 import S3RequestTlsMode
from botocore.exceptions import BotoCoreError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from quilt_packager_runtime.aws import endpoints, s3_transport
from quilt_packager_runtime.aws.s3_transport import Request, S3Transport
from quilt_packager_runtime.errors import InvalidAwsConfiguration, PackagerError
from quilt_packager_runtime.formats.objects import S3Uri

from tests.conftest import CREDENTIALS as LONG_TERM_CREDENTIALS
from tests.s3_stub import S3Stub

DOCUMENT = Path(__file__).parents[3] / "docs" / "reference" / "aws-configuration.md"
ROW = re.compile(
    r"\| (none|`(?P<environment>AWS_[^`]*)`) \| `(?P<url>[^`]*)` \| (?P<region>\S+) \|"
)
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIATEST",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
}
Address = tuple[str, str]
"""URL of a bucket, and the region of signatures."""


class Sent(Exception):
    """Instead of being sent."""


class Client:
    """awscrt's S3 client, as far as it is asked to send something."""

    def __init__(self, *, region: str, tls_mode: Any, signing_config: Any, **_: Any) -> None:
        self._is_plain = tls_mode is S3RequestTlsMode.DISABLED
        self._regions = {region, signing_config.region}

    def make_request(self, *, request: HttpRequest, **_: Any) -> None:
        (region,) = self._regions
        path = request.path.removesuffix("key")
        scheme = "http" if self._is_plain else "https"
        raise Sent(f"{scheme}://{request.headers.get('Host')}{path}", region)


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., None]:
    """Replaces the configuration of AWS by variables and the text of a configuration file."""
    monkeypatch.setattr(s3_transport, "S3Client", Client)

    def replace(environment: Mapping[str, str], file: str = "") -> None:
        monkeypatch.undo()
        monkeypatch.setattr(s3_transport, "S3Client", Client)
        # Complete, and without files: Lambda's shortcut applies if the variables allow it.
        monkeypatch.setenv("HOME", str(tmp_path))
        for name in (*LONG_TERM_CREDENTIALS, "AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED"):
            monkeypatch.delenv(name)
        for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
            monkeypatch.delenv(name)
        if file:
            path = tmp_path / "config"
            path.write_text(file)
            monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
        for name, value in {**CREDENTIALS, **environment}.items():
            monkeypatch.setenv(name, value)

    return replace


async def address_of(bucket: str) -> Address:
    """What awscrt is given for an object of the bucket."""
    request = Request(operation="GetObject", method="GET", uri=S3Uri(bucket, "key"))
    with pytest.raises(Sent) as sent:
        await S3Transport.from_environment().send(request)
    url, region = sent.value.args
    return url, region


def address_by_botocore(bucket: str, region: str | None) -> Address:
    """What botocore sends for an object of the bucket."""
    client = boto3.Session(region_name=region).client("s3")

    def capture(request: Any, **_: object) -> None:
        scope = request.headers["Authorization"].decode().split("/")
        raise Sent(request.url.removesuffix("key"), scope[2])

    client.meta.events.register("before-send.s3.GetObject", capture)
    with pytest.raises(Sent) as sent:
        client.get_object(Bucket=bucket, Key="key")
    url, region = sent.value.args
    return url, region


def read_document() -> Iterator[tuple[dict[str, str], str, str]]:
    for row in ROW.finditer(DOCUMENT.read_text()):
        pairs = [each.partition("=") for each in (row["environment"] or "").split()]
        yield {name: value for name, _, value in pairs}, row["url"], row["region"]


def profiles_of_document() -> str:
    return DOCUMENT.read_text().partition("```ini\n")[2].partition("```")[0]


@pytest.mark.parametrize(
    ("environment", "url", "region"),
    [
        pytest.param(*each, id=" ".join(f"{name}={value}" for name, value in each[0].items()))
        for each in read_document()
    ],
)
async def test_address_is_that_of_the_document(
    configure: Callable[..., None], environment: dict[str, str], url: str, region: str
) -> None:
    configure(environment, profiles_of_document() if "AWS_PROFILE" in environment else "")
    assert await address_of("runs") == (url, region)


def test_the_document_has_all_partitions() -> None:
    partitions = boto3.Session().get_available_partitions()
    shown = {boto3.Session().get_partition_for_region(region) for *_, region in read_document()}
    assert set(partitions) - shown == set()


REGIONS = st.sampled_from(
    [
        "", "us-east-1", "us-west-2", "eu-west-1", "mx-central-1", "cn-north-1", "cn-northwest-1",
        "us-gov-west-1", "us-gov-east-1", "us-iso-east-1", "us-isob-east-1", "eu-isoe-west-1",
        "us-isof-south-1", "eusc-de-east-1", "aws-global", "xx-new-1", "us-newer-1",
    ]
)  # fmt: skip
URLS = st.sampled_from(
    ["", "http://127.0.0.1:9000", "http://127.0.0.1:9000/s3", "https://a.example/s3/", "banana"]
)
BOOLEANS = st.sampled_from(["true", "false", "", "TRUE", "yes"])
BUCKETS = st.sampled_from(["runs", "lab.data", "Lab_Data", "a", "runs-", "x" * 63, "runs--s3alias"])
VARIABLES = st.fixed_dictionaries(
    {},
    optional={
        "AWS_REGION": REGIONS,
        "AWS_DEFAULT_REGION": REGIONS,
        "AWS_PROFILE": st.sampled_from(["default", "other", "missing"]),
        "AWS_ENDPOINT_URL": URLS,
        "AWS_ENDPOINT_URL_S3": URLS,
        "AWS_ENDPOINT_URL_SQS": URLS,
        "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": BOOLEANS,
        "AWS_USE_FIPS_ENDPOINT": BOOLEANS,
        "AWS_USE_DUALSTACK_ENDPOINT": BOOLEANS,
        "AWS_S3_US_EAST_1_REGIONAL_ENDPOINT": st.sampled_from(["regional", "legacy"]),
        "AWS_LAMBDA_FUNCTION_NAME": st.just("packager"),
        "AWS_EXECUTION_ENV": st.just("AWS_Lambda_python3.13"),
    },
)
PROFILE = st.fixed_dictionaries(
    {},
    optional={
        "region": REGIONS.filter(bool),
        "endpoint_url": URLS.filter(bool),
        "services": st.just("mine"),
        "ignore_configured_endpoint_urls": BOOLEANS.filter(bool),
        "use_fips_endpoint": BOOLEANS.filter(bool),
        "use_dualstack_endpoint": BOOLEANS.filter(bool),
        "s3": st.sampled_from(
            ["\n  addressing_style = path", "\n  addressing_style = virtual",
             "\n  us_east_1_regional_endpoint = regional"]
        ),
    },
)  # fmt: skip
SERVICES = st.sampled_from(
    ["s3 =\n  endpoint_url = http://127.0.0.1:7000/services", "sqs =\n  endpoint_url = http://q"]
)


def write_file(profiles: Mapping[str, Mapping[str, str]], services: str) -> str:
    """Write a configuration file; empty without profiles."""
    sections = [
        f"[{name if name == 'default' else f'profile {name}'}]\n"
        + "".join(f"{key} = {value}\n" for key, value in options.items())
        for name, options in profiles.items()
    ]
    return "\n".join([*sections, f"[services mine]\n{services}\n"]) if sections else ""


@given(
    environment=VARIABLES,
    profiles=st.dictionaries(st.sampled_from(["default", "other"]), PROFILE),
    services=SERVICES,
    bucket=BUCKETS,
)
@example(environment={"AWS_REGION": "us-east-1"}, profiles={}, services="", bucket="runs")
@example(environment={"AWS_REGION": "eu-west-1"}, profiles={}, services="", bucket="lab.data")
@example(
    environment={"AWS_DEFAULT_REGION": "", "AWS_ENDPOINT_URL": "http://127.0.0.1:9000"},
    profiles={},
    services="",
    bucket="runs",
)
@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_address_is_that_of_botocore(
    configure: Callable[..., None],
    environment: dict[str, str],
    profiles: dict[str, dict[str, str]],
    services: str,
    bucket: str,
) -> None:
    configure(environment, write_file(profiles, services))
    try:
        expected = address_by_botocore(bucket, environment.get("AWS_REGION") or None)
    except (BotoCoreError, RuntimeError, ValueError):  # awscrt cannot sign for an empty region
        with pytest.raises(PackagerError):
            await address_of(bucket)
    else:
        assert await address_of(bucket) == expected


@pytest.mark.parametrize("bucket", ["runs", "a-1", "x" * 63])
@pytest.mark.parametrize("region", ["us-east-1", "eu-west-1", "mx-central-1"])
async def test_environment_of_lambda_needs_no_botocore(
    configure: Callable[..., None], monkeypatch: pytest.MonkeyPatch, region: str, bucket: str
) -> None:
    configure({"AWS_REGION": region, "AWS_LAMBDA_FUNCTION_NAME": "packager"})
    expected = address_by_botocore(bucket, region)
    monkeypatch.setattr(endpoints, "create_session", None)
    monkeypatch.setattr(s3_transport, "create_session", None)
    assert await address_of(bucket) == expected


async def test_configuration_files_are_read_where_they_exist(
    configure: Callable[..., None], tmp_path: Path
) -> None:
    configure({"AWS_REGION": "eu-west-1"})
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "config").write_text("[default]\nuse_dualstack_endpoint = true\n")
    url, _ = await address_of("runs")
    assert url == "https://runs.s3.dualstack.eu-west-1.amazonaws.com/"


@pytest.mark.parametrize(
    "environment",
    [
        {"AWS_ENDPOINT_URL": "banana"},
        {"AWS_ENDPOINT_URL": "ftp://127.0.0.1/"},
        {"AWS_ENDPOINT_URL": "http://127.0.0.1:banana/"},
        {"AWS_REGION": "not a region"},
        {"AWS_DEFAULT_REGION": ""},
    ],
)
async def test_invalid_configuration_is_named(
    configure: Callable[..., None], environment: dict[str, str]
) -> None:
    configure(environment)
    with pytest.raises(InvalidAwsConfiguration) as raised:
        await address_of("runs")
    assert all(value in raised.value.happened for value in environment.values())
    assert "AWS_REGION" in raised.value.remedy


async def test_requests_go_below_the_path_of_an_endpoint(
    s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3_stub.create_bucket("s3").put("raw/k", b"1")  # a bucket as the first part of the path
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"{s3_stub.url}/s3")
    request = Request(operation="GetObject", method="GET", uri=S3Uri("raw", "k"))
    response = await S3Transport.from_environment().send(request)
    assert (response.status, response.body) == (200, b"1")
