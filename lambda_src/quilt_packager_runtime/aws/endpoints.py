"""The URL and the signing region of a bucket: botocore's answer.

botocore's rules know the partitions, profiles, `services` sections, FIPS and dual-stack endpoints,
and addressing styles; docs/reference/aws-configuration.md has examples.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import msgspec

from quilt_packager_runtime.aws.boto_errors import describe_boto_error
from quilt_packager_runtime.aws.sessions import create_client, create_session, has_own_endpoint
from quilt_packager_runtime.errors import InvalidAwsConfiguration

if TYPE_CHECKING:
    import boto3

GLOBAL_REGION = "us-east-1"
"""Region of the global endpoint, which botocore uses unless the configuration names a region."""

# Variables that Lambda sets. Any other variable of AWS may concern the endpoint or credentials.
PLAIN_VARIABLE = re.compile(
    r"AWS_(REGION|DEFAULT_REGION|ACCESS_KEY_ID|SECRET_ACCESS_KEY|SESSION_TOKEN|EXECUTION_ENV"
    r"|LAMBDA_\w+|XRAY_\w+)"
)
COMPLETE_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
COMMERCIAL_REGION = re.compile(r"(us|eu|ap|sa|ca|me|af|il|mx)-[a-z]+-\d+")
# Names with two hyphens may be of another kind of bucket, with endpoints of its own.
PLAIN_BUCKET = re.compile(r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")

KEY = "k"


class Endpoint(msgspec.Struct, frozen=True, gc=False):
    """The address of a bucket.

    Attributes:
        scheme: `https` or `http`.
        host: Host with an optional port.
        path: Path of the bucket, without a slash at its end; empty if the host names the bucket.
        region: Region of signatures.
    """

    scheme: str
    host: str
    path: str
    region: str


class Endpoints(NamedTuple):
    """The addresses of all buckets.

    Attributes:
        find: Returns the address of a bucket in a region; None: the region of the configuration.
        region: Region of the configuration; None if there is none.
        is_aws: They are AWS's, not those of another S3 server.
    """

    find: Callable[[str, str | None], Endpoint]
    region: str | None
    is_aws: bool


def endpoints_of(session: "boto3.Session") -> Endpoints:
    """Return the endpoints of a session, which botocore determines.

    Raises:
        InvalidAwsConfiguration: The endpoint or the region is not valid.
    """

    @cache
    def connect(region: str | None) -> Any:  # noqa: ANN401 - made at run time
        client = create_client(session, "s3", region)
        client.meta.events.register_first("before-sign.s3", _stop)
        return client

    @cache
    def find(bucket: str, region: str | None) -> Endpoint:
        with _translating_errors():
            try:
                connect(region).head_object(Bucket=bucket, Key=KEY)
            except _Addressed as addressed:
                return addressed.endpoint
        raise AssertionError  # the handler always raises

    if session.region_name == "":
        raise InvalidAwsConfiguration(
            "The AWS region is empty.",
            why="AWS_DEFAULT_REGION is set, but has no value.",
            remedy="Set AWS_REGION, or unset AWS_DEFAULT_REGION.",
        )
    with _translating_errors():
        is_aws = not has_own_endpoint(session, connect(None))
    return Endpoints(find, session.region_name, is_aws)


def plain_endpoints(environment: Mapping[str, str]) -> Endpoints | None:
    """Return the endpoints of an environment as in Lambda, without botocore.

    Importing botocore takes 0.2 s of each cold start. The endpoints are the same, and botocore is
    asked for buckets and regions that are not plain.

    Returns:
        None unless the environment is complete, and nothing but it configures AWS.
    """
    region = environment.get("AWS_REGION") or environment.get("AWS_DEFAULT_REGION")
    if (
        not region
        or COMMERCIAL_REGION.fullmatch(region) is None
        or not all(environment.get(name) for name in COMPLETE_CREDENTIALS)
        or any(
            name.startswith("AWS_") and PLAIN_VARIABLE.fullmatch(name) is None
            for name in environment
        )
        or Path("~/.aws").expanduser().exists()
    ):
        return None
    home_region = region

    @cache
    def by_botocore() -> Endpoints:
        return endpoints_of(create_session())

    @cache
    def find(bucket: str, region: str | None) -> Endpoint:
        region = region or home_region
        if COMMERCIAL_REGION.fullmatch(region) is None or PLAIN_BUCKET.fullmatch(bucket) is None:
            return by_botocore().find(bucket, region)
        domain = "s3" if region == GLOBAL_REGION else f"s3.{region}"
        return Endpoint("https", f"{bucket}.{domain}.amazonaws.com", "", region)

    return Endpoints(find, home_region, is_aws=True)


@contextmanager
def _translating_errors() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as in sessions

    try:
        yield
    except BotoCoreError as error:
        raise InvalidAwsConfiguration(
            f"The endpoint of S3 could not be determined: {describe_boto_error(error) or error}.",
            why="The region, the endpoint or another setting of the environment or the profile "
            "is not valid.",
            remedy="Correct AWS_REGION, AWS_ENDPOINT_URL, or the profile.",
        ) from error


class _Addressed(Exception):
    """Instead of a signature: botocore has addressed the request."""

    def __init__(self, endpoint: Endpoint) -> None:
        super().__init__()
        self.endpoint = endpoint


def _stop(request: Any, region_name: str, **_: object) -> None:  # noqa: ANN401 - botocore's
    url = urlsplit(request.url)
    _, _, host = url.netloc.rpartition("@")
    region = request.context.get("signing", {}).get("region", region_name)
    raise _Addressed(Endpoint(url.scheme, host, url.path.removesuffix(f"/{KEY}"), region))
