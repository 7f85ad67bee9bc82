"""No test can do anything to anybody's AWS account."""

import socket

import boto3
import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.objects import S3Uri

from tests.conftest import CREDENTIALS


def test_a_test_cannot_connect_to_another_host() -> None:
    with socket.socket() as connection, pytest.raises(PermissionError, match="192"):
        connection.connect(("192.0.2.1", 443))


async def test_the_runtimes_s3_cannot_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(PermissionError, match="amazonaws"):
        await S3.from_environment().head_object(S3Uri("raw", "k"))


def test_credentials_are_not_the_hosts() -> None:
    found = boto3.Session().get_credentials()
    assert found
    assert found.access_key == CREDENTIALS["AWS_ACCESS_KEY_ID"]
