"""Checksums of archived objects, which S3 Batch Operations computes without a restore.

The step before the wait writes manifests, and the step that publishes creates the jobs, waits for
them, and writes their reports as results, like those of workers. docs/adr/0035-archived-objects.md
has the reasons.
"""

import csv
import hashlib
import io
from collections.abc import AsyncIterator, Callable, Mapping
from urllib.parse import quote, unquote_plus

import msgspec

from quilt_packager_runtime.aws.batch_operations import (
    COMPLETE,
    ENDED_EARLY,
    S3_ALGORITHMS,
    ChecksumJob,
    create_job,
    describe_job,
)
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.errors import LargeJobFailed, printable
from quilt_packager_runtime.errors import quote as quote_name
from quilt_packager_runtime.formats.checksums import from_stored, whole_object_algorithm
from quilt_packager_runtime.formats.objects import (
    ChecksumAlgorithm,
    S3Uri,
    SourceObject,
    StoredChecksums,
)
from quilt_packager_runtime.hashing.object_hasher import never
from quilt_packager_runtime.large_jobs.shards import (
    ChecksumCounts,
    ChecksumRefused,
    JobFiles,
    ObjectChecksum,
    Task,
    decode_tasks,
    encode_lines,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.settings import Settings

MAX_MANIFEST_OBJECTS = 250_000
"""Maximum number of objects of a job: its report is in memory, a hundred megabytes large."""

FIRST_PAUSE_SECONDS = 60
MAX_PAUSE_SECONDS = 1800
SHARE = 0.1
"""A pause as a share of the time so far: a job takes minutes, or a week."""

ENCRYPTION = "AES256"
"""Encryption of manifests. Reports have it too, whatever the default of the bucket."""

MAX_PLAN_BYTES = 1024**2
MAX_REASON_CHARACTERS = 300
SUCCEEDED = "succeeded"
RESULT_COLUMN = 6

Found = tuple[str, str, str]
"""Bucket, key and version of an object; the version is empty if it has none."""


class Manifest(msgspec.Struct, frozen=True, omit_defaults=True):
    """The objects of one job of S3 Batch Operations.

    Attributes:
        name: Name of the files.
        algorithm: Algorithm of the checksums.
        has_versions: The objects have version ids.
        etag: ETag of the CSV file.
        job_id: The job, once it is created.
    """

    name: str
    algorithm: ChecksumAlgorithm
    has_versions: bool
    etag: str
    job_id: str = ""


class _Report(msgspec.Struct, frozen=True):
    """The `manifest.json` of a report: its files."""

    class File(msgspec.Struct, frozen=True):
        """One file, with tasks that succeeded or with others."""

        key: str = msgspec.field(name="Key")

    files: list[File] = msgspec.field(name="Results")


class _Computed(msgspec.Struct, frozen=True):
    """The result of a task that succeeded."""

    checksum: str = msgspec.field(name="checksum_base64")
    etag: str
    algorithm: str = msgspec.field(name="checksumAlgorithm")
    type: str = msgspec.field(name="checksumType")


def pause_seconds(waited_seconds: float) -> int:
    """Return the time until the next look at the jobs.

    Example:
        >>> [pause_seconds(waited) for waited in (0, 3600, 86400)]
        [60, 360, 1800]
    """
    return int(min(MAX_PAUSE_SECONDS, max(FIRST_PAUSE_SECONDS, SHARE * waited_seconds)))


def find_computable(
    s3: S3, buckets: Mapping[int, str], settings: Settings
) -> Callable[[SourceObject], bool]:
    """Return a predicate: S3 Batch Operations can compute the checksum of an object.

    A job runs in the region of its objects, its manifest and its report.

    Args:
        s3: S3.
        buckets: Buckets of the sources, by their numbers.
        settings: The role of the jobs, the accepted algorithms and the scratch bucket.
    """
    if settings.batch_role_arn is None or settings.scratch_bucket is None:
        return never
    region = s3.region_of(settings.scratch_bucket)
    algorithms = settings.checksum_algorithms

    def is_computable(found: SourceObject) -> bool:
        return (
            found.archived
            and not found.digests
            and whole_object_algorithm(found.size_bytes, algorithms) is not None
            and s3.region_of(buckets[found.source]) == region
        )

    return is_computable


async def write_manifests(
    s3: S3,
    files: JobFiles,
    inventory: Inventory,
    is_computable: Callable[[SourceObject], bool],
    settings: Settings,
) -> None:
    """Write the manifests of a round's jobs, and then their list, if there are any."""
    if is_computable is never:
        return
    chosen: dict[tuple[ChecksumAlgorithm, bool], list[Task]] = {}
    async for found in _unhashed(inventory, is_computable):
        algorithm = whole_object_algorithm(found.size_bytes, settings.checksum_algorithms)
        if algorithm is not None:
            group = chosen.setdefault((algorithm, found.version_id is not None), [])
            group.append(Task(found, bucket=inventory.buckets[found.source]))
    manifests: list[Manifest] = []
    for (algorithm, has_versions), tasks in chosen.items():
        for first in range(0, len(tasks), MAX_MANIFEST_OBJECTS):
            some = tasks[first : first + MAX_MANIFEST_OBJECTS]
            name = f"{len(manifests):03}"
            await s3.put_object(files.batch_file(f"{name}.jsonl"), encode_lines(some))
            rows = "".join(_manifest_row(task) for task in some).encode()
            uri = files.batch_file(f"{name}.csv")
            etag = await s3.put_object(uri, rows, encryption=ENCRYPTION)
            manifests.append(Manifest(name, algorithm, has_versions, etag))
    if manifests:
        await s3.put_object(files.batch, msgspec.json.encode(manifests))


async def read_checksums(s3: S3, files: JobFiles, role_arn: str) -> bool:
    """Create the jobs of a round; once all are complete, write their reports as results.

    Args:
        s3: S3.
        files: The files of the job, in the round that waits for checksums.
        role_arn: Role of the jobs.

    Returns:
        False if jobs still run.

    Raises:
        LargeJobFailed: A job failed or was cancelled.
        AwsError: S3 Batch Operations refused a request.
    """
    plan = await s3.read_if_exists(files.batch, max_bytes=MAX_PLAN_BYTES)
    if plan is None:
        return True
    manifests = msgspec.json.decode(plan.data, type=list[Manifest])
    if not all(each.job_id for each in manifests):
        manifests = [_with_job(each, files, role_arn) for each in manifests]
        await s3.put_object(files.batch, msgspec.json.encode(manifests))
    # No generator: a job that failed ends the wait at once.
    are_complete = [_is_complete(each, role_arn) for each in manifests]
    if not all(are_complete):
        return False
    for each in manifests:
        result = files.result(f"batch-{each.name}")
        if await s3.read_if_exists(result, max_bytes=1) is not None:
            continue
        records = await _read_report(s3, files, each)
        if records is None:
            return False
        computed = sum(isinstance(record, ObjectChecksum) for record in records)
        lines = [ChecksumCounts(stored=0, computed=computed), *records]
        await s3.put_object(result, encode_lines(lines))
    return True


async def _unhashed(
    inventory: Inventory, is_computable: Callable[[SourceObject], bool]
) -> AsyncIterator[SourceObject]:
    async for block in inventory.unhashed(archived=True):
        for found in block:
            if is_computable(found):
                yield found


def _manifest_row(task: Task) -> str:
    """Write a row. A percent-encoded key has neither commas nor quotes."""
    row = [task.bucket or "", quote(task.found.key, safe="/")]
    return ",".join([*row, *filter(None, [task.found.version_id])]) + "\n"


def _with_job(manifest: Manifest, files: JobFiles, role_arn: str) -> Manifest:
    uri = files.batch_file(f"{manifest.name}.csv")
    # The limit of a token is 64 characters.
    token = hashlib.sha256(f"{uri}\n{manifest.etag}".encode()).hexdigest()
    job = ChecksumJob(
        role_arn=role_arn,
        algorithm=manifest.algorithm,
        manifest=uri,
        etag=manifest.etag,
        has_versions=manifest.has_versions,
        report_prefix=files.batch_file("reports").key,
        token=token,
    )
    return msgspec.structs.replace(manifest, job_id=create_job(job))


def _is_complete(manifest: Manifest, role_arn: str) -> bool:
    state = describe_job(role_arn, manifest.job_id)
    if state.status in ENDED_EARLY:
        raise LargeJobFailed(
            f"The job {manifest.job_id} of S3 Batch Operations ended early: {state.status}.",
            why=f"S3 says {quote_name(state.reason)}."
            if state.reason
            else "A user may have cancelled it.",
            remedy="Look at the job and its report in the S3 console; then send again.",
        )
    return state.status == COMPLETE


async def _read_report(
    s3: S3, files: JobFiles, manifest: Manifest
) -> list[ObjectChecksum | ChecksumRefused] | None:
    """Read the report of a job; None if it is not written yet."""
    folder = files.batch_file(f"reports/job-{manifest.job_id}/")
    index = await s3.read_if_exists(
        S3Uri(folder.bucket, f"{folder.key}manifest.json"), max_bytes=MAX_PLAN_BYTES
    )
    if index is None:
        return None
    tasks = decode_tasks((await s3.get_object(files.batch_file(f"{manifest.name}.jsonl"))).data)
    wanted = {
        (task.bucket or "", task.found.key, task.found.version_id or ""): task.found
        for task in tasks
    }
    records: list[ObjectChecksum | ChecksumRefused] = []
    for file in msgspec.json.decode(index.data, type=_Report).files:
        body = await s3.get_object(S3Uri(files.bucket, file.key))
        for row in csv.reader(io.StringIO(body.data.decode(), newline="")):
            bucket, key, version, status, *_ = row
            found = wanted.get((bucket, unquote_plus(key), version))
            record = _record(found, status, row, manifest.algorithm) if found else None
            if record is not None:
                records.append(record)
    return records


def _record(
    found: SourceObject, status: str, row: list[str], algorithm: ChecksumAlgorithm
) -> ObjectChecksum | ChecksumRefused | None:
    """Return the record of a task; None if it is about other bytes than the listed ones."""
    # The reason of a failure has quotes and commas that are not escaped.
    message = ",".join(row[RESULT_COLUMN:])
    if status != SUCCEEDED:
        codes = row[RESULT_COLUMN - 2 : RESULT_COLUMN]
        reason = printable(" ".join(filter(None, [*codes, message])))
        return ChecksumRefused(found, f"S3 Batch Operations: {reason[:MAX_REASON_CHARACTERS]}.")
    try:
        computed = msgspec.json.decode(message, type=_Computed)
    except msgspec.DecodeError as error:
        return ChecksumRefused(found, f"The report cannot be read: {printable(str(error))}.")
    if computed.etag.strip('"') != found.etag.strip('"'):
        return None
    is_asked = computed.algorithm == S3_ALGORITHMS[algorithm]
    field = "crc64nvme" if algorithm is ChecksumAlgorithm.CRC64NVME else "sha256"
    stored = StoredChecksums(**{field: computed.checksum}, type=computed.type)
    checksum = from_stored(algorithm, found.size_bytes, stored) if is_asked else None
    if checksum is None:
        return ChecksumRefused(found, "The report has a checksum of another kind.")
    return ObjectChecksum(found, checksum)
