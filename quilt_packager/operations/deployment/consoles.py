"""Where AWS's consoles are: each partition has its own."""

CONSOLES = {"aws": "aws.amazon.com", "aws-cn": "amazonaws.cn", "aws-us-gov": "amazonaws-us-gov.com"}
"""The domains of the partitions."""


def console(partition: str, region: str, service: str) -> str:
    """The page of a service in the console, for what stands behind its `#`.

    Args:
        partition: As `aws`.
        region: As `us-east-1`.
        service: The service's path, as `sqs/v3`.

    Example:
        >>> console("aws", "eu-west-1", "states")
        'https://eu-west-1.console.aws.amazon.com/states/home?region=eu-west-1'
        >>> console("aws-cn", "cn-north-1", "states")
        'https://console.amazonaws.cn/states/home?region=cn-north-1'
    """
    domain = CONSOLES.get(partition, CONSOLES["aws"])
    # AWS's own partition has a console in each region; the others have one for all.
    host = f"{region}.console.{domain}" if partition == "aws" else f"console.{domain}"
    return f"https://{host}/{service}/home?region={region}"
