"""Signed requests to S3 over awscrt's C client, for asyncio.

Below the operations of `s3.py`: the region of a bucket, retries (by awscrt), and the conversion of
error responses.
"""

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Self
from xml.etree import ElementTree as ET

import msgspec
from awscrt.auth import AwsCredentialsProvider
from awscrt.exceptions import AwsCrtError
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import (
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    S3RetryConfig,
    create_default_s3_signing_config,
)

from quilt_packager_runtime.aws.boto_errors import CREDENTIAL_CAUSES
from quilt_packager_runtime.aws.credentials import (
    credentials_of,
    static_credentials,
    translating_errors,
)
from quilt_packager_runtime.aws.endpoints import (
    GLOBAL_REGION,
    Endpoint,
    Endpoints,
    endpoints_of,
    plain_endpoints,
)
from quilt_packager_runtime.aws.sessions import create_session
from quilt_packager_runtime.concurrency import ThreadsafeResolver
from quilt_packager_runtime.errors import (
    AccessDenied,
    BadRequest,
    ConditionalRequestConflict,
    CredentialsRefused,
    InvalidObjectState,
    InvalidRange,
    NoSuchBucket,
    NoSuchKey,
    PackagerError,
    PreconditionFailed,
    S3Error,
    ServiceUnavailable,
    UnsupportedEndpoint,
    quote,
)
from quilt_packager_runtime.formats.objects import S3Uri, percent_encode

if TYPE_CHECKING:
    import boto3

MAX_CONNECTIONS = 128
# awscrt opens this number for each Gbit/s of its target. Its override can only lower the number.
CONNECTIONS_PER_GBPS = 2.5
# awscrt holds up to four parts of 8 MiB of a file in memory for each connection.
FILE_CONNECTIONS = 4
RETRY_BASE_MS = 500
REGION_HEADER = "x-amz-bucket-region"
# Statuses of S3 for a request to another region than the bucket's.
WRONG_REGION_STATUSES = frozenset(
    {HTTPStatus.MOVED_PERMANENTLY, HTTPStatus.TEMPORARY_REDIRECT, HTTPStatus.BAD_REQUEST}
)
STATUS_ERRORS: dict[int, type[S3Error]] = {
    HTTPStatus.BAD_REQUEST: BadRequest,
    HTTPStatus.FORBIDDEN: InvalidObjectState,  # other meanings of 403 are handled before
    HTTPStatus.NOT_FOUND: NoSuchKey,
    HTTPStatus.METHOD_NOT_ALLOWED: NoSuchKey,  # the version is a delete marker
    HTTPStatus.CONFLICT: ConditionalRequestConflict,
    HTTPStatus.PRECONDITION_FAILED: PreconditionFailed,
    HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE: InvalidRange,
    HTTPStatus.TOO_MANY_REQUESTS: ServiceUnavailable,
}
CREDENTIAL_CODES = frozenset(
    {
        "ExpiredToken",
        "InvalidAccessKeyId",
        "InvalidToken",
        "RequestTimeTooSkewed",
        "SignatureDoesNotMatch",
        "TokenRefreshRequired",
    }
)
UNANSWERED = {
    "AWS_IO_DNS": "The host of S3 has no address.",
    "AWS_IO_SOCKET_CONNECTION_REFUSED": "The host of S3 takes no connections.",
    "AWS_IO_SOCKET_TIMEOUT": "The host of S3 did not answer in time.",
    "AWS_IO_TLS": "The host of S3 has no TLS, or its certificate is not trusted.",
    "AWS_ERROR_HTTP_RESPONSE_FIRST_BYTE_TIMEOUT": "S3 did not answer in time.",
    "AWS_ERROR_S3_REQUEST_TIMEOUT": "S3 did not answer in time.",
    "AWS_ERROR_HTTP_": "The connection to S3 broke.",
    "AWS_IO_SOCKET": "The connection to S3 broke.",
}
"""Causes of a missing response, by the beginning of awscrt's name; the first that fits is used."""

# Errors of KMS concern the key, except these, which concern KMS itself.
PASSING_KMS_CODE = re.compile("Throttl|LimitExceeded|Internal|Timeout|Unavailable")


class Response(msgspec.Struct, frozen=True, gc=False):
    """A response of S3.

    Attributes:
        status: The HTTP status.
        headers: By lower-case name.
        body: The whole body; empty for HEAD.
        is_error: S3 refused the request or failed, even with a status of 200.
    """

    status: int
    headers: dict[str, str]
    body: bytes
    is_error: bool = False


class Request(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request to S3.

    Attributes:
        operation: Name of the operation, which is often the IAM action.
        method: The HTTP method.
        uri: The bucket with an optional key; its version becomes a query parameter.
        query: Query parameters, unencoded.
        headers: Headers besides those of transport and signature.
        body: The body to send.
        file: A file to send as the body, by parallel multipart upload when it is large.
    """

    operation: str
    method: str
    uri: S3Uri
    query: Mapping[str, str] = {}
    headers: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    file: Path | None = None


class S3Transport:
    """Sends requests to S3, each to the region of its bucket.

    Args:
        endpoints: Addresses of buckets.
        credentials: Credentials for signatures.
        max_connections: Maximum number of open connections, except for files.
        retry_base_ms: The base of the exponential back-off between the client's five retries.

    Attributes:
        last_date: The Date header of the last response that had one.
        last_uri: The object or bucket of the last response.
    """

    last_date = ""
    last_uri: S3Uri | None = None

    def __init__(
        self,
        endpoints: Endpoints,
        *,
        credentials: AwsCredentialsProvider,
        max_connections: int = MAX_CONNECTIONS,
        retry_base_ms: int = RETRY_BASE_MS,
    ) -> None:
        self.is_aws = endpoints.is_aws
        self._find_endpoint = endpoints.find
        self._home_region = endpoints.region or GLOBAL_REGION
        self._credentials = credentials
        self._max_connections = max_connections
        self._retries = S3RetryConfig(backoff_scale_factor_ms=retry_base_ms)
        self._clients: dict[tuple[str, str, int], S3Client] = {}
        self._bucket_regions: dict[str, str] = {}
        self._resolver: ThreadsafeResolver[Response | Exception] | None = None

    @classmethod
    def from_environment(cls, *, max_connections: int = MAX_CONNECTIONS) -> Self:
        """Configure the transport by the process's environment and AWS configuration files.

        Args:
            max_connections: Maximum number of open connections.

        Raises:
            CredentialsRefused: There are no credentials, or they cannot be used.
        """
        endpoints = plain_endpoints(os.environ)
        if endpoints is None:
            with translating_errors():
                session = create_session()
            return cls.from_session(session, max_connections=max_connections)
        return cls(
            endpoints,
            credentials=static_credentials(os.environ),
            max_connections=max_connections,
        )

    @classmethod
    def from_session(
        cls,
        session: "boto3.Session",
        *,
        max_connections: int = MAX_CONNECTIONS,
    ) -> Self:
        """Configure the transport as botocore would configure a client of the session.

        Args:
            session: Session that no other thread uses.
            max_connections: Maximum number of open connections.

        Raises:
            CredentialsRefused: There are no credentials, or they cannot be used.
        """
        credentials = credentials_of(session)  # first: its errors name a missing profile
        return cls(
            endpoints_of(session),
            credentials=credentials,
            max_connections=max_connections,
        )

    def region_of(self, bucket: str) -> str:
        """Return a bucket's region, if a response has named it; otherwise the default."""
        return self._bucket_regions.get(bucket, self._home_region)

    def remember_region(self, bucket: str, region: str) -> None:
        """Set the region of a bucket that another client has found."""
        self._bucket_regions[bucket] = region

    def host_of(self, uri: S3Uri) -> str:
        """Return the host of a bucket's requests."""
        return self._find_endpoint(uri.bucket, self._bucket_regions.get(uri.bucket)).host

    async def send(self, request: Request) -> Response:
        """Send a request, and return its successful response.

        Raises:
            PackagerError: The response was an error, or none came.
        """
        bucket = request.uri.bucket
        endpoint = self._find_endpoint(bucket, self._bucket_regions.get(bucket))
        response = await self._send_to(endpoint, request)
        region = _region_elsewhere(response, endpoint.region)
        if region is not None:
            self.remember_region(bucket, region)
            response = await self._send_to(self._find_endpoint(bucket, region), request)
        if response.is_error:
            raise error_of(request, response)
        return response

    async def _send_to(self, endpoint: Endpoint, request: Request) -> Response:
        resolver = self._resolver_of(asyncio.get_running_loop())
        answered: asyncio.Future[Response | Exception] = resolver.loop.create_future()
        head: dict[str, str] = {}
        chunks: list[bytes] = []

        def on_headers(headers: list[tuple[str, str]], **_: object) -> None:
            head.update({name.lower(): value for name, value in headers})

        def on_done(
            error: Exception | None = None,
            error_headers: list[tuple[str, str]] | None = None,
            error_body: bytes | None = None,
            status_code: int | None = None,
            **_: object,
        ) -> None:
            if error is None:
                result: Response | Exception = Response(status_code or 0, head, b"".join(chunks))
            elif status_code is not None and error_headers is not None:
                names = {name.lower(): value for name, value in error_headers}
                result = Response(status_code, names, error_body or b"", is_error=True)
            else:
                result = error
            resolver.resolve(answered, result)

        connections = self._max_connections
        if request.file is not None:
            connections = min(connections, FILE_CONNECTIONS)
        sent = self._client(endpoint, connections).make_request(
            type=S3RequestType.DEFAULT if request.file is None else S3RequestType.PUT_OBJECT,
            operation_name=request.operation,
            request=_http_request(request, endpoint),
            send_filepath=None if request.file is None else str(request.file),
            on_headers=on_headers,
            on_body=lambda chunk, **_: chunks.append(chunk),
            on_done=on_done,
        )
        try:
            result = await answered
        except asyncio.CancelledError:
            sent.cancel()
            raise
        if isinstance(result, Exception):
            raise _error_without_answer(request, result) from result
        self.last_date = result.headers.get("date", self.last_date)
        self.last_uri = request.uri
        return result

    def _resolver_of(
        self, loop: asyncio.AbstractEventLoop
    ) -> ThreadsafeResolver[Response | Exception]:
        if self._resolver is None or self._resolver.loop is not loop:
            self._resolver = ThreadsafeResolver(loop)
        return self._resolver

    def _client(self, endpoint: Endpoint, connections: int) -> S3Client:
        kind = endpoint.scheme, endpoint.region, connections
        client = self._clients.get(kind)
        if client is None:
            plain_http = endpoint.scheme == "http"
            client = self._clients[kind] = S3Client(
                region=endpoint.region,
                tls_mode=S3RequestTlsMode.DISABLED if plain_http else S3RequestTlsMode.ENABLED,
                signing_config=create_default_s3_signing_config(
                    region=endpoint.region, credential_provider=self._credentials
                ),
                throughput_target_gbps=connections / CONNECTIONS_PER_GBPS,
                max_active_connections_override=connections,
                retry_config=self._retries,
            )
        return client


def _http_request(request: Request, endpoint: Endpoint) -> HttpRequest:
    path = f"{endpoint.path}/{percent_encode(request.uri.key)}"
    query = [f"{name}={_encode_value(value)}" for name, value in request.query.items()]
    if request.uri.version_id is not None:
        query.append(f"versionId={_encode_value(request.uri.version_id)}")
    if query:
        path += "?" + "&".join(query)
    headers = HttpHeaders([("Host", endpoint.host), *request.headers])
    body: BytesIO | None = None
    if request.file is not None:
        headers.add("Content-Length", str(request.file.stat().st_size))
    elif request.method in {"PUT", "POST"}:
        body = BytesIO(request.body or b"")
        headers.add("Content-Length", str(len(request.body or b"")))
    return HttpRequest(request.method, path, headers, body)


def _encode_value(text: str) -> str:
    return percent_encode(text).replace("/", "%2F")


def _region_elsewhere(response: Response, region: str) -> str | None:
    """Return the bucket's region if S3 refused a request because it went to another one."""
    if response.status not in WRONG_REGION_STATUSES:
        return None
    named = response.headers.get(REGION_HEADER) or _error_text(response.body, "Region")
    return named if named and named != region else None


def error_of(request: Request, response: Response) -> PackagerError:
    """Return the error for an error response.

    HEAD responses have no body and no code: there the status decides.
    """
    code = _error_text(response.body, "Code")
    message = _error_text(response.body, "Message")
    said = f" S3 said: {quote(message.rstrip('.'))}." if message else ""
    action = f"{request.operation} on {request.uri}"
    if code in CREDENTIAL_CODES:
        return CredentialsRefused(
            f"{action} was refused: {code}.",
            why=CREDENTIAL_CAUSES.get(code, "The credentials have expired or are not valid."),
            remedy="Sign in again, or correct them.",
        )
    if code == "NoSuchBucket":
        return NoSuchBucket(
            f"The bucket {quote(request.uri.bucket)} does not exist.",
            why="S3 has no bucket of that name.",
            remedy="Correct the name, or create the bucket.",
        )
    if code.startswith("KMS.") and PASSING_KMS_CODE.search(code) is None:
        refusal = AccessDenied(
            f"{action} was refused: {code}.",
            why=f"The KMS key of the object or bucket cannot be used.{said}",
            remedy="Enable the key or restore it, or copy the object with another, and retry.",
        )
        refusal.key_state = message or code
        return refusal
    is_forbidden = response.status == HTTPStatus.FORBIDDEN and code != "InvalidObjectState"
    if is_forbidden or code == "AccessDenied":
        return AccessDenied(
            f"Access denied: {request.operation} on {quote(str(request.uri))}.",
            why="A policy of the role, of the bucket, or of a KMS key does not allow it, "
            "or the requester would have to pay.",
            remedy="Allow it there, deploy, and retry.",
        )
    is_read = bool(request.uri.key) and request.method in {"GET", "HEAD"}
    is_refused = response.status == HTTPStatus.METHOD_NOT_ALLOWED and not is_read
    if is_refused or response.status == HTTPStatus.NOT_IMPLEMENTED:
        return UnsupportedEndpoint(
            f"{action} failed: this endpoint has no {request.operation} ({response.status}).",
            why=f"The S3 server does not implement it.{said}",
            remedy="Use a server that does: see docs/reference/s3-servers.md.",
        )
    is_passing = code.startswith("KMS.") or "Throttl" in code
    is_down = is_passing or response.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    kind = ServiceUnavailable if is_down else STATUS_ERRORS.get(response.status, S3Error)
    return kind(
        f"{action} failed: S3 responded with {response.status} {code}".rstrip() + ".",
        why=f"S3 limits the rate of requests, or has a fault.{said}" if is_down else said.strip(),
        remedy="Retry; investigate if this recurs.",
    )


def _error_without_answer(request: Request, error: Exception) -> PackagerError:
    action = f"{request.operation} on {request.uri}"
    if isinstance(error, AwsCrtError) and error.name.startswith("AWS_AUTH_"):
        return CredentialsRefused(
            f"{action} could not be signed.",
            why="The credentials could not be renewed.",
            remedy="Sign in again, or correct them.",
        )
    unreachable = ServiceUnavailable(
        f"{action} got no valid response.",
        why=f"{_why_unanswered(error)} All attempts ended so.",
        remedy="Check the endpoint and the network, and retry.",
    )
    unreachable.is_unreachable = True
    return unreachable


def _why_unanswered(error: Exception) -> str:
    name = error.name if isinstance(error, AwsCrtError) else type(error).__name__
    found = (why for start, why in UNANSWERED.items() if name.startswith(start))
    return next(found, f"The client reports {name}.")


def _error_text(body: bytes, name: str) -> str:
    try:
        root = ET.fromstring(body)  # noqa: S314 - S3 wrote it, and expat refuses entity bombs
    except ET.ParseError:
        return ""
    return root.findtext(f"{{*}}{name}", "")
