"""The S3 of the runtime, by the credentials that a command is called with."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quilt_packager_runtime.s3 import S3


def connect_s3(profile: str | None, region: str | None) -> "S3":
    """Connect to S3.

    Args:
        profile: As `ProfileOption`.
        region: As `RegionOption`.

    Raises:
        CredentialsRefused: There are no credentials.
    """
    from quilt_packager_runtime.s3 import S3

    environment = dict(os.environ)
    if profile is not None:
        from quilt_packager.operations.deployments import connect

        found = connect(profile, region).get_credentials()
        if found is not None:
            frozen = found.get_frozen_credentials()
            named = {
                "AWS_ACCESS_KEY_ID": frozen.access_key,
                "AWS_SECRET_ACCESS_KEY": frozen.secret_key,
                "AWS_SESSION_TOKEN": frozen.token,
            }
            # Variables come before a profile, but not before one that is asked for.
            environment = {name: each for name, each in environment.items() if name not in named}
            environment |= {name: each for name, each in named.items() if each is not None}
    if region is not None:
        environment["AWS_REGION"] = region
    return S3.from_environment(environment)
