"""Requests to S3, signed with the credentials that the user chose."""

from pathlib import Path

import pytest
from quilt_packager_runtime.formats.objects import S3Uri

from quilt_packager.operations.deployment.credentials import connect_s3, environment_of
from quilt_packager.operations.deployment.deployments import connect
from tests.s3_stub import S3Stub


@pytest.fixture
def profiles(s3_stub: S3Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)
    s3_stub.create_bucket("raw").put("k", b"x")
    path = tmp_path / "credentials"
    path.write_text("[lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("profile", "access_key"), [(None, "AKIATESTTESTTESTTEST"), ("lab", "AKIALAB")]
)
async def test_requests_are_signed_by_the_profile(
    s3_stub: S3Stub, profile: str | None, access_key: str
) -> None:
    await connect_s3(profile, None).head_object(S3Uri("raw", "k"))
    (request,) = s3_stub.requests
    assert request.access_key == access_key


@pytest.mark.usefixtures("profiles")
def test_explicit_region_applies() -> None:
    assert connect_s3(None, "eu-west-1").region_of("raw") == "eu-west-1"


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("profile", "access_key"), [(None, "AKIATESTTESTTESTTEST"), ("lab", "AKIALAB")]
)
def test_a_child_gets_the_credentials_of_the_profile(
    profile: str | None, access_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if profile is not None:
        monkeypatch.setenv("AWS_SESSION_TOKEN", "of another session")
    environment = environment_of(connect(profile), "eu-west-1")
    assert environment["AWS_ACCESS_KEY_ID"] == access_key
    assert "AWS_SESSION_TOKEN" not in environment
    assert environment.get("AWS_PROFILE") == profile
    assert environment["AWS_REGION"] == "eu-west-1"


def test_a_child_finds_the_configuration_below_another_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("AWS_CONFIG_FILE")
    environment = environment_of(connect(), "us-east-1")
    assert environment["AWS_CONFIG_FILE"] == str(tmp_path / ".aws" / "config")
