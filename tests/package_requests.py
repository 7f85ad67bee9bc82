"""Requests of messages, and their packages: the path of a job without Lambda around it."""

import json
from collections.abc import Mapping
from typing import Any

from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.packaging import package
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.requests.resolve import read_request, resolve
from quilt_packager_runtime.settings import Settings


def request_of(
    message: str | Mapping[str, Any], settings: Settings | None = None
) -> UnresolvedRequest:
    """The validated request of a message, given as its fields or as a body."""
    body = message if isinstance(message, str) else json.dumps(message)
    request = read_request(body, settings or Settings())
    assert isinstance(request, UnresolvedRequest)
    return request


async def package_request(
    s3: S3, request: UnresolvedRequest, settings: Settings | None = None, **options: Any
) -> Outcome:
    """Resolve a request, and package it."""
    settings = settings or Settings()
    complete = await resolve(request, settings=settings, s3=s3)
    return await package(complete, settings=settings, s3=s3, **options)
