"""Addresses of the AWS console in each partition."""

CONSOLES = {"aws": "aws.amazon.com", "aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}
"""The domains of the partitions."""


def console(partition: str, region: str, service: str) -> str:
    """Return the address of a service in the console, up to the fragment.

    Args:
        partition: Partition, such as `aws`.
        region: Region, such as `us-east-1`.
        service: Path of the service, such as `sqs/v3`.

    Example:
        >>> console("aws", "eu-west-1", "states")
        'https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1'
        >>> console("aws-cn", "cn-north-1", "states")
        'https://console.amazonaws.cn/states/home?region=cn-north-1'
    """
    domain = CONSOLES.get(partition, CONSOLES["aws"])
    # Only the partition aws has a console in each region.
    host = f"{region}.console.{domain}" if partition == "aws" else f"console.{domain}"
    return f"https://{host}/{service}/home?region={region}"
