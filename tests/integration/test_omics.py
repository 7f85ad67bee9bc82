"""A HealthOmics run, from its event by GetRun to the metadata of its package, over HTTP and S3."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.errors import AccessDenied, NoRunOutput
from quilt_packager_runtime.formats.outcome import Result
from quilt_packager_runtime.requests.events import OmicsRun
from quilt_packager_runtime.requests.messages import parse_message
from quilt_packager_runtime.requests.omics_runs import request_for_run
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.local.ministack import MiniStack
from tests.omics_stub import OmicsStub
from tests.package_requests import package_request
from tests.runtime_s3 import connect_to

RUN = "3395667"


@pytest.fixture
def omics(ministack: MiniStack) -> Iterator[OmicsStub]:
    """HealthOmics with a run, and everything else in the embedded AWS."""
    with ministack.as_only_aws(), OmicsStub() as stub, pytest.MonkeyPatch.context() as patch:
        for name, value in stub.environment.items():
            patch.setenv(name, value)
        # Other tests share the clients that `connect` keeps.
        patch.setattr(clients, "connect", clients.connect.__wrapped__)
        stub.add_run(RUN)
        yield stub


def read_event(detail: dict[str, Any], options: SourceOptions | None = None) -> OmicsRun:
    arn = f"arn:aws:omics:us-east-1:123456789012:run/{RUN}"
    event = {
        "source": "aws.omics",
        "detail-type": "Run Status Change",
        "id": "8e1f",
        "detail": {"arn": arn, "status": "COMPLETED", **detail},
    }
    run = parse_message(json.dumps(event), sources=[options] if options else [])
    assert isinstance(run, OmicsRun)
    return run


def ask_for(run: OmicsRun) -> UnresolvedRequest:
    request = request_for_run(run)
    assert isinstance(request, UnresolvedRequest)
    return request


def test_run_with_a_short_event_is_looked_up(omics: OmicsStub) -> None:
    request = ask_for(read_event({}))
    assert (str(request.source), request.package_name) == (f"s3://raw/out/{RUN}/", f"out/{RUN}")
    assert request.metadata == {
        "name": "NA12878",
        "workflow_id": "6815242",
        "run_id": RUN,
        "run_status": "COMPLETED",
        "start_time": "2026-11-20T12:00:00Z",
        "end_time": "2026-11-20T13:00:00Z",
        "duration": "PT3600S",
        "output_uri": f"s3://raw/out/{RUN}",
        "tags": ["project=genomes"],
    }
    assert omics.asked == [f"/run/{RUN}"]


def test_parameters_are_recorded_by_choice_and_without_secrets(omics: OmicsStub) -> None:
    request = ask_for(read_event({}, SourceOptions(kind="health_omics", parameters=True)))
    assert request.metadata is not None
    assert request.metadata["parameters"] == ["license_key=[redacted]", "sample=NA12878"]


def test_package_is_named_by_a_template_with_fields_of_the_run(omics: OmicsStub) -> None:
    options = SourceOptions(kind="health_omics", package_name="omics/{name}-{run_id}")
    assert ask_for(read_event({}, options)).package_name == f"omics/NA12878-{RUN}"


@pytest.mark.parametrize(
    ("engine_version", "required"),
    [("24.10.8", ("crate",)), (None, ("crate", "healthomics_outputs"))],
    ids=["Nextflow", "WDL"],
)
def test_summary_of_outputs_is_required_of_other_engines_than_nextflow(
    omics: OmicsStub, engine_version: str | None, required: tuple[str, ...]
) -> None:
    if engine_version:
        omics.add_run(RUN, engineVersion=engine_version)
    options = SourceOptions(
        kind="health_omics", metadata=False, require=("crate", "healthomics_outputs")
    )
    request = ask_for(read_event({"runOutputUri": f"s3://raw/out/{RUN}"}, options))
    assert request.require == required


def test_run_that_is_denied_is_described_by_its_event(omics: OmicsStub) -> None:
    omics.denied = True
    request = ask_for(read_event({"runOutputUri": f"s3://raw/out/{RUN}", "runName": "from event"}))
    assert request.metadata is not None
    assert request.metadata["name"] == "from event"
    assert "duration" not in request.metadata


def test_run_that_is_denied_has_no_folder_unless_its_event_has_it(omics: OmicsStub) -> None:
    omics.denied = True
    with pytest.raises(AccessDenied, match="omics:GetRun"):
        request_for_run(read_event({}))


def test_run_that_is_gone_has_no_folder(omics: OmicsStub) -> None:
    omics.runs.clear()
    with pytest.raises(NoRunOutput, match=RUN):
        request_for_run(read_event({}))


def test_package_of_a_run_has_the_runs_metadata(omics: OmicsStub, ministack: MiniStack) -> None:
    boto = boto3.client("s3")
    boto.create_bucket(Bucket="raw")
    boto.put_object(Bucket="raw", Key=f"out/{RUN}/out/calls.vcf", Body=b"##fileformat=VCFv4.2\n")
    s3 = connect_to(ministack.endpoint_url, ministack.client_settings())
    outcome = asyncio.run(package_request(s3, ask_for(read_event({}))))
    assert (outcome.outcome, outcome.package_name) == (Result.CREATED, f"out/{RUN}")
    manifest = boto.get_object(Bucket="raw", Key=f".quilt/packages/{outcome.top_hash}")["Body"]
    header = json.loads(manifest.read().splitlines()[0])
    assert header["user_meta"]["run_id"] == RUN
    assert header["user_meta"]["tags"] == ["project=genomes"]
