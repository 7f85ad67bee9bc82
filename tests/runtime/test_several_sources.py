"""Packages of several folders, in one bucket or in several."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import (
    AccessDenied,
    BucketNotAllowed,
    EmptySource,
    Incomplete,
    InvalidKeys,
    PackageNameTaken,
    PackagerError,
)
from quilt_packager_runtime.formats.outcome import Outcome, Result
from quilt_packager_runtime.settings import Settings

from quilt_packager.local.reading import read_packages
from tests.hashes import MIB
from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub, Versioning

RAW = {"prefix": "s3://raw/runs/42/", "into": "raw/"}
RESULTS = {"prefix": "s3://results/42/"}
LATEST = ".quilt/named_packages/runs/42/latest"


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    bucket.put("runs/42/b.fastq", b"reads")
    bucket.put("runs/42/a/c.fastq", b"more")
    return bucket


@pytest.fixture
def results(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("results", versioning=Versioning.OFF, region="ap-southeast-1")
    bucket.put("42/report.html", b"<p>")
    return bucket


@pytest.fixture(autouse=True)
def packages(s3_stub: S3Stub) -> Bucket:
    return s3_stub.create_bucket("packages")


async def run(
    s3: S3, *sources: dict[str, str], settings: Settings | None = None, **fields: Any
) -> Outcome:
    message = {"sources": list(sources or [RAW, RESULTS]), "registry": "packages", **fields}
    return await package_request(s3, request_of(message), settings)


def manifest(packages: Bucket) -> list[dict[str, Any]]:
    top_hash = packages.get(LATEST)
    assert top_hash
    lines = packages.get(f".quilt/packages/{top_hash.data.decode()}")
    assert lines
    return [json.loads(line) for line in lines.data.splitlines()]


def physical_keys(packages: Bucket) -> dict[str, str]:
    return {
        line["logical_key"]: line["physical_keys"][0].partition("?")[0]
        for line in manifest(packages)[1:]
    }


async def rejection(s3: S3, kind: type[PackagerError], *sources: Any, **fields: Any) -> str:
    with pytest.raises(kind) as caught:
        await run(s3, *sources, **fields)
    return caught.value.happened


@pytest.mark.usefixtures("raw", "results")
async def test_entries_come_from_all_sources_in_the_order_of_logical_keys(
    s3: S3, packages: Bucket
) -> None:
    outcome = await run(s3)
    assert (outcome.outcome, outcome.objects, outcome.bytes) == (Result.CREATED, 3, 12)
    assert list(physical_keys(packages).items()) == [
        ("raw/a/c.fastq", "s3://raw/runs/42/a/c.fastq"),
        ("raw/b.fastq", "s3://raw/runs/42/b.fastq"),
        ("report.html", "s3://results/42/report.html"),
    ]


@pytest.mark.usefixtures("raw", "results")
async def test_the_header_names_all_sources(s3: S3, packages: Bucket) -> None:
    await run(s3)
    header = manifest(packages)[0]
    assert header["source"] == "s3://raw/runs/42/"
    assert header["sources"] == [RAW, {**RESULTS, "into": ""}]


@pytest.fixture
def at_the_stub(s3_stub: S3Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_stub.url)


@pytest.mark.usefixtures("at_the_stub")
async def test_quilt3_reads_a_package_of_several_buckets(
    s3: S3, raw: Bucket, results: Bucket, tmp_path: Path
) -> None:
    results.region = None  # quilt3 does not follow redirects of a custom endpoint
    raw.put("runs/42/large", bytes(9 * MIB))
    made = await run(s3)
    (found,) = read_packages("packages", ["runs/42"], tmp_path)
    assert (found.verified, found.top_hash) == (True, made.top_hash)
    assert {key for key, _, _ in found.entries} == {
        "raw/a/c.fastq",
        "raw/b.fastq",
        "raw/large",
        "report.html",
    }


async def test_an_unchanged_package_costs_a_listing_of_each_source(
    s3: S3, s3_stub: S3Stub, raw: Bucket, results: Bucket
) -> None:
    results.versioning = Versioning.ENABLED
    results.put("42/report.html", b"<p>")
    await run(s3)
    s3_stub.forget_requests()
    outcome = await run(s3)
    assert (outcome.outcome, outcome.reused) == (Result.UNCHANGED, 3)
    assert s3_stub.counts["ListObjectVersions"] == 2
    assert s3_stub.counts["HeadObject"] == 0


async def test_checksums_are_reused_at_another_place_in_the_package(
    s3: S3, raw: Bucket, results: Bucket
) -> None:
    await run(s3)
    outcome = await run(s3, {**RAW, "into": "reads/"}, RESULTS)
    assert (outcome.outcome, outcome.reused) == (Result.CREATED, 2)


async def test_an_object_added_to_any_source_during_the_job_starts_over(
    s3: S3, s3_stub: S3Stub, raw: Bucket, results: Bucket, packages: Bucket
) -> None:
    pause = s3_stub.on("PutObject", key=LATEST).pause_before()
    job = asyncio.create_task(run(s3))
    held = await pause.reached()
    results.put("42/late.html", b"late")
    held.release()
    await job
    assert "late.html" in physical_keys(packages)


async def test_two_objects_with_one_logical_key_are_both_named(
    s3: S3, raw: Bucket, results: Bucket
) -> None:
    results.put("42/raw/b.fastq")
    assert await rejection(s3, InvalidKeys) == (
        '1 logical key has two objects: "raw/b.fastq" (s3://raw/runs/42/b.fastq and '
        "s3://results/42/raw/b.fastq)."
    )


async def test_an_object_in_two_sources_at_one_place_is_one_entry(
    s3: S3, s3_stub: S3Stub, raw: Bucket
) -> None:
    whole, part = {"prefix": "s3://raw/runs/42/"}, {"prefix": "s3://raw/runs/42/a/", "into": "a/"}
    outcome = await run(s3, whole, part)
    assert outcome.objects == 2
    assert s3_stub.counts["ListObjectVersions"] == 4  # one pass, and its confirmation


async def test_a_file_of_one_source_is_no_folder_of_another(
    s3: S3, raw: Bucket, results: Bucket
) -> None:
    results.put("42/raw", b"x")
    assert await rejection(s3, InvalidKeys) == (
        '1 key is both a file and a folder: "raw" ("raw/a/c.fastq").'
    )


async def test_each_source_has_objects(s3: S3, raw: Bucket, results: Bucket) -> None:
    results.delete("42/report.html")
    assert await rejection(s3, EmptySource) == "s3://results/42/ has no objects."


async def test_globs_match_logical_keys(
    s3: S3, raw: Bucket, results: Bucket, packages: Bucket
) -> None:
    await run(s3, exclude=["raw/a"], require=[{"files": ["raw/*.fastq", "report.html"]}])
    assert physical_keys(packages).keys() == {"raw/b.fastq", "report.html"}


async def test_files_are_required_of_the_crate_of_each_source(
    s3: S3, raw: Bucket, results: Bucket
) -> None:
    root = {"@id": "./", "@type": "Dataset", "hasPart": [{"@id": "lost.bam"}]}
    raw.put("runs/42/ro-crate-metadata.json", json.dumps({"@graph": [root]}))
    reported = await rejection(s3, Incomplete, require=["crate"], require_timeout_seconds=0)
    assert '1 file is missing of the crate: "raw/lost.bam"' in reported


async def test_lists_of_a_sender_are_compared_in_each_source(
    s3: S3, raw: Bucket, results: Bucket
) -> None:
    raw.put("runs/42/md5sum.txt", "00000000000000000000000000000000  b.fastq\n")
    outcome = await run(s3)
    assert "Files differ from their checksum lists" in (outcome.remark or "")
    assert '"raw/b.fastq"' in (outcome.remark or "")


async def test_every_bucket_has_to_be_allowed(
    s3: S3, s3_stub: S3Stub, raw: Bucket, results: Bucket
) -> None:
    settings = Settings(source_buckets=("raw",))
    assert '(source: "results")' in await rejection(s3, BucketNotAllowed, settings=settings)
    assert s3_stub.requests == []


async def test_an_unreadable_object_is_named_with_its_bucket(
    s3: S3, s3_stub: S3Stub, raw: Bucket, results: Bucket
) -> None:
    results.put("42/secret", b"x", stored=[])
    s3_stub.deny("GetObject", key="42/secret")
    assert "s3://results/42/secret" in await rejection(s3, AccessDenied)


async def test_an_inferred_name_belongs_to_the_first_source(
    s3: S3, raw: Bucket, results: Bucket
) -> None:
    await run(s3)
    assert (await run(s3, RAW)).outcome is Result.CREATED
    results.put("runs/42/x")
    other = {"prefix": "s3://results/runs/42/"}
    reported = await rejection(s3, PackageNameTaken, other, RAW)
    assert '"s3://raw/runs/42/"' in reported
