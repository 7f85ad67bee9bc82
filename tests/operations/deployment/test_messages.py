"""Messages for a deployed engine: checked with its parser, then sent unchanged."""

import json
from pathlib import Path
from typing import Any

import pytest
from quilt_packager_runtime.aws.clients import CallFailed
from quilt_packager_runtime.errors import (
    AccessDenied,
    AwsError,
    InvalidMessage,
    NoRunOutput,
    PackagerError,
)
from quilt_packager_runtime.requests import omics_runs
from quilt_packager_runtime.requests.events import OmicsRun
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.operations.deployment.deployments import Deployment
from quilt_packager.operations.deployment.messages import check, resolve, send
from quilt_packager.operations.errors import NoPackageRequested
from tests.omics_stub import OmicsStub

RUN: dict[str, Any] = {
    "id": "e1",
    "source": "aws.omics",
    "detail-type": "Run Status Change",
    "detail": {"arn": "arn:aws:omics:us-east-1:123456789012:run/123", "status": "COMPLETED"},
}


def test_a_message_is_read_with_its_defaults() -> None:
    request = check('{"source_prefix": "s3://raw/runs/42/"}')
    assert isinstance(request, UnresolvedRequest)
    assert (request.package_name, request.registry) == ("runs/42", "raw")


def test_the_defaults_are_those_of_the_engine() -> None:
    settings = Settings(default_registry="packages")
    request = check('{"source_prefix": "s3://raw/runs/42/"}', settings)
    assert isinstance(request, UnresolvedRequest)
    assert request.registry == "packages"


def test_a_run_without_an_output_location_is_accepted() -> None:
    assert isinstance(check(json.dumps(RUN)), OmicsRun)


def test_all_errors_are_reported_at_once() -> None:
    with pytest.raises(InvalidMessage, match=r"(?s)source_prefix.*registry"):
        check('{"source_prefix": "raw", "registry": "No!"}')


def test_a_message_that_requests_nothing_is_refused() -> None:
    with pytest.raises(NoPackageRequested, match="no package"):
        check('{"Event": "s3:TestEvent"}')


@pytest.fixture
def run_output(monkeypatch: pytest.MonkeyPatch) -> None:
    """HealthOmics returns the output location of each run."""
    monkeypatch.setattr(omics_runs, "get_run", lambda *_, **__: {"outputUri": "s3://raw/out"})


def test_the_output_location_of_a_run_is_looked_up(run_output: None) -> None:
    request = resolve(json.dumps(RUN), Settings(default_registry="packages"))
    assert str(request.source) == "s3://raw/out/123/"
    assert request.registry == "packages"


@pytest.mark.parametrize("error", [AccessDenied, NoRunOutput, AwsError])
def test_a_run_that_cannot_be_looked_up_is_described_by_its_event_at_once(
    monkeypatch: pytest.MonkeyPatch, error: type[PackagerError]
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error("It failed.", why="", remedy="") from CallFailed()

    monkeypatch.setattr(omics_runs, "get_run", fail)
    detail = {**RUN["detail"], "runOutputUri": "s3://raw/out/123"}
    request = resolve(json.dumps({**RUN, "detail": detail}))
    assert request.metadata == {
        "run_id": "123",
        "run_status": "COMPLETED",
        "output_uri": "s3://raw/out/123/",
    }
    (warning,) = request.warnings
    assert warning.endswith("tags of the run. It failed.")


def test_a_run_that_is_ignored_after_the_lookup_is_refused(run_output: None) -> None:
    source = SourceOptions(kind="health_omics", ignore_prefixes=("out/**",))
    with pytest.raises(NoPackageRequested, match="no package"):
        resolve(json.dumps(RUN), Settings(sources=(source,)))


def test_a_message_is_sent_unchanged(deployment: Deployment) -> None:
    body = '{"source_prefix":  "s3://raw/runs/42/"}'
    message_id = send(deployment, body)
    (message,) = deployment.sqs.receive_message(QueueUrl=deployment.queue_url)["Messages"]
    assert (message["MessageId"], message["Body"]) == (message_id, body)


def test_a_run_is_looked_up_with_the_profile(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with OmicsStub() as omics:
        omics.add_run("123")
        (url,) = omics.environment.values()
        path = tmp_path / "config"
        path.write_text(
            "[profile lab]\naws_access_key_id = AKIALAB\naws_secret_access_key = secret\n"
            f"services = lab\n[services lab]\nomics =\n  endpoint_url = {url}\n"
        )
        monkeypatch.setenv("AWS_CONFIG_FILE", str(path))
        request = resolve(json.dumps(RUN), profile="lab")
    assert (str(request.source), omics.asked) == ("s3://raw/out/123/", ["/run/123"])
