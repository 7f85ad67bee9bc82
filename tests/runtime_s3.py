"""The runtime's S3 at a URL, without the search for endpoint and credentials."""

from collections.abc import Mapping
from urllib.parse import urlsplit

from quilt_packager_runtime.aws.credentials import static_credentials
from quilt_packager_runtime.aws.endpoints import Endpoint, Endpoints
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import MAX_CONNECTIONS, RETRY_BASE_MS, S3Transport

REGION = "us-east-1"


def connect_to(
    url: str,
    credentials: Mapping[str, str],
    *,
    max_connections: int = MAX_CONNECTIONS,
    retry_base_ms: int = RETRY_BASE_MS,
) -> S3:
    """Connect to a server.

    Args:
        url: Its endpoint.
        credentials: The variables with the credentials.
        max_connections: Maximum number of open connections.
        retry_base_ms: The base of the back-off between retries.
    """
    return S3(
        S3Transport(
            endpoints_at(url),
            credentials=static_credentials(credentials),
            max_connections=max_connections,
            retry_base_ms=retry_base_ms,
        )
    )


def endpoints_at(url: str) -> Endpoints:
    """Address every bucket by path below a URL, as botocore does with a configured endpoint."""
    parts = urlsplit(url)

    def find(bucket: str, region: str | None) -> Endpoint:
        return Endpoint(parts.scheme, parts.netloc, f"{parts.path}/{bucket}", region or REGION)

    return Endpoints(find, REGION, is_aws=False)
