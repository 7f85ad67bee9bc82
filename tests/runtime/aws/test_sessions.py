"""Sessions and clients of boto3."""

from typing import Any

import pytest
from quilt_packager_runtime.aws.sessions import create_client, create_session
from quilt_packager_runtime.errors import InvalidAwsConfiguration


class Sent(Exception):
    """Instead of being sent."""


def url_of_run(client: Any) -> str:
    """Where the request for a run goes."""

    def capture(request: Any, **_: object) -> None:
        raise Sent(request.url)

    client.meta.events.register("before-send.omics.GetRun", capture)
    with pytest.raises(Sent) as sent:
        client.get_run(id="42")
    return str(sent.value)


@pytest.mark.parametrize("variable", ["AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_OMICS"])
def test_an_endpoint_of_ones_own_has_no_host_prefix(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9/aws")
    assert url_of_run(create_client(create_session(), "omics")) == "http://127.0.0.1:9/aws/run/42"


def test_the_endpoint_of_aws_has_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    url = url_of_run(create_client(create_session(), "omics", "eu-west-1"))
    assert url == "https://workflows-omics.eu-west-1.amazonaws.com/run/42"


def test_an_invalid_region_is_named() -> None:
    with pytest.raises(InvalidAwsConfiguration, match="Invalid AWS region: us east"):
        create_client(create_session(), "sqs", "us east")


def test_a_region_goes_before_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    assert create_session().region_name == "eu-west-1"
    assert create_session(region="eu-north-1").region_name == "eu-north-1"


@pytest.mark.parametrize("service", ["sqs", "omics", "s3"])
def test_an_endpoint_that_is_no_url_is_named(monkeypatch: pytest.MonkeyPatch, service: str) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "banana")
    with pytest.raises(InvalidAwsConfiguration, match="banana"):
        create_client(create_session(), service)
