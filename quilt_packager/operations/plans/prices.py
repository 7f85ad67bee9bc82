"""Prices of AWS in us-east-1 with S3 Standard, for plans and benchmarks."""

from collections import Counter
from collections.abc import Mapping

# https://aws.amazon.com/s3/pricing/: requests, S3 Standard. DELETE and CANCEL are free.
USD_OF_A_WRITE = 0.005 / 1000
"""PUT, COPY, POST, LIST."""

USD_OF_A_READ = 0.0004 / 1000
"""GET, HEAD, and all others."""

# https://aws.amazon.com/lambda/pricing/: Arm, the first tier.
USD_OF_A_GB_SECOND = 0.0000133334
LAMBDA_MEMORY_GB = 2
# https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
MIB_OF_ONE_CPU = 1769
LAMBDA_CPUS = LAMBDA_MEMORY_GB * 1024 / MIB_OF_ONE_CPU

# https://aws.amazon.com/step-functions/pricing/: standard workflows.
USD_OF_A_TRANSITION = 0.025 / 1000

# https://aws.amazon.com/s3/pricing/: S3 Batch Operations.
USD_OF_A_BATCH_JOB = 0.25
USD_OF_A_BATCH_OBJECT = 1 / 1_000_000

KINDS = {
    "ListObjectVersions": "LIST",
    "ListObjectsV2": "LIST",
    "HeadObject": "HEAD",
    "HeadBucket": "HEAD",
    "GetObject": "GET",
    "GetObjectAttributes": "GET",
    "GetObjectTagging": "GET",
    "PutObject": "PUT",
    "CreateMultipartUpload": "PUT",
    "UploadPart": "PUT",
    "CompleteMultipartUpload": "PUT",
    "CopyObject": "COPY",
    "UploadPartCopy": "COPY",
    "AbortMultipartUpload": "DELETE",
    "DeleteObject": "DELETE",
}
USD_OF_A_REQUEST = {
    "LIST": USD_OF_A_WRITE,
    "HEAD": USD_OF_A_READ,
    "GET": USD_OF_A_READ,
    "PUT": USD_OF_A_WRITE,
    "COPY": USD_OF_A_WRITE,
    "DELETE": 0.0,
}


def count_kinds(requests: Mapping[str, int]) -> Counter[str]:
    """Count requests by billed kind.

    Args:
        requests: Number of requests by name of the S3 operation.

    Example:
        >>> count_kinds({"ListObjectVersions": 2, "ListObjectsV2": 1})
        Counter({'LIST': 3})
    """
    kinds: Counter[str] = Counter()
    for operation, count in requests.items():
        kinds[KINDS[operation]] += count
    return kinds


def price_requests_usd(requests: Mapping[str, int]) -> float:
    """Compute the price of requests, which are counted by S3 operation, in US dollars.

    Example:
        >>> round(price_requests_usd({"HeadObject": 100_000, "ListObjectVersions": 100}), 4)
        0.0405
    """
    return sum(USD_OF_A_REQUEST[kind] * count for kind, count in count_kinds(requests).items())


def price_batch_usd(*, jobs: int, objects: int) -> float:
    """Compute the price of jobs of S3 Batch Operations in US dollars, without that of bytes.

    Example:
        >>> price_batch_usd(jobs=2, objects=500_000)
        1.0
    """
    return jobs * USD_OF_A_BATCH_JOB + objects * USD_OF_A_BATCH_OBJECT


def price_lambda_usd(*, cpu_seconds: float, wall_seconds: float) -> float:
    """Compute the price of a function's time in US dollars.

    A function of 2 GiB has 1.16 CPUs, which bound its duration from below.

    Args:
        cpu_seconds: CPU time of the job.
        wall_seconds: Duration of the job on a machine with more CPUs.

    Example:
        >>> round(price_lambda_usd(cpu_seconds=10, wall_seconds=20), 6)
        0.000533
    """
    seconds = max(wall_seconds, cpu_seconds / LAMBDA_CPUS)
    return seconds * LAMBDA_MEMORY_GB * USD_OF_A_GB_SECOND
