"""Metadata of a folder that a person packages again: of its crate, or of its HealthOmics run."""

import json
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.requests.events import OmicsRun
from quilt_packager_runtime.requests.omics_metadata import RUN_FIELDS
from quilt_packager_runtime.requests.package_request import UnresolvedRequest
from quilt_packager_runtime.settings import Settings
from quilt_packager_runtime.settings.source_options import SourceOptions

from quilt_packager.operations.deployment import known_metadata
from quilt_packager.operations.deployment.known_metadata import Known, find_metadata
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

FOLDER = "s3://raw/out/123/"
CRATE_URI = f"{FOLDER}ro-crate-metadata.json"
CRATE = {
    "@graph": [
        {"@id": "ro-crate-metadata.json", "about": {"@id": "./"}},
        {"@id": "./", "@type": "Dataset", "name": "RNA", "license": "CC0"},
    ]
}
RUN = {
    "name": "NA12878",
    "workflow_name": "germline",
    "workflow_id": "55",
    "run_id": "123",
    "run_status": "COMPLETED",
    "start_time": "2026-11-01T10:00:00Z",
    "output_uri": "s3://raw/out/123",
    "tags": ["project=x"],
}


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    raw = s3_stub.create_bucket("raw")
    raw.put("out/123/a.bam", b"hello")
    return raw


async def publish(s3: S3, **fields: Any) -> None:
    await package_request(s3, request_of({"source_prefix": FOLDER, **fields}))


async def find(s3: S3, settings: Settings | None = None, **fields: Any) -> Known:
    body = json.dumps({"source_prefix": FOLDER, **fields})
    return await find_metadata(s3, body, settings or Settings())


def put_crate(raw: Bucket, crate: object = CRATE) -> None:
    raw.put("out/123/ro-crate-metadata.json", json.dumps(crate))


class TestCrate:
    async def test_of_the_folder_becomes_the_metadata(self, s3: S3, raw: Bucket) -> None:
        put_crate(raw)
        known = await find(s3, package_name="runs/123")
        assert json.loads(known.body) == {
            "source_prefix": FOLDER,
            "package_name": "runs/123",
            "metadata_uri": CRATE_URI,
            "metadata_format": "ro-crate",
        }
        assert known.found == f"{CRATE_URI} (RO-Crate found in the folder)"
        assert isinstance(known.request, UnresolvedRequest)
        assert known.request.metadata_file is not None

    async def test_takes_three_requests(self, s3: S3, raw: Bucket, s3_stub: S3Stub) -> None:
        put_crate(raw)
        await publish(s3)
        s3_stub.forget_requests()
        await find(s3)
        assert [each.operation for each in s3_stub.requests] == ["GetObject"] * 3

    @pytest.mark.parametrize("field", [{"metadata": {}}, {"metadata_uri": "entry.json"}])
    async def test_gives_way_to_metadata_of_the_message(
        self, s3: S3, raw: Bucket, field: dict[str, Any]
    ) -> None:
        put_crate(raw)
        raw.put("out/123/entry.json", "{}")
        known = await find(s3, **field)
        assert (known.found, json.loads(known.body)) == (None, {"source_prefix": FOLDER, **field})

    async def test_of_one_of_several_sources_is_not_that_of_the_package(
        self, s3: S3, raw: Bucket
    ) -> None:
        put_crate(raw)
        sources = [{"prefix": FOLDER, "into": "a/"}, {"prefix": "s3://raw/b/", "into": "b/"}]
        body = json.dumps({"sources": sources, "package_name": "a/b"})
        known = await find_metadata(s3, body, Settings())
        assert (known.found, known.body) == (None, body)

    async def test_that_is_malformed_is_left_out_with_a_warning(self, s3: S3, raw: Bucket) -> None:
        put_crate(raw, {"no": "graph"})
        await publish(s3, metadata={"study": "A"})
        known = await find(s3)
        assert (known.found, known.lost) == (None, ("study",))
        assert len(known.warnings) == 1
        assert "cannot be used" in known.warnings[0]

    async def test_that_is_denied_is_a_warning(self, s3: S3, raw: Bucket, s3_stub: S3Stub) -> None:
        put_crate(raw)
        denied = s3_stub.on("GetObject", key="out/123/ro-crate-metadata.json", times=None)
        denied.answer(403, "AccessDenied")
        known = await find(s3)
        assert known.found is None
        assert CRATE_URI in known.warnings[0]

    async def test_is_only_looked_for_where_it_must_not_be_parsed(
        self, s3: S3, raw: Bucket, s3_stub: S3Stub
    ) -> None:
        put_crate(raw, "not parsed")
        body = json.dumps({"source_prefix": FOLDER})
        known = await find_metadata(s3, body, Settings(), for_form=True)
        assert known.fields == {"metadata_uri": CRATE_URI, "metadata_format": "ro-crate"}
        assert len(s3_stub.requests) == 1


class TestRun:
    async def test_of_the_newest_revision_has_its_event_sent_again(
        self, s3: S3, raw: Bucket
    ) -> None:
        await publish(s3, metadata=RUN)
        known = await find(s3, on_foreign_revision="hold")
        run = known.request
        assert isinstance(run, OmicsRun)
        assert (run.run_id, run.status, run.region) == ("123", "COMPLETED", "us-east-1")
        assert (run.name, run.workflow_id, run.workflow_name) == ("NA12878", "55", "germline")
        assert str(run.source) == FOLDER
        assert run.options.on_foreign_revision == "hold"
        assert known.found == "HealthOmics run 123 (its event is sent again)"
        assert known.lost == ()

    async def test_has_its_fields_in_a_message_with_other_fields(self, s3: S3, raw: Bucket) -> None:
        await publish(s3, metadata=RUN | {"study": "A"})
        known = await find(s3, workflow="")
        assert json.loads(known.body)["metadata"] == RUN
        assert known.found == "8 fields of HealthOmics run 123 (from the newest revision)"
        assert known.lost == ("study",)

    async def test_has_its_fields_in_a_form(self, s3: S3, raw: Bucket) -> None:
        await publish(s3, metadata=RUN)
        body = json.dumps({"source_prefix": FOLDER})
        known = await find_metadata(s3, body, Settings(), for_form=True)
        assert known.fields == {"metadata": RUN}

    async def test_that_the_engine_would_ignore_has_its_fields(self, s3: S3, raw: Bucket) -> None:
        await publish(s3, metadata=RUN)
        ignored = SourceOptions(kind="health_omics", ignore_prefixes=("out",))
        known = await find(s3, Settings(sources=(ignored,)))
        assert json.loads(known.body) == {"source_prefix": FOLDER, "metadata": RUN}

    @pytest.mark.parametrize(
        "other",
        [{"output_uri": "s3://raw/out/124"}, {"run_status": "Completed"}, {"run_id": 123}],
    )
    async def test_of_another_folder_is_only_a_warning(
        self, s3: S3, raw: Bucket, other: dict[str, Any]
    ) -> None:
        metadata = RUN | other
        await publish(s3, metadata=metadata)
        known = await find(s3)
        assert (known.found, known.lost) == (None, tuple(metadata))

    def test_has_known_fields(self) -> None:
        assert set(RUN) <= set(RUN_FIELDS)


class TestLostFields:
    async def test_are_those_of_the_newest_revision_alone(self, s3: S3, raw: Bucket) -> None:
        await publish(s3, metadata={"study": "A", "batch": 7})
        assert (await find(s3, metadata={"batch": 8})).lost == ("study",)

    async def test_are_unknown_without_access_to_the_registry(
        self, s3: S3, raw: Bucket, s3_stub: S3Stub
    ) -> None:
        await publish(s3, metadata={"study": "A"})
        latest = ".quilt/named_packages/out/123/latest"
        s3_stub.on("GetObject", key=latest, times=None).answer(403, "AccessDenied")
        known = await find(s3)
        assert known.lost == ()
        assert "latest" in known.warnings[0]

    def test_are_named_without_their_values(self) -> None:
        text = known_metadata.describe_lost(["study", "a\x1b"])
        assert text.endswith("2 metadata fields that this one would not have: study, a\\x1b")


async def test_no_request_goes_to_a_bucket_that_the_engine_does_not_use(
    s3: S3, raw: Bucket, s3_stub: S3Stub
) -> None:
    known = await find(s3, Settings(source_buckets=("other",)))
    assert (known.found, s3_stub.requests) == (None, [])


async def test_message_is_sent_as_it_is_while_s3_does_not_answer(
    s3: S3, raw: Bucket, s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_metadata, "LIMIT_SECONDS", 0)
    known = await find(s3)
    assert json.loads(known.body) == {"source_prefix": FOLDER}
    assert known.warnings == ("The folder's metadata was not looked up. S3 did not answer in 0 s.",)
