"""The credentials of a session, as the runtime takes them: it has a client of S3 of its own."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import boto3


def environment_of(session: "boto3.Session") -> dict[str, str]:
    """The variables by which the runtime's S3 acts as a session does.

    Args:
        session: The credentials, which may be a profile's.
    """
    environment = dict(os.environ)
    found = session.get_credentials()
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
    if session.region_name is not None:
        environment["AWS_REGION"] = session.region_name
    return environment
