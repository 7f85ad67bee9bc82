"""The runtime's S3 client, configured by the options of a command."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quilt_packager_runtime.aws.s3 import S3


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
