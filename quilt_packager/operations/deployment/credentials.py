"""The runtime's S3 client, with the credentials of a boto3 session or a profile."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import boto3
    from quilt_packager_runtime.aws.s3 import S3


def connect_s3(profile: str | None, region: str | None) -> "S3":
    """Connect to S3 with the credentials of a profile or, by default, of the environment.

    Raises:
        CredentialsRefused: There are no credentials.
    """
    from quilt_packager_runtime.aws.s3 import S3

    environment = dict(os.environ)
    if profile is not None:
        from quilt_packager.operations.deployment.deployments import connect

        environment = environment_of(connect(profile, region))
    if region is not None:
        environment["AWS_REGION"] = region
    return S3.from_environment(environment)


def environment_of(session: "boto3.Session") -> dict[str, str]:
    """Return the environment with the credentials and the region of a session."""
    environment = dict(os.environ)
    found = session.get_credentials()
    if found is not None:
        frozen = found.get_frozen_credentials()
        named = {
            "AWS_ACCESS_KEY_ID": frozen.access_key,
            "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
            "AWS_SESSION_TOKEN": frozen.token,
        }
        # An explicitly chosen profile overrides variables.
        environment = {name: each for name, each in environment.items() if name not in named}
        environment |= {name: each for name, each in named.items() if each is not None}
    if session.region_name is not None:
        environment["AWS_REGION"] = session.region_name
    return environment
