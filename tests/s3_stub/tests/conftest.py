"""boto3 as the judge of the stub: what it understands, S3 might have said."""

from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.config import Config

from tests.s3_stub import Bucket, S3Stub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from types_boto3_s3 import S3Client


@pytest.fixture
def boto_s3(s3_stub: S3Stub) -> "Iterator[S3Client]":
    """boto3's client on the stub, which sends each request once."""
    client = boto3.client(
        "s3",
        endpoint_url=s3_stub.url,
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


@pytest.fixture
def bucket(s3_stub: S3Stub) -> Bucket:
    """A versioned bucket."""
    return s3_stub.create_bucket("bucket")
