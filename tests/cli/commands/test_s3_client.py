from pathlib import Path

import pytest
from quilt_packager_runtime.formats.objects import S3Uri

from quilt_packager.cli.commands.s3_client import connect_s3
from tests.s3_stub import S3Stub


@pytest.fixture
def profiles(stub: S3Stub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stub.create_bucket("raw").put("k", b"x")
    path = tmp_path / "credentials"
    path.write_text("[lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = secret\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))


@pytest.mark.usefixtures("profiles")
@pytest.mark.parametrize(
    ("profile", "access_key"), [(None, "AKIATESTTESTTESTTEST"), ("lab", "AKIALAB")]
)
async def test_requests_are_signed_by_the_profile(
    stub: S3Stub, profile: str | None, access_key: str
) -> None:
    await connect_s3(profile, None).head_object(S3Uri("raw", "k"))
    (request,) = stub.requests
    assert request.access_key == access_key


@pytest.mark.usefixtures("profiles")
def test_region_that_is_given_holds() -> None:
    assert connect_s3(None, "eu-west-1").region_of("raw") == "eu-west-1"
