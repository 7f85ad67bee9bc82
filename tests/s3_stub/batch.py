"""S3 Batch Operations: jobs that compute checksums when a test says so, and their reports."""

import csv
import io
import json
import xml.etree.ElementTree as ET
from urllib.parse import unquote

from tests.s3_stub import checksums
from tests.s3_stub.protocol import Refusal, Request, Response
from tests.s3_stub.store import Store
from tests.s3_stub.versions import Version

PATH = "v20180820"
"""What stands where requests to S3 have the bucket."""

_FAILED = (
    'PermanentFailure,"error details: {""failureMessage"":"Task 2845 Key not found", '
    '""errorCode"": ""404""}"'
)
"""Error code and message, with quotes that S3 does not escape either."""

_NAMESPACE = ' xmlns="http://awss3control.amazonaws.com/doc/2018-08-20/"'


class BatchJob:
    """A job: what was asked, and how far it is.

    Attributes:
        document: The body of CreateJob.
        status: Such as `Active`.
    """

    def __init__(self, document: "ET.Element") -> None:
        self.document = document
        self.status = "Active"

    def text(self, path: str) -> str:
        """The text of an element of CreateJob."""
        return self.document.findtext("/".join(f"{{*}}{each}" for each in path.split("/")), "")


class BatchJobs:
    """All jobs of a store, by id, and the ids by token.

    Attributes:
        jobs: The jobs, by id.
        refused_keys: Keys of objects that S3 cannot hash.
    """

    def __init__(self) -> None:
        self.refused_keys: set[str] = set()
        self.jobs: dict[str, BatchJob] = {}
        self._tokens: dict[str, str] = {}

    def create(self, data: bytes) -> Response:
        """CreateJob: the same token gives the same job."""
        job = BatchJob(ET.fromstring(data))  # noqa: S314 - our own client's
        job_id = self._tokens.setdefault(job.text("ClientRequestToken"), f"job-{len(self.jobs):04}")
        self.jobs.setdefault(job_id, job)
        return _answer("CreateJobResult", f"<JobId>{job_id}</JobId>")

    def describe(self, job_id: str) -> Response:
        """DescribeJob."""
        if job_id not in self.jobs:
            raise Refusal(404, "NoSuchJob")
        status = self.jobs[job_id].status
        content = f"<Job><JobId>{job_id}</JobId><Status>{status}</Status></Job>"
        return _answer("DescribeJobResult", content)

    def finish(self, store: Store) -> None:
        """Run the active jobs, and write their reports."""
        for job_id, job in self.jobs.items():
            if job.status == "Active":
                _write_report(store, job_id, job, self.refused_keys)
                job.status = "Complete"


def apply_batch(jobs: BatchJobs, request: Request, data: bytes) -> Response:
    """Do what a request to S3 Control asks."""
    if request.operation == "CreateJob":
        return jobs.create(data)
    return jobs.describe(request.key.rpartition("/")[2])


def name_batch_operation(request: Request) -> str:
    """S3 Control's name for what a request asks."""
    return "CreateJob" if request.method == "POST" else "DescribeJob"


def _write_report(store: Store, job_id: str, job: BatchJob, refused_keys: set[str]) -> None:
    bucket, key = _split_arn(job.text("Manifest/Location/ObjectArn"))
    manifest = store.buckets[bucket].get(key)
    if manifest is None or manifest.etag != job.text("Manifest/Location/ETag"):
        raise Refusal(400, "InvalidManifest")
    algorithm = job.text("Operation/S3ComputeObjectChecksum/ChecksumAlgorithm")
    reports, _ = _split_arn(job.text("Report/Bucket"))
    prefix = f"{job.text('Report/Prefix')}/job-{job_id}"
    results = []
    lines: dict[str, list[str]] = {"succeeded": [], "failed": []}
    for bucket, key, *version_id in csv.reader(io.StringIO(manifest.data.decode())):
        name = unquote(key)
        found = None if name in refused_keys else store.buckets[bucket].get(name, *version_id)
        status = "failed" if found is None else "succeeded"
        outcome = _FAILED if found is None else _computed(found, algorithm)
        place = ",".join([bucket, key, *(version_id or [""])])
        lines[status].append(f"{place},{status},200,{outcome}\n")
    for status, rows in lines.items():
        if rows:
            name = f"{prefix}/results/{status}.csv"
            store.buckets[reports].put(name, "".join(rows))
            results.append({"TaskExecutionStatus": status, "Bucket": reports, "Key": name})
    document = {"Format": "Report_CSV_20180820", "Results": results}
    store.buckets[reports].put(f"{prefix}/manifest.json", json.dumps(document))


def _computed(found: Version, algorithm: str) -> str:
    result = {
        "checksum_base64": checksums.encode(checksums.digest(algorithm, [found.data])),
        "etag": found.etag,
        "checksumAlgorithm": algorithm,
        "checksumType": "FULL_OBJECT",
    }
    return ',"' + json.dumps(result).replace('"', '""') + '"'


def _split_arn(arn: str) -> tuple[str, str]:
    bucket, _, key = arn.partition(":::")[2].partition("/")
    return bucket, key


def _answer(root: str, content: str) -> Response:
    document = f"<{root}{_NAMESPACE}>{content}</{root}>".encode()
    return Response(200, {"Content-Type": "application/xml"}, document)
