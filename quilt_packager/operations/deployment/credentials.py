"""The runtime's S3 client, and the environment of a child, as the options of a command say."""

import getpass
import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import boto3
    from quilt_packager_runtime.aws.s3 import S3
    from types_boto3_sts.client import STSClient

CALLER_TIMEOUT_SECONDS = 5


def connect_s3(
    profile: str | None = None, region: str | None = None, *, max_connections: int | None = None
) -> "S3":
    """Connect to S3 as boto3 would, with a profile and a region or those of the environment.

    Raises:
        CredentialsRefused: There are no credentials, or they cannot be used.
    """
    from quilt_packager_runtime.aws.credentials import translating_errors
    from quilt_packager_runtime.aws.s3 import S3
    from quilt_packager_runtime.aws.s3_transport import MAX_CONNECTIONS
    from quilt_packager_runtime.aws.sessions import create_session

    connections = max_connections or MAX_CONNECTIONS
    if profile is None and region is None:
        return S3.from_environment(max_connections=connections)
    with translating_errors():
        session = create_session(profile, region)
    return S3.from_session(session, max_connections=connections)


def caller_of(profile: str | None = None, region: str | None = None) -> str:
    """Return the ARN of these credentials, or the name of the user where AWS does not know them.

    Servers other than AWS have no STS.
    """
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError
    from quilt_packager_runtime.aws.sessions import create_client, create_session

    config = Config(
        connect_timeout=CALLER_TIMEOUT_SECONDS,
        read_timeout=CALLER_TIMEOUT_SECONDS,
        retries={"total_max_attempts": 1},
    )
    try:
        sts: STSClient = create_client(create_session(profile, region), "sts", region, config)
        return sts.get_caller_identity()["Arn"]
    except (BotoCoreError, ClientError, KeyError):
        return getpass.getuser()


def environment_of(session: "boto3.Session", region: str) -> dict[str, str]:
    """Return the environment of a child process with the AWS configuration of a session.

    It is independent of the home directory, which may be another in the child. Credentials are
    copied, so those that expire are not renewed.
    """
    folder = Path.home() / ".aws"
    chosen: dict[str, str | None] = {
        # Without a configuration, there is no default profile to name.
        "AWS_PROFILE": None if session.profile_name == "default" else session.profile_name,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
    }
    if found := session.get_credentials():
        frozen = found.get_frozen_credentials()
        chosen["AWS_ACCESS_KEY_ID"] = frozen.access_key
        chosen["AWS_SECRET_ACCESS_KEY"] = frozen.secret_key
        chosen["AWS_SESSION_TOKEN"] = frozen.token
    inherited = {name: each for name, each in os.environ.items() if name not in chosen}
    return {
        "AWS_CONFIG_FILE": str(folder / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
        **inherited,
        **{name: each for name, each in chosen.items() if each is not None},
    }
