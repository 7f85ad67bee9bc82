"""The files of a large job: its shards, their results, and where in the scratch bucket they are.

All are JSON Lines, so that a worker can be looked over the shoulder. Each line says which version
of which object it is about, so a result is right wherever it is found, and whoever wrote it.
"""

from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from typing import TypeAlias

import msgspec

from quilt_packager_runtime.formats.checksums import chunk_size_bytes, count_chunks
from quilt_packager_runtime.formats.objects import (
    JOBS_PREFIX,
    Checksum,
    ChecksumAlgorithm,
    S3Uri,
    SourceFolder,
    SourceObject,
)


class Job(msgspec.Struct, frozen=True):
    """A job that may go on beyond one invocation, and where its files are.

    Attributes:
        bucket: The scratch bucket.
        id: The job's id: the name of its execution, and of its folder.
        round: How often the map has been, or will have been, over what was left.
    """

    bucket: str
    id: str
    round: int = 0

    @property
    def message(self) -> S3Uri:
        """The message that asked for it. What is written last of a plan: where it is, all is."""
        return self._file("message.json")

    @property
    def items(self) -> S3Uri:
        """The items of this round's map, one for each shard."""
        return self._file(f"{self.round:02}/items.jsonl")

    def shard(self, number: int) -> S3Uri:
        """The work of one worker."""
        return self._file(f"{self.round:02}/shards/{number:06}.jsonl")

    @property
    def results(self) -> S3Uri:
        """The folder of all rounds' results."""
        return self._file("results/")

    def result(self, name: int | str) -> S3Uri:
        """What a worker, or whoever handed the job over, found."""
        return self._file(f"results/{self.round:02}-{_file_name(name)}.jsonl")

    @property
    def failures(self) -> S3Uri:
        """The folder of this round's failures."""
        return self._file(f"{self.round:02}/failures/")

    def failure(self, name: int | str) -> S3Uri:
        """Why a worker, or the publishing, failed last."""
        return S3Uri(self.bucket, f"{self.failures.key}{_file_name(name)}.json")

    def to_input(self) -> dict[str, object]:
        """What the state machine goes on with: equal for equal jobs, so that it starts but once."""
        return {"job_id": self.id, "round": self.round, "items_key": self.items.key}

    def _file(self, path: str) -> S3Uri:
        return S3Uri(self.bucket, f"{JOBS_PREFIX}{self.id}/{path}")


class Item(msgspec.Struct, frozen=True):
    """An item of the map: which shard a worker is to take.

    Attributes:
        job_id: The job.
        round: The round of it.
        shard: The shard's number.
        folder: Where its objects are.
    """

    job_id: str
    round: int
    shard: int
    folder: SourceFolder


class Task(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """A line of a shard: an object to hash, or some chunks of a very large one.

    Attributes:
        found: The object.
        chunks: The first of its chunks to hash, and the one to stop before; None for all.
    """

    found: SourceObject
    chunks: tuple[int, int] | None = None

    @property
    def size_bytes(self) -> int:
        """How many bytes there are to hash at most."""
        if self.chunks is None:
            return self.found.size_bytes
        chunk_bytes = chunk_size_bytes(self.found.size_bytes)
        first, end = self.chunks
        return min(end * chunk_bytes, self.found.size_bytes) - first * chunk_bytes


class ChecksumCounts(msgspec.Struct, frozen=True, tag="tally"):
    """A line of a result: where its checksums came from.

    Attributes:
        stored: How many of them S3 had stored.
        computed: How many were computed.
    """

    stored: int
    computed: int


class ObjectChecksum(msgspec.Struct, frozen=True, tag="checksum", gc=False):
    """A line of a result: an object's checksum.

    Attributes:
        found: The object.
        checksum: Its checksum.
    """

    found: SourceObject
    checksum: Checksum


class ChunkDigests(msgspec.Struct, frozen=True, tag="chunks", gc=False):
    """A line of a result: digests of some chunks of a very large object.

    Attributes:
        found: The object.
        algorithm: What they were computed with.
        first_chunk: Which chunk the first of them is of.
        digests: One for each chunk, in order.
    """

    found: SourceObject
    algorithm: ChecksumAlgorithm
    first_chunk: int
    digests: list[bytes]


ResultRecord: TypeAlias = ChecksumCounts | ObjectChecksum | ChunkDigests

_task_decoder = msgspec.json.Decoder(Task)
_finding_decoder = msgspec.json.Decoder(ResultRecord)
_encoder = msgspec.json.Encoder()


def encode_lines(lines: Iterable[msgspec.Struct]) -> bytes:
    """Write JSON Lines.

    Args:
        lines: Any of this module's lines.
    """
    return _encoder.encode_lines(lines)


def decode_tasks(data: bytes) -> list[Task]:
    """Read a shard.

    Args:
        data: What `encode_lines` wrote.
    """
    return _task_decoder.decode_lines(data)


def decode_findings(data: bytes) -> list[ResultRecord]:
    """Read a result.

    Args:
        data: What `encode_lines` wrote.
    """
    return _finding_decoder.decode_lines(data)


def cut(found: SourceObject, *, max_bytes: int) -> Iterator[Task]:
    """Make one task of an object, or several of one that is too large for one worker.

    Args:
        found: The object.
        max_bytes: How much one worker should hash; a chunk is never cut, though.

    Example:
        >>> GIBIBYTE = 1024**3
        >>> tasks = cut(SourceObject("k", 40 * GIBIBYTE, "", None), max_bytes=32 * GIBIBYTE)
        >>> [task.chunks for task in tasks]
        [(0, 4096), (4096, 5120)]
    """
    if found.size_bytes <= max_bytes:
        yield Task(found)
        return
    chunks = count_chunks(found.size_bytes)
    step = max(1, max_bytes // chunk_size_bytes(found.size_bytes))
    for first in range(0, chunks, step):
        yield Task(found, (first, min(first + step, chunks)))


async def plan_shards(
    blocks: AsyncIterable[Iterable[SourceObject]], *, max_objects: int, max_bytes: int
) -> AsyncIterator[list[Task]]:
    """Share objects out among workers, in order.

    Args:
        blocks: What is to be hashed, many at a time.
        max_objects: How many lines a shard has at most.
        max_bytes: How many bytes it has at most, unless one chunk is larger.
    """
    tasks: list[Task] = []
    size_bytes = 0
    async for block in blocks:
        for task in (task for found in block for task in cut(found, max_bytes=max_bytes)):
            if tasks and (len(tasks) >= max_objects or size_bytes + task.size_bytes > max_bytes):
                yield tasks
                tasks, size_bytes = [], 0
            tasks.append(task)
            size_bytes += task.size_bytes
    if tasks:
        yield tasks


def _file_name(name: int | str) -> str:
    return name if isinstance(name, str) else f"{name:06}"
