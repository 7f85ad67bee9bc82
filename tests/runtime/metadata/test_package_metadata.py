"""Where the metadata of a package comes from, and its name of that."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import InvalidMessage, InvalidMetadata
from quilt_packager_runtime.formats.objects import S3Uri, SourceFolder
from quilt_packager_runtime.metadata.package_metadata import PackageMetadata, describe, name_request
from quilt_packager_runtime.metadata.ro_crates import MAX_CRATE_BYTES
from quilt_packager_runtime.requests.events import Trigger
from quilt_packager_runtime.requests.messages import PackageRequest

from tests.s3_stub import S3Stub

URI = S3Uri("raw", "run/ro-crate-metadata.json")
CRATE = json.dumps(
    {
        "@graph": [
            {"@id": "./", "name": "Run", "mainEntity": {"@id": "w"}},
            {"@id": "w", "@type": "ComputationalWorkflow", "name": "nf-core/demo"},
            {"@id": "#42", "@type": "CreateAction", "instrument": {"@id": "w"}},
        ]
    }
)
FACETS = {"name": "Run", "workflow_name": "nf-core/demo", "run_id": "42"}


def wanted(**fields: Any) -> PackageRequest:
    return PackageRequest(
        source=SourceFolder("raw", "run/"),
        registry="raw",
        package_name="package/run",
        commit_message="x",
        trigger=Trigger("message"),
        **fields,
    )


def crate(**fields: Any) -> PackageRequest:
    return wanted(metadata_uri=URI, metadata_format="ro-crate", **fields)


@pytest.fixture
def upload(s3_stub: S3Stub) -> Any:
    bucket = s3_stub.create_bucket("raw")
    return lambda data: bucket.put(URI.key, data)


async def test_metadata_of_the_message_is_taken_as_it_is(s3: S3) -> None:
    assert await describe(s3, wanted(metadata={"a": None})) == PackageMetadata({"a": None})


async def test_a_crate_gives_its_facets(s3: S3, upload: Any) -> None:
    upload(CRATE)
    assert await describe(s3, crate()) == PackageMetadata(FACETS)


async def test_a_crate_may_be_read_as_the_json_that_it_is(s3: S3, upload: Any) -> None:
    upload(CRATE)
    described = await describe(s3, wanted(metadata_uri=URI))
    assert described.metadata == json.loads(CRATE)


@pytest.mark.parametrize("data", [None, "{", "{}", " " * (MAX_CRATE_BYTES + 1)])
async def test_a_crate_that_is_asked_for_must_be_usable(
    s3: S3, upload: Any, data: str | None
) -> None:
    if data is not None:
        upload(data)
    with pytest.raises(InvalidMetadata, match="ro-crate-metadata"):
        await describe(s3, crate())


@pytest.mark.parametrize("data", [None, "{", "{}"])
async def test_a_crate_that_happens_to_be_there_need_not_be(
    s3: S3, upload: Any, data: str | None
) -> None:
    if data is not None:
        upload(data)
    described = await describe(s3, crate(metadata_optional=True))
    assert described.metadata is None
    assert described.remark
    assert "ro-crate-metadata.json" in described.remark


async def test_a_crate_names_its_package(s3: S3, upload: Any) -> None:
    upload(CRATE)
    named = await name_request(s3, crate(name_template="{workflow_name}/{run_id}"))
    assert named.package_name == "nf-core-demo/42"


async def test_a_crate_names_its_package_even_if_it_does_not_describe_it(
    s3: S3, upload: Any
) -> None:
    upload(CRATE)
    named = await name_request(s3, wanted(name_template="runs/{run_id}"))
    assert named.package_name == "runs/42"


async def test_a_name_of_a_crate_that_is_too_long_is_rejected(s3: S3, upload: Any) -> None:
    upload(CRATE.replace("nf-core/demo", "n" * 256))
    template = "{workflow_name}/" + "{workflow_name}" * 3
    with pytest.raises(InvalidMessage, match=r'package_name \(inferred\) "n+.*at most 991 char'):
        await name_request(s3, crate(name_template=template))


@pytest.mark.parametrize("data", [None, "{", '{"@graph": []}'])
async def test_the_folder_names_a_package_whose_crate_does_not(
    s3: S3, upload: Any, data: str | None
) -> None:
    if data is not None:
        upload(data)
    named = await name_request(s3, crate(name_template="runs/{run_id}"))
    assert named.package_name == "package/run"
