"""Credentials of awscrt: those of the environment, or botocore's, which are renewed in time."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from awscrt.auth import AwsCredentials, AwsCredentialsProvider

from quilt_packager_runtime.aws.boto_errors import NO_CREDENTIALS, describe_boto_error
from quilt_packager_runtime.errors import CredentialsRefused

if TYPE_CHECKING:
    import boto3


def static_credentials(environment: Mapping[str, str]) -> AwsCredentialsProvider:
    """Return the credentials of an environment that has them."""
    return AwsCredentialsProvider.new_static(
        environment["AWS_ACCESS_KEY_ID"],
        environment["AWS_SECRET_ACCESS_KEY"],
        environment.get("AWS_SESSION_TOKEN"),
    )


def credentials_of(session: "boto3.Session") -> AwsCredentialsProvider:
    """Return the credentials of a session by botocore's chain, which renews them.

    The chain reads the environment, profiles, SSO, processes, containers and instances.

    Raises:
        CredentialsRefused: There are no credentials, or they are incomplete or cannot be renewed.
    """
    from botocore.credentials import Credentials  # noqa: PLC0415 - as in sessions

    with translating_errors():
        found = session.get_credentials()
        if found is not None:
            # Now, not with the first request: awscrt hides exceptions of the callback.
            frozen = found.get_frozen_credentials()
    if found is None:
        missing = NO_CREDENTIALS
        raise CredentialsRefused(missing.happened, why=missing.why, remedy=missing.remedy)

    if type(found) is Credentials:  # its subclasses are renewed, and asked for each request
        return AwsCredentialsProvider.new_static(frozen.access_key, frozen.secret_key, frozen.token)

    def current() -> AwsCredentials:
        frozen = found.get_frozen_credentials()
        return AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token)

    return AwsCredentialsProvider.new_delegate(current)


@contextmanager
def translating_errors() -> Iterator[None]:
    """Convert the errors of botocore's search for a profile and its credentials.

    Raises:
        CredentialsRefused: The credentials or the profile cannot be used.
    """
    from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - as in sessions

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        found = describe_boto_error(error)
        if found is None:
            raise
        raise CredentialsRefused(found.happened, why=found.why, remedy=found.remedy) from error
