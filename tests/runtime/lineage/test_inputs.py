"""Packages that a run has read from, in its metadata, its outcome and the index."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError
from quilt_packager_runtime.aws import clients
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.lineage.index import LineageIndex
from quilt_packager_runtime.settings import Settings

from tests.lineage_table import LineageTable
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub, Version

ON = Settings(lineage_table="lineage")
READS = "runs/1/a/reads 1.fq"


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> LineageTable:
    table = LineageTable()
    monkeypatch.setattr(clients, "connect", {"dynamodb": table}.__getitem__)
    return table


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("raw")


@pytest.fixture(autouse=True)
def packages(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


@pytest.fixture
def reads(raw: Bucket) -> Version:
    return raw.put(READS, b"reads", last_modified=1_700_000_000)


async def run(
    s3: S3, folder: str, settings: Settings = ON, metadata: dict[str, Any] | None = None
) -> Outcome:
    message = {
        "source_prefix": f"s3://raw/{folder}/",
        "registry": "packages",
        "metadata": metadata or {},
    }
    return await package_request(s3, request_of(message), settings)


def inputs(*versions: Version | str, **fields: Any) -> dict[str, Any]:
    """Metadata as a crate gives it."""
    uris = [
        each
        if isinstance(each, str)
        else f"s3://raw/{READS.replace(' ', '%20')}?versionId={each.version_id}"
        for each in versions
    ]
    return {"input_uris": uris, **fields}


def metadata_of(packages: Bucket, outcome: Outcome) -> dict[str, Any]:
    manifest = packages.get(f".quilt/packages/{outcome.top_hash}")
    assert manifest
    metadata: dict[str, Any] = json.loads(manifest.data.partition(b"\n")[0])["user_meta"]
    return metadata


@pytest.mark.usefixtures("table")
async def test_a_version_of_a_package_names_it_in_metadata_and_outcome(
    s3: S3, raw: Bucket, packages: Bucket, reads: Version
) -> None:
    first = await run(s3, "runs/1")
    raw.put("runs/2/b.bam", b"aligned")
    second = await run(s3, "runs/2", metadata=inputs(reads))
    assert second.input_packages == (first.link,)
    assert metadata_of(packages, second)["input_packages"] == [first.link]


async def test_an_index_that_is_off_takes_no_request_more(
    s3: S3, s3_stub: S3Stub, table: LineageTable, reads: Version
) -> None:
    await run(s3, "runs/1", Settings())
    s3_stub.requests.clear()
    await run(s3, "runs/1", Settings(), metadata=inputs(reads))
    with_inputs = len(s3_stub.requests)
    s3_stub.requests.clear()
    await run(s3, "runs/1", Settings(), metadata={"tools": ["bwa", "gatk"]})
    assert (table.calls, with_inputs) == ([], len(s3_stub.requests))


@pytest.mark.usefixtures("table")
async def test_the_same_inputs_are_unchanged_after_newer_revisions_of_the_input(
    s3: S3, raw: Bucket, reads: Version
) -> None:
    first = await run(s3, "runs/1")
    raw.put("runs/2/b.bam", b"aligned")
    second = await run(s3, "runs/2", metadata=inputs(reads))
    raw.put("runs/1/more.fq", b"more")
    await run(s3, "runs/1")
    again = await run(s3, "runs/2", metadata=inputs(reads))
    assert (again.outcome, again.top_hash) == (Result.UNCHANGED, second.top_hash)
    assert again.input_packages == (first.link,)


@pytest.mark.usefixtures("table")
async def test_the_revision_that_holds_the_named_version_is_the_input(
    s3: S3, raw: Bucket, reads: Version
) -> None:
    await run(s3, "runs/1")
    newer = raw.put(READS, b"other reads")
    second = await run(s3, "runs/1")
    raw.put("runs/2/b.bam", b"aligned")
    assert (await run(s3, "runs/2", metadata=inputs(newer))).input_packages == (second.link,)
    gone = inputs(f"s3://raw/{READS}?versionId=unknown")
    assert (await run(s3, "runs/2", metadata=gone)).input_packages is None


@pytest.mark.usefixtures("table")
async def test_a_run_read_the_newest_version_at_its_start(
    s3: S3, raw: Bucket, reads: Version
) -> None:
    first = await run(s3, "runs/1")
    raw.put(READS, b"other reads", last_modified=1_700_000_500)
    await run(s3, "runs/1")
    raw.put("runs/2/b.bam", b"aligned")
    started = datetime.fromtimestamp(1_700_000_100, UTC).isoformat()
    unnamed = inputs(f"s3://raw/{READS.replace(' ', '%20')}")
    at_start = await run(s3, "runs/2", metadata={**unnamed, "start_time": started})
    assert at_start.input_packages == (first.link,)
    assert (await run(s3, "runs/2", metadata=unnamed)).input_packages is None


@pytest.mark.usefixtures("table", "reads")
async def test_a_package_is_no_input_of_itself(s3: S3, reads: Version) -> None:
    await run(s3, "runs/1")
    again = await run(s3, "runs/1", metadata=inputs(reads))
    assert again.input_packages is None


@pytest.mark.usefixtures("table")
async def test_a_field_of_the_message_stays(
    s3: S3, raw: Bucket, packages: Bucket, reads: Version
) -> None:
    await run(s3, "runs/1")
    raw.put("runs/2/b.bam", b"aligned")
    outcome = await run(s3, "runs/2", metadata=inputs(reads, input_packages="mine"))
    assert metadata_of(packages, outcome)["input_packages"] == "mine"


async def test_an_outage_stops_no_package_and_takes_no_input_back(
    s3: S3, raw: Bucket, reads: Version, table: LineageTable
) -> None:
    first = await run(s3, "runs/1")
    raw.put("runs/2/b.bam", b"aligned")
    second = await run(s3, "runs/2", metadata=inputs(reads))
    table.error = ClientError({"Error": {"Code": "Throttled"}}, "Query")
    again = await run(s3, "runs/2", metadata=inputs(reads))
    assert (again.outcome, again.top_hash) == (Result.UNCHANGED, second.top_hash)
    assert again.input_packages == (first.link,)
    assert again.remark
    assert "could not be looked up" in again.remark
    assert "was not recorded" in again.remark
    created = await run(s3, "runs/2", metadata=inputs(reads, tools="bwa"))
    assert (created.outcome, created.input_packages) == (Result.CREATED, None)


async def test_the_index_names_the_users_of_a_package(
    s3: S3, raw: Bucket, reads: Version, table: LineageTable
) -> None:
    first = await run(s3, "runs/1")
    raw.put("runs/2/b.bam", b"aligned")
    second = await run(s3, "runs/2", metadata=inputs(reads))
    [use] = LineageIndex("lineage", table).uses("quilt+s3://packages#package=runs/1")
    assert (use.revision, use.input) == (second.link, first.link)
