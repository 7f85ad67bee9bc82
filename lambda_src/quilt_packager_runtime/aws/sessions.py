"""Sessions and clients of boto3: region, endpoint and credentials are botocore's answer.

boto3 is imported with the first call: that takes a tenth of a second of CPU, and is not always
needed.
"""

import os
from typing import TYPE_CHECKING, Any

from quilt_packager_runtime.aws.boto_errors import describe_boto_error
from quilt_packager_runtime.errors import InvalidAwsConfiguration, quote

if TYPE_CHECKING:
    import boto3
    from botocore.config import Config

OF_BOTOCORE = "Invalid endpoint: "
"""Text before the endpoint in botocore's error."""

# HealthOmics has a host for each group of operations, such as workflows-omics.<region>.
SERVICES_WITH_HOST_PREFIXES = frozenset({"omics"})


def create_session(profile: str | None = None, region: str | None = None) -> "boto3.Session":
    """Create a session of boto3, which also reads `AWS_REGION`, as the other SDKs do.

    Args:
        profile: Profile of the AWS configuration. Default: that of the environment.
        region: Region. Default: `AWS_REGION`, then botocore's `AWS_DEFAULT_REGION` and profile.
    """
    import boto3  # noqa: PLC0415 - see above

    return boto3.Session(
        profile_name=profile, region_name=region or os.environ.get("AWS_REGION") or None
    )


def create_client(
    session: "boto3.Session",
    service: str,
    region: str | None = None,
    config: "Config | None" = None,
) -> Any:  # noqa: ANN401 - made at run time
    """Create a client, in the region of the session by default.

    Raises:
        InvalidAwsConfiguration: The endpoint is no URL.
    """
    from botocore.config import Config  # noqa: PLC0415 - see above

    config = config or Config()
    try:
        client = session.client(service, region_name=region, config=config)
        if service in SERVICES_WITH_HOST_PREFIXES and has_own_endpoint(session, client):
            # Only the hosts of AWS have names that begin with a prefix.
            config = config.merge(Config(inject_host_prefix=False))
            client = session.client(service, region_name=region, config=config)
    except ValueError as error:
        if found := describe_boto_error(error):  # an invalid region
            raise InvalidAwsConfiguration(
                found.happened, why=found.why, remedy=found.remedy
            ) from error
        raise InvalidAwsConfiguration(
            f"The AWS endpoint cannot be used: {quote(str(error).removeprefix(OF_BOTOCORE))}.",
            why="An endpoint is a URL, such as https://s3.example.org:9000/path, and the region is "
            "a part of the endpoints of AWS.",
            remedy="Correct AWS_ENDPOINT_URL, AWS_REGION, or the profile.",
        ) from error
    return client


def has_own_endpoint(session: "boto3.Session", client: Any) -> bool:  # noqa: ANN401 - as above
    """Return True if the configuration names the endpoint of a client, which is AWS's otherwise."""
    from botocore.config import Config  # noqa: PLC0415 - see above

    of_aws = session.client(
        client.meta.service_model.service_name,
        region_name=client.meta.region_name,
        config=Config(ignore_configured_endpoint_urls=True),  # type: ignore[call-arg]
    )
    return bool(of_aws.meta.endpoint_url != client.meta.endpoint_url)
