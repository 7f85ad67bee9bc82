"""Credentials of requests to S3: botocore's chain, renewed before they expire."""

import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import boto3
import pytest
from botocore.credentials import Credentials
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import CredentialsRefused
from quilt_packager_runtime.formats.objects import S3Uri

from tests.runtime_s3 import connect_to
from tests.s3_stub import S3Stub

URI = S3Uri("raw", "k")
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}
COUNTING_PROCESS = """
import json, pathlib
calls = pathlib.Path(__file__).with_name("calls")
with calls.open("a") as file:
    file.write("x")
answer = json.loads(pathlib.Path(__file__).with_name("answer.json").read_text())
print(json.dumps(answer | {"AccessKeyId": f"AKIA{len(calls.read_text())}"}))
"""


@pytest.fixture(autouse=True)
def bucket(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_stub.create_bucket("raw").put("k")
    for name in CREDENTIALS:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)


def write_config(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "config"
    path.write_text(text)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(path))


@pytest.mark.parametrize(("token", "sent"), [("token/+=", "token/+="), ("", None), (None, None)])
async def test_a_session_token_comes_along(
    s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch, token: str | None, sent: str | None
) -> None:
    variables = CREDENTIALS if token is None else {**CREDENTIALS, "AWS_SESSION_TOKEN": token}
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    await S3.from_environment().head_object(URI)
    await connect_to(s3_stub.url, variables).head_object(URI)
    for request in s3_stub.requests:
        assert (request.access_key, request.session_token) == ("AKIATEST", sent)


async def test_they_come_from_a_profile_where_the_environment_has_none(
    s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "credentials"
    path.write_text(
        "[default]\naws_access_key_id = AKIAPROFILE\naws_secret_access_key = secret\n"
        "aws_session_token = token\n"
    )
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(path))
    await S3.from_environment().head_object(URI)
    [request] = s3_stub.requests
    assert (request.access_key, request.session_token) == ("AKIAPROFILE", "token")


async def test_they_are_read_once_if_they_do_not_expire(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    s3 = S3.from_environment()
    monkeypatch.delattr(Credentials, "get_frozen_credentials")
    await s3.head_object(URI)


@pytest.mark.parametrize(("minutes", "runs"), [(5, 3), (60, 1)])
async def test_they_are_renewed_before_they_expire(
    s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, minutes: int, runs: int
) -> None:
    program = tmp_path / "process.py"
    program.write_text(COUNTING_PROCESS)
    expiration = datetime.now(UTC) + timedelta(minutes=minutes)
    answer = {
        "Version": 1,
        "SecretAccessKey": "secret",
        "SessionToken": "token",
        "Expiration": expiration.isoformat(),
    }
    (tmp_path / "answer.json").write_text(json.dumps(answer))
    process = f"[default]\ncredential_process = {sys.executable} {program}\n"
    write_config(process, tmp_path, monkeypatch)
    s3 = S3.from_environment()
    for _ in range(2):
        await s3.head_object(URI)
    first, second = (request.access_key for request in s3_stub.requests)
    assert (first == second) is (runs == 1)
    assert len((tmp_path / "calls").read_text()) >= runs


@pytest.mark.parametrize("missing", CREDENTIALS)
def test_a_key_without_the_other_is_named(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    for name, value in CREDENTIALS.items():
        if name != missing:
            monkeypatch.setenv(name, value)
    with pytest.raises(CredentialsRefused, match=r"AWS_SECRET_ACCESS_KEY|No AWS credentials"):
        S3.from_environment()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ("[default]\nregion = eu-west-1\n", "aws configure"),
        ("[default]\ncredential_process = false\n", "custom-process"),
        (("[default]\nsso_start_url = https://s\nsso_region = eu-west-1\nsso_account_id = 1\n"
         "sso_role_name = r\n"), "sign-in"),
        ("[default]\nrole_arn = arn:aws:iam::123456789012:role/r\nsource_profile = gone\n", "gone"),
        ("[default\n", "cannot be read"),
    ],
)  # fmt: skip
def test_credentials_that_cannot_be_used_say_why(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, config: str, reason: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write_config(config, tmp_path, monkeypatch)
    with pytest.raises(CredentialsRefused, match=reason):
        S3.from_environment()


def test_a_profile_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "gone")
    with pytest.raises(CredentialsRefused, match="gone"):
        S3.from_environment()


async def test_a_session_has_its_own(s3_stub: S3Stub) -> None:
    session = boto3.Session(aws_access_key_id="AKIAOWN", aws_secret_access_key="secret")
    await S3.from_session(session).head_object(URI)
    assert s3_stub.requests[0].access_key == "AKIAOWN"
