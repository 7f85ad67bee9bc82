"""Send a request for each of the stub's generated objects in one of several ways.

Run: `python -m benchmarks.send_requests WAY METHOD BUCKET`. It prints CPU seconds and the number of
requests.
"""

import asyncio
import os
import sys
import time
from collections.abc import Callable, Sequence
from enum import StrEnum
from threading import Semaphore
from urllib.parse import urlsplit

import msgspec
from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.s3 import (
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    create_default_s3_signing_config,
)
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.aws.s3_transport import CONNECTIONS_PER_GBPS, MAX_CONNECTIONS
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.formats.objects import S3Uri, SourceObject

from tests.s3_stub.synthetic import PREFIX


class Way(StrEnum):
    """A way to send requests."""

    AWSCRT = "awscrt alone, with callbacks that do nothing"
    ENGINE = "this engine's S3 client"


class Method(StrEnum):
    """The request for an object; each names its version and ETag, and asks for checksums."""

    HEAD = "HEAD"
    GET = "GET"


class Sent(msgspec.Struct, frozen=True):
    """The cost of requests.

    Attributes:
        cpu_seconds: CPU time of all threads.
        requests: Number of requests.
    """

    cpu_seconds: float
    requests: int


def send_with_awscrt(method: Method, bucket: str, objects: Sequence[SourceObject]) -> None:
    """Send requests without anything around awscrt's client: each response starts the next."""
    host, region = urlsplit(os.environ["AWS_ENDPOINT_URL"]).netloc, os.environ["AWS_DEFAULT_REGION"]
    credentials = AwsCredentialsProvider.new_environment()
    client = S3Client(
        region=region,
        tls_mode=S3RequestTlsMode.DISABLED,
        signing_config=create_default_s3_signing_config(
            region=region, credential_provider=credentials
        ),
        throughput_target_gbps=MAX_CONNECTIONS / CONNECTIONS_PER_GBPS,
        max_active_connections_override=MAX_CONNECTIONS,
    )
    rest = iter(objects)
    finished = Semaphore(0)
    errors: list[Exception] = []

    def send_next() -> None:
        found = next(rest, None)
        if found is None or errors:
            finished.release()
            return
        headers = [("Host", host), ("x-amz-checksum-mode", "ENABLED"), ("If-Match", found.etag)]
        path = f"/{bucket}/{found.key}?versionId={found.version_id}"
        client.make_request(
            type=S3RequestType.DEFAULT,
            operation_name=f"{method.title()}Object",
            request=HttpRequest(method, path, HttpHeaders(headers)),
            on_headers=lambda **_: None,
            on_body=lambda **_: None,
            on_done=on_done,
        )

    def on_done(error: Exception | None, **_: object) -> None:
        if error is not None:
            errors.append(error)
        send_next()

    for _ in range(MAX_CONNECTIONS):
        send_next()
    for _ in range(MAX_CONNECTIONS):
        finished.acquire()
    if errors:
        raise errors[0]


def send_with_engine(method: Method, bucket: str, objects: Sequence[SourceObject]) -> None:
    """Send requests as hashing does."""
    s3 = S3.from_environment()

    async def send(found: SourceObject) -> None:
        uri = S3Uri(bucket, found.key, found.version_id)
        if method is Method.HEAD:
            await s3.head_object(uri, if_match=found.etag)
        else:
            await s3.get_object(uri, if_match=found.etag, with_checksums=True)

    asyncio.run(for_each(objects, send, at_once=MAX_CONNECTIONS))


SEND: dict[Way, Callable[[Method, str, Sequence[SourceObject]], None]] = {
    Way.AWSCRT: send_with_awscrt,
    Way.ENGINE: send_with_engine,
}


async def _list(bucket: str) -> list[SourceObject]:
    pages = S3.from_environment().list_latest_versions(bucket, PREFIX)
    return [found async for page in pages for found in page]


def main() -> None:
    """Send the requests, and print their cost."""
    way, method, bucket = sys.argv[1:]
    objects = asyncio.run(_list(bucket))
    started = time.process_time()
    SEND[Way(way)](Method(method), bucket, objects)
    sent = Sent(time.process_time() - started, len(objects))
    sys.stdout.buffer.write(msgspec.json.encode(sent))


if __name__ == "__main__":
    main()
