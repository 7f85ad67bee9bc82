"""Requests to S3, signed with the credentials that the user chose."""

from pathlib import Path

import pytest
from quilt_packager_runtime.formats.objects import S3Uri

from quilt_packager.operations.deployment.credentials import connect_s3
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
