"""Prints the endpoints of the runtime's clients, with whatever botocore is on the path."""

import json
import sys

import boto3
from botocore.config import Config
from quilt_packager_runtime.aws.endpoints import endpoints_of

REGIONS = {
    "us-east-1": False,
    "eu-central-1": False,
    "cn-north-1": False,
    "us-gov-west-1": True,
    "us-iso-east-1": False,
    "eusc-de-east-1": False,
}
"""Regions of all kinds of partitions, and whether to use their FIPS endpoints."""

BUCKETS = ("plain-bucket", "with.dots", "With_underscore")


def endpoints(services: list[str]) -> dict[str, str]:
    """Return the endpoints of clients and of buckets, by region."""
    session = boto3.Session(
        aws_access_key_id="AKIATEST", aws_secret_access_key="secret", region_name="us-east-1"
    )
    found = {}
    for region, fips in REGIONS.items():
        for service in services:
            client = session.client(
                service, region_name=region, config=Config(use_fips_endpoint=fips)
            )
            found[f"{service} in {region}"] = client.meta.endpoint_url
        for bucket in BUCKETS:
            found[f"{bucket} in {region}"] = str(endpoints_of(session).find(bucket, region))
    return found


if __name__ == "__main__":
    json.dump(endpoints(sys.argv[1:]), sys.stdout)
