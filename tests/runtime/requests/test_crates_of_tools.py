"""Crates in the shapes that tools write: their fields, their parts, and the packages of their runs.

The crates in `tests/data/crates` are made by hand. Each has what is peculiar to its tool.
"""

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import Incomplete, InvalidCrate
from quilt_packager_runtime.formats.objects import S3Uri
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.requests.quilt_profile import ROLE_FIELDS, Crate, read_crate
from rocrate.rocrate import ROCrate

from tests.package_requests import package_request, request_of
from tests.s3_stub import Bucket, S3Stub

CRATES = Path(__file__).parents[2] / "data" / "crates"
CRATE = "ro-crate-metadata.json"
LOCATION = S3Uri("raw", f"runs/42/{CRATE}")
PERSON = {"author": ["Josiah Carberry"], "author_orcid": ["0000-0002-1825-0097"]}
SHA1_FOLDER = "cb43436e1eb9f91dd954daff992dc6b852ddc3ee"


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What is read of a crate.

    Attributes:
        fields: Fields of the package, except `conforms_to`.
        folders: Folders among the parts: data sets, and files that are folders in S3.
        not_kept: Parts that the tool lists, but does not leave in the folder.
        elsewhere: Parts on the file system of a machine.
        is_package: The crate claims that its parts are the package.
    """

    fields: dict[str, Any]
    folders: tuple[str, ...] = ()
    not_kept: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()
    is_package: bool = False


EXPECTED = {
    "nf-prov-1.3": Expected(
        fields={
            "name": "Workflow run of main.nf",
            "description": "Quality control of plates",
            "license": "Apache-2.0",
            "date_published": "2026-03-10",
            "workflow_name": "lab/plates",
            "workflow_version": "1.0.0",
            "workflow_repository": "https://github.com/lab/plates",
            "workflow_engine": "Nextflow 24.10.2",
            "run_id": "4f1c2d7e-8a53-4b0e-9d61-2c7f5e90ab13",
            "start_time": "2026-03-10T08:07:42Z",
            "end_time": "2026-03-10T08:17:57Z",
            "tools": ["PLATES:TRIM"],
        },
        folders=("multiqc/multiqc_data",),
        not_kept=("workdir/9d/0f9ba3/S1_fastqc.zip",),
    ),
    "nf-prov-1.8": Expected(
        fields={
            "name": "Workflow run of lab/plates",
            "description": "Quality control of plates",
            "license": "MIT",
            "date_published": "2026-10-20",
            **PERSON,
            "organization": ["The Library"],
            "workflow_name": "lab/plates",
            "workflow_version": "3bc3283a7e62f646703bcca2cd5a32955f2f5a31",
            "workflow_repository": "https://github.com/lab/plates",
            "workflow_engine": "Nextflow 26.10.0",
            "run_id": "a0b7f6d4-19c3-4e58-b2f1-6d3c90e4f725",
            "run_status": "COMPLETED",
            "start_time": "2026-10-20T07:07:42Z",
            "end_time": "2026-10-20T07:17:57Z",
            "tools": ["fastqc"],
            "input_uris": ["https://data.example.org/reads/S1_R1.fastq.gz"],
        },
        folders=("multiqc/multiqc_data",),
    ),
    "galaxy": Expected(
        fields={
            "date_published": "2026-05-10T09:48:35Z",
            "workflow_name": "Variants of one sample",
            "workflow_engine": "Galaxy",
            "run_id": "5c2f8f6e-3a4d-4d0b-8f7c-0f7b1f3f2c55",
            "start_time": "2026-05-10T09:40:00",
            "end_time": "2026-05-10T09:45:00",
            "tools": ["fastp", "Cut1"],
        },
    ),
    "snakemake": Expected(
        fields={
            "name": "Mesh of a plate",
            "description": "RO-Crate describing a Snakemake workflow run.",
            "license": "MIT",
            "date_published": "2026-07-15T14:38:43Z",
            "author": ["Josiah Carberry"],
            "organization": ["The Library"],
            "workflow_name": "Snakefile",
            "workflow_engine": "Snakemake",
            "start_time": "2026-07-15T15:56:25",
            "end_time": "2026-07-15T15:58:40",
            "tools": ["gmsh"],
        },
    ),
    "wfexs": Expected(
        fields={
            "description": "RO-Crate from staged WfExS working directory "
            "597708f2-0000-47c7-9b86-dbe3a9e5f651 (quiet hind teat)",
            "license": "CC-BY-4.0",
            "date_published": "2026-02-09T23:47:30Z",
            **PERSON,
            "workflow_name": "workflow/plates/plates",
            "workflow_version": "3bc3283a7e62f646703bcca2cd5a32955f2f5a31",
            "workflow_repository": "https://github.com/lab/plates",
            "workflow_engine": "Nextflow 24.10.0",
            "run_id": "fe9906cc-1111-4270-a841-fb57de8ade23",
            "run_status": "COMPLETED",
            "start_time": "2026-02-08T02:28:10Z",
            "end_time": "2026-02-08T02:29:10Z",
            "input_uris": ["https://data.example.org/matrix.csv"],
        },
        folders=("outputs/_1693/results", "outputs/_1694/results"),
    ),
    "streamflow": Expected(
        fields={
            "date_published": "2026-05-10T09:48:35Z",
            "workflow_name": "main.cwl",
            "workflow_engine": "StreamFlow 0.2.0",
            "run_id": "d27f1217-5555-49a4-8e0d-cdbd1ae8b274",
            "run_status": "COMPLETED",
            "start_time": "2026-05-09T15:44:38Z",
            "end_time": "2026-05-09T15:45:38Z",
            "tools": ["trim.cwl"],
        },
        folders=(SHA1_FOLDER,),
    ),
    "compss": Expected(
        fields={
            "name": "COMPSs waves",
            "description": "Location of sources of waves.",
            "license": "Apache-2.0",
            "date_published": "2026-01-17T16:06:26Z",
            **PERSON,
            "creator": ["Josiah Carberry"],
            "organization": ["The Library"],
            "workflow_name": "waves.py",
            "workflow_engine": "COMPSs Programming Model 3.3",
            "run_status": "COMPLETED",
            "start_time": "2026-01-17T15:56:26Z",
            "end_time": "2026-01-17T16:06:26Z",
        },
        elsewhere=(
            "file://node01/gpfs/scratch/ada/waves/data/",
            "file://node01/gpfs/scratch/ada/waves/out.png",
            "file://node01/gpfs/scratch/ada/waves/data/ST001.hdr",
        ),
    ),
    "autosubmit": Expected(
        fields={
            "name": "a000",
            "description": "Rain over one year",
            "license": "Apache-2.0",
            "date_published": "2026-06-01T10:00:00Z",
            "workflow_name": "conf/metadata/experiment_data",
            "workflow_engine": "Autosubmit 4.1.15",
            "run_status": "FAILED",
            "start_time": "2026-06-01T09:00:00Z",
            "end_time": "2026-06-01T09:59:00Z",
        },
        elsewhere=("file:///home/ada/.autosubmit/platforms.yml",),
    ),
    "runcrate": Expected(
        fields={
            "license": "Apache-2.0",
            "date_published": "2026-05-10T09:48:35Z",
            "workflow_name": "packed.cwl",
            "workflow_engine": "cwltool 3.1.20250715140722",
            "run_id": "c3f1a9b0-7777-4a0e-8d0d-cdbd1ae8b111",
            "start_time": "2026-05-09T15:44:38",
            "end_time": "2026-05-09T15:44:39",
            "tools": ["count.cwl"],
        },
        folders=(SHA1_FOLDER,),
    ),
    "sapporo": Expected(
        fields={
            "name": "Sapporo run 27469c13-8888-47af-9623-39cdee5f1a04",
            "description": "Outputs of the Sapporo run 27469c13-8888-47af-9623-39cdee5f1a04",
            "license": "Files are licensed by their owners.",
            "date_published": "2026-08-03T03:12:06Z",
            "organization": ["Sapporo WES Project"],
            "workflow_name": "trimming",
            "workflow_repository": "https://raw.example.org/lab/plates/6411de7/trimming.cwl",
            "workflow_engine": "cwltool 3.1",
            "run_id": "27469c13-8888-47af-9623-39cdee5f1a04",
            "run_status": "COMPLETED",
            "start_time": "2026-08-03T02:53:41",
            "end_time": "2026-08-03T02:54:07",
        },
    ),
    "ro-crate-1.1": Expected(
        fields={
            "name": "Plate 93",
            "description": "Absorbance of one plate",
            "license": "https://creativecommons.org/licenses/by/4.0/",
            "date_published": "2026",
            **PERSON,
            "organization": ["The Library"],
        },
        folders=("raw scans",),
    ),
    "ro-crate-1.2": Expected(
        fields={
            "name": "Plate 94",
            "description": "Absorbance of one plate",
            "license": "CC-BY-4.0",
            "date_published": "2026-02-03",
            **PERSON,
            "organization": ["The Library"],
            "end_time": "2026-02-03T09:00:00Z",
            "tools": ["Reader Control"],
            "instrument": ["Plate Reader 2"],
            "instrument_id": ["INST-2"],
        },
        folders=("scans", "nested"),
    ),
    "ro-crate-1.3": Expected(
        fields={
            "name": "Plate 95",
            "description": "Absorbance of one plate",
            "license": "CC0-1.0",
            "date_published": "2026-06-30T08:00:00Z",
            **PERSON,
            "creator": ["Josiah Carberry", "Assay Development"],
            "organization": ["Assay Development"],
            "run_status": "COMPLETED",
            "start_time": "2026-06-30T07:55:00Z",
            "end_time": "2026-06-30T08:00:00Z",
            "instrument": ["Plate Reader 2"],
            "instrument_id": ["INST-2"],
        },
    ),
    "quilt-profile-0.2": Expected(
        fields={
            "name": "2026-09-08-assay-01",
            "description": "Flow cytometry acquisition",
            "license": "https://example.org/legal/1.0",
            "date_published": "2026-09-08",
            # An example's name, but not with the ORCID of the example.
            "author": ["Jane Doe"],
            "author_orcid": ["0000-0002-1825-0097"],
            "creator": ["Jane Doe"],
            "producer": ["Assay Development", "Laboratory Operations"],
            "tools": ["flowtools"],
            "instrument": ["Flow Cytometer 1"],
            "instrument_id": ["INST-000123"],
            "eln_entry": ["ASSAY-1234"],
        },
        folders=("gates",),
        is_package=True,
    ),
}

every_crate = pytest.mark.parametrize("name", EXPECTED)


def document(name: str) -> bytes:
    return (CRATES / f"{name}.json").read_bytes()


def crate(name: str) -> Crate:
    return read_crate(document(name), LOCATION, "crate")


def listed_files(name: str) -> set[str]:
    """The files that a run leaves behind, in folders too."""
    parts = crate(name).parts
    assert parts
    expected = EXPECTED[name]
    files = parts.files - {*expected.not_kept, *expected.folders}
    return {*files, *(f"{folder}/file" for folder in expected.folders)}


def test_each_crate_is_expected() -> None:
    assert {path.stem for path in CRATES.iterdir()} == EXPECTED.keys()


@every_crate
def test_fields_are_those_of_the_run_its_tools_and_its_instruments(name: str) -> None:
    fields = crate(name).fields
    assert fields.pop("conforms_to")
    assert fields == EXPECTED[name].fields


@every_crate
def test_parts_are_those_that_ro_crate_py_finds(name: str) -> None:
    witness = ROCrate(json.loads(document(name)))
    read = crate(name)
    parts = read.parts
    assert parts
    assert read.fields.get("name") == witness.name
    ids = {entity.id for entity in witness.data_entities if not entity.id.startswith("#")}
    local = {each for each in ids if "://" not in each}
    assert parts.files | parts.folders == {unquote(each).rstrip("/") for each in local}
    assert set(parts.elsewhere) == {each for each in ids if each.startswith("file:")}
    assert set(parts.elsewhere) == set(EXPECTED[name].elsewhere)


class TestPackages:
    @pytest.fixture
    def raw(self, name: str, s3_stub: S3Stub) -> Bucket:
        """The folder of a run: its crate, what it lists, and a file that it does not list."""
        bucket = s3_stub.create_bucket("raw")
        for path in {*listed_files(name), "notes.txt"}:
            bucket.put(f"runs/42/{path}", path, stored=["SHA256"])
        bucket.put(LOCATION.key, document(name), stored=["SHA256"])
        return bucket

    async def run(self, s3: S3, **fields: Any) -> Outcome:
        message = {"source_prefix": f"s3://raw/runs/42/{CRATE}", **fields}
        return await package_request(s3, request_of(message))

    def manifest(self, raw: Bucket, outcome: Outcome) -> tuple[dict[str, Any], set[str]]:
        """The metadata and the logical keys of a package."""
        found = raw.get(f".quilt/packages/{outcome.top_hash}")
        assert found
        header, *entries = map(json.loads, found.data.splitlines())
        return header["user_meta"], {entry["logical_key"] for entry in entries}

    @every_crate
    async def test_have_the_whole_folder_unless_the_crate_is_the_package(
        self, s3: S3, raw: Bucket, name: str
    ) -> None:
        outcome = await self.run(s3)
        metadata, keys = self.manifest(raw, outcome)
        unlisted = set() if EXPECTED[name].is_package else {"notes.txt"}
        assert keys == listed_files(name) | {CRATE} | unlisted
        by_role = () if EXPECTED[name].is_package else ROLE_FIELDS
        for field in ("conforms_to", "package_name"):
            metadata.pop(field, None)
        fields = EXPECTED[name].fields
        assert metadata == {field: fields[field] for field in fields if field not in by_role}
        assert outcome.package_name == (crate(name).package_name or "runs/42")
        assert outcome.remark is None

    @every_crate
    async def test_have_the_folder_on_request(self, s3: S3, raw: Bucket, name: str) -> None:
        _, keys = self.manifest(raw, await self.run(s3, contents="folder"))
        assert keys == {*listed_files(name), CRATE, "notes.txt"}

    @every_crate
    async def test_have_the_listed_parts_on_request(self, s3: S3, raw: Bucket, name: str) -> None:
        lacking = {*EXPECTED[name].elsewhere, *EXPECTED[name].not_kept}
        if lacking:
            with pytest.raises(InvalidCrate) as rejected:
                await self.run(s3, contents="crate")
            assert all(part in rejected.value.happened for part in lacking)
        fields = {"contents": "crate", "missing_parts": "leave_out"}
        metadata, keys = self.manifest(raw, await self.run(s3, **fields))
        assert keys == {*listed_files(name), CRATE}
        assert set(metadata.get("missing_parts", ())) == lacking

    @every_crate
    async def test_may_require_the_parts(self, s3: S3, raw: Bucket, name: str) -> None:
        not_kept = EXPECTED[name].not_kept
        if not_kept:
            with pytest.raises(Incomplete, match=not_kept[0]):
                await self.run(s3, require=["crate"])
        await self.run(s3, require=["crate"], exclude=["workdir"])
        raw.delete(f"runs/42/{max(listed_files(name))}")
        with pytest.raises(Incomplete, match="1 file is missing of the crate"):
            await self.run(s3, require=["crate"], exclude=["workdir"], package_name="a/b")
