"""The files of a large job in the scratch bucket: its shards and their results.

All are JSON Lines, which people can read too. Each line names the version of its object, so a
result is right independent of the worker that wrote it.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

import msgspec

from quilt_packager_runtime.formats.checksums import chunk_size_bytes, count_chunks
from quilt_packager_runtime.formats.objects import (
    ITEMS_FILE,
    JOBS_PREFIX,
    Checksum,
    ChecksumAlgorithm,
    S3Uri,
    SourceFolder,
    SourceObject,
)


class JobFiles(msgspec.Struct, frozen=True):
    """The files of a job that takes more than one invocation, in one round.

    Attributes:
        bucket: The scratch bucket.
        job_id: The job's id: the name of its folder, and of the execution of a large job.
        round: The number of rounds that the map has finished.
    """

    bucket: str
    job_id: str
    round: int = 0

    @property
    def message(self) -> S3Uri:
        """The delivered message. It is written last: if it exists, the job goes on from here."""
        return self._file("message.json")

    @property
    def end(self) -> S3Uri:
        """The end of a job, if it could not be reported at once."""
        return self._file("end.json")

    @property
    def items(self) -> S3Uri:
        """The items of this round's map, one for each shard."""
        return self._file(f"{self.round:02}/{ITEMS_FILE}")

    @property
    def batch(self) -> S3Uri:
        """The jobs of S3 Batch Operations in this round, if archived objects need any."""
        return self._file(f"{self.round:02}/batch.json")

    def batch_file(self, name: str) -> S3Uri:
        """Return the location of a file of these jobs."""
        return self._file(f"{self.round:02}/batch/{name}")

    def shard(self, number: int) -> S3Uri:
        """Return the location of a worker's tasks."""
        return self._file(f"{self.round:02}/shards/{number:06}.jsonl")

    @property
    def results(self) -> S3Uri:
        """The folder of all rounds' results."""
        return self._file("results/")

    def result(self, name: int | str) -> S3Uri:
        """Return the location of the result of a shard, or of a hand-off."""
        return self._file(f"results/{self.round:02}-{_file_name(name)}.jsonl")

    @property
    def failures(self) -> S3Uri:
        """The folder of this round's failures."""
        return self._file(f"{self.round:02}/failures/")

    def failure(self, name: int | str) -> S3Uri:
        """Return the location of the last failure of a shard, or of a step."""
        return S3Uri(self.bucket, f"{self.failures.key}{_file_name(name)}.json")

    def next_round(self) -> "JobFiles":
        """Return the files of the next round."""
        return JobFiles(self.bucket, self.job_id, self.round + 1)

    def to_input(self, *, wait_seconds: int | None = None) -> dict[str, object]:
        """Return the input of the execution, or of its next step.

        Args:
            wait_seconds: Time to wait before the job is published; None to run the map first.
        """
        wait = {} if wait_seconds is None else {"wait_seconds": wait_seconds}
        return {"job_id": self.job_id, "round": self.round, "items_key": self.items.key, **wait}

    def _file(self, path: str) -> S3Uri:
        return S3Uri(self.bucket, f"{JOBS_PREFIX}{self.job_id}/{path}")


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """An item of the map: the shard of one worker.

    Attributes:
        job_id: The job.
        round: The round of the job.
        shard: The number of the shard.
        folder: The folder of the shard's objects.
        region: The region of its bucket, which copies must not leave.
        names_checksums: The listing names the algorithms of stored checksums.
        regions: Regions of the buckets that tasks name.
    """

    job_id: str
    round: int
    shard: int
    folder: SourceFolder
    region: str | None = None
    names_checksums: bool = False
    regions: dict[str, str] = {}


class Task(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A line of a shard: an object to hash, or some chunks of a very large one.

    Attributes:
        found: The object.
        chunks: The first chunk to hash, and the chunk to stop before; None for all.
        bucket: Bucket of the object, if it is not that of the item's folder.
    """

    found: SourceObject
    chunks: tuple[int, int] | None = None
    bucket: str | None = None

    @property
    def size_bytes(self) -> int:
        """Maximum number of bytes to hash."""
        if self.chunks is None:
            return self.found.size_bytes
        chunk_bytes = chunk_size_bytes(self.found.size_bytes)
        first, end = self.chunks
        return min(end * chunk_bytes, self.found.size_bytes) - first * chunk_bytes


class ChecksumCounts(msgspec.Struct, frozen=True, tag="counts"):
    """A line of a result: the origin of its checksums.

    Attributes:
        stored: Number of checksums that S3 had stored.
        computed: Number of checksums that were computed.
    """

    stored: int
    computed: int


class ObjectChecksum(msgspec.Struct, frozen=True, tag="checksum", gc=False):
    """A line of a result: the checksum of an object."""

    found: SourceObject
    checksum: Checksum


class ChunkDigests(msgspec.Struct, frozen=True, tag="chunks", gc=False):
    """A line of a result: digests of some chunks of a very large object.

    Attributes:
        found: The object.
        algorithm: The algorithm of the digests.
        first_chunk: The number of the first chunk.
        digests: One digest for each chunk, in order.
    """

    found: SourceObject
    algorithm: ChecksumAlgorithm
    first_chunk: int
    digests: list[bytes]


class ChecksumRefused(msgspec.Struct, frozen=True, tag="refused", gc=False):
    """A line of a result: an archived object whose checksum S3 could not compute, and why."""

    found: SourceObject
    reason: str


ResultRecord: TypeAlias = ChecksumCounts | ObjectChecksum | ChunkDigests | ChecksumRefused

_task_decoder = msgspec.json.Decoder(Task)
_result_decoder = msgspec.json.Decoder(ResultRecord)
_encoder = msgspec.json.Encoder()


def encode_lines(lines: Iterable[msgspec.Struct]) -> bytes:
    """Write lines of this module as JSON Lines."""
    return _encoder.encode_lines(lines)


def decode_tasks(data: bytes) -> list[Task]:
    """Read a shard."""
    return _task_decoder.decode_lines(data)


def decode_result(data: bytes) -> list[ResultRecord]:
    """Read a result."""
    return _result_decoder.decode_lines(data)


def cut(found: SourceObject, *, max_bytes: int, bucket: str | None = None) -> Iterator[Task]:
    """Make one task of an object, or several of one that is too large for one worker.

    Digests of all bytes are computed in their order, by one worker.

    Args:
        found: The object.
        max_bytes: Maximum number of bytes of a task, unless one chunk is larger.
        bucket: Bucket of the object, if it is not that of the item's folder.

    Example:
        >>> GIBIBYTE = 1024**3
        >>> tasks = cut(SourceObject("k", 40 * GIBIBYTE, "", None), max_bytes=32 * GIBIBYTE)
        >>> [task.chunks for task in tasks]
        [(0, 4096), (4096, 5120)]
    """
    if found.size_bytes <= max_bytes or found.digests:
        yield Task(found, bucket=bucket)
        return
    chunks = count_chunks(found.size_bytes)
    step = max(1, max_bytes // chunk_size_bytes(found.size_bytes))
    for first in range(0, chunks, step):
        yield Task(found, (first, min(first + step, chunks)), bucket)


async def plan_shards(
    blocks: AsyncIterable[Iterable[SourceObject]],
    *,
    max_objects: int,
    max_bytes: int,
    buckets: Mapping[int, str | None] = MappingProxyType({}),
) -> AsyncIterator[list[Task]]:
    """Divide objects into shards, in order.

    Args:
        blocks: The objects to hash, many at a time.
        max_objects: Maximum number of tasks of a shard.
        max_bytes: Maximum number of bytes of a shard, unless one chunk is larger.
        buckets: Buckets that are not that of the items' folder, by the numbers of sources.
    """
    tasks: list[Task] = []
    size_bytes = 0
    async for block in blocks:
        for task in (
            task
            for found in block
            for task in cut(found, max_bytes=max_bytes, bucket=buckets.get(found.source))
        ):
            if tasks and (len(tasks) >= max_objects or size_bytes + task.size_bytes > max_bytes):
                yield tasks
                tasks, size_bytes = [], 0
            tasks.append(task)
            size_bytes += task.size_bytes
    if tasks:
        yield tasks


def _file_name(name: int | str) -> str:
    return name if isinstance(name, str) else f"{name:06}"
