"""Jobs beyond one invocation: handed over to the state machine, and taken up again.

Whoever hands a job over writes its shards, and whoever takes it up again runs the same story once
more with the checksums that are known by then. What has changed meanwhile is merely not known.
docs/adr/0032-large-jobs.md has the reasons.
"""

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import NoReturn, Self, TypeAlias
from uuid import uuid4

import msgspec

from quilt_packager_runtime import errors
from quilt_packager_runtime.aws.s3 import S3
from quilt_packager_runtime.concurrency import for_each
from quilt_packager_runtime.errors import (
    Explanation,
    LargeJobFailed,
    PackagerError,
    Rejected,
    WorkflowViolations,
)
from quilt_packager_runtime.formats.checksums import count_chunks, from_chunk_digests
from quilt_packager_runtime.formats.objects import Checksum, ChecksumAlgorithm, S3Uri, SourceObject
from quilt_packager_runtime.hashing.hash_objects import Hashed
from quilt_packager_runtime.large_jobs.shards import (
    ChecksumCounts,
    ChunkDigests,
    Item,
    Job,
    ObjectChecksum,
    ResultRecord,
    decode_findings,
    encode_lines,
    plan_shards,
)
from quilt_packager_runtime.listing.inventory import Inventory
from quilt_packager_runtime.requests.messages import PackageRequest
from quilt_packager_runtime.settings import Settings

MAX_ROUNDS = 5
"""How often the map goes over what is left, before a job has to end with one invocation."""

READS_IN_FLIGHT = 8
"""How many results are read at once: each is in memory, some megabytes large."""

WRITES_IN_FLIGHT = 8
"""How many files of a plan are written at once: each is in memory, some megabytes large."""

PUBLISHING = "publish"
"""The step whose failure is told under this name; those of workers have their shards' numbers."""

FAIL_JOB = "fail_job"
"""The step that puts a job's message aside."""

ENDED_BY_OTHERS = frozenset({"ABORTED", "TIMED_OUT"})
"""How executions end that no step of theirs has ended: what a step waited for is not why."""

NOTHING = Hashed(stored=0, computed=0)

File: TypeAlias = tuple[S3Uri, Iterable[msgspec.Struct]]
Pieces: TypeAlias = dict[tuple[SourceObject, ChecksumAlgorithm], dict[int, bytes]]


class HandOff(msgspec.Struct, frozen=True):
    """A job that may be handed over, and when it is to be.

    Attributes:
        job: The job.
        deadline: When to hand over what is left, in seconds of the event loop's clock; None for
            the last round, which has to end with this invocation.
    """

    job: Job
    deadline: float | None


class HandedOff(Exception):
    """Not an error: the job goes on under the state machine.

    Args:
        shards: How many shards there are.
        objects: How many objects are in them.
    """

    def __init__(self, shards: int, objects: int) -> None:
        """Say so, for a log."""
        super().__init__(f"the job goes on with {objects} objects in {shards} shards")
        self.shards = shards
        self.objects = objects


class JobMessage(msgspec.Struct, frozen=True):
    """The message that asked for a job.

    Attributes:
        body: Its body.
        message_id: Its id.
        request: What it asked for, events looked up.
        started_seconds: When the job began, in seconds since 1970.
    """

    body: str
    message_id: str
    request: PackageRequest
    started_seconds: float


@dataclass(frozen=True)
class Failure(Explanation):
    """An error of a large job, written to the scratch bucket.

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
        """The error as it was; with its sentences alone if another version wrote its code."""
        kind = getattr(errors, self.code, LargeJobFailed)
        error: PackagerError = kind(self.happened, why=self.why, remedy=self.remedy)
        if isinstance(error, WorkflowViolations):
            error.quarantine = self.quarantine
        return error


async def is_too_large(inventory: Inventory, relay: HandOff, settings: Settings) -> bool:
    """Whether more is left to hash than one invocation should, and others can.

    Bytes count that have to be hashed, unless the listing says that S3 has done it.

    Args:
        inventory: The objects, and what is known of them.
        relay: As what to hand it over.
        settings: The limits.
    """
    if relay.deadline is None:
        return False
    objects, size_bytes = await inventory.unhashed_totals(settings.checksum_algorithms)
    return objects > settings.max_inline_objects or size_bytes > settings.max_inline_bytes


async def hand_over(
    s3: S3, job: Job, inventory: Inventory, *, hashed: Hashed, settings: Settings
) -> NoReturn:
    """Write a plan of what is left to hash, keep what is known, and end this part of the job.

    Args:
        s3: S3.
        job: The job.
        inventory: The objects, and what is known of them.
        hashed: Where the checksums came from that this invocation found, and that are kept.
        settings: The sizes of shards.

    Raises:
        HandedOver: It is written.
    """

    async def write(file: File) -> None:
        uri, lines = file
        await s3.put_object(uri, encode_lines(lines))

    if hashed != NOTHING:
        files = _inline_results(job, inventory, hashed, settings.max_shard_objects)
        await for_each(files, write, at_once=WRITES_IN_FLIGHT)
    shards = 0

    async def shard_files() -> AsyncIterator[File]:
        nonlocal shards
        blocks = (
            block
            for archived in (True, False)
            async for block in inventory.unhashed(archived=archived)
        )
        async for tasks in plan_shards(
            blocks, max_objects=settings.max_shard_objects, max_bytes=settings.max_shard_bytes
        ):
            yield job.shard(shards), tasks
            shards += 1

    left, _ = await inventory.unhashed_totals()
    await for_each(shard_files(), write, at_once=WRITES_IN_FLIGHT)
    items = (Item(job.id, job.round, number, inventory.folder) for number in range(shards))
    await write((job.items, items))
    raise HandedOff(shards, left)


async def load_results(s3: S3, job: Job, inventory: Inventory) -> Hashed:
    """Record what the rounds so far have found of the objects that are still what they were.

    Memory: `READS_IN_FLIGHT` results, and the digests of very large objects that are not complete
    yet.

    Args:
        s3: S3.
        job: The job.
        inventory: The objects, listed anew; takes their checksums.

    Returns:
        Where the checksums came from.
    """
    stored = computed = 0
    pieces: Pieces = {}

    async def take(uri: S3Uri) -> None:
        nonlocal stored, computed
        findings = decode_findings((await s3.get_object(uri)).data)
        for tally in findings:
            if isinstance(tally, ChecksumCounts):
                stored += tally.stored
                computed += tally.computed
        whole = list(_combine(findings, pieces))
        computed += len(whole)
        known = (
            (each.found, each.checksum) for each in findings if isinstance(each, ObjectChecksum)
        )
        inventory.record_known(chain(known, whole))

    results = [uri async for uri in _files(s3, job.results)]
    await for_each(results, take, at_once=READS_IN_FLIGHT)
    return Hashed(stored=stored, computed=computed)


async def keep_message(s3: S3, job: Job, message: JobMessage) -> None:
    """Write the message of a job, the last file of its plan.

    Args:
        s3: S3.
        job: The job.
        message: The message.
    """
    await s3.put_object(job.message, msgspec.json.encode(message))


async def read_message(s3: S3, job: Job) -> JobMessage:
    """Read the message of a job.

    Args:
        s3: S3.
        job: The job.
    """
    return msgspec.json.decode((await s3.get_object(job.message)).data, type=JobMessage)


async def is_handed_over(s3: S3, job: Job) -> bool:
    """Whether a job has a whole plan, so that it may be running already.

    Args:
        s3: S3.
        job: The job.
    """
    return await s3.read_if_exists(job.message, max_bytes=1) is not None


async def record_failure(s3: S3, job: Job, name: int | str, error: PackagerError) -> None:
    """Keep the reason of a failure, which the state machine would lose.

    Args:
        s3: S3.
        job: The job.
        name: The shard, or the step.
        error: Why it failed.
    """
    await s3.put_object(job.failure(name), msgspec.json.encode(Failure.from_error(error)))


async def find_failure(s3: S3, job: Job, *, code: str, cause: str) -> PackagerError:
    """Say why the state machine gave up on a job.

    Args:
        s3: S3.
        job: The job, in the round in which it failed; in an earlier one if that is not known.
        code: What the state machine says.
        cause: What it says about it.

    Returns:
        The error of a step that failed, and did not succeed later. A rejection comes first: others
        may have been waiting for their next try when it ended the job, or when somebody did.
    """
    overcome = {uri.key async for uri in _files(s3, job.results)}
    # Publishing leaves no result. It was overcome if it left something to another round.
    following = msgspec.structs.replace(job, round=job.round + 1)
    if await s3.read_if_exists(following.items, max_bytes=1) is not None:
        overcome.add(job.result(PUBLISHING).key)
    first: PackagerError | None = None
    async for uri in _files(s3, job.failures):
        name = uri.key.removeprefix(job.failures.key).removesuffix(".json")
        if job.result(name).key in overcome:
            continue
        error = msgspec.json.decode((await s3.get_object(uri)).data, type=Failure).to_error()
        if isinstance(error, Rejected):
            return error
        first = first or error
    if first and code not in ENDED_BY_OTHERS:
        return first
    return LargeJobFailed(
        f"The state machine gave up: {errors.quote(code)}.",
        why=f"Its cause is {errors.quote(cause)}.",
        remedy="Look at the execution, and at the log of the checksum function; then send again.",
    )


async def _inline_results(
    job: Job, inventory: Inventory, hashed: Hashed, size: int
) -> AsyncIterator[File]:
    """Results of what was hashed here, as if workers had done it."""
    # Publishing that is tried again takes up what its last try kept, and keeps other objects. A
    # first round takes up nothing: tried again, it has hashed all of them once more.
    name = f"kept-{uuid4().hex}" if job.round else "kept"
    yield job.result(name), [ChecksumCounts(hashed.stored, hashed.computed)]
    number = 0
    lines: list[ObjectChecksum] = []
    async for found, checksum in inventory.hashed():
        lines.append(ObjectChecksum(found, checksum))
        if len(lines) == size:
            yield job.result(f"{name}-{number:06}"), lines
            number += 1
            lines = []
    if lines:
        yield job.result(f"{name}-{number:06}"), lines


async def _files(s3: S3, folder: S3Uri) -> AsyncIterator[S3Uri]:
    async for keys in s3.list_keys(folder.bucket, folder.key):
        for key in keys:
            yield S3Uri(folder.bucket, key)


def _combine(
    findings: Iterable[ResultRecord], pieces: Pieces
) -> Iterator[tuple[SourceObject, Checksum]]:
    """Take in digests of chunks; give out the checksums of the objects that are complete."""
    for piece in findings:
        if not isinstance(piece, ChunkDigests):
            continue
        found, algorithm = whole = piece.found, piece.algorithm
        digests = pieces.setdefault(whole, {})
        digests.update(enumerate(piece.digests, start=piece.first_chunk))
        if len(digests) == count_chunks(found.size_bytes):
            ordered = [digests[chunk] for chunk in sorted(pieces.pop(whole))]
            yield found, from_chunk_digests(algorithm, found.size_bytes, ordered)
