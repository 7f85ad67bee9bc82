"""Sample data of instruments and pipelines: small folders of files, and events about them.

The data is generated and always the same, so the top hashes of a demo are the same everywhere.
"""

import gzip
import hashlib
import json
import mimetypes
import random
from collections.abc import Iterable

import msgspec

MEBIBYTE = 1024 * 1024
CRATE = "ro-crate-metadata.json"
CHECKSUM_LIST = "md5sum.txt"
RUN_ID = "0525d4a9-ccd8-4f53-9ae3-3795511610d2"
SAMPLES = ("SAMPLE1_PE", "SAMPLE2_PE")


class SampleFolder(msgspec.Struct, frozen=True):
    """A folder to upload.

    Attributes:
        prefix: Its prefix in the bucket; ends in `/`.
        files: The bytes of each file by its path in the folder, in upload order.
    """

    prefix: str
    files: dict[str, bytes]


def nextflow_run(prefix: str) -> SampleFolder:
    """Create the `publishDir` of a Nextflow run: results, reports and, last, the crate.

    One file is larger than a chunk of 8 MiB, and one name has characters that need escaping.
    """
    files = {
        "main.nf": b'workflow { println "nf-core/demo" }\n',
        "nextflow.config": b"params.input = 'samplesheet.csv'\n",
        "samplesheet.csv": _table(
            [("sample", "fastq_1"), *((s, f"{s}_R1.fastq") for s in SAMPLES)]
        ),
    }
    for seed, sample in enumerate(SAMPLES):
        files[f"fq/{sample}/{sample}_R1.fastq.gz"] = gzip.compress(_fastq(seed), mtime=0)
        files[f"fastqc/{sample}/{sample}_1_fastqc.html"] = _page(f"FastQC of {sample}")
    files["star/SAMPLE1_PE.bam"] = random.Random(8).randbytes(9 * MEBIBYTE)  # noqa: S311
    files["multiqc/multiqc report #1 (50% ä+b).html"] = _page("MultiQC")
    files["pipeline_info/execution_trace.txt"] = _table([("task_id", "status"), ("1", "COMPLETED")])
    files[CRATE] = _crate(files)
    return SampleFolder(prefix, files)


def health_omics_run(prefix: str) -> SampleFolder:
    """Create the output of a HealthOmics run. The last component of `prefix` is the run's id."""
    return SampleFolder(
        prefix,
        {
            "out/variants/NA12878.vcf": b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n",
            "out/variants/NA12878.vcf.tbi": random.Random(12).randbytes(3_000),  # noqa: S311
            "logs/outputs.json": json.dumps({"vcf": "NA12878.vcf"}).encode(),
        },
    )


def listed_health_omics_run(prefix: str, *, bucket: str) -> SampleFolder:
    """Create the output of a HealthOmics run whose summary lists its files."""
    run = health_omics_run(prefix)
    outputs = [f"s3://{bucket}/{prefix}{path}" for path in run.files if path.startswith("out/")]
    summary = json.dumps(dict(zip(("vcf", "index"), outputs, strict=True)))
    return SampleFolder(prefix, {**run.files, "logs/outputs.json": summary.encode()})


def sequencing_run(prefix: str, *, samples: int = 2) -> SampleFolder:
    """Create the reads of some samples, and the list of their checksums."""
    reads = {
        f"reads/S{sample}_L001_R{read}.fastq.gz": gzip.compress(_fastq(10 * sample + read), mtime=0)
        for sample in range(1, samples + 1)
        for read in (1, 2)
    }
    return with_checksum_list(SampleFolder(prefix, {**reads, "RTAComplete.txt": b"complete\n"}))


def with_checksum_list(folder: SampleFolder, *, damaged: str | None = None) -> SampleFolder:
    """Add a list of the MD5 of each file to a folder, and then damage a file."""
    lines = [
        f"{hashlib.md5(data, usedforsecurity=False).hexdigest()}  {path}\n"
        for path, data in folder.files.items()
    ]
    files = {**folder.files, CHECKSUM_LIST: "".join(lines).encode()}
    if damaged is not None:
        files[damaged] = files[damaged][:-1]
    return SampleFolder(folder.prefix, files)


def plate(prefix: str) -> SampleFolder:
    """Create the upload of a plate reader, which EDP announces when it is complete."""
    wells = [(f"{row}{column}", f"{0.1 * column:.2f}") for row in "ABCD" for column in range(1, 7)]
    return SampleFolder(
        prefix,
        {
            "wells.csv": _table([("well", "absorbance"), *wells]),
            "raw/scan_01.tiff": random.Random(93).randbytes(48_000),  # noqa: S311
            "metadata.json": json.dumps({"assay": "ELISA", "operator": "grace"}).encode(),
        },
    )


def cytometer_run(prefix: str, *, seed: int) -> SampleFolder:
    """Create the upload of a cytometer: 25 files, one for each well, and no completion marker."""
    events = random.Random(seed)  # noqa: S311
    wells = [f"{row}{column}" for row in "ABCDE" for column in range(1, 6)]
    return SampleFolder(prefix, {f"wells/{well}.fcs": events.randbytes(2_000) for well in wells})


def slide(prefix: str) -> SampleFolder:
    """Create the upload of a slide scanner: 144 tiles of one slide."""
    pixels = random.Random(12)  # noqa: S311
    tiles = [f"tile_{row:02}_{column:02}.tiff" for row in range(12) for column in range(12)]
    return SampleFolder(prefix, {f"tiles/{tile}": pixels.randbytes(1_000) for tile in tiles})


def health_omics_event(bucket: str, prefix: str, *, account: str, region: str) -> dict[str, object]:
    """Create a PutEvents entry for a completed HealthOmics run.

    The last component of `prefix`, the run's output folder, is the run's id.
    """
    folder = prefix.rstrip("/")
    run_id = folder.rpartition("/")[2]
    arn = f"arn:aws:omics:{region}:{account}:run/{run_id}"
    detail = {
        "omicsVersion": "1.0.0",
        "arn": arn,
        "status": "COMPLETED",
        "uuid": "ccc9edf5-40b6-b07f-af6c-93ec4b77e2e0",
        "runId": run_id,
        "runName": "NA12878",
        # HealthOmics writes no trailing slash.
        "runOutputUri": f"s3://{bucket}/{folder}",
        "workflowId": "1234567",
        "workflowName": "germline variants",
    }
    return _entry("aws.omics", "Run Status Change", detail, resources=[arn])


def objects_ready_event(bucket: str, prefix: str, *, bus: str) -> dict[str, object]:
    """Create a PutEvents entry of EDP for a folder that has received no object for a while."""
    detail = {"version": "0.1", "bucket": bucket, "prefix": prefix}
    resources = [f"arn:aws:s3:::{bucket}"]
    entry = _entry("com.quiltdata.edp", "package-objects-ready", detail, resources=resources)
    return {**entry, "EventBusName": bus}


def _entry(
    source: str, detail_type: str, detail: dict[str, str], *, resources: list[str]
) -> dict[str, object]:
    return {
        "Source": source,
        "DetailType": detail_type,
        "Detail": json.dumps(detail),
        "Resources": resources,
    }


def _table(rows: Iterable[tuple[str, str]]) -> bytes:
    return "".join(f"{left},{right}\n" for left, right in rows).encode()


def _page(title: str) -> bytes:
    return f"<!doctype html><title>{title}</title><h1>{title}</h1>\n".encode()


def _fastq(seed: int) -> bytes:
    bases = random.Random(seed)  # noqa: S311
    reads = ("".join(bases.choices("ACGT", k=100)) for _ in range(200))
    return "".join(f"@read{n}\n{read}\n+\n{'I' * 100}\n" for n, read in enumerate(reads)).encode()


def _crate(paths: Iterable[str]) -> bytes:
    """Create a Workflow Run RO-Crate as nf-prov writes it."""
    files = list(paths)
    profiles = ["process/0.1", "workflow/0.1", "provenance/0.1"]
    times = {"startTime": "2026-11-20T09:07:42+01:00", "endTime": "2026-11-20T09:19:57+01:00"}
    graph = [
        {
            "@id": CRATE,
            "@type": "CreativeWork",
            "about": _ref("./"),
            "conformsTo": [
                _ref("https://w3id.org/ro/crate/1.1"),
                _ref("https://w3id.org/workflowhub/workflow-ro-crate/1.0"),
            ],
        },
        {
            "@id": "./",
            "@type": "Dataset",
            "name": "Workflow run of nf-core/demo",
            "description": "An nf-core demo pipeline",
            "datePublished": "2026-11-20",
            "author": _ref("https://orcid.org/0000-0002-1825-0097"),
            "conformsTo": [_ref(f"https://w3id.org/ro/wfrun/{profile}") for profile in profiles],
            "hasPart": [_ref(path) for path in files],
            "mainEntity": _ref("main.nf"),
            "mentions": [_ref(f"#{RUN_ID}")],
            "license": "https://spdx.org/licenses/Apache-2.0",
        },
        {
            "@id": "main.nf",
            "@type": ["File", "SoftwareSourceCode", "ComputationalWorkflow", "HowTo"],
            "name": "nf-core/demo",
            "programmingLanguage": _ref("https://w3id.org/workflowhub/workflow-ro-crate#nextflow"),
            "version": "1.0.0",
            "url": "https://github.com/nf-core/demo",
        },
        {
            "@id": "https://w3id.org/workflowhub/workflow-ro-crate#nextflow",
            "@type": "ComputerLanguage",
            "name": "Nextflow",
            "identifier": "https://www.nextflow.io/",
            "version": "24.10.2",
        },
        {
            "@id": f"#{RUN_ID}",
            "@type": "CreateAction",
            "name": f"Nextflow workflow run {RUN_ID}",
            "agent": _ref("https://orcid.org/0000-0002-1825-0097"),
            "instrument": _ref("main.nf"),
            "object": [_ref("samplesheet.csv")],
            "result": [_ref(path) for path in files if path.startswith(("star/", "multiqc/"))],
            "actionStatus": "http://schema.org/CompletedActionStatus",
            **times,
        },
        {
            "@id": "https://orcid.org/0000-0002-1825-0097",
            "@type": "Person",
            "name": "Josiah Carberry",
        },
        *(_file(path) for path in files if path != "main.nf"),
    ]
    context = "https://w3id.org/ro/crate/1.1/context"
    return json.dumps({"@context": context, "@graph": graph}, indent=4).encode()


def _file(path: str) -> dict[str, object]:
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    return {
        "@id": path,
        "@type": "File",
        "name": path.rpartition("/")[2],
        "encodingFormat": kind,
    }


def _ref(identifier: str) -> dict[str, str]:
    return {"@id": identifier}
