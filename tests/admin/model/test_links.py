"""Links to where else can be seen what the page shows."""

from typing import Any

import pytest

from quilt_packager.admin.model import links
from tests.admin.engine import Engine, make_job


@pytest.fixture
def deployment() -> Any:
    return Engine()


def test_log_is_filtered_by_the_job(deployment: Any) -> None:
    link = links.log(deployment, make_job("3f9a-61c2"))
    assert link is not None
    assert link.startswith(
        "https://us-east-1.console.aws.amazon.com/cloudwatch/home?region=us-east-1#logsV2:"
        "log-groups/log-group/$252Fquilt$252Fprod-packager$252Fpackager/log-events$3FfilterPattern"
    )
    assert "3f9a-61c2" in link


@pytest.mark.parametrize(
    ("partition", "region", "host"),
    [
        ("aws-cn", "cn-north-1", "console.amazonaws.cn"),
        ("aws-us-gov", "us-gov-west-1", "console.amazonaws-us-gov.com"),
    ],
)
def test_other_partitions_have_consoles_of_their_own(
    deployment: Any, partition: str, region: str, host: str
) -> None:
    deployment.partition, deployment.region = partition, region
    for service, link in (
        ("cloudwatch", links.log(deployment, make_job())),
        ("cloudwatch", links.log_group(deployment, "/quilt/lab")),
        ("sqs/v3", links.queue(deployment, "https://sqs.example/1/Queue")),
    ):
        assert link is not None
        assert link.startswith(f"https://{host}/{service}/home?region={region}#")


def test_form_link_contains_the_known_fields() -> None:
    assert links.again(make_job(registry=None, package_name=None)) == (
        "/new?source_prefix=s3%3A%2F%2Fomics-out%2F3395667%2F&job=3f9a61c2-1"
    )
    assert links.again(make_job(source=None)) is None
