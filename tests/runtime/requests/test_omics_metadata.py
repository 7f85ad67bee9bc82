"""The metadata of HealthOmics runs."""

from datetime import UTC, datetime
from typing import Any

import pytest
from quilt_packager_runtime.formats.objects import SourceFolder
from quilt_packager_runtime.requests.events import OmicsRun, Trigger
from quilt_packager_runtime.requests.omics_metadata import REDACTED, describe_run, redact
from quilt_packager_runtime.settings.source_options import SourceOptions

ANSWER = {
    "id": "42",
    "name": "NA12878",
    "status": "DELETED",
    "workflowId": "7",
    "workflowVersionName": "v1.2",
    "outputUri": "s3://raw/out",
    "runOutputUri": "s3://raw/out/42",
    "startTime": datetime(2026, 11, 20, 9, 0, 0, tzinfo=UTC),
    "stopTime": datetime(2026, 11, 20, 10, 30, 1, tzinfo=UTC),
    "tags": {"project": "x", "cost-centre": "9"},
    "parameters": {"input": "s3://raw/a.fq", "api_token": "hunter2", "depth": {"max": 30}},
}


def run(*, status: str = "COMPLETED", parameters: bool = False, **fields: Any) -> OmicsRun:
    return OmicsRun(
        run_id="42",
        arn="arn:aws:omics:us-east-1:123456789012:run/42",
        status=status,
        trigger=Trigger("health_omics"),
        options=SourceOptions(kind="health_omics", parameters=parameters),
        **fields,
    )


def test_all_details_become_facets() -> None:
    assert describe_run(run(workflow_name="germline"), ANSWER) == {
        "name": "NA12878",
        "workflow_name": "germline",
        "workflow_version": "v1.2",
        "workflow_id": "7",
        "run_id": "42",
        "run_status": "COMPLETED",
        "start_time": "2026-11-20T09:00:00Z",
        "end_time": "2026-11-20T10:30:01Z",
        "duration": "PT5401S",
        "output_uri": "s3://raw/out/42",
        "tags": ["cost-centre=9", "project=x"],
    }


def test_the_event_is_enough() -> None:
    reported = describe_run(run(source=SourceFolder("raw", "out/42/"), name="NA12878"), {})
    assert reported == {
        "name": "NA12878",
        "run_id": "42",
        "run_status": "COMPLETED",
        "output_uri": "s3://raw/out/42/",
    }


def test_a_run_that_failed_is_marked() -> None:
    reported = describe_run(run(status="FAILED"), {"failureReason": "No memory"})
    assert (reported["run_status"], reported["failure_reason"]) == ("FAILED", "No memory")


def test_parameters_are_optional_and_without_their_secrets() -> None:
    assert "parameters" not in describe_run(run(), ANSWER)
    assert describe_run(run(parameters=True), ANSWER)["parameters"] == [
        "api_token=[redacted]",
        'depth={"max": 30}',
        "input=s3://raw/a.fq",
    ]


@pytest.mark.parametrize(
    "name", ["password", "DB_PASSWD", "clientSecret", "accessKey", "api-key", "authorization"]
)
def test_values_named_like_secrets_are_hidden(name: str) -> None:
    assert redact({"deep": [{name: {"any": "thing"}}]}) == {"deep": [{name: REDACTED}]}


def test_other_values_stay() -> None:
    assert redact({"reads": "a", "n": 1, "flags": [True, None]}) == {
        "reads": "a",
        "n": 1,
        "flags": [True, None],
    }
