"""The hand-off of jobs that exceed one invocation to the state machine.

One invocation writes the shards of a job; a later one runs the same story again with the results.
Objects that have changed meanwhile have no result. docs/adr/0032-large-jobs.md has the reasons.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import chain
from typing import Self, TypeAlias
from uuid import uuid4

import msgspec

from quilt_packager_runtime import errors
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import (
    ArchivedObjects,
    AwsError,
    Explanation,
    LargeJobFailed,
    NotificationFailed,
    PackagerError,
    Rejected,
    WorkflowViolations,
)
from quilt_packager_runtime.formats.checksums import count_chunks, from_chunk_digests
from quilt_packager_runtime.formats.objects import Checksum, ChecksumAlgorithm, S3Uri, SourceObject
from quilt_packager_runtime.formats.outcome import Outcome
from quilt_packager_runtime.hashing.hash_objects import Hashed
from quilt_packager_runtime.hashing.object_hasher import never
from quilt_packager_runtime.hashing.unhashable import Unreadable, UnreadableKeys
from quilt_packager_runtime.large_jobs.batch_checksums import (
    FIRST_PAUSE_SECONDS,
    find_computable,
    write_manifests,
)
from quilt_packager_runtime.large_jobs.shards import (
    ChecksumCounts,
    ChecksumRefused,
    ChunkDigests,
    Item,
    JobFiles,
    ObjectChecksum,
    ResultRecord,
    decode_result,
    encode_lines,
    plan_shards,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.delivery import Delivery
from quilt_packager_runtime.settings import Settings

MAX_ROUNDS = 5
"""Maximum number of rounds of the map. The invocation after them has to finish the job."""

READS_IN_FLIGHT = 8
"""Number of results that are read at once: each is in memory, some megabytes large."""

WRITES_IN_FLIGHT = 8
"""Number of files of a plan that are written at once: each is in memory, some megabytes large."""

MAX_END_BYTES = 8 * 1024**2
"""Maximum size of a stored end: a reason may name many keys."""

PUBLISH = "publish"
"""The step that publishes. Its failure is stored by this name; those of workers by their shards."""

FAIL_JOB = "fail_job"
"""The step that moves a job's message to the dead-letter queue."""

STOPPED = frozenset({"ABORTED", "TIMED_OUT"})
"""Status of executions that no step ended: the last failure of a step is not the cause."""

NOTHING = Hashed(stored=0, computed=0)

File: TypeAlias = tuple[S3Uri, Iterable[msgspec.Struct]]
Version: TypeAlias = tuple[int, str, str | None, str]
"""Number of the source, key, version and ETag of an object."""
Pieces: TypeAlias = dict[tuple[SourceObject, ChecksumAlgorithm], dict[int, bytes]]


class HandOff(msgspec.Struct, frozen=True):
    """Permission to hand a job off to the state machine.

    Attributes:
        files: The files of the job, in the round that would begin.
        deadline: The time to hand off unfinished work, in seconds of `time.monotonic()`; None for
            the last round, which has to finish the job.
    """

    files: JobFiles
    deadline: float | None


class HandedOff(Exception):
    """Not an error: the job continues under the state machine."""

    def __init__(self, files: JobFiles, *, shards: int, objects: int) -> None:
        """Keep the files of the plan, and the numbers of shards and of objects in them."""
        super().__init__(f"the job continues with {objects} objects in {shards} shards")
        self.files = files
        self.shards = shards
        self.objects = objects

    @property
    def wait_seconds(self) -> int | None:
        """Time until the next step, if there are no shards to hash before it."""
        return None if self.shards else FIRST_PAUSE_SECONDS


@dataclass(frozen=True)
class StoredFailure(Explanation):
    """An error of a job, written to the scratch bucket.

    Attributes:
        quarantine: `quilt+s3` URI of the quarantined package, if there is one.
    """

    quarantine: str | None = None

    @classmethod
    def from_error(cls, error: PackagerError) -> Self:
        """Record an error."""
        quarantine = error.quarantine if isinstance(error, WorkflowViolations) else None
        return cls(error.code, error.happened, error.why, error.remedy, quarantine)

    def to_error(self) -> PackagerError:
        """Return the error; a `LargeJobFailed` with its sentences if the code is unknown."""
        kind = getattr(errors, self.code, LargeJobFailed)
        error: PackagerError = kind(self.happened, why=self.why, remedy=self.remedy)
        if isinstance(error, WorkflowViolations):
            error.quarantine = self.quarantine
        return error


class StoredEnd(msgspec.Struct, frozen=True, omit_defaults=True):
    """The end of a job, written to the scratch bucket until it can be reported.

    Attributes:
        outcome: The outcome, if the job succeeded.
        failure: The error, if it failed.
        is_announced: The event is published, and the message could not be moved.
    """

    outcome: Outcome | None = None
    failure: StoredFailure | None = None
    is_announced: bool = False

    @classmethod
    def from_end(cls, end: Outcome | PackagerError, *, is_announced: bool) -> Self:
        """Record an end."""
        if isinstance(end, Outcome):
            return cls(outcome=end, is_announced=is_announced)
        return cls(failure=StoredFailure.from_error(end), is_announced=is_announced)


async def is_too_large(inventory: Inventory, settings: Settings) -> bool:
    """Return whether the objects without a checksum exceed the limits of one invocation.

    Bytes count only where the listing does not report a usable checksum.
    """
    objects, size_bytes = await inventory.unhashed_totals(settings.checksum_algorithms)
    return objects > settings.max_inline_objects or size_bytes > settings.max_inline_bytes


async def write_plan(  # noqa: PLR0913 - the job and its parts
    s3: S3,
    files: JobFiles,
    inventory: Inventory,
    *,
    hashed: Hashed,
    settings: Settings,
    are_looked_up: bool,
) -> HandedOff:
    """Write the shards of a round, its batch jobs, and the checksums that are known.

    Args:
        s3: S3.
        files: The files of the job.
        inventory: The objects and their checksums.
        hashed: The origin of the checksums that this invocation found.
        settings: The limits of shards.
        are_looked_up: The stored checksums of archived objects are looked up: S3 Batch Operations
            has to compute the others, if the engine allows it.
    """
    is_batched = find_computable(s3, inventory.buckets, settings) if are_looked_up else never

    async def write(file: File) -> None:
        uri, lines = file
        await s3.put_object(uri, encode_lines(lines))

    if hashed != NOTHING:
        results = _inline_results(files, inventory, hashed, settings.max_shard_objects)
        await for_each(results, write, at_once=WRITES_IN_FLIGHT)
    shards = 0
    folder = inventory.folder
    others = {n: bucket for n, bucket in inventory.buckets.items() if bucket != folder.bucket}

    async def shard_files() -> AsyncIterator[File]:
        nonlocal shards
        blocks = (
            [each for each in block if not is_batched(each)]
            for archived in (True, False)
            async for block in inventory.unhashed(archived=archived)
        )
        async for tasks in plan_shards(
            blocks,
            max_objects=settings.max_shard_objects,
            max_bytes=settings.max_shard_bytes,
            buckets=others,
        ):
            yield files.shard(shards), tasks
            shards += 1

    left, _ = await inventory.unhashed_totals()
    await for_each(shard_files(), write, at_once=WRITES_IN_FLIGHT)
    items = (
        Item(
            files.job_id,
            files.round,
            number,
            folder,
            region=s3.region_of(folder.bucket),
            names_checksums=inventory.names_checksums,
            regions={bucket: s3.region_of(bucket) for bucket in others.values()},
        )
        for number in range(shards)
    )
    if shards:
        await write((files.items, items))
    await write_manifests(s3, files, inventory, is_batched, settings)
    return HandedOff(files, shards=shards, objects=left)


async def load_results(s3: S3, files: JobFiles, inventory: Inventory) -> Hashed:
    """Record the results of the rounds so far, for objects that have not changed.

    Memory: `READS_IN_FLIGHT` results, and the digests of very large objects that are not complete
    yet.

    Raises:
        ArchivedObjects: S3 Batch Operations could not compute checksums of objects.
    """
    stored = computed = 0
    pieces: Pieces = {}
    refused: dict[Version, str] = {}

    async def load(uri: S3Uri) -> None:
        nonlocal stored, computed
        records = decode_result((await s3.get_object(uri)).data)
        for counts in records:
            if isinstance(counts, ChecksumCounts):
                stored += counts.stored
                computed += counts.computed
        whole = list(_combine(records, pieces))
        computed += len(whole)
        known = (
            (each.found, each.checksum) for each in records if isinstance(each, ObjectChecksum)
        )
        inventory.record_known(chain(known, whole))
        refused.update(
            (_version_of(each.found), each.reason)
            for each in records
            if isinstance(each, ChecksumRefused)
        )

    results = [uri async for uri in _files(s3, files.results)]
    await for_each(results, load, at_once=READS_IN_FLIGHT)
    if refused:
        await _check_refused(inventory, refused)
    return Hashed(stored=stored, computed=computed)


def _version_of(found: SourceObject) -> Version:
    return found.source, found.key, found.version_id, found.etag


async def _check_refused(inventory: Inventory, refused: dict[Version, str]) -> None:
    """Reject the objects whose checksums S3 could not compute, if they are still in the folder."""
    unreadable = UnreadableKeys()
    async for block in inventory.unhashed(archived=True):
        for found in block:
            if reason := refused.get(_version_of(found)):
                unreadable.add(Unreadable(ArchivedObjects, reason), inventory.name_of(found))
    if unreadable:
        raise unreadable.error()


async def write_message(s3: S3, files: JobFiles, delivery: Delivery) -> None:
    """Write the delivered message with its complete request: the last file of a plan."""
    await s3.put_object(files.message, msgspec.json.encode(delivery))


async def read_message(s3: S3, files: JobFiles) -> Delivery:
    """Read the delivered message of a job."""
    return msgspec.json.decode((await s3.get_object(files.message)).data, type=Delivery)


async def has_plan(s3: S3, files: JobFiles) -> bool:
    """Return whether the state machine goes on with a job, which may run already."""
    return await s3.read_if_exists(files.message, max_bytes=1) is not None


async def has_items(s3: S3, files: JobFiles) -> bool:
    """Return whether there are shards to hash; a job that waits has none."""
    return await s3.read_if_exists(files.items, max_bytes=1) is not None


@asynccontextmanager
async def kept_if_unreported(
    s3: S3, files: JobFiles, end: Outcome | PackagerError
) -> AsyncIterator[None]:
    """Store the end of a job that cannot be reported, so that the next try reports this end.

    If it cannot be stored either, the next try repeats the job.
    """
    try:
        yield
    except AwsError as refused:
        stored = StoredEnd.from_end(end, is_announced=not isinstance(refused, NotificationFailed))
        with suppress(PackagerError):
            await s3.put_object(files.end, msgspec.json.encode(stored))
        raise


async def read_end(s3: S3, files: JobFiles) -> StoredEnd | None:
    """Read the end of a job that could not be reported; None if there is none."""
    found = await s3.read_if_exists(files.end, max_bytes=MAX_END_BYTES)
    return msgspec.json.decode(found.data, type=StoredEnd) if found else None


async def write_failure(s3: S3, files: JobFiles, name: int | str, error: PackagerError) -> None:
    """Store the error of a shard or of a step, which the state machine would lose."""
    await s3.put_object(files.failure(name), msgspec.json.encode(StoredFailure.from_error(error)))


async def find_failure(s3: S3, files: JobFiles, *, code: str, cause: str) -> PackagerError:
    """Find the reason why the execution of a job failed.

    Args:
        s3: S3.
        files: The files of the job, in the round that failed; in an earlier one if unknown.
        code: The error that the state machine reports.
        cause: The cause that the state machine reports.

    Returns:
        The error of a step that did not succeed later. A rejection comes first: other steps may
        have been waiting for a retry when it ended the job.
    """
    succeeded = {uri.key async for uri in _files(s3, files.results)}
    # Publishing leaves no result. It succeeded if it wrote the plan of another round.
    following = files.next_round()
    for plan in (following.items, following.batch):
        if await s3.read_if_exists(plan, max_bytes=1) is not None:
            succeeded.add(files.result(PUBLISH).key)
    first: PackagerError | None = None
    async for uri in _files(s3, files.failures):
        name = uri.key.removeprefix(files.failures.key).removesuffix(".json")
        if files.result(name).key in succeeded:
            continue
        data = (await s3.get_object(uri)).data
        error = msgspec.json.decode(data, type=StoredFailure).to_error()
        if isinstance(error, Rejected):
            return error
        first = first or error
    if first and code not in STOPPED:
        return first
    return LargeJobFailed(
        f"The state machine gave up: {errors.quote(code)}.",
        why=f"Its cause is {errors.quote(cause)}.",
        remedy="Look at the execution, and at the log of the checksum function; then send again.",
    )


async def _inline_results(
    files: JobFiles, inventory: Inventory, hashed: Hashed, size: int
) -> AsyncIterator[File]:
    """Make results of this invocation's checksums, like those of workers."""
    # A retry of publishing loads the results of the try before, and hashes other objects: its
    # files need other names. The first round loads nothing, so its retry hashes the same objects.
    name = f"inline-{uuid4().hex}" if files.round else "inline"
    yield files.result(name), [ChecksumCounts(hashed.stored, hashed.computed)]
    number = 0
    lines: list[ObjectChecksum] = []
    async for found, checksum in inventory.hashed():
        lines.append(ObjectChecksum(found, checksum))
        if len(lines) == size:
            yield files.result(f"{name}-{number:06}"), lines
            number += 1
            lines = []
    if lines:
        yield files.result(f"{name}-{number:06}"), lines


async def _files(s3: S3, folder: S3Uri) -> AsyncIterator[S3Uri]:
    async for keys in s3.list_keys(folder.bucket, folder.key):
        for key in keys:
            yield S3Uri(folder.bucket, key)


def _combine(
    records: Iterable[ResultRecord], pieces: Pieces
) -> Iterator[tuple[SourceObject, Checksum]]:
    """Collect digests of chunks, and yield the checksums of the objects that are complete."""
    for record in records:
        if not isinstance(record, ChunkDigests):
            continue
        found, algorithm = whole = record.found, record.algorithm
        digests = pieces.setdefault(whole, {})
        digests.update(enumerate(record.digests, start=record.first_chunk))
        if len(digests) == count_chunks(found.size_bytes):
            ordered = [digests[chunk] for chunk in sorted(pieces.pop(whole))]
            yield found, from_chunk_digests(algorithm, found.size_bytes, ordered)
