"""The S3 of the runtime, by the credentials that a command is called with."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3


def connect_s3(profile: str | None, region: str | None) -> "S3":
    """Connect to S3.

    Args:
        profile: As `ProfileOption`.
        region: As `RegionOption`.

    Raises:
        CredentialsRefused: There are no credentials.
    """
    from quilt_packager_runtime.aws.s3 import S3

    environment = dict(os.environ)
    if profile is not None:
        from quilt_packager.operations.deployment.credentials import environment_of
        from quilt_packager.operations.deployment.deployments import connect

        environment = environment_of(connect(profile, region))
    if region is not None:
        environment["AWS_REGION"] = region
    return S3.from_environment(environment)
