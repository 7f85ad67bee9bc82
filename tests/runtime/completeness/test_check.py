"""The option `require`: a folder that lacks files is not packaged."""

import json
from typing import Any, ClassVar

import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.completeness import listed_files
from quilt_packager_runtime.errors import MAX_NAMED, Incomplete, InvalidMetadata
from quilt_packager_runtime.formats.outcome import Result

from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

CRATE = "ro-crate-metadata.json"


@pytest.fixture
def raw(s3_stub: S3Stub) -> Bucket:
    bucket = s3_stub.create_bucket("raw")
    bucket.put("run/a.bam", b"a", stored=["SHA256"])
    bucket.put("run/logs/run#1 50%.txt", b"b", stored=["SHA256"])
    return bucket


def put_crate(bucket: Bucket, *parts: object, nodes: tuple[Any, ...] = ()) -> None:
    """Upload a crate whose root has parts."""
    graph = [
        {"@id": CRATE, "about": {"@id": "./"}},
        {"@id": "./", "@type": "Dataset", "hasPart": list(parts)},
        *nodes,
    ]
    bucket.put(f"run/{CRATE}", json.dumps({"@graph": graph}), stored=["SHA256"])


async def is_packaged(s3: S3, *require: object, **fields: Any) -> bool:
    message = {"source_prefix": "s3://raw/run/", "require": require, **fields}
    return (await package_request(s3, request_of(message))).outcome is Result.CREATED


async def missing(s3: S3, *require: object, **fields: Any) -> str:
    with pytest.raises(Incomplete) as rejected:
        await is_packaged(s3, *require, **fields)
    return rejected.value.happened.removeprefix("s3://raw/run/ is incomplete. ")


class TestFiles:
    @pytest.mark.parametrize("glob", ["a.bam", "logs", "*.bam", "**/run#1*", "logs/*"])
    async def test_that_match_are_packaged(self, s3: S3, raw: Bucket, glob: str) -> None:
        assert await is_packaged(s3, {"files": ["a.bam", glob]})

    async def test_that_no_object_matches_are_named(self, s3: S3, raw: Bucket) -> None:
        require = {"files": ["RTAComplete.txt", "a.bam", "*.bai", "a.ba"]}
        assert await missing(s3, require) == 'No file matches "RTAComplete.txt", "*.bai", "a.ba".'

    async def test_that_are_excluded_are_not_packaged(self, s3: S3, raw: Bucket) -> None:
        fields = {"exclude": ["*.bam"]}
        assert await missing(s3, {"files": ["a.bam"]}, **fields) == 'No file matches "a.bam".'

    async def test_are_looked_for_before_any_object_is_hashed(
        self, s3: S3, s3_stub: S3Stub, raw: Bucket
    ) -> None:
        await missing(s3, {"files": ["x"]})
        assert s3_stub.counts == {"GetObject": 1, "ListObjectVersions": 1}  # `latest`

    async def test_cost_no_request(self, s3: S3, s3_stub: S3Stub, raw: Bucket) -> None:
        await is_packaged(s3, commit_message="1", package_name="a/b")
        without = dict(s3_stub.counts)
        s3_stub.forget_requests()
        await is_packaged(s3, {"files": ["a.bam"]}, commit_message="2", package_name="a/c")
        assert s3_stub.counts == without


class TestHealthOmicsOutputs:
    """Of WDL, values are URIs or lists of them; of CWL, objects with locations."""

    WDL: ClassVar[dict[str, Any]] = {
        "Align.bam": "s3://raw/run/a.bam",
        "Align.logs": ["s3://raw/run/logs/run#1 50%.txt", "s3://raw/run/logs/run%231%2050%25.txt"],
        "Align.count": 3,
        "Align.none": None,
        "Align.reference": "s3://other/run/x",
        "Align.sibling": "s3://raw/run2/x",
    }
    CWL: ClassVar[dict[str, Any]] = {
        "bam": {
            "class": "File",
            "location": "s3://raw/run/a.bam",
            "secondaryFiles": [{"class": "File", "location": "s3://raw/run/a.bam.bai"}],
        },
        "logs": {"class": "Directory", "location": "s3://raw/run/logs/"},
    }

    @pytest.mark.parametrize("name", ["outputs.json", "output.json"])
    @pytest.mark.parametrize("folder", ["logs/", "153893cd-097a-40ec-aec7-838a97cd2b21/logs/"])
    async def test_that_are_missing_are_named(
        self, s3: S3, raw: Bucket, name: str, folder: str
    ) -> None:
        summary = {**self.WDL, "Align.index": ["s3://raw/run/out/a.bam.bai"]}
        raw.put(f"run/{folder}{name}", json.dumps(summary), stored=["SHA256"])
        reported = await missing(s3, "healthomics_outputs")
        assert reported == '1 file is missing of the run\'s summary: "out/a.bam.bai".'

    async def test_of_wdl_that_are_there_are_packaged(self, s3: S3, raw: Bucket) -> None:
        raw.put("run/logs/outputs.json", json.dumps(self.WDL), stored=["SHA256"])
        assert await is_packaged(s3, "healthomics_outputs")

    async def test_of_cwl_include_secondary_files(self, s3: S3, raw: Bucket) -> None:
        raw.put("run/logs/outputs.json", json.dumps(self.CWL), stored=["SHA256"])
        reported = await missing(s3, "healthomics_outputs")
        assert reported == '1 file is missing of the run\'s summary: "a.bam.bai".'
        raw.put("run/a.bam.bai", b"x", stored=["SHA256"])
        assert await is_packaged(s3, "healthomics_outputs")

    async def test_may_have_an_excluded_summary(self, s3: S3, raw: Bucket) -> None:
        raw.put("run/logs/outputs.json", json.dumps(self.CWL), stored=["SHA256"])
        reported = await missing(s3, "healthomics_outputs", exclude=["logs"])
        assert reported == '1 file is missing of the run\'s summary: "a.bam.bai".'

    async def test_without_a_summary_are_incomplete(self, s3: S3, raw: Bucket) -> None:
        raw.put("run/out/deep/logs/outputs.json", "{}", stored=["SHA256"])
        reported = await missing(s3, "healthomics_outputs")
        assert reported == "There is no summary of the run's outputs (logs/outputs.json)."

    @pytest.mark.parametrize("summary", ["", "[]", "{", "[" * 1000])
    async def test_of_an_unusable_summary_are_rejected(
        self, s3: S3, raw: Bucket, summary: str
    ) -> None:
        raw.put("run/logs/outputs.json", summary)
        with pytest.raises(InvalidMetadata, match=r"outputs\.json"):
            await is_packaged(s3, "healthomics_outputs")


class TestChecksumLists:
    async def test_name_missing_files(self, s3: S3, raw: Bucket) -> None:
        digest = "d41d8cd98f00b204e9800998ecf8427e"
        lines = [f"{digest}  {path}" for path in ("../a.bam", "run#1 50%.txt", "x", "../../y")]
        raw.put("run/logs/md5sum.txt", "\n".join(["# list", *lines]), stored=["SHA256"])
        raw.put("run/b.bam.md5", digest, stored=["SHA256"])
        reported = await missing(s3, "checksum_lists")
        assert reported == '2 files are missing of the checksum lists: "b.bam", "logs/x".'
        raw.put("run/logs/x", b"x", stored=["SHA256"])
        raw.put("run/b.bam", b"x", stored=["SHA256"])
        assert await is_packaged(s3, "checksum_lists")

    async def test_that_are_missing_are_incomplete(self, s3: S3, raw: Bucket) -> None:
        assert await missing(s3, "checksum_lists") == "There is no checksum list."

    async def test_are_limited_in_number(
        self, s3: S3, raw: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listed_files, "MAX_LISTS", 1)
        for name in ("a.bam.md5", "b.bam.md5"):
            raw.put(f"run/{name}", "")
        with pytest.raises(InvalidMetadata, match="2 checksum lists"):
            await is_packaged(s3, "checksum_lists")

    async def test_are_limited_in_size(
        self, s3: S3, raw: Bucket, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listed_files, "MAX_LISTING_BYTES", 3)
        raw.put("run/md5sum.txt", "1234")
        with pytest.raises(InvalidMetadata, match="3 bytes"):
            await is_packaged(s3, "checksum_lists")


class TestCrate:
    async def test_whose_parts_are_there_is_packaged(self, s3: S3, raw: Bucket) -> None:
        put_crate(
            raw,
            {"@id": "a.bam"},
            {"@id": "logs/"},
            {"@id": "logs"},
            {"@id": "./logs/run%231%2050%25.txt"},
            {"@id": "logs/run#1 50%.txt"},
            {"@id": "s3://raw/run/a.bam?versionId=v1"},
            {"@id": "a.bam#header"},
        )
        assert await is_packaged(s3, "crate")

    async def test_names_its_missing_parts(self, s3: S3, raw: Bucket) -> None:
        put_crate(raw, {"@id": "b%20c.bam"}, {"@id": "s3://raw/run/d/"}, {"@id": "a.ba"})
        expected = '3 files are missing of the crate: "b c.bam", "d", "a.ba".'
        assert await missing(s3, "crate") == expected

    async def test_includes_parts_of_parts(self, s3: S3, raw: Bucket) -> None:
        node = {"@id": "logs/", "@type": "Dataset", "hasPart": [{"@id": "logs/x"}, {"@id": "./"}]}
        put_crate(raw, {"@id": "logs/"}, nodes=(node,))
        assert await missing(s3, "crate") == '1 file is missing of the crate: "logs/x".'

    async def test_may_list_parts_elsewhere(self, s3: S3, raw: Bucket) -> None:
        others = ["https://example.org/x", "s3://other/x", "s3://raw/x", "file:///x", "/x"]
        others += ["../x", "#step", "_:x", "./", "s3://", "arcp://uuid,1/x"]
        put_crate(raw, *({"@id": each} for each in others), None, {"name": "x"})
        assert await is_packaged(s3, "crate")

    async def test_may_list_excluded_parts(self, s3: S3, raw: Bucket) -> None:
        put_crate(raw, {"@id": "workdir/a5/sample.fastq.gz"}, {"@id": "multiqc/report.html"})
        fields = {"exclude": ["workdir"]}
        assert "1 file" in await missing(s3, "crate", **fields)
        raw.put("run/multiqc/report.html", b"x", stored=["SHA256"])
        assert await is_packaged(s3, "crate", **fields)

    async def test_that_is_missing_is_named(self, s3: S3, raw: Bucket) -> None:
        assert await missing(s3, "crate") == f"There is no {CRATE}."

    async def test_that_is_no_crate_is_rejected(self, s3: S3, raw: Bucket) -> None:
        raw.put(f"run/{CRATE}", b"{}")
        with pytest.raises(InvalidMetadata, match="@graph"):
            await is_packaged(s3, "crate")

    async def test_names_only_some_of_many_parts(self, s3: S3, raw: Bucket) -> None:
        put_crate(raw, *(f"x/{number:05}" for number in range(12_000)))
        text = await missing(s3, "crate")
        assert text.startswith('12,000 files are missing of the crate: "x/00000"')
        assert text.count('"x/') == MAX_NAMED

    async def test_may_have_ids_that_are_no_unicode(self, s3: S3, raw: Bucket) -> None:
        put_crate(raw, {"@id": "\ud800"})
        assert await missing(s3, "crate") == '1 file is missing of the crate: "?".'

    async def test_is_reported_with_the_files(self, s3: S3, raw: Bucket) -> None:
        put_crate(raw, {"@id": "x"})
        with pytest.raises(Incomplete) as rejected:
            await is_packaged(s3, "crate", {"files": ["y"]})
        assert rejected.value.missing == 2
        assert rejected.value.happened.endswith(
            'No file matches "y". 1 file is missing of the crate: "x".'
        )


@pytest.mark.parametrize(
    ("require", "count"), [([], None), (["crate"], 1), (["crate", {"files": ["*.bam", "logs"]}], 3)]
)
async def test_outcome_counts_the_files_that_were_required(
    s3: S3, raw: Bucket, require: list[object], count: int | None
) -> None:
    put_crate(raw, {"@id": "a.bam"}, {"@id": "excluded.txt"})
    message = {"source_prefix": "s3://raw/run/", "require": require, "exclude": ["*.txt"]}
    assert (await package_request(s3, request_of(message))).required == count
