"""Package a folder with this engine, as Lambda does.

Run as a process: `python -m benchmarks.package_with_engine BUCKET PREFIX REGISTRY PACKAGE`.
"""

import asyncio
import os
import sys

import msgspec
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.requests.resolve import resolve
from quilt_packager_runtime.settings import Settings


def main() -> None:
    """Package a folder, and print the top hash."""
    bucket, prefix, registry, name = sys.argv[1:]
    message = {
        "source_prefix": f"s3://{bucket}/{prefix}",
        "registry": registry,
        "package_name": name,
    }
    request = parse_message(msgspec.json.encode(message).decode())
    if not isinstance(request, UnresolvedRequest):
        raise TypeError(f"The message requests no package: {message}")
    settings = Settings.from_environment(os.environ)
    s3 = S3.from_environment(max_connections=settings.max_requests_in_flight)
    sys.stdout.write(asyncio.run(_package(request, settings, s3)).top_hash or "")


async def _package(request: UnresolvedRequest, settings: Settings, s3: S3) -> Outcome:
    complete = await resolve(request, settings=settings, s3=s3)
    return await package(complete, settings=settings, s3=s3)


if __name__ == "__main__":
    main()
